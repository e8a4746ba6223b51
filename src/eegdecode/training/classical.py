"""Classical pipelines: scikit-learn's own steps, fitted run by run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import Pipeline

from eegdecode.runs import Prediction, Run
from eegdecode.training.align import Align, align_trials
from eegdecode.training.frontend import Identity, Moments
from eegdecode.trials import Trials


@dataclass(frozen=True)
class ClassicalTrainer:
    """Fit a pipeline on all training trials of each run. It chooses nothing, so it needs no validation.

    Parameters
    ----------
    scale : float
        Trials are multiplied by this first; 1e-6 turns µV into V. Only numerical tolerances depend on it.
    device : {"auto", "cpu"}
    """

    scale: float = 1.0
    device: str = field(default="auto", repr=False)
    validation: float = 0.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise ValueError(f"device={self.device}: classical pipelines run on the CPU; take device=auto")

    def count_epochs(self, n_train: int) -> int:
        """One: a fit."""
        return 1

    def fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: Any, on_epoch: Callable,
        augment: Any = None,
    ) -> Iterator[Prediction]:    # fmt: skip
        """Fit each run's pipeline and yield its prediction. Of front ends it takes alignment alone."""
        runs = [run for stack in stacks for run in stack]
        _refuse_what_is_ignored(runs, frontend, augment)
        pipeline = model(sfreq=trials.signal.sfreq, classes=trials.classes)
        moments = Moments.of(trials.X) if runs and isinstance(frontend, Align) else None
        for run in runs:
            began = time.perf_counter()
            split = run.split
            fitted = clone(pipeline)
            _seed(fitted, run.seed)
            X = trials.X if moments is None else align_trials(frontend, trials.X, trials.meta, split, moments)
            parts = {part: X[getattr(split, part)] for part in ("val", "test")}
            try:
                fitted.fit(self.scale * X[split.train], trials.y[split.train])
                logits = {part: self._predict(fitted, x, len(trials.classes)) for part, x in parts.items()}
                status = "done"
            except (ValueError, np.linalg.LinAlgError) as error:    # of this run alone: the others go on
                logits = {part: np.full((len(x), len(trials.classes)), np.nan, np.float32) for part, x in parts.items()}
                status = f"failed: {error}"
            on_epoch(run, {"epoch": 1})
            yield Prediction(
                run=run, logits=logits, history=pd.DataFrame(), best_epoch=0, n_params=0,
                seconds=time.perf_counter() - began, status=status,
            )    # fmt: skip

    def _predict(self, fitted: Pipeline, X: np.ndarray, n_classes: int) -> np.ndarray:
        """Log-probabilities (n, K); a class without training trials has -inf turned into a large loss."""
        logits = np.full((len(X), n_classes), np.log(1e-12), np.float32)
        if len(X):
            probability = fitted.predict_proba(self.scale * X)
            logits[:, fitted.classes_] = np.log(np.maximum(probability, 1e-12))
        return logits


def _refuse_what_is_ignored(runs: Sequence[Run], frontend: Any, augment: Any) -> None:
    """A number, a front end or an augmentation that a pipeline does not use must not stand in its results."""
    if augment is not None:
        raise ValueError("a classical pipeline is fitted on real trials alone; take augment=none")
    if runs and runs[0].numbers:
        raise ValueError(f"a classical pipeline has no {', '.join(runs[0].numbers)}: leave the sweep.* of them out")
    if not isinstance(frontend, Align | Identity | None):
        name = type(frontend).__name__
        raise ValueError(f"a classical pipeline brings its own front end, not {name}; take frontend=none or align")


def pipeline(*, sfreq: float, classes: Sequence[str], **steps: BaseEstimator) -> Pipeline:
    """Join named steps; a step that has the parameters ``sfreq`` or ``classes`` gets them from the data."""
    known: Mapping[str, Any] = {"sfreq": sfreq, "classes": tuple(classes)}
    for step in steps.values():
        names = step.get_params(deep=False)
        step.set_params(**{name: value for name, value in known.items() if name in names})
    return Pipeline(list(steps.items()))


def _seed(estimator: Pipeline, seed: int) -> None:
    """Give a run's seed to every step that draws random numbers."""
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    estimator.set_params(**dict.fromkeys(names, seed))


class FilterBank(TransformerMixin, BaseEstimator):
    """Band-pass each trial into several bands and stack them as channels: (n, C, T) -> (n, bands * C, T).

    The covariance of the stack holds the power in each band and how the bands go together: what a
    steady-state response is read from (Congedo et al., 2013; MOABB's ``FilterBankSSVEP``).

    Parameters
    ----------
    bands : "stimulus" or list of (float, float)
        Edges in Hz. ``"stimulus"``: ``width`` around each class whose name is a number, as data sets of
        steady-state potentials name their classes; without such classes the trials are left as they are.
    width : float
        Width of a stimulus band in Hz; MOABB takes 1.
    sfreq, classes
        Given by the data.
    """

    def __init__(
        self, bands: str | Sequence[tuple[float, float]] = "stimulus", width: float = 1.0,
        sfreq: float | None = None, classes: Sequence[str] = (),
    ) -> None:    # fmt: skip
        self.bands = bands
        self.width = width
        self.sfreq = sfreq
        self.classes = classes

    def fit(self, X, y=None):
        """Work out the bands."""
        if isinstance(self.bands, str):
            rates = [float(name) for name in self.classes if _is_number(name)]
            self.bands_ = [(rate - self.width / 2, rate + self.width / 2) for rate in rates]
        else:
            self.bands_ = [(low, high) for low, high in self.bands]
        return self

    def transform(self, X):
        """Filter forward and backward (Butterworth, order 4, as MOABB), padded by as much as a trial has.

        A trial of 2 s is short for a band of 1 Hz: scipy's own padding costs 2 points on `ssvep_exo`.
        """
        if not self.bands_:
            return X
        filters = [butter(4, band, "bandpass", fs=self.sfreq, output="sos") for band in self.bands_]
        return np.concatenate([sosfiltfilt(sos, X, axis=2, padlen=X.shape[2] - 1) for sos in filters], axis=1)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
