"""What the measurements share: each part runs in a process of its own, so that none sees another's memory."""

import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
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


def sort_words(
    words: Sequence[str], options: Mapping[str, str]
) -> tuple[list[str], dict[str, str], list[str]]:    # fmt: skip
    """Plain names, ``options`` with what is typed of them, and every other ``key=value``, which goes to trainings."""
    pairs = {word: word.partition("=") for word in words}
    typed = {key: value for key, equals, value in pairs.values() if equals and key in options}
    more = [word for word, (key, equals, _) in pairs.items() if equals and key not in options]
    return [word for word in words if "=" not in word], {**options, **typed}, more


def check_known(what: str, asked: Sequence[str], known: Collection[str]) -> None:
    """End with a line where a name is none of those there are."""
    if unknown := [name for name in asked if name not in known]:
        raise SystemExit(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")


def spread(times: list[float]) -> str:
    return f"median {np.median(times):.2f} s of {REPEATS}, slowest {max(times):.2f} s"
