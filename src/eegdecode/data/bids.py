"""A BIDS folder, read by mne-bids: who and when stand in the names, channels and cues in its own tables."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from eegdecode.data.cues import (
    Sliding,
    all_marks,
    check_windows,
    classes_of,
    cues_from_annotations,
    named_marks,
    window_of,
)
from eegdecode.data.downloads import brief
from eegdecode.data.index import check_folder, choose_subjects, natural, subject_list
from eegdecode.data.reading import heeding, refuse_paused, scaled
from eegdecode.data.recording import Recording

if TYPE_CHECKING:
    import mne

FORMATS = (".vhdr", ".edf", ".bdf", ".set")    # those that BIDS allows for EEG; mne-bids reads .EDF, too
PLACES = ("sub-*/eeg", "sub-*/ses-*/eeg")    # where they lie
TABLE = re.compile(r"(.*_)?(channels|coordsystem|eeg|electrodes|events|scans)\.(tsv|json)")    # may lie above them

log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """A recording, and what its name says: ``sub-01_ses-2_task-imagery_acq-raw_run-1_eeg.edf``."""

    file: Path
    subject: str
    session: str
    run: str
    task: str
    acquisition: str

    @classmethod
    def of(cls, file: Path) -> _Place:
        """Read a name."""
        parts = dict(part.split("-", 1) for part in file.name.split("_") if "-" in part)
        return cls(file, *(parts.get(part, "") for part in ("sub", "ses", "run", "task", "acq")))


@dataclass(frozen=True)
class BidsDataset:
    """EEG recordings in a BIDS folder.

    Parameters
    ----------
    name : str
        Short name, as it stands in results.
    folder : path
        Where ``dataset_description.json`` and the ``sub-*`` folders are.
    events : mapping of str to str or None
        ``trial_type`` of the events -> class name, in the order of the labels; one of None has no trials. None for
        all: an error that lists those of the first recording.
    task, acquisition : str or None
        Whose recordings, of those that differ in ``task-`` or ``acq-``. None: the only one.
    interval : (float, float)
        Default window in s relative to the cue; the end is exclusive.
    subjects : sequence of str or int, or None
        None: all that are found; ``2`` finds ``sub-02``.
    until, overlap, scale
        See `eegdecode.data.files.FileDataset`.
    """

    name: str
    folder: str | Path
    events: Mapping[Any, Any] | None = None
    task: str | None = None
    acquisition: str | None = None
    interval: Sequence[float | int] = (0.0, 4.0)
    subjects: Sequence[str | int] | None = None
    until: float | int | str | None = None
    overlap: float | int = 0.0
    scale: float | int = 1.0

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "events", named_marks(self.events))
        put(self, "interval", window_of(self.interval))
        put(self, "subjects", subject_list(self.subjects))
        check_windows(self.until, self.overlap, self.scale)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of ``events``."""
        return tuple(dict.fromkeys(classes_of(self.events or {}).values()))

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects; ``2`` finds ``02``."""
        paths = self._paths()
        if not self.classes:
            raw, _ = _read(paths[0].file)
            raise ValueError(
                "dataset.events is empty: say which trial_type is which class, e.g. "
                f"'dataset.events={{left: left_hand}}'. Those of {paths[0].file}: {_marks(raw)}"
            )
        return choose_subjects(tuple(dict.fromkeys(path.subject for path in paths)), self.subjects, self.name)

    def files(self, subject: str) -> tuple[Path, ...]:
        """Return what lies beside the recordings of a subject, and in the folders above the tables that hold for them.

        BIDS lets a ``task-imagery_events.tsv`` of the whole set stand for all recordings of that name.
        """
        root = Path(self.folder).expanduser()
        folders = dict.fromkeys(path.file.parent for path in self._paths() if path.subject == subject)
        beside = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
        above = {parent for folder in folders for parent in folder.parents if parent.is_relative_to(root)}
        tables = [file for folder in sorted(above) for file in sorted(folder.iterdir()) if TABLE.fullmatch(file.name)]
        return (*beside, *tables)

    def recordings(self, subject: str) -> Iterator[Recording]:
        """Yield the recordings of a subject; what cannot be read by its name is reported at the call."""
        paths = [path for path in self._paths() if path.subject == subject]
        _check_names([path.file for path in paths])
        return (self._recording(path) for path in paths)

    def _recording(self, path: _Place) -> Recording:
        (raw, own), source = _read(path.file), str(path.file)
        _plain_types(raw, self.events or {}, own)
        onsets, labels = cues_from_annotations(raw, classes_of(self.events or {}))
        groups = None
        if not len(onsets):
            names = ", ".join(classes_of(self.events or {}))
            raise ValueError(
                f"{source}: no event of trial_type {names} (dataset.events) in its events.tsv; it has {_marks(raw)}"
            )
        if self.until is not None:
            sliding = Sliding(self.until, self.overlap)
            onsets, labels, groups = sliding(raw, (onsets, labels), self.interval, source, marks=all_marks(raw))
        raw, place = scaled(raw, float(self.scale)), (path.session or "0", path.run or "0")
        return Recording(raw, path.subject, *place, onsets, labels, source, groups)

    def _paths(self) -> list[_Place]:
        """Recordings of the task in the order of time."""
        folder = Path(self.folder).expanduser()
        check_folder(folder)
        files = [file for place in PLACES for file in folder.glob(f"{place}/sub-*_eeg.*")]
        paths = [_Place.of(file) for file in files if file.suffix.lower() in FORMATS]
        if not paths:
            raise FileNotFoundError(
                f"dataset.folder={folder} has no recording; it is no BIDS folder of EEG (sub-*/eeg/*_eeg.*)"
            )
        for name in ("task", "acquisition"):
            paths = _of_one(paths, name, getattr(self, name), folder)
        return sorted(paths, key=_in_time)


def _of_one(paths: list[_Place], name: str, wanted: str | None, folder: Path) -> list[_Place]:
    """Recordings of one task or acquisition: two versions of a recording would be there as twice the trials."""
    there = sorted({getattr(path, name) for path in paths})
    if wanted is not None and wanted not in there:
        raise FileNotFoundError(
            f"dataset.folder={folder} has no recording of dataset.{name}={wanted}; its {name}s are {', '.join(there)}"
        )
    if wanted is None and len(there) > 1:
        names = ", ".join(each or "none" for each in there)
        raise ValueError(f"{folder} has the {name}s {names}; choose one: dataset.{name}={there[0] or there[1]}")
    return [path for path in paths if wanted is None or getattr(path, name) == wanted]


def _in_time(path: _Place) -> list[list[tuple[int, str]]]:
    return [natural(part) for part in (path.subject, path.session, path.run, path.file.name)]


def _check_names(files: Sequence[Path]) -> None:
    """Refuse names that mne-bids does not read, and one recording in two formats: its trials would be there twice."""
    for file in files:
        if file.suffix not in (*FORMATS, ".EDF"):
            raise ValueError(
                f"{file}: mne-bids reads {', '.join(FORMATS)} in small letters: rename it to "
                f"{file.with_suffix(file.suffix.lower()).name}, or leave its subject out by dataset.subjects"
            )
        twins = [str(other) for other in sorted(files) if other.with_suffix("") == file.with_suffix("")]
        same = [str(path.file) for path in map(_Place.of, sorted(files)) if path[1:4] == _Place.of(file)[1:4]]
        run = "one run twice: their subject, session and run are the same"
        for alike, what in ((twins, "one recording in two formats"), (same, run)):
            if len(alike) > 1:
                raise ValueError(
                    f"{' and '.join(alike)} are {what}: keep one of them, or leave the subject out by dataset.subjects"
                )


def _read(file: Path) -> tuple[mne.io.BaseRaw, set[str]]:
    """A recording, and the names that its table of events itself has for marks."""
    import mne_bids

    refuse_paused(file)
    try:
        with heeding(file):    # that tables are not there is no matter
            place = mne_bids.get_bids_path_from_fname(file.with_suffix(file.suffix.lower()), verbose="error")
            raw = mne_bids.read_raw_bids(place, verbose="warning")
            table = place.find_matching_sidecar(suffix="events", extension=".tsv", on_error="ignore")
            if table is None:
                log.warning("%s has no events.tsv: the marks in the file itself are taken", file)
            rows = pd.DataFrame() if table is None else pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
            return raw, set(rows["trial_type"]) if "trial_type" in rows else set()
    except Exception as error:    # each format has its own way to fail
        out = "Copy it again, or leave its subject out by dataset.subjects"
        raise ValueError(f"{file} cannot be read by mne-bids: {brief(error)}. {out}") from error


def _plain_types(raw: mne.io.BaseRaw, events: Mapping[str, str | None], own: set[str]) -> None:
    """Take back what mne-bids adds to a ``trial_type`` of several codes: ``right/2``, ``right/3``.

    Not from the table's ``own`` names: ``right/practice`` is no ``right``.
    """
    marks = set(map(str, raw.annotations.description))
    added = {mark: mark.rpartition("/")[0] for mark in marks - own if mark not in events}
    raw.annotations.rename({mark: plain for mark, plain in added.items() if plain in events}, verbose="error")


def _marks(raw: mne.io.BaseRaw) -> str:
    return ", ".join(sorted(set(raw.annotations.description))) or "none"
