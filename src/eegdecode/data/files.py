"""One's own recordings, in any format that MNE reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eegdecode.data.cues import (
    Cues,
    Sliding,
    all_marks,
    check_windows,
    classes_of,
    cues_from_annotations,
    cues_from_stim,
    has_stim_channel,
    named_marks,
    stim_events,
    window_of,
)
from eegdecode.data.index import check_folder, check_pattern, choose_subjects, index_pattern, index_table, subject_list
from eegdecode.data.reading import companions, read_raw, scaled
from eegdecode.data.recording import Recording

if TYPE_CHECKING:
    import mne

LABELS_FROM = ("annotations", "stim", "file")


@dataclass(frozen=True)
class FileDataset:
    """Recordings in a folder: who, when and what from their paths or from a table.

    Parameters
    ----------
    name : str
        Short name, as it stands in results.
    folder : path
        Where the recordings are.
    pattern : str
        Path of a recording below ``folder``: ``sub-{subject}/ses-{session}_run-{run}_eeg.edf``. The names
        are ``{subject}``, ``{session}``, ``{run}`` and ``{label}``; ``*`` is any text without a slash. A
        pattern may call its runs sessions (``run-{session}``), so that protocols treat them so.
    table : path or None
        Instead of ``pattern``: a CSV file with the columns ``file`` and ``subject``, and if you like
        ``session``, ``run`` and ``label``; its rows stand in the order of time.
    labels_from : str
        ``"annotations"``, ``"stim"`` (the codes of a stim channel) or ``"file"`` (one label a file, from the
        ``{label}`` of the pattern or the column ``label``; the cue is the first sample).
    events : mapping of str to str or None
        What marks a cue (annotation, code or file label) -> class name, in the order of the labels. Several
        marks may share a class; one of None has no trials. None for all: an error that lists the marks of the
        first file.
    interval : (float, float)
        Default window in s relative to the cue; the end is exclusive.
    subjects : sequence of str or int, or None
        None: all that are found.
    stim_channel : str or None
        None: those that MNE finds. One that is named is no signal, also where the file calls it EEG.
    until : float, "end" or None
        Instead of one window a cue: windows as long as ``interval``, one after another, up to this time in s
        after the cue (and the next cue), or up to the next mark of any name or the end of the file. No split parts
        those of one cue.
    overlap : float
        Share of such a window that the next one repeats.
    scale : float
        What turns the signals into V where a file does not say so: ``1e-6`` for µV.
    """

    name: str
    folder: str | Path
    pattern: str | None = None
    table: str | Path | None = None
    labels_from: str = "annotations"
    events: Mapping[Any, Any] | None = None
    interval: Sequence[float | int] = (0.0, 4.0)
    subjects: Sequence[str | int] | None = None
    stim_channel: str | None = None
    until: float | int | str | None = None
    overlap: float | int = 0.0
    scale: float | int = 1.0

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "events", named_marks(self.events))
        put(self, "interval", window_of(self.interval))
        put(self, "subjects", subject_list(self.subjects))
        check_windows(self.until, self.overlap, self.scale)
        if self.labels_from not in LABELS_FROM:
            known = ", ".join(LABELS_FROM)
            raise ValueError(f"dataset.labels_from={self.labels_from!r} is not one of: {known}")
        if self.stim_channel is not None and self.labels_from != "stim":
            raise ValueError(
                f"dataset.stim_channel={self.stim_channel} says nothing where dataset.labels_from={self.labels_from}: "
                "take dataset.labels_from=stim, or leave the channel out"
            )
        if self.labels_from == "stim" and not all(mark.isdigit() for mark in self.events or {}):
            raise ValueError(f"dataset.events={self.events}: the marks of a stim channel are whole numbers")
        if (self.pattern is None) == (self.table is None):
            raise ValueError("set one of dataset.pattern and dataset.table: they say which file is whose")
        if self.pattern is not None:
            check_pattern(self.pattern)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of ``events``."""
        return tuple(dict.fromkeys(self._class_of().values()))

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects; ``2`` finds ``02``."""
        index = self._index()
        if not self.classes:
            file = index["file"].iloc[0]
            raise ValueError(
                "dataset.events is empty: say which marks are which class, e.g. "
                f"'dataset.events={{left: left_hand}}'. Marks of {file}: {self._marks(Path(file))}"
            )
        return choose_subjects(tuple(dict.fromkeys(index["subject"])), self.subjects, self.name)

    def files(self, subject: str) -> tuple[Path, ...]:
        """Return the files of a subject in the order of time, their companions (``.vmrk``, ``.fdt``), and the table."""
        index = self._index()
        files = [Path(file) for file in index["file"][index["subject"] == subject]]
        parts = [companions(file) for file in files]
        tables = [] if self.table is None else [[self._table()]]    # it says who, when and what
        return tuple(dict.fromkeys(file for part in [*parts, *tables] for file in part))

    def recordings(self, subject: str) -> Iterator[Recording]:
        """Yield the recordings of a subject; missing files are reported at the call."""
        index = self._index()
        rows = index[index["subject"] == subject].to_dict("records")
        for file in (Path(row["file"]) for row in rows):
            if file.is_symlink() and not file.exists():
                out = "fetch what it links to (git annex get, datalad get), or leave it out by dataset.subjects"
                raise FileNotFoundError(f"{file} of subject {subject} is a link to nothing: {out}")
            if not file.exists():
                raise FileNotFoundError(f"{file} of subject {subject} (dataset.table) does not exist")
        return (self._read(row, index["file"]) for row in rows)

    def _read(self, row: Mapping[Any, str], known: Iterable[str]) -> Recording:
        raw = self._raw(Path(row["file"]))
        _check_parts(raw, row["file"], known)
        onsets, labels = self._cues(row, raw)
        if not len(onsets):
            raise ValueError(
                f"{row['file']}: no cue named {', '.join(self._class_of())} (dataset.events); its marks: "
                f"{self._marks(Path(row['file']))}. Leave recordings without cues out by the pattern or table"
            )
        groups = None
        if self.until is not None:
            sliding, marks = Sliding(self.until, self.overlap), self._all_marks(raw)
            onsets, labels, groups = sliding(raw, (onsets, labels), self.interval, row["file"], marks=marks)
        raw = scaled(raw, float(self.scale))
        return Recording(raw, row["subject"], row["session"], row["run"], onsets, labels, row["file"], groups)

    def _raw(self, file: Path) -> mne.io.BaseRaw:
        """The recording, the named channel one of codes: called EEG, they would stand among the signals."""
        raw, channel = read_raw(file), self.stim_channel
        if channel is not None and channel in raw.ch_names:
            raw.set_channel_types({channel: "stim"}, on_unit_change="ignore", verbose="error")
            if 0 < np.nanmax(np.abs(raw.get_data(picks=channel)), initial=0) < 1:    # the file has them in µV
                raw.load_data(verbose="error").apply_function(_from_volts, picks=channel, verbose="error")
        return raw

    def _cues(self, row: Mapping[Any, str], raw: mne.io.BaseRaw) -> Cues:
        class_of = self._class_of()
        if self.labels_from == "file":
            if row["label"] not in class_of:
                names = ", ".join(class_of)
                raise ValueError(f"{row['file']}: label {row['label']!r} is not in dataset.events ({names})")
            return np.zeros(1, np.int64), np.array([class_of[row["label"]]])
        if self.labels_from == "annotations":
            return cues_from_annotations(raw, class_of)
        absent = self.stim_channel is not None and self.stim_channel not in raw.ch_names
        if absent or (self.stim_channel is None and not has_stim_channel(raw)):
            raise ValueError(
                f"{row['file']} has no stim channel{f' {self.stim_channel}' if absent else ''}; name it by "
                f"dataset.stim_channel (channels: {', '.join(raw.ch_names)}), or set "
                "dataset.labels_from=annotations"
            )
        codes = {int(code): label for code, label in class_of.items()}
        return cues_from_stim(raw, codes, stim_channel=self.stim_channel)

    def _all_marks(self, raw: mne.io.BaseRaw) -> np.ndarray:
        """Where marks of any name are, in samples; a file that is one trial has none."""
        if self.labels_from == "file":
            return np.zeros(0, np.int64)
        return all_marks(raw, stim=self.labels_from == "stim", stim_channel=self.stim_channel)

    def _class_of(self) -> dict[str, str]:
        """Mark -> class name."""
        return classes_of(self.events or {})

    def _marks(self, file: Path) -> str:
        """What could be named as a cue in a file."""
        if self.labels_from == "file":
            marks = sorted(set(self._index()["label"]))
        elif self.labels_from == "stim":
            events = stim_events(self._raw(file), stim_channel=self.stim_channel)
            marks = [str(code) for code in np.unique(events[:, 2])]
        else:
            marks = sorted(set(read_raw(file).annotations.description))
        return ", ".join(marks) or "none"

    def _index(self) -> pd.DataFrame:
        """Files with subject, session, run and label, in the order of time; without those of a label left out."""
        folder = Path(self.folder).expanduser()
        check_folder(folder)
        index = index_table(folder, self._table()) if self.pattern is None else index_pattern(folder, self.pattern)
        if self.labels_from == "file" and self.classes:
            left_out = set(self.events or {}) - set(self._class_of())
            return index[~index["label"].isin(list(left_out))]
        return index

    def _table(self) -> Path:
        return Path(self.folder).expanduser() / Path(str(self.table)).expanduser()


def _from_volts(codes: np.ndarray) -> np.ndarray:
    """Codes that MNE has turned from µV into V."""
    return np.rint(1e6 * codes)


def _check_parts(raw: mne.io.BaseRaw, file: str, known: Iterable[str]) -> None:
    """Refuse a further part of a recording that is to be read as one of its own: its trials would be there twice."""
    parts = [part.resolve() for part in raw.filenames[1:] if part is not None]
    twice = [name for name in known if Path(name).resolve() in parts] if parts else []
    if twice:
        raise ValueError(
            f"{file} goes on in {', '.join(twice)}, which MNE reads with it: leave such files out by dataset.pattern "
            "or dataset.table"
        )
