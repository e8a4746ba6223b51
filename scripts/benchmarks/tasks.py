"""What the measurements share: each part runs in a process of its own, so that none sees another's memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np

REPEATS = 5
DOOR = Path(__file__).parents[1] / "benchmark.py"


def call(task: str, folder: Path, *arguments: str) -> str:
    """Run a task of the door in a fresh process and return what it prints."""
    command = [sys.executable, str(DOOR), task, *arguments, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def spread(times: list[float]) -> str:
    return f"median {np.median(times):.2f} s of {REPEATS}, slowest {max(times):.2f} s"
