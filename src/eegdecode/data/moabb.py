"""Public data sets through MOABB's own loaders; what is on disk needs no network and no wait."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mne
import numpy as np

from eegdecode.data.cues import cues_from_annotations, cues_from_stim, has_stim_channel
from eegdecode.data.recording import Recording


@dataclass(frozen=True)
class MoabbDataset:
    """A data set that MOABB knows.

    Parameters
    ----------
    name : str
        Short name, as typed and as it stands in results.
    class_name : str
        MOABB's class: ``BNCI2014_001``.
    classes : sequence of str
        MOABB's names of the events that are trials, in the order of the labels.
    interval : (float, float)
        Default window in s relative to the cue; the end is exclusive.
    subjects : sequence of int or None
        MOABB's numbers. None: all that MOABB lists (which costs the import of MOABB, some seconds).
    cue_delay : float
        Time from MOABB's event to the cue, in s: some sets mark the start of the trial.
    run_order : sequence of str or None
        MOABB's names of the runs in the order of time, where MOABB gives them in another.
    options : mapping
        Keyword arguments of MOABB's class.
    unread : sequence of str
        Patterns of files that MOABB lists for a subject but does not read for these trials.
    """

    name: str
    class_name: str
    classes: Sequence[str]
    interval: Sequence[float | int]
    subjects: Sequence[int | str] | None = None
    cue_delay: float | int = 0.0
    run_order: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    unread: Sequence[str] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "classes", tuple(str(name) for name in self.classes))
        put(self, "interval", (float(self.interval[0]), float(self.interval[1])))
        put(self, "cue_delay", float(self.cue_delay))
        put(self, "unread", tuple(self.unread))
        if self.run_order is not None:
            put(self, "run_order", tuple(str(run) for run in self.run_order))
        if self.subjects is not None:
            put(self, "subjects", _numbers(self.subjects))
        if self.interval[0] >= self.interval[1]:
            raise ValueError(f"dataset.interval={self.interval} must begin before it ends")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ValueError(f"dataset.classes={self.classes} must name two or more different classes")

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects; without a selection, all that MOABB lists."""
        subjects = self._source().subject_list if self.subjects is None else self.subjects
        return tuple(str(subject) for subject in subjects)

    def recordings(self, subject: str) -> Iterator[Recording]:
        """Yield the recordings of a subject; files that are not on disk are fetched at the call."""
        source = self._source()
        if int(subject) not in source.subject_list:
            known = source.subject_list
            raise ValueError(
                f"{self.name} has no subject {subject}; it has {len(known)}: {known[0]} to {known[-1]}"
            )
        with self._files_on_disk(subject):
            source.data_path(int(subject))
        return self._read(source, subject)

    def _read(self, source: Any, subject: str) -> Iterator[Recording]:
        with self._files_on_disk(subject):
            sessions = source._get_single_subject_data(int(subject))
        for session, runs in sessions.items():
            for run in self._in_time(list(runs)):
                raw = runs.pop(run)
                onsets, labels = self._cues(source, raw)
                if len(onsets):
                    where = next((str(file) for file in raw.filenames if file), "")
                    title = f"{self.class_name} subject {subject}, session {session}, run {run}"
                    title = f"{title} ({where})" if where else title
                    yield Recording(raw, subject, str(session), str(run), onsets, labels, title)

    def _cues(self, source: Any, raw: mne.io.BaseRaw) -> tuple[np.ndarray, np.ndarray]:
        if has_stim_channel(raw):
            ids = source.event_id
            codes = {int(code): name for name in self.classes for code in np.atleast_1d(ids[name])}
            onsets, labels = cues_from_stim(raw, codes)
        else:
            onsets, labels = cues_from_annotations(raw, {name: name for name in self.classes})
        return onsets + round(self.cue_delay * raw.info["sfreq"]), labels

    def _in_time(self, runs: list[str]) -> list[str]:
        if self.run_order is None:
            return runs
        unknown = sorted(set(runs) - set(self.run_order))
        if unknown:
            raise ValueError(f"{self.name}: dataset.run_order={self.run_order} lacks the runs {unknown}")
        return sorted(runs, key=list(self.run_order).index)

    def _source(self) -> Any:
        """MOABB's object, with the events checked."""
        source = _moabb_class(self.class_name)(**self.options)
        unknown = [name for name in self.classes if name not in source.event_id]
        if unknown:
            raise ValueError(
                f"{self.class_name} has no class {', '.join(unknown)}; it has {', '.join(source.event_id)}"
            )
        return source

    @contextlib.contextmanager
    def _files_on_disk(self, subject: str) -> Iterator[None]:
        """While MOABB asks for files: take those on disk, fetch others, and explain a failure.

        MOABB has no switch for this. It hashes every file that is there, and where one is missing and
        there is no network, it fails with a traceback of the network library.
        """
        import moabb.datasets.download as download

        fetch = download.retrieve

        def retrieve(url: str, known_hash: str | None, fname: str | None = None, **kwargs: Any) -> str:
            file = Path(kwargs["path"]) / fname if fname else None
            if file is not None and (file.is_file() or any(fnmatch(file.name, text) for text in self.unread)):
                return str(file)
            try:
                return fetch(url, known_hash, fname=fname, **kwargs)
            except Exception as error:    # whatever the network, a proxy or a full disk throw
                place = file or Path(kwargs["path"])
                raise FileNotFoundError(
                    f"{self.name}: the file {place.name} of subject {subject} is missing and could not be "
                    f"fetched. It belongs in {place.parent} and comes from {url}. Fetch it, set MNE_DATA to "
                    "the folder that has it, or leave the subject out (dataset.subjects=[...]). "
                    f"Cause: {_short(error)}"
                ) from None

        originals = download.retrieve, download.file_hash
        try:
            download.retrieve, download.file_hash = retrieve, lambda file: None
            with mne.utils.use_log_level("error"), warnings.catch_warnings():
                # MOABB asks for the template head by a name that MNE 1.13 is about to drop.
                warnings.filterwarnings("ignore", message="Montage name", category=FutureWarning)
                warnings.filterwarnings("ignore", message="Unverified HTTPS request")
                yield
        finally:
            download.retrieve, download.file_hash = originals


def _moabb_class(name: str) -> Any:
    """Import MOABB (some seconds) and find a data set by the name of its class."""
    # MOABB would ask a mirror about every set, and wait for minutes where there is no network.
    os.environ.setdefault("MOABB_DOWNLOAD_PROVIDER", "upstream")
    # Without this, MOABB writes the folder of its choice into the user's MNE settings.
    os.environ.setdefault("MNE_DATA", str(mne.get_config("MNE_DATA", Path.home() / "mne_data")))
    folder = Path(os.environ["MNE_DATA"]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"MNE_DATA={folder}, the folder of public data sets: {error}") from error
    import moabb.datasets

    found = getattr(moabb.datasets, name, None)
    if not isinstance(found, type):
        raise ValueError(f"MOABB has no data set {name!r}; see moabb.datasets for the names")
    return found


def _numbers(subjects: Sequence[int | str]) -> tuple[int, ...]:
    if isinstance(subjects, str) or not subjects:
        raise ValueError(f"dataset.subjects={subjects!r} must be a list, such as [1,2], or null for all")
    numbers = tuple(int(subject) for subject in subjects)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"dataset.subjects={list(numbers)} names a subject twice")
    return numbers


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:160]}"
