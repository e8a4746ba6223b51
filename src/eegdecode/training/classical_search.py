"""A small grid of settings, searched inside the training trials of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline

FOLDS = 5

Grid = Mapping[str, Sequence[Any]]
Folds = list[tuple[np.ndarray, np.ndarray]]


def search_grid(pipeline: Pipeline, grid: Grid | Sequence[Grid]) -> GridSearchCV:
    """Make a pipeline that takes the values of most accuracy over `inner_folds`, then is fitted on all it gets.

    Parameters
    ----------
    grid : mapping or list of mappings
        ``step__setting`` -> values to try. The whole pipeline is fitted for each, so that nothing that a step
        learns reaches the trials on which it is judged.
    """
    known = pipeline.get_params()
    for name, values in [pair for part in ([grid] if isinstance(grid, Mapping) else grid) for pair in part.items()]:
        if name not in known:
            raise ValueError(f"model.search: {name} is no setting of this pipeline (write step__setting)")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"model.search.{name} must be a list of values to try, got {values!r}")
    settings: dict[str, Any] = {"scoring": "accuracy", "error_score": "raise"}
    return GridSearchCV(pipeline, grid, **settings)


def inner_folds(meta: pd.DataFrame, labels: np.ndarray) -> Folds:
    """Split training trials as the run itself may be: by subject if there are several, else by session, else by cue.

    Five folds, fewer where there are fewer groups, or trials of the rarest class. The same for every seed.

    Parameters
    ----------
    meta : DataFrame
        The training rows of the table of trials.
    labels : ndarray, shape (n,)
    """
    sessions = meta["subject"] + "/" + meta["session"]
    cues = meta["group"] if "group" in meta else meta["trial"]
    groups = next((names for names in (meta["subject"], sessions) if len(names.unique()) > 1), cues)
    n_folds = min(FOLDS, groups.nunique(), int(np.bincount(labels)[np.unique(labels)].min()))
    if n_folds < 2:
        raise ValueError(f"{len(labels)} training trials are too few to search in; take model.search=null")
    shuffled = {"shuffle": True, "random_state": 0} if groups is cues else {}
    return list(StratifiedGroupKFold(n_folds, **shuffled).split(labels, labels, groups))
