"""What a pipeline's settings are worth, found before any run: it is fitted on noise of the shape of the trials."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from eegdecode.runs import Run
from eegdecode.training.classical_steps import FilterBank, frequencies
from eegdecode.trials import Trials

log = logging.getLogger(__name__)

FEW = 4    # trials of noise of each class


@threadpool_limits.wrap(limits=1)
def try_out(fitted: Pipeline | GridSearchCV, trials: Trials, runs: Sequence[Run]) -> None:
    """Refuse settings that no run can be fitted with; each value of a search is tried.

    A library checks its settings when it fits, run by run: without this each run would fail, one after the other. White
    noise has full rank and every class, so that what fails on it is the settings, or the length of the trials. Some
    steps need more trials than a few; then it is as many as the first run trains on.
    """
    if not runs:
        return
    few, many = np.repeat(np.arange(len(trials.classes)), FEW), trials.y[runs[0].split.train]
    for words, pipeline in _candidates(fitted):
        if _reason(pipeline, trials, few) and (reason := _reason(pipeline, trials, many)):
            at = f" with {words}" if words else ""
            n_chans, n_times = trials.X.shape[1:]
            raise ValueError(
                f"this pipeline cannot be fitted to trials of {n_chans} channels and {n_times} samples{at}: "
                f"{reason}. Change the setting (model.*)"
            )


def check_filters(steps: Mapping[str, BaseEstimator], at: str = "model") -> None:
    """Refuse less than one spatial filter: Python would count from the end, and take all but so many."""
    for name, step in steps.items():
        settings = step.get_params(deep=False)
        n = settings.get("nfilter", 1)
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"{at}.{name}.nfilter must be a whole number of at least 1, got {n!r}")
        if isinstance(inner := settings.get("steps"), Mapping):
            check_filters(inner, f"{at}.{name}.steps")


def tell_bank(fitted: Pipeline | GridSearchCV, classes: Sequence[str]) -> None:
    """Say which bands a filter bank takes of the names of the classes: a number may be a code, and no frequency."""
    joined: Any = fitted.estimator if isinstance(fitted, GridSearchCV) else fitted
    for name, step in joined.named_steps.items():
        if isinstance(step, FilterBank) and step.bands == "stimulus" and (bands := step.check()):
            named = ", ".join(classes[k] for k in frequencies(classes))
            told = ", ".join(f"{low:g}-{high:g}" for low, high in bands)
            log.info(
                "the classes %s are read as frequencies of a flicker: signals of the bands %s Hz (model.%s; if they "
                "are none, give other names, or take it out with ~model.%s)", named, told, name, name,
            )    # fmt: skip


def _candidates(fitted: Pipeline | GridSearchCV) -> Iterator[tuple[str, Any]]:
    """The pipeline, or one for each value that a search tries, in words: not all pairs of values, but all values."""
    if not isinstance(fitted, GridSearchCV):
        yield "", fitted
        return
    grids = [fitted.param_grid] if isinstance(fitted.param_grid, Mapping) else fitted.param_grid
    for grid in grids:
        last = {name: values[-1] for name, values in grid.items()}
        for row in zip_longest(*([(name, value) for value in values] for name, values in grid.items())):
            chosen = last | dict(pair for pair in row if pair is not None)
            words = ", ".join(f"{name}={value}" for name, value in chosen.items())
            copy: Any = clone(fitted.estimator)
            yield words, copy.set_params(**chosen)


def _reason(pipeline: Any, trials: Trials, labels: np.ndarray) -> str:
    """Why it cannot be fitted to noise with these labels; empty if it can."""
    copy: Any = clone(pipeline)
    noise = np.random.default_rng(0).standard_normal((len(labels), *trials.X.shape[1:]))
    try:
        copy.fit(noise, labels)
    except Exception as error:    # each library has its own; whatever it is, every run would end in it
        return f"{error} ({type(error).__name__})"
    return ""
