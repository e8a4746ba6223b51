"""Writing that survives: a file is whole or absent, and a full disk or a closed folder says what to do."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".part"    # suffix of a file that is being written
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR)
_ELSEWHERE = "Give another folder (out_dir=..., of predict.py and report.py out=...)"


@contextlib.contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a folder that may not be written into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if str(error.strerror).startswith("cannot write"):    # an inner one has named the file
            raise
        if error.errno in _FULL:
            advice = "the disk is full, or a quota used up. Free some space, then start the same command again"
        elif error.errno in _CLOSED:
            advice = f"no permission to write there. {_ELSEWHERE} or change its rights"
        elif error.errno in _NO_FOLDER:
            advice = f"a file stands where a folder is needed. {_ELSEWHERE}"
        elif error.errno == errno.ENOENT:
            advice = f"its folder is gone, or no folder can be made there. {_ELSEWHERE}"
        else:
            raise
        safe = "what is finished stays intact and will not be trained anew"
        raise OSError(error.errno, f"cannot write {path}: {advice}; {safe}") from error


def is_full(error: BaseException) -> bool:
    """Whether it was a disk without room, or a quota that is used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def make_folder(path: Path) -> Path:
    """Create a folder and those above it."""
    with clear_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file under a temporary name, then rename it: no reader ever sees half of it.

    There is no fsync (it costs more than a small run): what a power cut has damaged is noticed on reading.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with clear_errors(path):
        try:
            with part.open("wb") as file:
                write(file)
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a whole text file."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a whole JSON file that any reader accepts: NaN and infinity become null."""
    write_text(path, json.dumps(plain(content), indent=2, allow_nan=False, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file; empty where there is none or where it cannot be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def append_text(path: Path, text: str) -> None:
    """Append to a table in one go."""
    with clear_errors(path), path.open("ab") as file:
        file.write(text.encode())


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in folder.glob(f".*{TEMPORARY}"):
        part.unlink(missing_ok=True)


def plain(thing: Any) -> Any:
    """The same content in JSON types, without numpy's and without NaN."""
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if hasattr(thing, "item") and getattr(thing, "ndim", 1) == 0:    # a numpy number
        return plain(thing.item())
    if hasattr(thing, "tolist"):
        return plain(thing.tolist())
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing
