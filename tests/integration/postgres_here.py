"""A real PostgreSQL on this machine: a cluster of its own in a folder of its own, on a port of its own.

    python tests/integration/postgres_here.py -- command ...

starts it, runs the command with $EEGDECODE_STORAGE set to its URL, and ends it. It needs PostgreSQL
(``apt-get install postgresql``) and ``pip install -c constraints.txt -e ".[postgres]"``; as root it runs as the user
postgres or nobody.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FAST = ["-c", "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=8MB"]


def absent() -> str:
    """Why no PostgreSQL can be used here; empty if it can."""
    if _program("postgres") is None or _program("initdb") is None:
        return "postgres is not installed: apt-get install postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return 'psycopg is not installed: pip install -c constraints.txt -e ".[postgres]"'
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "a PostgreSQL does not run as root, and there is no setpriv"
    return ""


class Postgres:
    """A server, and what a test does to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.server: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        """As ``storage`` takes it."""
        return f"postgresql://eegdecode@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster, whose only user may do all without a password, from this machine alone."""
        self.folder.chmod(0o755)
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, *_someone())
        done = subprocess.run(
            [*_as_someone(), _program("initdb"), "-D", data, "-U", "eegdecode", "-A", "trust", "-N", "--no-locale",
             "-E", "UTF8"], capture_output=True, text=True, cwd="/",
        )    # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [*_as_someone(), _program("postgres"), "-D", self.folder / "data", "-h", "127.0.0.1", "-k", "",
                 "-p", str(self.port), *FAST], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )    # fmt: skip
        end = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > end or self.server.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, as a machine that goes down."""
        if self.server is not None:
            self.go_on()
            self.server.send_signal(signal.SIGQUIT)
            self.server.wait(60)
            self.server = None

    def freeze(self) -> None:
        """Let the server and all its processes hang: connections stay open, mute."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a server that hangs go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, sign: int) -> None:
        assert self.server is not None
        for pid in [self.server.pid, *_children(self.server.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for the time of a with-block."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    here = Postgres(folder)
    try:
        here.create()
        here.start()
        yield here
    finally:
        here.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    """Debian keeps the server's programs out of the PATH, a folder a version."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join(map(str, [*places, os.environ.get("PATH", "")])))


def _someone() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid
    raise RuntimeError("there is no user but root")


def _as_someone() -> list[str]:
    """What to put before a program that refuses root; it dies with us."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    user, group = _someone() if os.geteuid() == 0 else (0, 0)
    change = [f"--reuid={user}", f"--regid={group}", "--clear-groups"] if user else []
    return [setpriv, *change, "--pdeathsig", "QUIT", "--"]


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    if absent():
        sys.exit(absent())
    if len(sys.argv) < 3 or sys.argv[1] != "--":
        sys.exit(__doc__)
    with postgres() as here:
        sys.exit(subprocess.run(sys.argv[2:], env={**os.environ, "EEGDECODE_STORAGE": here.url}).returncode)
