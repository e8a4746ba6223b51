"""Who may learn from what: the table of trials becomes a list of splits. Signals are never seen here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from eegdecode.guards import check_duplicates_setting, check_subjects, check_time, guarded
from eegdecode.runs import Split


@runtime_checkable
class Splitter(Protocol):
    """A protocol: frozen settings that are called with the table of trials."""

    @property
    def name(self) -> str:
        """Name as typed and as printed in every row."""
        ...

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make the splits; a share ``validation`` of each one's training trials is held out."""
        ...


@dataclass(frozen=True)
class WithinSession:
    """k-fold cross-validation inside each session of each subject.

    Parameters
    ----------
    folds : int
    blocks : bool
        Contiguous blocks of time instead of shuffled trials. Shuffled trials (MOABB's way) put neighbours
        in time on both sides of the split, which flatters wherever signals drift.
    shuffle_seed : int
        Of the shuffled folds; MOABB takes 42. The seeds of runs do not alter the folds.
    duplicates : {"error", "drop", "warn"}
        Trials that are equal but for their names, on both sides of a split; see `eegdecode.guards.guarded`.
    """

    folds: int = 5
    blocks: bool = False
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "within_session"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)
        if self.folds < 2:
            raise ValueError(f"protocol.folds must be at least 2, got {self.folds}")

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make ``folds`` splits for each subject and session."""
        splits = []
        for (subject, session), rows in _groups(meta, ["subject", "session"]):
            firsts, of_row = _cues(meta.iloc[rows])
            labels = meta["label"].to_numpy()[rows][firsts]
            least = np.unique(labels, return_counts=True)[1].min()
            if least < self.folds:
                raise ValueError(
                    f"subject {subject}, session {session}: a class has only {least} trials, fewer than "
                    f"protocol.folds={self.folds}; take fewer folds"
                )
            for fold, (_, tested) in enumerate(self._folds(labels)):
                test = np.isin(of_row, tested)
                train, val = hold_out(rows[~test], meta, validation, blocks=self.blocks, seed=self.shuffle_seed)
                splits.append(Split(train, val, rows[test], subject, session, fold, self.name))
        return guarded(splits, meta, duplicates=self.duplicates)

    def _folds(self, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        from sklearn.model_selection import KFold, StratifiedKFold  # half a second, which other protocols do not need

        if self.blocks:    # not stratified: that would cut class by class, and blocks of two classes overlap in time
            return list(KFold(self.folds).split(labels))
        return list(StratifiedKFold(self.folds, shuffle=True, random_state=self.shuffle_seed).split(labels, labels))


@dataclass(frozen=True)
class CrossSession:
    """Train on some sessions of a subject, test on a later one.

    Parameters
    ----------
    test : {"last", "each"}, int or list of str
        Test on the last session after training on all before it (2a: first -> second), on each session in
        turn after training on the others, on so many last ones (2b: 2, of five), or on the named ones after
        training on the others.
    sessions : {"session", "run"}
        What counts as a session. ``"run"`` is for sets whose subjects came once, for several runs.
    duplicates : {"error", "drop", "warn"}
        Trials that are equal but for their names, on both sides of a split; see `eegdecode.guards.guarded`.
    """

    test: str | int | Sequence[str] = "last"
    sessions: str = "session"
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "cross_session"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)
        if isinstance(self.test, str) and self.test not in ("last", "each"):
            raise ValueError(f"protocol.test must be last, each, a number or a list of sessions, got {self.test!r}")
        if self.sessions not in ("session", "run"):
            raise ValueError(f"protocol.sessions must be session or run, got {self.sessions!r}")
        if isinstance(self.test, int) and self.test < 1:
            raise ValueError(f"protocol.test={self.test} must be at least 1: the number of last sessions to test on")

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make a split for each subject and test session."""
        splits = []
        if self.sessions == "run":
            meta = meta.assign(session=_name_runs(meta))
        sessions = meta["session"].to_numpy()
        for (subject,), rows in _groups(meta, ["subject"]):
            names = list(dict.fromkeys(sessions[rows]))    # in the order of time
            if len(names) < 2:
                raise ValueError(
                    f"subject {subject} has one {self.sessions} only ({names[0]}); "
                    "take protocol=cross_run, protocol=within_session or protocol=cross_subject"
                )
            if self.test == "last" or isinstance(self.test, int):
                check_time(names, meta, subject)
            for fold, tested in enumerate(self._tests(names, subject)):
                is_test = np.isin(sessions[rows], tested)
                train, val = hold_out(rows[~is_test], meta, validation, seed=self.shuffle_seed)
                splits.append(Split(train, val, rows[is_test], subject, "+".join(tested), fold, self.name))
        return guarded(splits, meta, duplicates=self.duplicates)

    def _tests(self, names: list[str], subject: str) -> list[list[str]]:
        if self.test == "last":
            return [names[-1:]]
        if self.test == "each":
            return [[name] for name in names]
        tested = names[-self.test :] if isinstance(self.test, int) else [str(name) for name in self.test]
        absent = [name for name in tested if name not in names]
        if absent or len(tested) == len(names):
            raise ValueError(f"protocol.test={tested} does not fit subject {subject}, whose sessions are {names}")
        return [tested]


