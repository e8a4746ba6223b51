"""A real Ray on this machine: a head without cores and worker nodes with one each, as processes of their own.

    python tests/integration/ray_here.py [--workers 2] -- command ...

starts it, runs the command with $RAY_ADDRESS set, and ends it. It needs ``pip install -c constraints.txt -e ".[ray]"``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def absent() -> str:
    """Why no Ray can be started here; empty if it can."""
    return "" if importlib.util.find_spec("ray") else 'ray is not installed: pip install -c constraints.txt -e ".[ray]"'


class Ray:
    """The processes of a head and its worker nodes: `ray start --block` holds those of one node."""

    def __init__(self, folder: Path, *, workers: int = 2) -> None:
        self.folder, self.workers = folder, workers
        self.address, self._token = "", secrets.token_hex(32)    # a cluster answers those alone who have its token
        self.nodes: list[subprocess.Popen] = []

    @property
    def env(self) -> dict[str, str]:
        """Environment in which a sweep finds this Ray."""
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, "RAY_USAGE_STATS_ENABLED": "0"}
        return {**os.environ, **ours, **({"RAY_ADDRESS": self.address} if self.address else {})}

    def start(self) -> None:
        """Start all nodes and wait until they run."""
        said = self._node("--head", "--port=0", "--num-cpus=0", "--include-dashboard=false",
                          f"--temp-dir={self.folder}")    # fmt: skip
        self.address = _until(lambda: re.search(r"--address='([\d.]+:\d+)'", said.read_text()), said)[1]
        for _ in range(self.workers):
            said = self.add_worker()
            _until(lambda said=said: "Ray runtime started" in said.read_text(), said)

    def add_worker(self) -> Path:
        """Start a worker node with one core."""
        return self._node(f"--address={self.address}", "--num-cpus=1")

    def kill_worker(self, number: int = 0) -> None:
        """SIGKILL for all processes of a worker node, as when it loses power."""
        _kill(self.nodes.pop(1 + number))

    def stop(self) -> None:
        """End all nodes, the head last."""
        while self.nodes:
            _kill(self.nodes.pop())

    def _node(self, *arguments: str) -> Path:
        said = self.folder / f"node{len(self.nodes)}-{time.monotonic_ns()}.txt"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *arguments]
        with said.open("wb") as out:
            self.nodes.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
            ))    # fmt: skip
        return said


@contextmanager
def ray(**options: int) -> Iterator[Ray]:
    """A Ray for the time of a with-block."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))    # short: the names of sockets may have 107 letters
    here = Ray(folder, **options)
    try:
        here.start()
        yield here
    finally:
        here.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _until(there, said: Path, seconds: float = 120):
    end = time.monotonic() + seconds
    while not (found := there()):
        if "Error: " in said.read_text():
            raise RuntimeError(f"Ray does not start: {said.read_text()[-2000:]}")
        if time.monotonic() > end:
            raise RuntimeError(f"Ray does not start within {seconds} s: {said.read_text()[-2000:]}")
        time.sleep(0.2)
    return found


def _kill(node: subprocess.Popen) -> None:
    """SIGKILL for a process and all below it, whatever groups they have made."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    family = [node.pid]
    for pid in family:
        family.extend(parents.get(pid, []))
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    node.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs="+")
    typed = parser.parse_args()
    if absent():
        sys.exit(absent())
    with ray(workers=typed.workers) as here:
        sys.exit(subprocess.run(typed.command, env=here.env).returncode)
