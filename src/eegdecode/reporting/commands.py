"""The command that goes on in a run folder, also in one that was copied or moved since it was typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from eegdecode.reporting.settings import read_settings

DOORS = ("train.py", "pretrain.py")
SEVERAL = ("-m", "--multirun", "-cn", "--config-name", "launcher=", "experiment=", "hydra.")    # may make many jobs


def command_for(folder: Path, command: str) -> tuple[str, str]:
    """The command with this folder as its ``out_dir``.

    Jobs of a sweep share its command, which names the folder above them, or none: it stays as it is.

    Returns
    -------
    command : str
        Empty where it would work in another folder, and nobody can say how it is typed for this one.
    why : str
        Why it is empty.
    """
    words = _words(command)
    if len(words) < 2 or Path(words[1]).name not in DOORS:
        return command, ""
    typed, noted = next((_read(word) for word in words if _key(word) == "out_dir"), None), _noted(folder)
    if typed is None:
        single = not any(word.startswith(SEVERAL) for word in words[2:])
    else:
        single = typed == noted if noted else not _is_below(folder, typed)
    if not single and noted and not _same(folder, noted):
        return "", f"copied or moved from {noted}, where the command of its sweep would work: {command}"
    if not single or (typed is not None and _same(folder, typed)):
        return command, ""
    rest = [word for word in words if _key(word) != "out_dir"]
    return shlex.join([*rest, f"out_dir={_quoted(folder.as_posix())}"]), ""


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:    # a damaged marker
        return []


def _noted(folder: Path) -> str:
    """The folder of this job when it was typed, as its settings say; empty where they do not."""
    try:
        return str(read_settings(folder).get("out_dir") or "")
    except (ValueError, OSError):
        return ""


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _read(word: str) -> str:
    """The value of an override, without Hydra's quotes."""
    value = word.partition("=")[2]
    mark = value[:1]
    return value[1:-1].replace(f"\\{mark}", mark) if mark in ("'", '"') and value.endswith(mark) else value


def _quoted(value: str) -> str:
    """A path as Hydra's grammar takes it."""
    return value if re.fullmatch(r"[\w./+-]+", value, flags=re.ASCII) else "'" + value.replace("'", r"\'") + "'"


def _same(folder: Path, other: str) -> bool:
    return folder.resolve() == Path(other).resolve()


def _is_below(folder: Path, other: str) -> bool:
    return Path(other).resolve() in folder.resolve().parents
