"""What the measurements share: each part runs in a process of its own, so that none sees another's memory."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

REPEATS = 5
DOOR = Path(__file__).parents[1] / "benchmark.py"


def call(task: str, folder: Path, *arguments: str) -> str:
    """Run a task of the door in a fresh process and return what it prints."""
    return run_door(DOOR.name, task, *arguments, "--folder", str(folder))


def run_door(script: str, *words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a script of this folder's parent as users do and return what it prints; what it fails of is the last word."""
    command = [sys.executable, str(DOOR.parent / script), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{(done.stdout + done.stderr).strip()[-4000:]}\nthat was: {shlex.join(command)}")
    return done.stdout


def spread(times: list[float]) -> str:
    return f"median {np.median(times):.2f} s of {REPEATS}, slowest {max(times):.2f} s"
