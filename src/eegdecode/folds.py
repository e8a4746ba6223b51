"""From rows of the table of trials to folds: what belongs together, what is tested, what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from eegdecode.overlaps import share_of_shared
from eegdecode.runs import Split

MANY = 0.1    # of the windows, that share samples with a neighbour


@runtime_checkable
class Folds(Protocol):
    """What `folded` needs of a protocol."""

    @property
    def name(self) -> str: ...
    @property
    def blocks(self) -> bool: ...
    @property
    def shuffle_seed(self) -> int: ...
    def tests(self, labels: np.ndarray, where: str) -> list[np.ndarray]: ...


def folded(
    protocol: Folds, meta: pd.DataFrame, rows: np.ndarray, validation: float, *,
    subject: str, session: str,
) -> list[Split]:    # fmt: skip
    """Split some rows as the protocol's `tests` say; windows of one cue stay together."""
    firsts, of_row = cues(meta.iloc[rows])
    labels, splits = meta["label"].to_numpy()[rows][firsts], []
    for fold, tested in enumerate(protocol.tests(labels, f"subject {subject}, session {session}")):
        test = np.isin(of_row, tested)
        train, val = hold_out(rows[~test], meta, validation, blocks=protocol.blocks, seed=protocol.shuffle_seed)
        splits.append(Split(train, val, rows[test], subject, session, fold, protocol.name))
    return splits


def shuffled_folds(labels: np.ndarray, folds: int, where: str, *, seed: int) -> list[np.ndarray]:
    """Positions of the test trials of shuffled folds, stratified by class."""
    from sklearn.model_selection import StratifiedKFold  # half a second, which other protocols do not need

    check_folds(labels, folds, where)
    return [test for _, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)]


def check_folds(labels: np.ndarray, folds: int, where: str) -> None:
    """Refuse more folds than a class has trials."""
    least = np.unique(labels, return_counts=True)[1].min()
    if least < folds:
        raise ValueError(
            f"{where}: a class has only {least} trials, fewer than protocol.folds={folds}; take fewer folds"
        )


def hold_out(
    rows: np.ndarray, meta: pd.DataFrame, share: float, *, seed: int, blocks: bool = False
) -> tuple[np.ndarray, np.ndarray]:    # fmt: skip
    """Hold a share of training rows out for validation, the same share of each subject, session and class (`_strata`).

    Windows of one cue (column ``group``) stay together.

    Parameters
    ----------
    blocks : bool
        Hold out the last trials instead of random ones; where many windows share samples with their neighbours, this
        is always done: random ones would share them with most of those that are learned from.

    Raises
    ------
    ValueError
        If nothing is left for one of the two sides.
    """
    if share == 0 or not len(rows):    # `Split` says where there is nothing to train on
        return rows, rows[:0]
    blocks = blocks or share_of_shared(meta.iloc[rows]) > MANY
    rng = np.random.default_rng(seed)
    firsts, of_row = cues(meta.iloc[rows])
    strata = _strata(meta.iloc[rows[firsts]])
    held = []
    for members in strata:
        order = np.sort(members) if blocks else rng.permutation(members)
        # the fraction is drawn, so that the share is right on average however small the strata are
        count = max(1, int(share * len(order) + 0.5)) if blocks else int(share * len(order) + rng.random())
        held.append(order[len(order) - min(count, len(order) - 1) :])
    is_val = np.isin(of_row, np.concatenate(held))
    if not is_val.any():
        raise ValueError(
            f"{len(rows)} training trials are too few to hold out trainer.validation={share} of each class of a "
            "subject; take more, or 0"
        )
    return rows[~is_val], rows[is_val]


def _strata(cues: pd.DataFrame) -> list[np.ndarray]:
    """Rows of each subject, session and class; where a session has one of a class, of all such sessions.

    A block of a speller or of an SSVEP set shows each target once: of one trial none can be held out.
    """
    names = ["subject", "session", "label"]
    alone = cues.groupby(names, sort=False)["label"].transform("size") == 1
    strata = cues.assign(session=cues["session"].mask(alone, "")).groupby(names, sort=False).indices
    return [np.asarray(members) for members in strata.values()]


def cues(meta: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """First row of each cue, and which cue each row was cut from: windows of one cue are split as one."""
    names = meta["group"] if "group" in meta else meta["trial"]
    of_row, _ = pd.factorize(names)
    return np.unique(of_row, return_index=True)[1], of_row


def groups(meta: pd.DataFrame, columns: list[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Groups of rows in the order of their first appearance: (values, row numbers)."""
    found = meta.groupby(columns, sort=False).indices
    named = [(key if isinstance(key, tuple) else (key,), np.sort(rows)) for key, rows in found.items()]
    return [(tuple(str(value) for value in key), rows) for key, rows in named]


def name_runs(meta: pd.DataFrame) -> pd.Series:
    """Name each trial's run, and its session too where there are several."""
    if len(meta["session"].unique()) == 1:
        return meta["run"]
    return meta["session"] + "-" + meta["run"]


def left_out(places: Mapping[str, int], tested: Sequence[str | int] | None) -> list[int]:
    """Places of the subjects that are left out, one at a time: those that are named, or all."""
    chosen = places if tested is None else [str(name) for name in tested]
    absent = [name for name in chosen if name not in places]
    if absent:
        raise ValueError(f"protocol.tested names {', '.join(absent)}; there are {', '.join(places)}")
    return sorted({places[name] for name in chosen})    # in the order of the table, as without the setting
