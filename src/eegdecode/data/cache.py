"""Prepared trials on disk: one entry a subject, under a name made of everything that alters its content."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import logging
import mmap
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset, FromFiles
from eegdecode.runs import describe, digest
from eegdecode.trials import META_COLUMNS, Signal, Trials

log = logging.getLogger(__name__)

LIBRARIES = ("mne", "moabb", "numpy", "scipy")    # those that compute the numbers
TEXT = dict.fromkeys([*META_COLUMNS[:-1], "signal", "what", "channel"], str)


class Cache:
    """The prepared trials of one data set under one preprocessing.

    An entry is a folder ``<dataset>/sub-<subject>_<key>`` with the signals (``X.npy``, opened as a memory
    map), the table of trials (``meta.csv``) and ``entry.json``. It is written under another name and renamed
    when it is whole, under a lock, so that several processes may prepare the same set: one computes, the
    others wait.

    Parameters
    ----------
    folder : path or None
        None: ``$EEGDECODE_CACHE``, by default ``data/cache``.
    """

    def __init__(self, dataset: Dataset, preprocess: Preprocess, folder: str | Path | None = None) -> None:
        self.dataset = dataset
        self.folder = cache_root(folder) / dataset.name
        self.code = todays_code()
        description = describe(dataset)
        description.pop("subjects", None)    # an entry serves whichever subjects stand beside it
        self.identity = {
            "dataset": description,
            "preprocess": describe(preprocess),
            **self.code,
        }

    def path(self, subject: str) -> Path:
        """Folder of the entry of a subject."""
        key = digest({"subject": subject, "files": _stamps(self.dataset, subject), **self.identity})
        return self.folder / f"sub-{_safe(subject)}_{key}"

    def load(self, subject: str) -> Trials | None:
        """Return the entry of a subject, its signals memory-mapped; None if absent or damaged."""
        path = self.path(subject)
        if not path.is_dir():
            return None
        try:
            return read_entry(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the cache entry %s is damaged (%s); it is made anew", path, error)
            return None

    def load_or_compute(self, subject: str, compute: Callable[[], Trials]) -> Trials:
        """Return the entry; if there is none, compute it and keep it.

        A cache that cannot be written costs a warning and the time to compute again, never the trials.
        """
        path = self.path(subject)
        lock = FileLock(self.folder / ".locks" / f"{path.name}.lock")
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            _warn_unwritable(path, error)
            return compute()
        try:
            trials = self.load(subject)    # another process may have been faster
            if trials is not None:
                return trials
            trials = compute()
            try:
                _write(trials, path, self.code)
                return read_entry(path)
            except OSError as error:
                _warn_unwritable(path, error)
                return trials
        finally:
            lock.release()

    def remember(self, what: str, subjects: Sequence[str], compute: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        """Return a short list that depends on several subjects; computed once, kept as JSON."""
        files = [_stamps(self.dataset, subject) for subject in subjects]
        key = digest({"what": what, "subjects": list(subjects), "files": files, **self.identity})
        path = self.folder / f"{what}_{key}.json"
        try:
            return tuple(str(name) for name in json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            found = tuple(compute())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            partial.write_text(json.dumps(found))
            partial.replace(path)
        except OSError as error:
            _warn_unwritable(path, error)
        return found


def cache_root(folder: str | Path | None = None) -> Path:
    """Return the folder of prepared trials: the given one, ``$EEGDECODE_CACHE``, or ``data/cache``."""
    return Path(folder or os.environ.get("EEGDECODE_CACHE") or "data/cache")


def todays_code() -> dict[str, Any]:
    """Versions of the libraries that compute the numbers, and a digest of our own source."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"versions": versions, "source": source_digest()}


@functools.cache
def source_digest() -> str:
    """Digest of the code that turns recordings into trials; an edit of it outdates every entry."""
    here = Path(__file__).parent
    text = b"".join(file.read_bytes() for file in [here.parent / "trials.py", *sorted(here.glob("*.py"))])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _stamps(dataset: Dataset, subject: str) -> list[list[str | int]]:
    """Name, size and time of change of the files of a subject, where the data set has any that may change."""
    files = dataset.files(subject) if isinstance(dataset, FromFiles) else ()
    present = [file for file in files if file.exists()]    # the data set tells what is missing
    return [[str(file), (stat := file.stat()).st_size, stat.st_mtime_ns] for file in present]


def read_entry(path: Path) -> Trials:
    """Open an entry, its signals memory-mapped; raise an error if it is not whole."""
    entry = json.loads((path / "entry.json").read_text())
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


def _read_table(path: Path, *, number: str) -> pd.DataFrame:
    """Read a table of text in which ``number`` alone may be missing, to the last bit."""
    table = pd.read_csv(path, dtype={**TEXT, number: str}, keep_default_na=False)
    table[number] = [float(text or "nan") for text in table[number]]
    return table


def _write(trials: Trials, path: Path, code: dict[str, Any]) -> None:
    """Write a whole entry or none. The caller holds the lock, so what lies in the way is left over."""
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
        }
        (partial / "entry.json").write_text(json.dumps(entry, indent=1))
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _warn_unwritable(path: Path, error: OSError) -> None:
    warnings.warn(
        f"the cache {path.parent} cannot be written ({error}): these trials are prepared anew each time. "
        "Free some space, or choose another folder by EEGDECODE_CACHE",
        RuntimeWarning,
        stacklevel=3,
    )


def _safe(subject: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "-" for c in subject)
