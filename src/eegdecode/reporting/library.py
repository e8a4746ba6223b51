"""The library: finished runs of all experiments under their keys, so that no run is trained twice."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from eegdecode.reporting.checkpoints import ABOUT, WEIGHTS, checkpoint_belongs
from eegdecode.reporting.disk import TEMPORARY, clear_errors, make_folder, write_whole
from eegdecode.reporting.folders import runs_root
from eegdecode.reporting.leases import Leases
from eegdecode.reporting.outcomes import DamagedError, Outcome, read_outcome

CHECKPOINT = (WEIGHTS, ABOUT)    # its two files
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)    # other disk, other file system

log = logging.getLogger(__name__)


class Library:
    """Finished runs by key, in a folder that experiments share, on one machine or several.

    ``ab/<key>.npz``, ``.safetensors`` and ``.json`` are hard links to the files of the run folder that trained the
    run (copies where there are no links), so they take no room until that folder is removed. `Leases` below
    ``.leases`` say who trains what. A library that cannot be written costs a warning and no run: run folders hold
    all of theirs.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: Path | str, **times: float) -> None:
        self.folder = Path(folder)
        self.leases = Leases(self.folder / ".leases", **times)
        self._warned = False

    def path(self, key: str) -> Path:
        """Where the outcome of a run lies, if it does; its checkpoint beside it."""
        return self.folder / key[:2] / f"{key}.npz"

    def take(self, key: str, folder: Path, *, fits: Callable[[Outcome], bool]) -> Outcome | None:
        """Put a finished run into a run folder; None where there is none that can be trusted and ``fits``."""
        entry = self.path(key)
        try:
            outcome = read_outcome(entry)
            if not fits(outcome):
                raise DamagedError(f"{entry} holds logits of another shape")
            if outcome.checkpoint:
                if not checkpoint_belongs(entry.parent, key, key):
                    raise DamagedError(f"{entry} has no whole checkpoint")
                checkpoints = make_folder(folder / "checkpoints")
                for suffix in CHECKPOINT:
                    _link(entry.with_suffix(suffix), checkpoints / (outcome.checkpoint + suffix))
            _link(entry, folder / "finished" / entry.name)    # last: it makes the run count
        except FileNotFoundError:    # or removed while it was read
            return None
        except DamagedError as error:
            log.warning("%s; the run is trained anew", error)
            with self._or_without():
                self.remove(key)
            return None
        return outcome

    def publish(self, outcome: Outcome, folder: Path) -> None:
        """Take up a run that a run folder has finished; one that is there already stays."""
        entry = self.path(outcome.key)
        with self._or_without():
            if entry.exists():
                return
            entry.parent.mkdir(parents=True, exist_ok=True)
            for suffix in CHECKPOINT if outcome.checkpoint else ():
                _link(folder / "checkpoints" / (outcome.checkpoint + suffix), entry.with_suffix(suffix))
            _link(folder / "finished" / entry.name, entry)

    def remove(self, key: str) -> None:
        """Forget a run; run folders keep theirs."""
        for suffix in (".npz", *CHECKPOINT):    # what makes it count goes first
            self.path(key).with_suffix(suffix).unlink(missing_ok=True)

    def claim(self, key: str) -> bool:
        """Take the right to train a run; False if another process trains it."""
        with self._or_without():
            return self.leases.claim(key)
        return True

    def is_claimed(self, key: str) -> bool:
        """Whether a process that lives trains the run."""
        return self.leases.is_held(key)

    def free(self, key: str) -> None:
        """Let others train the run."""
        with self._or_without():
            self.leases.free(key)

    def close(self) -> None:
        """Let others train what this process has not."""
        self.leases.close()

    def prune(self) -> list[Path]:
        """Remove what no run folder holds any more, damaged runs, and what killed processes left; return its paths.

        Where the file system has no hard links a run is a copy: its run folder says by the file itself that it stands.
        """
        gone = self.leases.sweep()
        for key in {file.name.removeprefix(".")[:32] for file in self.folder.glob("??/*")}:
            entry = self.path(key)
            if self.is_claimed(key):
                continue
            gone += entry.parent.glob(f".{key}.*{TEMPORARY}")
            if not entry.exists() or _is_damaged(entry) or not _is_held(entry):
                gone += entry.parent.glob(f"{key}.*")
                self.remove(key)
        for file in gone:
            file.unlink(missing_ok=True)
        return gone

    @contextlib.contextmanager
    def _or_without(self) -> Iterator[None]:
        """Say once that the library cannot be written, and go on without."""
        try:
            with clear_errors(self.folder):
                yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("%s. Runs are kept in the run folder alone; run_store=FOLDER takes another", error)


def open_library(run_store: str | None) -> Library | None:
    """The library of an experiment: in a folder, in ``.finished`` below `runs_root` (``auto``), or none."""
    if run_store is None:
        return None
    return Library(runs_root() / ".finished" if run_store == "auto" else run_store)


def _is_damaged(entry: Path) -> bool:
    try:
        outcome = read_outcome(entry)
    except DamagedError:
        return True
    return bool(outcome.checkpoint) and not checkpoint_belongs(entry.parent, entry.stem, entry.stem)


def _is_held(entry: Path) -> bool:
    """Whether a run folder still has the run: as another name of the file, or in the folder that trained it."""
    if entry.stat().st_nlink > 1:
        return True
    trained = read_outcome(entry).folder
    return bool(trained) and (Path(trained) / "finished" / entry.name).exists()


def _link(source: Path, target: Path) -> None:
    """Make a file appear whole under another name too: a hard link, or a copy where there are none."""
    part = target.with_name(f".{target.name}.{os.getpid()}{TEMPORARY}")
    try:
        with clear_errors(target):
            part.unlink(missing_ok=True)
            os.link(source, part)
            part.replace(target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with source.open("rb") as file:
            write_whole(target, lambda copy: shutil.copyfileobj(file, copy))
    finally:
        part.unlink(missing_ok=True)    # a rename onto the same file leaves both names
