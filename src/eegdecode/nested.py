"""Nested splits: what a search learns from and is judged by, and what its winner alone is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from eegdecode.folds import hold_out
from eegdecode.guards import guarded
from eegdecode.overlaps import sharing
from eegdecode.protocols import Splitter
from eegdecode.runs import Split

LEVELS = (["subject"], ["subject", "session"], ["subject", "session", "run"])    # what a test may leave out of training


@dataclass(frozen=True, eq=False)
class InnerSplit(Split):
    """A split among training trials: what stands under test are its validation trials, for there is no other test.

    ``beyond`` are the rows that the winner is tested on, of the subjects of this split.
    """

    beyond: np.ndarray = field(default_factory=lambda: np.zeros(0, np.intp))

    @property
    def unlearned(self) -> np.ndarray:
        """Validation trials, and those of the final test."""
        return np.union1d(self.test, self.beyond)

    def __post_init__(self) -> None:
        if not np.array_equal(self.val, self.test):
            raise ValueError(f"{self.protocol}: validation and test of an inner split are the same trials")
        Split(self.train, self.val[:0], self.test, self.subject, self.session, self.fold, self.protocol)


@dataclass(frozen=True)
class Nested:
    """A protocol in two parts that share no trial to be tested on.

    Where nobody learns from what is tested (an earlier session -> a later one), a search divides the training trials
    of every split. Where the test trials of one split are training trials of another (folds of a session, subjects
    left out in turn), a setting chosen over all splits would have seen every test trial's label. There the subjects
    are dealt in two: a search has some, where the protocol is used as it is, and the winner is tested on the others.

    Parameters
    ----------
    outer : Splitter
        The protocol of the experiment.
    share : float
        Share of the subjects, sessions, runs or trials of a training pool that are held out for validation.
    test_subjects : sequence of str or int, or None
        Whom the winner is tested on, and whom no search sees. None: every subject where the protocol allows it, else
        the last half of the subjects.
    """

    outer: Splitter
    share: float = 0.2
    test_subjects: Sequence[str | int] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share={self.share} of a training pool for validation: it must lie between 0 and 1")
        if getattr(self.outer, "tested", None) is not None:
            raise ValueError("protocol.tested names who is left out in turn, and a search deals the subjects itself: "
                             "leave it out, and say whom the winner is tested on by test_subjects=[...]")    # fmt: skip
        if self.test_subjects is not None and not len(self.test_subjects):
            raise ValueError("test_subjects=[] names nobody: give subjects, or null")

    def held(self, meta: pd.DataFrame) -> list[str]:
        """Subjects that the winner alone is tested on; empty where every subject's own test trials are left aside."""
        names = list(dict.fromkeys(meta["subject"]))
        if self.test_subjects is not None:
            held = [str(name) for name in self.test_subjects]
            if absent := [name for name in held if name not in names]:
                raise ValueError(f"test_subjects: no subject {', '.join(absent)}; there are {', '.join(names)}")
        elif _learned_from_elsewhere(self.outer(meta, validation=0.0)):
            held = names[-(len(names) // 2) :] if len(names) > 1 else names
        else:
            return []
        if not held or len(held) == len(names):
            raise ValueError(
                f"protocol={self.outer.name} tests what it learns from elsewhere, so some subjects are searched on and "
                f"others tested: {len(names)} subject(s) are too few, or test_subjects={held} leaves none to search on"
            )
        return held

    def final(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Splits that the winner is tested on: the protocol's own, of the subjects that no search saw."""
        splits, held = self.outer(meta, validation=validation), self.held(meta)
        return [part for split in splits if (part := _of_subjects(split, meta, held))] if held else splits

    def inner(self, meta: pd.DataFrame) -> list[Split]:
        """Splits that a search is judged by."""
        held = self.held(meta)
        rows = np.flatnonzero(~meta["subject"].isin(held))
        try:
            pools = self.outer(meta.iloc[rows].reset_index(drop=True), validation=0.0)
        except ValueError as error:
            if held:
                error.add_note(f"(among the subjects that are searched on; {', '.join(held)} are tested on)")
            raise
        if any(pool.trials is not None for pool in pools):
            raise ValueError(
                f"protocol={self.outer.name} gives a score for each number of trials, and a search wants one: search "
                "with protocol=cross_session or cross_run, then train the winner with this protocol"
            )
        forbidden = _with_twins(np.concatenate([split.test for split in self.final(meta, validation=0.0)]), meta)
        splits = []
        for number, pool in enumerate(pools):
            train, test = rows[pool.train], rows[pool.test]
            if not held or not _learned_from_elsewhere(pools):
                train, test = self._divide(np.setdiff1d(train, forbidden), test, meta, number)
            train, test = np.setdiff1d(train, forbidden), np.setdiff1d(test, forbidden)
            train = train[~sharing(meta, train, test)]    # how a pool is divided is ours to say
            own = replace(pool, train=train, val=test[:0], test=test, protocol=f"inner_{pool.protocol}")
            splits.append(own)
        sound = guarded(splits, meta, duplicates=getattr(self.outer, "duplicates", "error"))
        names = meta["subject"].to_numpy()
        return [
            InnerSplit(
                s.train, s.test, s.test, s.subject, s.session, s.fold, s.protocol,
                beyond=forbidden[np.isin(names[forbidden], names[s.test])],
            )
            for s in sound
        ]    # fmt: skip

    def _divide(
        self, pool: np.ndarray, test: np.ndarray, meta: pd.DataFrame, number: int
    ) -> tuple[np.ndarray, np.ndarray]:    # fmt: skip
        """Leave out of a pool what the test leaves out of training: subjects, or the last sessions or runs.

        A finer level where there is but one, or where a class would be missing; trials at last. Subjects take turns.
        """
        labels = meta["label"].to_numpy()
        for level in LEVELS:
            names = meta.groupby(level, sort=False).ngroup().to_numpy()
            units = list(dict.fromkeys(names[pool]))
            if np.isin(names[test], units).any() or len(units) < 2:
                continue
            count = min(len(units) - 1, max(1, round(self.share * len(units))))
            first = number * count if level == ["subject"] else len(units) - count
            held = np.isin(names[pool], [units[(first + i) % len(units)] for i in range(count)])
            if set(labels[pool[held]]) == set(labels[pool[~held]]):
                return pool[~held], pool[held]
        return hold_out(pool, meta, self.share, seed=getattr(self.outer, "shuffle_seed", 0))


@dataclass(frozen=True)
class Inner:
    """The protocol of a search's trials: see `Nested`."""

    nested: Nested

    @property
    def name(self) -> str:
        """That of the outer protocol, marked."""
        return f"inner_{self.nested.outer.name}"

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make the inner splits; how much is held out is the search's to say, so that ``validation`` is not used."""
        return self.nested.inner(meta)


@dataclass(frozen=True)
class Final:
    """The protocol of the one test of a search's winner: see `Nested`."""

    nested: Nested

    @property
    def name(self) -> str:
        """That of the outer protocol: these are its splits."""
        return self.nested.outer.name

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make the splits that no trial of the search saw the test of."""
        return self.nested.final(meta, validation=validation)


def _learned_from_elsewhere(splits: Sequence[Split]) -> bool:
    """Whether a test trial of one split is a training trial of another."""
    learned = np.concatenate([np.concatenate([split.train, split.val]) for split in splits])
    return bool(np.isin(np.concatenate([split.test for split in splits]), learned).any())


def _of_subjects(split: Split, meta: pd.DataFrame, subjects: Sequence[str]) -> Split | None:
    """The split with the test trials of some subjects alone; None without any."""
    own = split.test[meta["subject"].iloc[split.test].isin(subjects)]
    if len(own) == len(split.test):
        return split
    return replace(split, test=own, subject="+".join(meta["subject"].iloc[own].unique())) if len(own) else None


def _with_twins(rows: np.ndarray, meta: pd.DataFrame) -> np.ndarray:
    """Rows, and those of equal signals under other names, or of signals that hold some of the same samples."""
    alike = sharing(meta, np.arange(len(meta)), rows)
    alike[rows] = True
    if "signal" in meta:
        signals = meta["signal"].to_numpy()
        alike |= np.isin(signals, signals[rows])
    return np.flatnonzero(alike)
