"""Classical pipelines: scikit-learn's own steps, fitted run by run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from eegdecode.runs import Claim, Prediction, Run
from eegdecode.training.align import Align, align_trials
from eegdecode.training.classical_search import Grid, inner_folds, search_grid
from eegdecode.training.classical_steps import CCA, EachBand, FilterBank
from eegdecode.training.costs import Meter
from eegdecode.training.frontend import Identity, Moments
from eegdecode.trials import Trials


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
    """

    scale: float = 1.0
    seeds: int | None = field(default=1, repr=False)
    device: str = field(default="auto", repr=False)
    validation: float = 0.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise ValueError(f"device={self.device}: classical pipelines run on the CPU; take device=auto")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"trainer.seeds must be at least 1 or null, got {self.seeds}")

    def count_epochs(self, n_train: int) -> int:
        """One: a fit."""
        return 1

    def check(self, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: Any, augment: Any) -> None:
        """Refuse what a pipeline does not use or cannot be, before any folder is touched."""
        _refuse_what_is_ignored(runs, frontend, augment)
        model(sfreq=trials.signal.sfreq, classes=trials.classes)

    def fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: Any, on_epoch: Callable,
        augment: Any = None, states: Any = None, on_warning: Any = None, claim: Claim = list,
    ) -> Iterator[Prediction]:    # fmt: skip
        """Fit each run's pipeline and yield its prediction. Of front ends it takes alignment alone.

        There is no state between start and end of a fit, and no preflight.
        """
        runs = [run for stack in stacks for run in stack]
        _refuse_what_is_ignored(runs, frontend, augment)
        pipeline = model(sfreq=trials.signal.sfreq, classes=trials.classes)
        moments = Moments.of(trials.X) if runs and isinstance(frontend, Align) else None
        for run in (mine for each in runs for mine in claim([each])):
            meter = Meter()
            split, fitted = run.split, _seeded(pipeline, run.seed)
            X = trials.X if moments is None else align_trials(frontend, trials.X, trials.meta, split, moments)
            parts = {part: getattr(split, part) for part in ("val", "test")}
            try:
                _fit(fitted, self._signals(X, split.train), trials.y[split.train], trials.meta.iloc[split.train])
                logits = {part: _predict(fitted, self._signals(X, rows), len(trials.classes))
                          for part, rows in parts.items()}    # fmt: skip
                status = "done"
            except (ValueError, np.linalg.LinAlgError) as error:    # of this run alone: the others go on
                logits = {part: np.full((len(rows), len(trials.classes)), np.nan) for part, rows in parts.items()}
                status = f"failed: {error}"
            on_epoch(run, {"epoch": 1})
            yield Prediction(
                run=run, logits=logits, history=pd.DataFrame(), best_epoch=0, n_params=0,
                **meter.read(), chosen=_chosen(fitted), status=status,
            )    # fmt: skip

    def _signals(self, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Some trials in double precision: in single, matrices of average-referenced signals are not positive."""
        return self.scale * X[rows].astype(np.float64)


def _fit(fitted: Pipeline | GridSearchCV, X: np.ndarray, y: np.ndarray, meta: pd.DataFrame) -> None:
    if isinstance(fitted, GridSearchCV):
        fitted.set_params(cv=inner_folds(meta, y))
    fitted.fit(X, y)


def _predict(fitted: Pipeline | GridSearchCV, X: np.ndarray, n_classes: int) -> np.ndarray:
    """Log-probabilities (n, K) whose greatest is the class that the pipeline predicts.

    They are the softmax of its decision function where it has one. For logistic regression and LDA these are its
    probabilities. For support vectors and canonical correlations they rank the classes, no more: read no calibration
    from them. (Platt's probabilities of scikit-learn's ``SVC`` can disagree with what it predicts.) A class without
    training trials gets a probability of 1e-12.
    """
    logits = np.full((len(X), n_classes), np.log(1e-12))
    if not len(X):
        return logits
    if hasattr(fitted, "decision_function"):
        scores = fitted.decision_function(X)
        if scores.ndim == 1:    # of two classes: that of the second
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        logits[:, fitted.classes_] = log_softmax(scores, axis=1)
    else:
        logits[:, fitted.classes_] = np.log(np.maximum(fitted.predict_proba(X), np.finfo(float).tiny))
    return logits


def _chosen(fitted: Pipeline | GridSearchCV) -> str:
    """What a search took: ``augment__lag=4, augment__order=2``."""
    return ", ".join(f"{name}={value}" for name, value in getattr(fitted, "best_params_", {}).items())


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
    known: Mapping[str, Any] = {"sfreq": sfreq, "classes": tuple(classes)}
    for step in steps.values():
        names = step.get_params(deep=False)
        if "sfreq" in names:    # `classes` alone is something else (of xDAWN: those with a response)
            step.set_params(**{name: value for name, value in known.items() if name in names})
        if isinstance(step, FilterBank | EachBand | CCA):
            step.check()
    joined = Pipeline(list(steps.items()))
    return search_grid(joined, search) if search else joined


def _seeded(pipeline: Pipeline | GridSearchCV, seed: int) -> Pipeline | GridSearchCV:
    """Return a copy with a run's seed in every step that draws random numbers."""
    copy: Any = clone(pipeline)
    names = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
    return copy.set_params(**dict.fromkeys(names, seed))
