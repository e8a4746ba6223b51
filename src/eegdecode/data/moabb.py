"""Public data sets through MOABB's own loaders; what is on disk needs no network and no wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eegdecode.data.cues import cues_from_annotations, cues_from_stim, has_stim_channel, window_of
from eegdecode.data.downloads import MissingFileError, brief, data_folder, files_on_disk
from eegdecode.data.index import natural
from eegdecode.data.recording import Recording

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True)
class MoabbDataset:
    """A data set that MOABB knows.

    Parameters
    ----------
    name : str
        Short name, as typed and as it stands in results.
    class_name : str or None
        MOABB's class: ``BNCI2014_001``. None: ``name``.
    classes : sequence of str or None
        MOABB's names of the events that are trials, in the order of the labels. None: all of the class (P300:
        ``NonTarget``, ``Target``).
    interval : (float, float) or None
        Default window in s relative to the cue; the end is exclusive. None: the class's.
    subjects : sequence of int or None
        MOABB's numbers. None: all that MOABB lists (which costs the import of MOABB, some seconds).
    cue_delay : float
        Time from MOABB's event to the cue, in s: some sets mark the start of the trial.
    run_order : sequence of str or None
        MOABB's names of the runs in the order of time, where MOABB gives them in another.
    runs_as_sessions : bool
        Runs stand in for sessions, where MOABB calls the parts of a set so (Schirrmeister2017).
    options : mapping
        Keyword arguments of MOABB's class.
    unread : sequence of str
        Patterns of files that MOABB lists for a subject but does not read for these trials.
    """

    name: str
    class_name: str | None = None
    classes: Sequence[str] | None = None
    interval: Sequence[float | int] | None = None
    subjects: Sequence[int | str] | None = None
    cue_delay: float | int = 0.0
    run_order: Sequence[str] | None = None
    runs_as_sessions: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    unread: Sequence[str] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "class_name", self.class_name or self.name)
        put(self, "cue_delay", float(self.cue_delay))
        if self.classes is None:
            put(self, "classes", _all_classes(self._source()))
        if self.interval is None:
            put(self, "interval", [edge - self.cue_delay for edge in self._source().interval])
        put(self, "classes", tuple(str(name) for name in self.classes or ()))
        put(self, "interval", window_of(self.interval or ()))
        put(self, "unread", tuple(self.unread))
        if self.run_order is not None:
            put(self, "run_order", tuple(str(run) for run in self.run_order))
        if self.subjects is not None:
            put(self, "subjects", _numbers(self.subjects))
        if len(set(self.classes or ())) != len(self.classes or ()) or len(self.classes or ()) < 2:
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
        return self._read(source, subject, self._listed(source, subject))

    def fetched(self, subject: str) -> tuple[Path, ...]:
        """Return the files that MOABB lists for a subject; of a folder, what is in it."""
        places = [Path(place) for place in self._listed(self._source(), subject)]
        inner = [sorted(place.rglob("*")) if place.is_dir() else [place] for place in places]
        return tuple(file for files in inner for file in files if file.is_file())

    def _listed(self, source: Any, subject: str) -> list[str]:
        try:
            with self._files_on_disk(source, subject):
                return _flat(source.data_path(int(subject)))
        except MissingFileError:
            raise
        except OSError as error:    # some classes ask a server which files there are
            raise MissingFileError(
                f"{self.name}: what MOABB needs of subject {subject} is neither below MNE_DATA={data_folder()} nor "
                f"can be fetched. {_address(error)}Put it there, or leave the subject out "
                f"(dataset.subjects=[...]). Cause: {brief(error)}"
            ) from None

    def _read(self, source: Any, subject: str, files: Sequence[str]) -> Iterator[Recording]:
        for session, run, raw in self._in_time(self._load(source, subject, files)):
            onsets, labels = self._cues(source, raw)
            if len(onsets):
                where = next((str(file) for file in raw.filenames if file), "")
                title = f"{self.class_name} subject {subject}, session {session}, run {run}"
                title = f"{title} ({where})" if where else title
                place = (run, "0") if self.runs_as_sessions else (session, run)
                yield Recording(raw, subject, *place, onsets, labels, title)

    def _load(self, source: Any, subject: str, files: Sequence[str]) -> dict[Any, Any]:
        try:
            with self._files_on_disk(source, subject):
                return source._get_single_subject_data(int(subject))
        except MissingFileError:
            raise
        except Exception as error:    # each format has its own way to fail
            raise ValueError(
                f"{self.class_name} subject {subject} cannot be read: {brief(error)}. Its files: "
                f"{', '.join(files)}. Delete a damaged one, and it is fetched again"
            ) from error

    def _cues(self, source: Any, raw: mne.io.BaseRaw) -> tuple[np.ndarray, np.ndarray]:
        classes = self.classes or ()
        if has_stim_channel(raw):
            codes = {int(code): name for name in classes for code in np.atleast_1d(source.event_id[name])}
            onsets, labels = cues_from_stim(raw, codes)
        else:
            onsets, labels = cues_from_annotations(raw, {name: name for name in classes})
        return onsets + round(self.cue_delay * raw.info["sfreq"]), labels

    def _in_time(self, sessions: dict[Any, Any]) -> Iterator[tuple[str, str, mne.io.BaseRaw]]:
        """Sessions and runs in the order of time; each is let go before the next is read."""
        for session in _by_number(sessions):
            runs = {str(run): raw for run, raw in sessions.pop(session).items()}
            order = list(self.run_order or _by_number(runs))
            unknown = sorted(set(runs) - set(order))
            if unknown:
                raise ValueError(f"{self.name}: dataset.run_order={self.run_order} lacks the runs {unknown}")
            for run in sorted(runs, key=order.index):
                yield str(session), run, runs.pop(run)

    def _source(self) -> Any:
        """MOABB's object, with the events checked."""
        kind = _moabb_class(str(self.class_name))
        try:
            source = kind(**self.options)
        except TypeError as error:
            raise ValueError(f"dataset.options={dict(self.options)} do not fit {self.class_name}: {error}") from error
        unknown = [name for name in self.classes or () if name not in source.event_id]
        if unknown:
            raise ValueError(
                f"{self.class_name} has no class {', '.join(unknown)}; it has {', '.join(source.event_id)}"
            )
        return source

    def _files_on_disk(self, source: Any, subject: str) -> Any:
        module = sys.modules[type(source).__module__]
        return files_on_disk(self.name, subject, module=module, unread=self.unread)


