"""One entry of the cache: a folder with the signals, the table of trials, and what it was made of."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.trials import META_COLUMNS, Signal, Trials

TEXT = dict.fromkeys([*META_COLUMNS[:-1], "signal", "cue", "what", "channel"], str)
Stamps = list[list[str | int]]


def stamps(files: Sequence[Path]) -> Stamps:
    """Name, size and time of change of those files that exist; the data set tells what is missing."""
    present = [file for file in files if file.is_file()]
    return [[str(file), (stat := file.stat()).st_size, stat.st_mtime_ns] for file in present]


def read_entry(path: Path) -> Trials:
    """Open an entry, its signals memory-mapped; raise an error if it is not whole."""
    entry = json.loads((path / "entry.json").read_text())
    check_origin(entry["made_of"])
    table = (path / "meta.csv").read_bytes()
    if hashlib.blake2b(table, digest_size=16).hexdigest() != entry["meta"]:
        raise ValueError("meta.csv has changed")
    if (path / "X.npy").stat().st_size != entry["bytes"]:
        raise ValueError("X.npy has another length")
    X = np.load(path / "X.npy", mmap_mode="r")
    if list(X.shape) != entry["shape"]:
        raise ValueError("X.npy has another shape")
    signal = Signal(
        ch_names=tuple(entry["ch_names"]),
        sfreq=entry["sfreq"],
        tmin=entry["tmin"],
        positions=np.array(entry["positions"], dtype=np.float64),
    )
    meta = _read_table(path / "meta.csv", number="recorded")
    notes = _read_table(path / "notes.csv", number="value")
    return Trials(X, meta, signal, tuple(entry["classes"]), entry["dataset"], entry["fingerprints"], notes)


def check_origin(made_of: Stamps) -> None:
    """Raise an error if a file that something was made of is another by now; one that is gone changes nothing."""
    for name, size, changed in made_of:
        file = Path(str(name))
        if file.is_file() and ((stat := file.stat()).st_size, stat.st_mtime_ns) != (size, changed):
            raise ValueError(f"{file} has changed since")


def join_signals(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join signals; those mapped from a file are read from it, which takes a sixth of a copy page by page."""
    X = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    begin = 0
    for part in parts:
        target = X[begin : begin + len(part)]
        if isinstance(part, np.memmap) and isinstance(part.base, mmap.mmap) and part.filename:
            with Path(part.filename).open("rb") as file:
                file.seek(part.offset)
                if file.readinto(target.data.cast("B")) != part.nbytes:
                    raise OSError(f"{part.filename} has become shorter")
        else:
            target[:] = part
        begin += len(part)
    return X


def write_entry(
    trials: Trials, path: Path, code: dict[str, Any], *, made_of: Stamps
) -> None:    # fmt: skip
    """Write a whole entry or none; ``made_of`` are stamps of the files that it stands for.

    The caller holds the lock, so what lies in the way is left over.
    """
    partial = path.with_name(f".{path.name}.partial")
    for leftover in (partial, path):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        with (partial / "X.npy").open("wb") as file:
            np.save(file, trials.X)
            file.flush()
            os.fsync(file.fileno())    # a rename may reach the disk before the data do
        table = trials.meta.to_csv(index=False).encode()
        (partial / "meta.csv").write_bytes(table)
        trials.notes.to_csv(partial / "notes.csv", index=False)
        entry = {
            "dataset": trials.dataset,
            "classes": trials.classes,
            "fingerprints": dict(trials.fingerprints),
            "ch_names": trials.signal.ch_names,
            "sfreq": trials.signal.sfreq,
            "tmin": trials.signal.tmin,
            "positions": trials.signal.positions.tolist(),
            "shape": trials.X.shape,
            "bytes": (partial / "X.npy").stat().st_size,
            "meta": hashlib.blake2b(table, digest_size=16).hexdigest(),
            "code": code,
            "made_of": made_of,
        }
        (partial / "entry.json").write_text(json.dumps(entry, indent=1))
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_table(path: Path, *, number: str) -> pd.DataFrame:
    """Read a table of text in which ``number`` alone may be missing, to the last bit."""
    table = pd.read_csv(path, dtype={**TEXT, number: str}, keep_default_na=False)
    table[number] = [float(text or "nan") for text in table[number]]
    return table
