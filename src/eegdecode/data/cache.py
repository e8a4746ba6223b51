"""Prepared trials on disk: one entry a subject, under a name made of everything that alters its content."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import itertools
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from eegdecode.data.entry import Stamps, check_origin, read_entry, stamps, write_entry
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset, Fetched, FromFiles, Recording
from eegdecode.identity import describe, digest
from eegdecode.trials import Trials

log = logging.getLogger(__name__)

LIBRARIES = ("mne", "mne-bids", "moabb", "numpy", "scipy")    # those that read recordings and compute the numbers


class Cache:
    """The prepared trials of one data set under one preprocessing.

    An entry is a folder ``<dataset>/sub-<subject>_<key>`` with the signals (``X.npy``, opened as a memory
    map), the table of trials (``meta.csv``) and ``entry.json``, with the files that it was made of: where one of
    them has changed, it is made anew. It is written under another name and renamed when it is whole, under a
    lock, so that several processes may prepare the same set: one computes, the others wait.

    Parameters
    ----------
    folder : path or None
        None: ``$EEGDECODE_CACHE``, by default ``data/cache``.
    """

    def __init__(self, dataset: Dataset, preprocess: Preprocess, folder: str | Path | None = None) -> None:
        if dataset.name in (".", "..") or not dataset.name or Path(dataset.name).name != dataset.name:
            raise ValueError(f"dataset.name={dataset.name!r} must be a name without slashes: a folder of the cache")
        self.dataset = dataset
        self.folder = cache_root(folder) / dataset.name
        self.code = todays_code()
        description = describe(dataset)
        description.pop("subjects", None)    # an entry serves whichever subjects stand beside it
        self.identity = {
            "dataset": description,
            "classes": list(dataset.classes),    # their order, which a description of ``events`` does not hold
            "preprocess": describe(preprocess),
            **self.code,
        }

    def path(self, subject: str) -> Path:
        """Folder of the entry of a subject."""
        key = digest({"subject": subject, "files": stamps(_own_files(self.dataset, subject)), **self.identity})
        return self.folder / f"sub-{_safe(subject)}_{key}"

    def load(self, subject: str) -> Trials | None:
        """Return the entry of a subject, its signals memory-mapped; None if absent or damaged."""
        path = self.path(subject)
        if not path.is_dir():
            return None
        try:
            return read_entry(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the cache entry %s is not used (%s); it is made anew", path, error)
            return None

    def load_or_compute(
        self, subject: str, recordings: Iterable[Recording], compute: Callable[[str, Iterable[Recording]], Trials]
    ) -> Trials:
        """Return the entry; if there is none, compute it from the recordings and keep it.

        A cache that cannot be written costs a warning and the time to compute again, never the trials.
        """
        path = self.path(subject)
        lock = FileLock(self.folder / ".locks" / f"{path.name}.lock")
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            _warn_unwritable(path, error)
            return compute(subject, recordings)
        try:
            trials = self.load(subject)    # another process may have been faster
            if trials is not None:
                return trials
            made_of: Stamps = []
            trials = compute(subject, self._noting(made_of, subject, recordings))
            try:
                write_entry(trials, path, self.code, made_of=made_of)
                return replace(trials, X=np.load(path / "X.npy", mmap_mode="r"))    # leaves the memory free
            except OSError as error:
                _warn_unwritable(path, error)
                return trials
        finally:
            lock.release()

    def remember(
        self, what: str, subjects: Sequence[str], compute: Callable[[Iterable[Recording]], Sequence[str]]
    ) -> tuple[str, ...]:
        """Return a short list that depends on the recordings of several subjects; computed once, kept as JSON."""
        files = [stamps(_own_files(self.dataset, subject)) for subject in subjects]
        key = digest({"what": what, "subjects": list(subjects), "files": files, **self.identity})
        path = self.folder / f"{what}_{key}.json"
        try:
            kept = json.loads(path.read_text())
            check_origin(kept["made_of"])
            return tuple(str(name) for name in kept[what])
        except (OSError, ValueError, KeyError, TypeError):
            found, made_of = self._look_up(subjects, compute)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            partial.write_text(json.dumps({what: found, "made_of": made_of}))
            partial.replace(path)
        except OSError as error:
            _warn_unwritable(path, error)
        return found

    def _look_up(
        self, subjects: Sequence[str], compute: Callable[[Iterable[Recording]], Sequence[str]]
    ) -> tuple[tuple[str, ...], Stamps]:
        made_of: Stamps = []
        parts = (self._noting(made_of, subject, self.dataset.recordings(subject)) for subject in subjects)
        return tuple(compute(itertools.chain.from_iterable(parts))), made_of

    def _noting(self, made_of: Stamps, subject: str, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """Pass recordings on; stamps of the files that MNE reads them from are added to ``made_of`` before it does.

        A key cannot know all of them: a FIF file says inside where it goes on.
        """
        made_of += stamps(self.dataset.fetched(subject) if isinstance(self.dataset, Fetched) else ())
        for recording in recordings:
            made_of += stamps([Path(file) for file in recording.raw.filenames if file])
            yield recording


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


def _own_files(dataset: Dataset, subject: str) -> Sequence[Path]:
    return dataset.files(subject) if isinstance(dataset, FromFiles) else ()


def _warn_unwritable(path: Path, error: OSError) -> None:
    warnings.warn(
        f"the cache {path.parent} cannot be written ({error}): these trials are prepared anew each time. "
        "Free some space, or choose another folder by EEGDECODE_CACHE",
        RuntimeWarning,
        stacklevel=3,
    )


def _safe(subject: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "-" for c in subject)
