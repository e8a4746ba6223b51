"""What a command leaves to be said at its end. Here, for Hydra loads the files of its plugins a second time."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

failures: list[str] = []        # a job that fails does not stop the others
compared: set[str] = set()      # folders of comparisons


def job_folder(
    out_dir: str, *, number: int, choices: Mapping[str, Any], swept: Sequence[str], beside: Sequence[str] = ()
) -> str:    # fmt: skip
    """Folder of a job below `out_dir`.

    `swept` are the groups that the experiment itself sweeps: a comparison, whose folders keep their names when it is
    typed again. `beside` are overrides of this job of which the command has several: they are in the name, too.
    """
    if not swept:
        return f"{out_dir}/{number}_{choices['model']}"
    compared.add(out_dir)
    more = [_as_name(word) for word in beside if word.partition("=")[0] not in (*swept, "out_dir")]
    return "/".join([out_dir, *(choices[group] for group in swept)]) + "".join(f"_{name}" for name in more)


def _as_name(word: str) -> str:
    """An override as a part of a file name; where that alters or cuts it, with a digest, so that none meets another."""
    name = re.sub(r"[^\w.=+-]+", "-", word)[:60]
    return name if name == word else f"{name}-{hashlib.blake2b(word.encode(), digest_size=3).hexdigest()}"


def quoted(value: str) -> str:
    """A value as Hydra's grammar takes it."""
    if re.fullmatch(r"[\w./+-]+", value, flags=re.ASCII):
        return value
    inner = re.sub(r"(\\*)'", r"\1\1\\'", value)    # a backslash is one anywhere but before a quote
    return "'" + re.sub(r"(\\+)$", r"\1\1", inner) + "'"


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


def interrupted(left: str) -> NoReturn:
    """End after Ctrl-C, with what is left of the work."""
    print(f"interrupted: {left}", file=sys.stderr, flush=True)
    sys.exit(130)
