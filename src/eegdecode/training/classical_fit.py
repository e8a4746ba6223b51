"""The fit of one run: a pipeline on its training trials, and what it answers on the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from eegdecode.runs import Prediction, Run
from eegdecode.training.align import Align, align_trials
from eegdecode.training.classical_search import inner_folds
from eegdecode.training.costs import Meter
from eegdecode.training.frontend import Moments
from eegdecode.trials import Trials


@threadpool_limits.wrap(limits=1)
def fit_run(
    pipeline: Pipeline | GridSearchCV, trials: Trials, run: Run, *, scale: float, frontend: Any,
    moments: Moments | None,
) -> Prediction:    # fmt: skip
    """Fit a copy of the pipeline and predict; what this run alone cannot be fitted to is its status.

    With one thread of BLAS: its matrices are small, the numbers are the same however many processes fit, and each
    core has a run of its own.

    Parameters
    ----------
    scale : float
        Trials are multiplied by this first.
    moments : Moments or None
        Of all trials, which alignment needs.
    """
    meter, split, fitted = Meter(), run.split, _seeded(pipeline, run.seed)
    parts = {part: getattr(split, part) for part in ("val", "test")}
    X = trials.X
    if isinstance(frontend, Align) and moments is not None:
        X = align_trials(frontend, X, trials.meta, split, moments)
    try:
        _fit(fitted, _signals(X, split.train, scale), trials.y[split.train], trials.meta.iloc[split.train])
        logits = {part: _predict(fitted, _signals(X, rows, scale), len(trials.classes)) for part, rows in parts.items()}
        status = "done"
    except (ValueError, np.linalg.LinAlgError) as error:    # of this run alone: the others go on
        logits = {part: np.full((len(rows), len(trials.classes)), np.nan) for part, rows in parts.items()}
        status = f"failed: {error}"
    return Prediction(
        run=run, logits=logits, history=pd.DataFrame(), best_epoch=0, n_params=0, **meter.read(),
        chosen=_chosen(fitted), status=status,
    )    # fmt: skip


def _signals(X: np.ndarray, rows: np.ndarray, scale: float) -> np.ndarray:
    """Some trials in double precision: in single, matrices of average-referenced signals are not positive."""
    return scale * X[rows].astype(np.float64)


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


def _seeded(pipeline: Pipeline | GridSearchCV, seed: int) -> Pipeline | GridSearchCV:
    """Return a copy with a run's seed in every step that draws random numbers."""
    copy: Any = clone(pipeline)
    names = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
    return copy.set_params(**dict.fromkeys(names, seed))