def _moabb_class(name: str) -> Any:
    """Import MOABB (some seconds) and find a data set by the name of its class."""
    data_folder()
    import moabb.datasets
    from moabb.datasets.base import BaseDataset

    found = getattr(moabb.datasets, name, None)
    if not isinstance(found, type) or not issubclass(found, BaseDataset):
        kinds = [known for known, kind in vars(moabb.datasets).items() if isinstance(kind, type)]
        alike = [known for known in kinds if known.lower()[:4] == name.lower()[:4]]
        hint = f"; similar names: {', '.join(alike)}" if alike else ""
        raise ValueError(f"MOABB has no data set {name!r}{hint}; see moabb.datasets for the names")
    return found


def _flat(paths: Any) -> list[str]:
    """Each path of what MOABB lists: none, one, or lists or dictionaries of them."""
    if paths is None or isinstance(paths, str | Path):
        return [] if paths is None else [str(paths)]
    return [path for part in (paths.values() if isinstance(paths, Mapping) else paths) for path in _flat(part)]


def _all_classes(source: Any) -> tuple[str, ...]:
    names = tuple(source.event_id)
    return ("NonTarget", "Target") if set(names) == {"NonTarget", "Target"} else names


def _by_number(names: Mapping[Any, Any]) -> list[Any]:
    """MOABB's convention: names begin with their number in time (``0train``, ``1test``)."""
    return sorted(names, key=lambda name: natural(str(name))) if all(str(n)[:1].isdigit() for n in names) else [*names]


def _numbers(subjects: Sequence[int | str]) -> tuple[int, ...]:
    if isinstance(subjects, str) or not subjects:
        raise ValueError(f"dataset.subjects={subjects!r} must be a list, such as [1,2], or null for all")
    if wrong := [subject for subject in subjects if not str(subject).isdecimal()]:
        raise ValueError(f"dataset.subjects={list(subjects)}: {wrong[0]} is no whole number, which MOABB wants")
    numbers = tuple(int(subject) for subject in subjects)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"dataset.subjects={list(numbers)} names a subject twice")
    return numbers


def _address(error: OSError) -> str:
    url = getattr(getattr(error, "request", None), "url", None)
    return f"It comes from {url}. " if url else ""
