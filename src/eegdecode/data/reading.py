"""Open a recording of any format; one that is cut, damaged or of no known format is named."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from eegdecode.data.downloads import brief

if TYPE_CHECKING:
    import mne

log = logging.getLogger(__name__)

FORMATS = (".fif", ".edf", ".bdf", ".gdf", ".vhdr", ".set", ".cnt", ".mff")    # of those that MNE reads
ARRAYS = (".mat", ".txt")    # MNE reads FieldTrip and Persyst under these names; most such files are bare arrays

NAMED = re.compile(rb"^(?:DataFile|MarkerFile)[ \t]*=[ \t]*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)    # BrainVision


def companions(file: Path) -> list[Path]:
    """Files that a recording lies in: itself, those of its name, what is in its folder, those that its header names.

    What MNE alone knows, as the further parts of a FIF file, is remembered by the cache.
    """
    beside = sorted(file.parent.glob(f"{escape(file.stem)}.*"))
    inner = sorted(path for path in file.rglob("*") if path.is_file()) if file.is_dir() else []
    header = file.read_bytes() if file.suffix.lower() == ".vhdr" and file.is_file() else b""
    return [file, *beside, *inner, *(file.parent / _text(name) for name in NAMED.findall(header))]


def read_raw(file: Path) -> mne.io.BaseRaw:
    """Open a recording of any format without loading its signals; an unreadable or cut one is named."""
    import mne

    refuse_paused(file)
    try:
        with heeding(file) as seen:
            raw = mne.io.read_raw(file, preload=False, verbose="warning")
            raw.get_data(start=len(raw.times) - 1)    # a cut file often ends in half a block
    except Exception as error:    # each format has its own way to fail
        out = "leave it out by dataset.subjects, the pattern or the table"
        if "Unsupported" in str(error) or file.suffix.lower() in ARRAYS:
            raise ValueError(
                f"{file} cannot be read: MNE reads {', '.join(FORMATS)}, ..., and not this. Convert it: "
                "mne.io.RawArray(X, mne.create_info(names, rate, 'eeg')).save('sub-1_ses-1_run-1_eeg.fif') with "
                f"X of channels by samples in V, or {out}"
            ) from error
        if re.search(r"number of trials is|No raw data", str(error)):
            raise ValueError(f"{file} holds epochs; export the continuous recording, or {out}") from error
        lost = isinstance(error, AttributeError | LookupError | TypeError)    # MNE's reader, in what is no recording
        why = f"it is damaged, or no {file.suffix} file" if lost else brief(error)
        raise ValueError(f"{file} cannot be read: {why}. Copy it again, or {out}") from error
    for warning in seen:
        if "MarkerFile" in str(warning.message):    # which a header of BrainVision names, and which is not there
            log.warning("%s: %s", file, warning.message)
    return raw


def refuse_paused(file: Path) -> None:
    """Refuse an EDF+ or BDF+ recording with pauses: MNE reads on over them, and all marks behind lie too late.

    Such a file notes the time of each of its records, at the begin of its first signal of annotations (Kemp & Olivan,
    2003, European data format 'plus'). Many that call themselves discontinuous (``EDF+D``) have no pause.
    """
    if file.suffix.lower() not in (".edf", ".bdf") or not file.is_file():
        return
    try:
        with file.open("rb") as stream:
            times, length = _record_times(stream)
    except (ValueError, StopIteration):    # cut, or another kind of file: MNE says so
        return
    late = [time for i, time in enumerate(times) if abs(time - times[0] - i * length) > 1e-3]
    if late:
        raise ValueError(
            f"{file} has a pause before {late[0]:g} s, over which MNE reads on, so that its marks would lie beside "
            "their signals: export it without pauses (EDF+C), or each part by itself"
        )


def _record_times(stream: BinaryIO) -> tuple[list[float], float]:
    """Begin of each record in s, and the length of all, of a file that calls itself discontinuous; else none."""
    def read(at: int, n: int) -> bytes:
        stream.seek(at)
        return stream.read(n).strip()

    kind = read(192, 5)
    if kind not in (b"EDF+D", b"BDF+D"):
        return [], 0.0
    n_records, length, n = int(read(236, 8)), float(read(244, 8)), int(read(252, 4))
    annotated = next(i for i in range(n) if read(256 + 16 * i, 16) in (b"EDF Annotations", b"BDF Annotations"))
    sizes = [int(read(256 + 216 * n + 8 * i, 8)) * (3 if kind == b"BDF+D" else 2) for i in range(n)]
    begins = [256 * (n + 1) + sum(sizes) * i + sum(sizes[:annotated]) for i in range(n_records)]
    return [float(read(begin, 30).partition(b"\x14")[0]) for begin in begins], length


@contextlib.contextmanager
def heeding(file: Path) -> Iterator[list[warnings.WarningMessage]]:
    """While MNE opens a recording, raise what it warns of a cut one, tell what may be one, and keep the rest."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.filterwarnings("error", message="(?s).*(truncated|does not match the file size|missing end)")
        yield seen
    for warning in seen:
        if "outside data range" in str(warning.message):    # BrainVision does not say how long a file should be
            log.warning("%s may be cut: its marks go on after the signals end (%s)", file, warning.message)


def scaled(raw: mne.io.BaseRaw, factor: float) -> mne.io.BaseRaw:
    """Multiply all signals by what makes them volts; where a file names no types, EEG is not told from others."""
    if factor == 1:
        return raw
    picks = np.flatnonzero([kind != "stim" for kind in raw.get_channel_types()])
    return raw.load_data(verbose="error").apply_function(lambda x: factor * x, picks=picks)


def _text(name: bytes) -> str:
    """Decode a name as MNE does: headers that are not in UTF-8 are old ones, of Windows."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
