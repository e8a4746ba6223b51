"""Trials: what the data wing hands over, and all that training may know of a recording."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

META_COLUMNS = ("trial", "subject", "session", "run", "label")
NOTE_COLUMNS = ("subject", "session", "run", "trial", "what", "channel", "value")


@dataclass(frozen=True, eq=False)
class Signal:
    """What the axes of a trial mean.

    Attributes
    ----------
    ch_names : tuple of str
        Channel names, 10-05 spelling, in the order of the channel axis.
    sfreq : float
        Sampling rate in Hz.
    tmin : float
        Time of the first sample relative to the cue, in s.
    positions : ndarray, shape (C, 3)
        Electrode positions in m, head coordinates; NaN where unknown.
    """

    ch_names: tuple[str, ...]
    sfreq: float
    tmin: float
    positions: np.ndarray

    def matches(self, other: Signal) -> bool:
        """Whether trials of both may stand in one array (positions may differ by subject)."""
        return (self.ch_names, self.sfreq, self.tmin) == (other.ch_names, other.sfreq, other.tmin)


@dataclass(frozen=True, eq=False)
class Trials:
    """Labelled trials of one or more subjects.

    Attributes
    ----------
    X : ndarray, shape (n_trials, C, T), float32
        Signals in µV. May be memory-mapped: do not write to it.
    meta : DataFrame
        One row a trial, in the order of ``X``, index 0..n-1. Columns ``trial`` (unique name), ``subject``,
        ``session``, ``run`` (all str) and ``label`` (int, an index into ``classes``); more are allowed, such as
        ``signal`` (a digest of the trial's samples, by which equal trials under two names are found), ``cue`` (s after
        the run began, as text: by it trials of one cue that are cut otherwise are found), ``group`` (the cue of which
        it is one of several windows), ``begin`` and ``end`` (samples, the recordings of a subject laid end to end:
        windows that overlap are found).
        Rows stand in the order of recording within each (subject, session, run), sessions in the order of time.
    signal : Signal
        Channels, rate, window start and electrode positions.
    classes : tuple of str
        Class names; ``classes[label]`` is the name of a label.
    dataset : str
        Name of the data set.
    fingerprints : mapping of str to str
        Subject -> digest of its trials, see `fingerprint`.
    notes : DataFrame
        What was noteworthy while the trials were prepared, a row each: ``subject``, ``session``, ``run``,
        ``trial`` (empty: the whole run), ``what``, ``channel`` and ``value``.
    """

    X: np.ndarray
    meta: pd.DataFrame
    signal: Signal
    classes: tuple[str, ...]
    dataset: str
    fingerprints: Mapping[str, str]
    notes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(NOTE_COLUMNS)))

    def __post_init__(self) -> None:
        missing = [column for column in META_COLUMNS if column not in self.meta]
        if missing:
            raise ValueError(f"meta lacks the columns {missing}; it has {list(self.meta.columns)}")
        if self.X.ndim != 3 or self.X.dtype != np.float32:
            raise ValueError(f"X must be float32 (trial, channel, time); got {self.X.dtype} {self.X.shape}")
        if len(self.X) != len(self.meta):
            raise ValueError(f"{len(self.X)} signals but {len(self.meta)} rows of meta")
        if self.X.shape[1] != len(self.signal.ch_names):
            raise ValueError(f"{self.X.shape[1]} channels but {len(self.signal.ch_names)} channel names")
        if not self.meta["trial"].is_unique:
            twice = self.meta["trial"][self.meta["trial"].duplicated()].iloc[0]
            raise ValueError(f"trial names must be unique; {twice!r} stands twice")

    def __len__(self) -> int:
        return len(self.X)

    @property
    def y(self) -> np.ndarray:
        """Labels, shape (n_trials,), int64."""
        return self.meta["label"].to_numpy(np.int64)


def fingerprint(X: np.ndarray, meta: pd.DataFrame) -> str:
    """Digest of the signals, labels and names of one subject's trials: equal data, equal digest."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(X.shape).encode())
    digest.update(np.ascontiguousarray(X).data)
    digest.update(meta[list(META_COLUMNS)].to_csv(index=False).encode())
    return digest.hexdigest()


def signal_digests(X: np.ndarray) -> list[str]:
    """Digest of the samples of each trial: equal signals, equal digest."""
    return [hashlib.blake2b(np.ascontiguousarray(x).data, digest_size=8).hexdigest() for x in X]


def _mean_place(places: np.ndarray) -> np.ndarray:
    """Mean (C, 3) over the parts (n, C, 3) of those who know where an electrode is; NaN where nobody does."""
    known = ~np.isnan(places)
    count = known.sum(0)
    return np.where(count, np.where(known, places, 0).sum(0) / np.maximum(count, 1), np.nan)


def concatenate(
    parts: Sequence[Trials], *, join: Callable[[Sequence[np.ndarray]], np.ndarray] = np.concatenate
) -> Trials:    # fmt: skip
    """Join the trials of several subjects; where their electrodes were measured, the positions are the mean ones.

    Parameters
    ----------
    join : callable
        How their signals become one array.

    Raises
    ------
    ValueError
        If there is no part, or channels, rate, window or classes differ.
    """
    if not parts:
        raise ValueError("no trials: the list of subjects is empty")
    first = parts[0]
    for part in parts[1:]:
        if not part.signal.matches(first.signal) or part.X.shape[1:] != first.X.shape[1:]:
            one, other = first.meta["subject"].iloc[0], part.meta["subject"].iloc[0]
            raise ValueError(
                f"subjects {one} and {other} do not fit together: {_shape(first)} against {_shape(part)}; "
                "pick common channels (preprocess.channels) and resample (preprocess.sfreq)"
            )
        if part.classes != first.classes:
            raise ValueError(f"classes differ between subjects: {first.classes} and {part.classes}")
    places, signal = [part.signal.positions for part in parts], first.signal
    if not all(np.array_equal(place, places[0], equal_nan=True) for place in places):    # one head for all networks
        signal = replace(signal, positions=_mean_place(np.stack(places)))
    X = parts[0].X if len(parts) == 1 else join([part.X for part in parts])
    notes = [part.notes for part in parts if len(part.notes)]
    return Trials(
        X=X,
        meta=pd.concat([part.meta for part in parts], ignore_index=True),
        signal=signal,
        classes=first.classes,
        dataset=first.dataset,
        fingerprints={subject: mark for part in parts for subject, mark in part.fingerprints.items()},
        notes=pd.concat(notes, ignore_index=True) if notes else first.notes,
    )


def _shape(trials: Trials) -> str:
    signal = trials.signal
    return f"{len(signal.ch_names)} channels {signal.ch_names[:4]}..., {signal.sfreq} Hz, {trials.X.shape[2]} samples"
