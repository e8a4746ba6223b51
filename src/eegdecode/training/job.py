"""What worker processes share: a folder with signals and moments, which each maps into its memory, and the settings."""

from __future__ import annotations

import mmap
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from eegdecode.training.frontend import Moments
from eegdecode.trials import Trials

SPARE = 100e6    # bytes that are left free in the folder of temporary files


class NoWorkersError(RuntimeError):
    """Why runs cannot be trained in worker processes here."""


@dataclass(frozen=True)
class Job:
    """What a worker needs beside the run.

    Attributes
    ----------
    settings
        What the trainer gives.
    model : partial
        A network, or a pipeline.
    signals : Path
        The signals of all trials, as ``.npy``.
    table : dict
        The fields of `Trials` but for the signals.
    """

    settings: Any
    model: partial
    frontend: Any
    signals: Path
    table: dict[str, Any]


@contextmanager
def job_folder(settings: Any, model: partial, trials: Trials, frontend: Any) -> Iterator[Path]:
    """A temporary folder with the job.

    Signals that are mapped from a file already are left where they are; moments are measured here, once for all
    workers.

    Raises
    ------
    NoWorkersError
        If the model cannot be pickled or there is no room.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="eegdecode-"))
    except OSError as error:
        raise NoWorkersError(f"there is no folder for temporary files ({error})") from error
    try:
        X = trials.X
        signals = _file_of(X) or folder / "X.npy"
        table = {f.name: getattr(trials, f.name) for f in fields(trials) if f.name != "X"}
        _write_job(Job(settings, model, frontend, signals, table), folder)
        _write_arrays(X, folder, with_signals=signals.parent == folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _file_of(X: np.ndarray) -> Path | None:
    """The ``.npy`` file that the array is mapped from as a whole, if it is."""
    if not (isinstance(X, np.memmap) and isinstance(X.base, mmap.mmap) and X.mode == "r" and X.filename):
        return None
    path = Path(X.filename)
    return path if path.suffix == ".npy" else None


def _write_job(job: Job, folder: Path) -> None:
    try:
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
    except (pickle.PicklingError, AttributeError, TypeError, OSError) as error:
        raise NoWorkersError(f"the model cannot be sent to another process ({error})") from error


def _write_arrays(X: np.ndarray, folder: Path, *, with_signals: bool) -> None:
    moments = Moments.of(X)
    arrays = {"mean": moments.mean, "second": moments.second} | ({"X": X} if with_signals else {})
    size = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(folder).free < size + SPARE:
        raise NoWorkersError(f"{folder.parent} has no room for {size / 1e6:.0f} MB of signals; TMPDIR sets another")
    try:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    except OSError as error:
        raise NoWorkersError(f"the signals cannot be written ({error}); TMPDIR sets another folder") from error


@lru_cache(maxsize=1)
def open_job(folder: Path) -> tuple[Job, Trials, Moments]:
    """Open the job in a worker: the signals are pages of the file, in memory once however many workers there are."""
    job: Job = pickle.loads((folder / "job.pickle").read_bytes())
    X = np.asarray(np.load(job.signals, mmap_mode="c"))    # copy on write: torch takes no read-only array
    mean, second = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ("mean", "second"))
    return job, Trials(X=X, **job.table), Moments(mean, second)
