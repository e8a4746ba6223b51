"""A recording: continuous signals, and when which class was cued. What every source of data yields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous recording with its cues.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        Signals in V, as MNE keeps them; need not be loaded into memory yet.
    subject, session, run : str
        Who, when, and which part of the session.
    onsets : ndarray of int, shape (n_trials,)
        Sample of each cue, ascending, counted from the first sample of ``raw`` (``raw.first_samp`` is 0
        here).
    labels : ndarray of str, shape (n_trials,)
        Class name of each cue.
    source : str
        The file (or the generator) that it came from, for error messages.
    groups : ndarray of int or None, shape (n_trials,)
        Which trials are windows of one cue: of each, which is the first, the one at the cue. No split may part them.
        None: each its own.
    """

    raw: mne.io.BaseRaw
    subject: str
    session: str
    run: str
    onsets: np.ndarray
    labels: np.ndarray
    source: str
    groups: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Whose and when, as names of trials begin with it."""
        return f"sub-{self.subject}_ses-{self.session}_run-{self.run}"


@runtime_checkable
class Dataset(Protocol):
    """What `eegdecode.data.prepare.load_trials` needs to know of a source of recordings.

    Implementations are frozen dataclasses: their fields (but ``subjects``) are part of the cache key.
    """

    @property
    def name(self) -> str:
        """Short name, as typed: ``bci4_2a``."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the order of the labels."""
        ...

    @property
    def interval(self) -> Sequence[float]:
        """Default window (begin, end), s relative to the cue; the end is exclusive."""
        ...

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects, after a check that each exists."""
        ...

    def recordings(self, subject: str) -> Iterator[Recording]:
        """Yield the recordings of a subject, sessions and runs in the order of time.

        What is missing is reported at the call, before anything is read: `load_trials` calls this for every
        subject first and iterates afterwards, so that a gap in the last subject costs no hour of work.
        """
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A data set of files that may change: their names, sizes and dates enter the cache key."""

    def files(self, subject: str) -> tuple[Path, ...]:
        """Return the files that the recordings of a subject are read from."""
        ...


@runtime_checkable
class Fetched(Protocol):
    """A data set of fetched files. To list them costs time, so an entry of the cache remembers what it was made of."""

    def fetched(self, subject: str) -> tuple[Path, ...]:
        """Return the files of a subject, which are on disk by now."""
        ...
