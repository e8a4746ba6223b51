"""Front ends of checkpoints on new trials: what was fitted is applied; only references of new groups are measured.

A group (subject, session) that was trained on keeps its map or reference. One that was not is aligned by the rule of
training: ``reference=all`` by all of its trials that are given, ``first`` by its first ones, ``train`` not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from eegdecode.training.align import Align, group_names
from eegdecode.training.frontend import FrontEnd, LinearMap, Moments
from eegdecode.training.spd import inverse_root

log = logging.getLogger(__name__)
Part = Callable[[np.ndarray], LinearMap]    # rows of the new trials -> their map


@dataclass(frozen=True, eq=False)
class Places:
    """Which map each new trial gets.

    Attributes
    ----------
    of_trial : ndarray of int, shape (n,)
        Numbers of the maps that were kept, the last one that of everybody, and after those the new groups'.
    new : sequence of ndarray of int
        The trials that make the reference of each new group.
    """

    of_trial: Int[np.ndarray, " trial"]
    new: Sequence[np.ndarray]


def open_frontend(
    frontend: FrontEnd, weights: Mapping[str, np.ndarray], places: Places | None, moments: Moments
) -> Part:    # fmt: skip
    """Return what gives some of the new trials the front end of one member.

    Parameters
    ----------
    weights : mapping
        Of the member, with its ``frontend.*``.
    places : Places or None
        None where one map serves all.
    moments : Moments
        Of all new trials, scaled as the front end says.
    """
    offset = _get(weights, "frontend.offset")
    if not isinstance(frontend, Align) or places is None:
        filters = _get(weights, "frontend.filters")
        return lambda rows: LinearMap(filters, offset)
    then = _get(weights, "frontend.then")
    references = [frontend.mean(moments.second[rows])[None] for rows in places.new]
    if frontend.own:
        known = np.concatenate([_get(weights, "frontend.references"), *references])

        def of_each(rows: np.ndarray) -> LinearMap:
            maps = frontend.own_maps(moments.second[rows], known, places.of_trial[rows])
            return LinearMap((then @ maps).astype(np.float32), offset, np.arange(len(rows)))

        return of_each
    made = [(then @ inverse_root(each)).astype(np.float32) for each in references]
    filters = np.concatenate([_get(weights, "frontend.filters"), *made])
    return lambda rows: LinearMap(filters, offset, places.of_trial[rows])


def find_places(frontend: FrontEnd, groups: Sequence[str], meta: pd.DataFrame, *, same_set: bool) -> Places | None:
    """Find the group of each new trial among those that were trained on.

    Parameters
    ----------
    groups : sequence of str
        Names of the groups that were trained on.
    same_set : bool
        Whether the trials are of the data set of the training: elsewhere subject 1 is another person.
    """
    if not isinstance(frontend, Align):
        return None
    names, everybody = group_names(meta, frontend.by), len(groups)
    known = {name: place for place, name in enumerate(groups) if same_set or not frontend.by}
    of_trial, new, told = np.full(len(meta), everybody), [], []
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(names == name)
        if name in known:
            of_trial[rows] = known[name]
            continue
        told.append(name)
        source = {"all": rows, "first": rows[: frontend.n_first], "train": rows[:0]}[frontend.reference]
        if len(source):
            of_trial[rows if frontend.reference == "all" else rows[frontend.n_first :]] = everybody + 1 + len(new)
            new.append(source)
    if told and frontend.by:
        how = {"all": "all of their trials here, unlabelled (transductive)",
               "first": f"their first {frontend.n_first} trials, which themselves get the reference of all training "
               "trials", "train": "the reference of all training trials"}[frontend.reference]    # fmt: skip
        log.info("aligned by %s: %s", how, ", ".join(told))
    return Places(of_trial, new)


def _get(weights: Mapping[str, np.ndarray], name: str) -> Float[np.ndarray, "..."]:
    if name not in weights:
        raise ValueError(f"the checkpoint lacks {name}: it is of an older version; train its run again")
    return weights[name]
