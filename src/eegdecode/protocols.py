"""Who may learn from what: the table of trials becomes a list of splits. Signals are never seen here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from eegdecode.folds import check_folds, folded, groups, hold_out, left_out, name_runs, shuffled_folds
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
        Trials on both sides of a split that are equal but for their names, or overlap; see `eegdecode.guards.guarded`.
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
        for (subject, session), rows in groups(meta, ["subject", "session"]):
            splits += folded(self, meta, rows, validation, subject=subject, session=session)
        return guarded(splits, meta, duplicates=self.duplicates)

    def tests(self, labels: np.ndarray, where: str) -> list[np.ndarray]:
        """Positions of the test trials of each fold."""
        if self.blocks:    # not stratified: that would cut class by class, and blocks of two classes overlap in time
            check_folds(labels, self.folds, where)
            return np.array_split(np.arange(len(labels)), self.folds)
        return shuffled_folds(labels, self.folds, where, seed=self.shuffle_seed)


@dataclass(frozen=True)
class Pooled:
    """Cross-validation over all trials of a subject, its sessions pooled and shuffled.

    Trials of one session, and neighbours in time, stand on both sides of a split: easier than a later session, and
    no measure of a decoder that is to be used tomorrow. For comparisons with papers that did so.

    Parameters
    ----------
    folds : int or None
        None makes one random split instead, of ``n_test`` test trials.
    n_test : int
        Test trials (cues) of the one split; S3T's first code took 60 of 576.
    duplicates : {"error", "drop", "warn"}
        Trials on both sides of a split that are equal but for their names, or overlap; see `eegdecode.guards.guarded`.
    """

    folds: int | None = 10
    n_test: int = 60
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "pooled"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"protocol.folds must be at least 2 or null, got {self.folds}")
        if self.n_test < 1:
            raise ValueError(f"protocol.n_test must be at least 1, got {self.n_test}")
        if self.folds is not None and self.n_test != type(self).n_test:
            raise ValueError(f"protocol.n_test={self.n_test} is of the one split that protocol.folds=null makes")

    @property
    def blocks(self) -> bool:
        """Validation trials are shuffled as the folds are."""
        return False

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make ``folds`` splits, or one, for each subject."""
        splits = []
        for (subject,), rows in groups(meta, ["subject"]):
            session = "+".join(meta["session"].iloc[rows].unique())
            splits += folded(self, meta, rows, validation, subject=subject, session=session)
        return guarded(splits, meta, duplicates=self.duplicates)

    def tests(self, labels: np.ndarray, where: str) -> list[np.ndarray]:
        """Positions of the test trials of each fold."""
        if self.folds is not None:
            return shuffled_folds(labels, self.folds, where, seed=self.shuffle_seed)
        if self.n_test >= len(labels):
            raise ValueError(f"{where} has {len(labels)} trials; protocol.n_test={self.n_test} leaves none to train on")
        return [np.random.default_rng(self.shuffle_seed).permutation(len(labels))[: self.n_test]]


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
        Trials on both sides of a split that are equal but for their names, or overlap; see `eegdecode.guards.guarded`.
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
            meta = meta.assign(session=name_runs(meta))
        sessions = meta["session"].to_numpy()
        for (subject,), rows in groups(meta, ["subject"]):
            names = list(dict.fromkeys(sessions[rows]))    # in the order of time
            if len(names) < 2:
                others = "protocol=cross_run, " if self.sessions == "session" else ""
                raise ValueError(
                    f"subject {subject} has one {self.sessions} only ({names[0]}); "
                    f"take {others}protocol=within_session or cross_subject, or leave it out (dataset.subjects)"
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
        if not set(tested) <= set(names) or len(tested) == len(names):
            raise ValueError(f"protocol.test={tested} does not fit subject {subject}, whose sessions are {names}")
        return [tested]


@dataclass(frozen=True)
class CrossSubject:
    """Train on other subjects.

    Parameters
    ----------
    folds : int or None
        None leaves one subject out at a time; a number deals the subjects into as many groups.
    later : bool
        Test on the last session of each subject alone, and learn from the sessions before it of the others.
    tested : sequence of str or int, or None
        Leave out these subjects alone, one at a time; all others are learned from, in every split. None tests all.
    duplicates : {"error", "drop", "warn"}
        Trials on both sides of a split that are equal but for their names, or overlap; see `eegdecode.guards.guarded`.
    """

    folds: int | None = None
    later: bool = False
    tested: Sequence[str | int] | None = None
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "cross_subject"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)
        named = isinstance(self.tested, Sequence) and not isinstance(self.tested, str) and len(self.tested) > 0
        if self.tested is not None and (self.folds is not None or not named):
            raise ValueError(f"protocol.tested={self.tested!r} must be a list of subjects, with protocol.folds=null")

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make a split for each subject, or each group of subjects."""
        subjects = meta["subject"].to_numpy()
        names = list(dict.fromkeys(subjects))
        folds = len(names) if self.folds is None else self.folds
        if len(names) < 2 or not 2 <= folds <= len(names):
            here = f"{len(names)} subject(s) ({', '.join(names[:5])}), protocol.folds={self.folds}"
            raise ValueError(f"cross_subject needs at least two subjects and as many as folds: {here}")
        check_subjects(names)
        for name in names if self.later else ():
            check_time(list(dict.fromkeys(meta["session"][subjects == name])), meta, name)
        group, _ = pd.factorize(subjects)
        if self.folds is None:
            places = left_out({name: i for i, name in enumerate(names)}, self.tested)
            tests = {i: np.flatnonzero(group == i) for i in places}
        else:
            from sklearn.model_selection import GroupKFold  # half a second

            tests = dict(enumerate(test for _, test in GroupKFold(folds).split(group, groups=group)))
        splits = [self._split(meta, test, fold, validation) for fold, test in tests.items()]
        return guarded(splits, meta, duplicates=self.duplicates)

    def _split(self, meta: pd.DataFrame, test: np.ndarray, fold: int, validation: float) -> Split:
        rest = np.setdiff1d(np.arange(len(meta)), test)
        if self.later:
            last = (meta["session"] == meta.groupby("subject")["session"].transform("last")).to_numpy()
            rest, test = rest[~last[rest]], test[last[test]]
        train, val = hold_out(rest, meta, validation, seed=self.shuffle_seed)
        tested = meta.iloc[test]
        subject, session = ("+".join(tested[column].unique()) for column in ("subject", "session"))
        return Split(train, val, test, subject, session, fold, self.name)
