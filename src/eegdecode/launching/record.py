"""What a sweep leaves to be said at its end. Here, for Hydra loads the files of its plugins a second time."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

failures: list[str] = []        # a job that fails does not stop the others
compared: set[str] = set()      # folders of comparisons


def job_folder(out_dir: str, *, number: int, choices: Mapping[str, Any], swept: Sequence[str]) -> str:
    """Folder of a job below `out_dir`; `swept` are the groups that the experiment itself sweeps: a comparison."""
    compared.update([out_dir] if swept else [])
    return "/".join([out_dir, *([choices[group] for group in swept] or [f"{number}_{choices['model']}"])])


def quoted(value: str) -> str:
    """A value as Hydra's grammar takes it."""
    return value if re.fullmatch(r"[\w./+-]+", value) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def words_of(words: Sequence[str], out_dir: str | None, swept: Sequence[str]) -> list[str]:
    """What is typed to do one job of a sweep alone: its overrides, with the folder that is its own."""
    own = [f"out_dir={quoted(out_dir)}"] if out_dir else []
    rest = [word for word in words if not (own and word.startswith("out_dir="))]
    return [*rest, *own, *(["hydra.mode=RUN"] if swept else [])]


def fail(reason: str, *, command: Sequence[str] | None = None) -> None:
    """Note a failure for the end; that of a job of a sweep, which has a command, is said at once too."""
    if command:
        reason = f"{reason}\n  command: {shlex.join(command)}"
        print(f"FAILED: {reason}", flush=True)
    failures.append(reason)
