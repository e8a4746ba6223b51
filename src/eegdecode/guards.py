"""Guards at the split: equal or overlapping trials, absent classes, sessions out of time, subjects with two names."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eegdecode.overlaps import share_of_shared, sharing
from eegdecode.runs import Split

DUPLICATES = ("error", "drop", "warn")


def guarded(splits: Sequence[Split], meta: pd.DataFrame, *, duplicates: str) -> list[Split]:
    """Return the splits if they are sound.

    Parameters
    ----------
    meta : DataFrame
        Table of trials; where it has the column ``signal`` (a digest of each trial's samples), equal trials
        are noticed, and where it has ``begin`` and ``end``, trials whose windows overlap.
    duplicates : {"error", "drop", "warn"}
        What to do about trials that stand on both sides under two names, whole or in part: refuse, take them out of
        training and validation (the test trials stay), or say so. What overlaps validation trials alone is taken out
        of training unless it is to be let pass: validation is ours to choose.

    Raises
    ------
    ValueError
        If equal or overlapping trials are on both sides (and ``duplicates`` is ``"error"``), a class is on one side
        only, or no validation trial is left where there were some.
    """
    signals = pd.factorize(meta["signal"])[0] if "signal" in meta else np.arange(len(meta))
    repeated = len(np.unique(signals)) < len(signals)
    sound = [_without_twins(split, meta, signals, duplicates) if repeated else split for split in splits]
    if share_of_shared(meta):
        sound = [_without_overlaps(split, meta, duplicates) for split in sound]
    labels = meta["label"].to_numpy()
    for given, split in zip(splits, sound, strict=True):
        _check_classes(split, labels)
        if len(given.val) and not len(split.val) and split.trials != 0:    # training would not know when to stop
            raise ValueError(
                f"{split.protocol}, subject {split.subject}, session {split.session}, fold {split.fold}: each of the "
                f"{len(given.val)} validation trials shares samples with a test trial, so that "
                "protocol.duplicates=drop leaves none: hold out more (trainer.validation), or take trainer.validation=0"
            )
    return sound


def check_duplicates_setting(duplicates: str) -> None:
    """Refuse a word that is no choice."""
    if duplicates not in DUPLICATES:
        raise ValueError(f"protocol.duplicates={duplicates!r} is not one of: {', '.join(DUPLICATES)}")


def check_time(sessions: Sequence[str], meta: pd.DataFrame, subject: str) -> None:
    """Refuse sessions of a subject that do not stand in the order of time, or of which nothing tells their order.

    Evidence are the numbers in which their names differ (``0train``, ``1test``; ``s10`` after ``s9``), and the
    column ``recorded`` (s), where a whole session begins after the one that should follow it has ended. Without either
    they stand as words do, ``test`` before ``train``.
    """
    way_out = "put the recordings in order, or name the test sessions: protocol.test=[...]"
    own = meta.loc[meta["subject"] == subject].groupby("session")
    times = own["recorded"].agg(["min", "max"]).T.to_dict() if "recorded" in meta else {}
    unknown = {"min": np.nan, "max": np.nan}
    for i, before in enumerate(sessions):
        for after in sessions[i + 1 :]:
            if times.get(before, unknown)["min"] > times.get(after, unknown)["max"]:    # false where one is NaN
                raise ValueError(
                    f"subject {subject}: session {before} stands before session {after}, but its recordings are "
                    f"dated after it; {way_out}"
                )
    for before, after in itertools.pairwise(sessions):
        numbers = _first_difference(before, after)
        if numbers is not None and numbers[0] > numbers[1]:
            raise ValueError(f"subject {subject}: the sessions stand as {', '.join(sessions)}, out of time; {way_out}")
        dated = times.get(before, unknown)["max"] < times.get(after, unknown)["min"]
        if numbers is None and not dated:
            raise ValueError(
                f"subject {subject}: nothing tells which of the sessions {before} and {after} came first, neither a "
                f"number in their names nor a date in their files: give them numbers ({before} as 1...), or name the "
                "test sessions: protocol.test=[...]"
            )


def _first_difference(one: str, other: str) -> tuple[int, int] | None:
    """Return the numbers in which two names differ first; None where they differ in words."""
    both = zip(re.split(r"([0-9]+)", one), re.split(r"([0-9]+)", other), strict=False)
    a, b = next((pair for pair in both if pair[0] != pair[1]), ("", ""))
    return (int(a), int(b)) if a.isdecimal() and b.isdecimal() else None


def check_subjects(names: Sequence[str]) -> None:
    """Refuse a subject under two names, such as ``2`` and ``sub-02``: it would stand on both sides."""
    seen: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"^(sub(ject)?[-_ ]?|s)(?=\d)", "", name.strip().lower())
        plain = plain.lstrip("0") or plain
        if plain in seen:
            raise ValueError(
                f"the subjects {seen[plain]!r} and {name!r} look like one under two names, which would stand on both "
                "sides of a split; give it one name (dataset.pattern or dataset.table)"
            )
        seen[plain] = name


def _without_twins(split: Split, meta: pd.DataFrame, signals: np.ndarray, duplicates: str) -> Split:
    """Look for trials of the same signal on two sides: training or validation and test, training and validation."""
    learned = np.concatenate([split.train, split.val])
    tested = np.isin(signals[learned], signals[split.test])
    chosen = np.isin(signals[split.train], signals[split.val])
    if not tested.any() and not chosen.any():
        return split
    if tested.any():
        mine, others = learned[tested][0], split.test
    else:
        mine, others = split.train[chosen][0], split.val
    other = others[signals[others] == signals[mine]][0]
    names = meta["trial"]
    text = (
        f"{split.protocol}, subject {split.subject}, fold {split.fold}: the trials {names.iloc[mine]} (learned from) "
        f"and {names.iloc[other]} ({'tested' if tested.any() else 'validated'} on) have the same signal, as have "
        f"{int(tested.sum() + chosen.sum()) - 1} more"
    )
    if duplicates == "error":
        raise ValueError(f"{text}. One is a copy: leave it out, or set protocol.duplicates=drop or warn")
    if duplicates == "warn":
        warnings.warn(f"{text}: the score is too good", RuntimeWarning, stacklevel=4)
        return split
    val = split.val[~np.isin(signals[split.val], signals[split.test])]
    seen = np.concatenate([signals[split.test], signals[val]])
    return replace(split, train=split.train[~np.isin(signals[split.train], seen)], val=val)


def _without_overlaps(split: Split, meta: pd.DataFrame, duplicates: str) -> Split:
    """Look for trials that hold samples of a test trial, or training trials that hold samples of a validation trial."""
    learned = np.concatenate([split.train, split.val])
    tested = sharing(meta, learned, split.test)
    if tested.any() and duplicates != "drop":
        mine = learned[tested][0]
        other = split.test[sharing(meta, split.test, learned[tested][:1])][0]
        text = (
            f"{split.protocol}, subject {split.subject}, fold {split.fold}: windows are longer than the time between "
            f"cues, so that {int(tested.sum())} of {len(learned)} trials that are learned from share samples with "
            f"trials that are tested, such as {meta['trial'].iloc[mine]} with {meta['trial'].iloc[other]}"
        )
        if duplicates == "error":
            raise ValueError(
                f"{text}. Shorten the windows (preprocess.tmin, preprocess.tmax), test on other runs, sessions or "
                "subjects (protocol=...), or take such trials out of training: protocol.duplicates=drop (of "
                "protocol=within_session most, but few with protocol.blocks=true)"
            )
        warnings.warn(f"{text}: the score is too good", RuntimeWarning, stacklevel=4)
    if duplicates == "warn":
        return split
    val = split.val[~sharing(meta, split.val, split.test)]
    alone = ~(sharing(meta, split.train, split.test) | sharing(meta, split.train, val))
    if not alone.any() and len(split.train):
        raise ValueError(
            f"{split.protocol}, subject {split.subject}, fold {split.fold}: every training trial shares samples with a "
            "test or validation trial: shorten the windows (preprocess.tmin, preprocess.tmax), or take blocks of time "
            "(protocol=within_session protocol.blocks=true)"
        )
    return replace(split, train=split.train[alone], val=val)


def _check_classes(split: Split, labels: np.ndarray) -> None:
    """Refuse a class that is trained and not tested, or tested and not trained."""
    if split.trials == 0:    # nothing is learned from this split
        return
    train, test = set(labels[split.train].tolist()), set(labels[split.test].tolist())
    if len(train) < 2:
        raise ValueError(
            f"{split.protocol}, subject {split.subject}, session {split.session}, fold {split.fold}: all training "
            f"trials are of class number {min(train)}; there is nothing to tell apart"
        )
    if train != test:
        one, other = ("test", "training") if train - test else ("training", "test")
        raise ValueError(
            f"{split.protocol}, subject {split.subject}, session {split.session}, fold {split.fold}: no {one} trial "
            f"of class number {min(train ^ test)}, which has {other} trials; leave the subject or the class out "
            "(dataset.subjects, dataset.classes or dataset.events)"
        )
