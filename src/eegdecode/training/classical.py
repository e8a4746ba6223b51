"""Classical pipelines: scikit-learn's own steps, fitted run by run, on several cores where that is worth it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from eegdecode.runs import Claim, OnEpoch, Prediction, Run
from eegdecode.training.align import Align
from eegdecode.training.classical_check import check_filters, tell_bank, try_out
from eegdecode.training.classical_fit import fit_run
from eegdecode.training.classical_search import Grid, search_grid
from eegdecode.training.classical_steps import CCA, EachBand, FilterBank
from eegdecode.training.classical_workers import fit_in_workers
from eegdecode.training.crew import check_workers, count_cores
from eegdecode.training.frontend import Identity, Moments
from eegdecode.training.job import NoWorkersError
from eegdecode.trials import Trials

log = logging.getLogger(__name__)

WORTH = 10.0    # s that the runs that are left take in one process: workers take three to start


@dataclass(frozen=True)
class ClassicalTrainer:
    """Fit a pipeline on all training trials of each run. What is searched is searched inside of them.

    Parameters
    ----------
    scale : float
        Trials are multiplied by this first; 1e-6 turns µV into V. Only numerical tolerances depend on it.
    seeds : int or None
        Seeds that are run, of those that ``sweep.seeds`` names, from the first. One: our pipelines draw no random
        numbers, so that a second seed would show the first one's scores as if they were new. None: all.
    device : {"auto", "cpu"}
    workers : int, "auto" or None
        Processes that fit a run each, at most. None and auto: one a core; 1: this process alone. Numbers are the same.
    """

    scale: float = 1.0
    seeds: int | None = field(default=1, repr=False)
    device: str = field(default="auto", repr=False)
    workers: int | str | None = field(default=None, repr=False)
    validation: float = 0.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise ValueError(f"device={self.device}: classical pipelines run on the CPU; take device=auto")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"trainer.seeds must be at least 1 or null, got {self.seeds}")
        check_workers(self.workers)

    def count_epochs(self, n_train: int) -> int:
        """One: a fit."""
        return 1

    def check(self, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: Any, augment: Any) -> None:
        """Refuse what a pipeline does not use or cannot be, before any folder is touched."""
        _refuse_what_is_ignored(runs, frontend, augment)
        fitted = model(sfreq=trials.signal.sfreq, classes=trials.classes)
        try_out(fitted, trials, runs)
        tell_bank(fitted, trials.classes)

    def fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: Any, on_epoch: OnEpoch,
        augment: Any = None, states: Any = None, on_warning: Any = None, claim: Claim = list,
    ) -> Iterator[Prediction]:    # fmt: skip
        """Fit each run's pipeline and yield its prediction. Of front ends it takes alignment alone.

        There is no state between start and end of a fit, and no preflight. The first run is fitted here; where it shows
        that the others take long, each core fits one at a time. Then they come in any order.
        """
        left = deque(run for stack in stacks for run in stack)
        _refuse_what_is_ignored(list(left), frontend, augment)
        pipeline = model(sfreq=trials.signal.sfreq, classes=trials.classes)
        moments = Moments.of(trials.X) if left and isinstance(frontend, Align) else None
        n_workers = self.workers if isinstance(self.workers, int) else count_cores()
        while left:
            for run in claim([left.popleft()]):
                prediction = fit_run(pipeline, trials, run, scale=self.scale, frontend=frontend, moments=moments)
                on_epoch(run, {"epoch": 1})
                yield prediction
                n_workers = min(n_workers, len(left))
                if n_workers > 1 and prediction.seconds * len(left) > WORTH:
                    try:
                        yield from fit_in_workers(
                            self.scale, model, trials, left, frontend=frontend, n_workers=n_workers,
                            on_epoch=on_epoch, claim=claim,
                        )    # fmt: skip
                        return
                    except NoWorkersError as reason:
                        log.warning("fitting in this process alone: %s", reason)
                        n_workers = 1


def _refuse_what_is_ignored(runs: Sequence[Run], frontend: Any, augment: Any) -> None:
    """A number, a front end or an augmentation that a pipeline does not use must not stand in its results."""
    if augment is not None:
        raise ValueError("a classical pipeline is fitted on real trials alone; take augment=none")
    swept = [name for name in runs[0].numbers if name != "trials"] if runs else []    # trials are of its split
    if swept:
        raise ValueError(f"a classical pipeline has no {', '.join(swept)}: leave the sweep.* of them out")
    if not isinstance(frontend, Align | Identity | None):
        name = type(frontend).__name__
        raise ValueError(f"a classical pipeline brings its own front end, not {name}; take frontend=none or align")


def pipeline(
    *, sfreq: float, classes: Sequence[str], search: Grid | Sequence[Grid] | None = None, **steps: BaseEstimator
) -> Pipeline | GridSearchCV:    # fmt: skip
    """Join named steps; one that has a parameter ``sfreq`` gets it, and ``classes`` if it takes them, from the data.

    Parameters
    ----------
    search : mapping or list of mappings
        ``step__setting`` -> values, of which each run takes the best inside its training trials (`search_grid`).
    """
    check_filters(steps)
    known: Mapping[str, Any] = {"sfreq": sfreq, "classes": tuple(classes)}
    for step in steps.values():
        names = step.get_params(deep=False)
        if "sfreq" in names:    # `classes` alone is something else (of xDAWN: those with a response)
            step.set_params(**{name: value for name, value in known.items() if name in names})
        if isinstance(step, FilterBank | EachBand | CCA):
            step.check()
    joined = Pipeline(list(steps.items()))
    return search_grid(joined, search) if search else joined
