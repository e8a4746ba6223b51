"""Few trials of a new user: the table of trials becomes splits whose training side grows and whose test stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eegdecode.folds import cues, groups, hold_out
from eegdecode.guards import check_duplicates_setting, check_time, guarded
from eegdecode.runs import Split


@dataclass(frozen=True)
class Calibration:
    """Train on the first few trials of a subject, test on its last session or run: the calibration of a new user.

    Each number of trials makes a split, and all splits of a subject have the same test trials, so that its scores can
    be compared. The training trials of a number stand among those of every larger one.

    Parameters
    ----------
    trials : int or sequence of int
        Training trials of each class, validation trials among them: the first ones of the subject before the test.
        0 is zero-shot: no trial of the subject is learned from, and a network that was trained elsewhere
        (``model.init_from``) is tested.
    shuffle_seed : int
        Of the validation trials.
    duplicates : {"error", "drop", "warn"}
        What ``drop`` takes out is not replaced: a split then has fewer trials than its number says.
        Trials on both sides of a split that are equal but for their names, or overlap; see `eegdecode.guards.guarded`.

    Notes
    -----
    The test trials are those of the subject's last session; of its last run, where it has one session; where it has
    one run, all those that come after the training trials of the largest number.
    """

    trials: int | Sequence[int] = (0, 5, 10, 20)
    shuffle_seed: int = 42
    duplicates: str = "error"
    name: str = "calibration"

    def __post_init__(self) -> None:
        check_duplicates_setting(self.duplicates)
        if not self.numbers or min(self.numbers) < 0 or len(set(self.numbers)) < len(self.numbers):
            raise ValueError(f"protocol.trials={self.trials} must be different numbers of at least 0, e.g. [0,5,10,20]")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Training trials of each class, a number a split."""
        return (self.trials,) if isinstance(self.trials, int) else tuple(self.trials)

    def __call__(self, meta: pd.DataFrame, *, validation: float) -> list[Split]:
        """Make a split for each subject and number of trials."""
        splits = []
        for (subject,), rows in groups(meta, ["subject"]):
            splits += self._splits(meta, rows, subject, validation)
        return guarded(splits, meta, duplicates=self.duplicates)

    def _splits(self, meta: pd.DataFrame, rows: np.ndarray, subject: str, validation: float) -> list[Split]:
        earlier, test, tested = _last_part(meta, rows, subject)
        first = {n: self._first(meta, earlier, n, subject) for n in self.numbers}
        if not len(test):    # one run: what comes after the largest number
            test = earlier[earlier > max(chosen.max(initial=-1) for chosen in first.values())]
        if not len(test):
            raise ValueError(f"subject {subject}: protocol.trials={max(first)} a class leaves no trial to test on")
        splits = []
        for n, chosen in first.items():
            train, val = hold_out(chosen, meta, validation, seed=self.shuffle_seed)
            splits.append(Split(train, val, test, subject, tested, 0, self.name, trials=n))
        return splits

    def _first(self, meta: pd.DataFrame, rows: np.ndarray, n: int, subject: str) -> np.ndarray:
        """Rows of the first ``n`` trials of each class, in the order of recording."""
        firsts, of_row = cues(meta.iloc[rows])
        labels = meta["label"].to_numpy()[rows][firsts]
        least = np.bincount(labels)[np.unique(labels)].min()
        if n > least:
            raise ValueError(
                f"subject {subject} has only {least} trials of a class before those that are tested: "
                f"protocol.trials={n} is too many; take at most {least}, or leave the subject out (dataset.subjects)"
            )
        chosen = [np.flatnonzero(labels == label)[:n] for label in np.unique(labels)]
        return rows[np.isin(of_row, np.concatenate(chosen))]


def _last_part(meta: pd.DataFrame, rows: np.ndarray, subject: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows before the last session (or run), its rows, and its name; a subject of one run has no such rows."""
    for column in ("session", "run"):
        values = meta[column].to_numpy()[rows]
        names = list(dict.fromkeys(values))    # in the order of time
        if len(names) > 1:
            check_time(names, meta.assign(session=meta[column]), subject)
            return rows[values != names[-1]], rows[values == names[-1]], str(names[-1])
    return rows, rows[:0], str(meta["session"].iloc[rows[0]])
