"""Leases: which process has what in work, on one machine or on several that share a folder."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import shlex
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from eegdecode.reporting.machine import lock, this_machine, unlocked

BEAT = 10.0       # s between two signs of life
TIMEOUT = 60.0    # s of silence after which a holder counts as dead: longer than a file system hangs now and then
LOOK = 1.0        # s between two looks at a holder on another machine


class Leases:
    """Rights of this process to named things, each held by one process at most; files in a folder.

    A holder has a file ``<id>.heart`` that it touches every ``beat`` seconds, and ``<name>.lease``, created
    exclusively, says who holds ``name``. Both work on shared file systems. Times are those of files in the folder,
    never of a local clock. On the same machine a dead process is known at once: the lock on its heart is gone.

    Parameters
    ----------
    folder : path
    beat, timeout : float
        Seconds between two signs of life, and of silence after which others take over.

    Notes
    -----
    A process that is paused for longer than ``timeout`` loses its leases without knowing. Then two may do the same,
    so what they do has to be harmless when done twice.
    """

    def __init__(self, folder: Path | str, *, beat: float = BEAT, timeout: float = TIMEOUT) -> None:
        self.folder, self.beat, self.timeout = Path(folder), beat, timeout
        self._mine: set[str] = set()
        self._pid = 0    # of the process whose heart this is: none yet

    def claim(self, name: str) -> bool:
        """Take a lease; False if another process that lives has it."""
        self._start()
        if name not in self._mine and self._take(self.folder / f"{name}.lease"):
            self._mine.add(name)
        return name in self._mine

    def claim_or_watch(self, name: str) -> bool:
        """Take a lease; of a holder on another machine, look first whether it gives a sign of life."""
        seen = None
        while not self.claim(name):
            sign = self._sign(name)
            if sign is None or sign != (seen or sign):
                return False
            seen = sign
            time.sleep(min(LOOK, self.beat / 2))
        return True

    def free(self, name: str) -> None:
        """Give a lease back; one that another process has taken over stays."""
        path = self.folder / f"{name}.lease"
        if name in self._mine and self._pid == os.getpid() and _read(path) == self.id:
            path.unlink(missing_ok=True)
        self._mine.discard(name)

    def is_held(self, name: str) -> bool:
        """Whether a process that lives has it; this one counts."""
        path = self.folder / f"{name}.lease"
        holder = _read(path)
        return holder is not None and self._lives(holder, path)

    def holders(self) -> list[dict[str, Any]]:
        """What is known of each process that lives and holds something: host, pid, command, and the names."""
        names: dict[str, list[str]] = {}
        for path in self.folder.glob("*.lease"):
            holder = _read(path)
            if holder and self._lives(holder, path):
                names.setdefault(holder, []).append(path.stem)
        return [{**_about(self._heart(holder)), "names": sorted(held)} for holder, held in names.items()]

    def sweep(self) -> list[Path]:
        """Remove what processes left that ended without warning; return its paths."""
        gone = [path for path in self.folder.glob("*.lease") if not self.is_held(path.stem)]
        for path in gone:
            if self.claim(path.stem):    # as whoever takes it over
                self.free(path.stem)
        hearts = [path for path in self.folder.glob("*.heart") if not self._lives(path.stem, path)]
        for path in hearts:
            path.unlink(missing_ok=True)
        return gone + hearts

    def close(self) -> None:
        """Give everything back."""
        if self._pid != os.getpid():    # never begun, or another process's
            return
        self._ended.set()
        with contextlib.suppress(OSError):
            for name in [*self._mine]:
                self.free(name)
            self._heart(self.id).unlink(missing_ok=True)
        os.close(self._file)
        self._pid = 0
        atexit.unregister(self.close)

    def _start(self) -> None:
        """Begin to beat, once in each process: a fork has no right to what its parent holds.

        And anew where others have swept our heart away, as after a long sleep: what was held is theirs by then.
        """
        if self._pid == os.getpid():
            if self._heart(self.id).exists():
                return
            self._ended.set()
            os.close(self._file)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.id = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._mine, self._ended = set(), threading.Event()
        heart = self._heart(self.id)
        self._file = os.open(heart, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        about = {"machine": this_machine(), "locked": lock(self._file), "host": platform.node(), "pid": os.getpid(),
                 "command": shlex.join(["python", *sys.argv])}    # fmt: skip
        _write(self._file, heart, json.dumps(about))
        self._pid = os.getpid()
        threading.Thread(target=_beat, args=(heart, self._ended, self.beat), daemon=True).start()
        atexit.register(self.close)

    def _heart(self, holder: str) -> Path:
        return self.folder / f"{holder}.heart"

    def _take(self, path: Path) -> bool:
        """Create a file in our name, or put our name into that of a dead holder.

        Of those that find a holder dead, one at a time looks again and takes over: the turn is a lease itself.
        """
        before = _read(path)
        if before is None:
            return _create(path, self.id)
        if self._lives(before, path):
            return False
        turn = path.with_name(f"{path.name}.turn")
        if not self._take(turn):
            return False
        try:
            if _read(path) != before:
                return False
            part = path.with_name(f".{path.name}.{self.id}.part")
            part.write_text(self.id)
            part.replace(path)
            return True
        finally:
            turn.unlink(missing_ok=True)

    def _lives(self, holder: str, path: Path) -> bool:
        """Whether a holder lives, as far as its heart tells; ``path`` is the lease that names it."""
        try:
            file = os.open(self._heart(holder) if holder else path, os.O_RDONLY)    # opened: no stale attributes on NFS
        except OSError:
            return False    # it has ended
        try:
            if self._now() - os.fstat(file).st_mtime > (self.timeout if holder else self.beat):    # no name: cut off
                return False
            about = _parse(os.read(file, 65536))
            return not (about.get("machine") == this_machine() and about.get("locked") and unlocked(file))
        finally:
            os.close(file)

    def _sign(self, name: str) -> tuple[str, float] | None:
        """The last sign of life of a holder on another machine; None of one on this machine, where it is sure."""
        holder = _read(self.folder / f"{name}.lease") or ""
        try:
            beat = self._heart(holder).stat().st_mtime
        except OSError:
            return holder, 0.0
        return None if _about(self._heart(holder)).get("machine") == this_machine() else (holder, beat)

    def _now(self) -> float:
        """Time by the clock that stamps the files of the folder."""
        self._start()
        os.utime(self._heart(self.id))
        return self._heart(self.id).stat().st_mtime


def _beat(heart: Path, ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        with contextlib.suppress(OSError):
            os.utime(heart)


def _create(path: Path, holder: str) -> bool:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    _write(file, path, holder)
    os.close(file)
    return True


def _write(file: int, path: Path, text: str) -> None:
    """Fill a file that was just created; a full disk leaves nothing behind."""
    try:
        os.write(file, text.encode())
    except OSError:
        os.close(file)
        path.unlink(missing_ok=True)
        raise


def _read(path: Path) -> str | None:
    """Who holds a lease; empty in the moment between its creation and its content, None if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _about(heart: Path) -> dict[str, Any]:
    try:
        return _parse(heart.read_bytes())
    except OSError:
        return {}


def _parse(content: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(content))
    except ValueError:
        return {}