@dataclass(frozen=True)
class CrossSubject:
    """Train on other subjects.

    Parameters
    ----------
    folds : int or None
        None leaves one subject out at a time; a number deals the subjects into as many groups.
    duplicates : {"error", "drop", "warn"}
        Trials that are equal but for their names, on both sides of a split; see `eegdecode.guards.guarded`.
    """

    folds: int | None = None
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "cross_subject"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make a split for each subject, or each group of subjects."""
        subjects = meta["subject"].to_numpy()
        names = list(dict.fromkeys(subjects))
        folds = len(names) if self.folds is None else self.folds
        if len(names) < 2 or not 2 <= folds <= len(names):
            raise ValueError(
                f"cross_subject needs at least two subjects and as many as folds: {len(names)} subject(s) "
                f"({', '.join(names[:5])}), protocol.folds={self.folds}"
            )
        check_subjects(names)
        position = {name: i for i, name in enumerate(names)}
        groups = np.array([position[name] for name in subjects])
        if self.folds is None:
            tests = [np.flatnonzero(groups == i) for i in range(len(names))]
        else:
            from sklearn.model_selection import GroupKFold  # half a second

            tests = [test for _, test in GroupKFold(folds).split(groups, groups=groups)]
        splits = [self._split(meta, test, fold, validation) for fold, test in enumerate(tests)]
        return guarded(splits, meta, duplicates=self.duplicates)

    def _split(self, meta: pd.DataFrame, test: np.ndarray, fold: int, validation: float) -> Split:
        rest = np.setdiff1d(np.arange(len(meta)), test)
        train, val = hold_out(rest, meta, validation, seed=self.shuffle_seed)
        tested = meta.iloc[test]
        subject, session = ("+".join(tested[column].unique()) for column in ("subject", "session"))
        return Split(train, val, test, subject, session, fold, self.name)


def hold_out(
    rows: np.ndarray, meta: pd.DataFrame, share: float, *, seed: int, blocks: bool = False
) -> tuple[np.ndarray, np.ndarray]:    # fmt: skip
    """Hold a share of training rows out for validation, the same share of each subject, session and class.

    Windows of one cue (column ``group``) stay together.

    Parameters
    ----------
    blocks : bool
        Hold out the last trials instead of random ones.

    Raises
    ------
    ValueError
        If nothing is left for one of the two sides.
    """
    if share == 0:
        return rows, rows[:0]
    rng = np.random.default_rng(seed)
    firsts, of_row = _cues(meta.iloc[rows])
    strata = meta.iloc[rows[firsts]].groupby(["subject", "session", "label"], sort=False).indices
    held = []
    for members in strata.values():
        order = np.sort(members) if blocks else rng.permutation(members)
        # the fraction is drawn, so that the share is right on average however small the strata are
        count = int(share * len(order) + (0.5 if blocks else rng.random()))
        held.append(order[len(order) - min(count, len(order) - 1) :])
    is_val = np.isin(of_row, np.concatenate(held))
    if not is_val.any():
        raise ValueError(f"{len(rows)} training trials are too few to hold out trainer.validation={share}; take 0")
    return rows[~is_val], rows[is_val]


def _name_runs(meta: pd.DataFrame) -> pd.Series:
    """Name each trial's run, and its session too where there are several."""
    if len(meta["session"].unique()) == 1:
        return meta["run"]
    return meta["session"] + "-" + meta["run"]


def _cues(meta: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """First row of each cue, and which cue each row was cut from: windows of one cue are split as one."""
    names = meta["group"] if "group" in meta else meta["trial"]
    of_row, _ = pd.factorize(names)
    return np.unique(of_row, return_index=True)[1], of_row


def _groups(meta: pd.DataFrame, columns: list[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Groups of rows in the order of their first appearance: (values, row numbers)."""
    groups = meta.groupby(columns, sort=False).indices
    named = [(key if isinstance(key, tuple) else (key,), np.sort(rows)) for key, rows in groups.items()]
    return [(tuple(str(value) for value in key), rows) for key, rows in named]
