"""What lies in the cache: list it, prune what no code of today would use, check that no bit has flipped."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from eegdecode.data.cache import cache_root, todays_code
from eegdecode.data.entry import read_entry
from eegdecode.trials import fingerprint

DAY = 86400.0    # s


def list_entries(folder: str | Path | None = None) -> pd.DataFrame:
    """Look up the entries of a cache, one row each.

    Columns: ``dataset``, ``subject``, ``trials``, ``megabytes``, ``days`` (age), ``state`` and ``path``. The
    state is ``current``, ``outdated`` (made by another version of the code or of a library), ``damaged`` or
    ``unfinished`` (being written, or left by a process that was killed).
    """
    root = cache_root(folder)
    rows = [_row(path) for path in sorted(root.glob("*/*sub-*")) if path.is_dir()]
    columns = ["dataset", "subject", "trials", "megabytes", "days", "state", "path"]
    return pd.DataFrame(rows, columns=columns)


def prune(folder: str | Path | None = None) -> pd.DataFrame:
    """Remove entries that are not current, and return what was removed. Those in use by a process stay."""
    entries = list_entries(folder)
    gone = [_remove(Path(path)) for path in entries["path"]] if len(entries) else []
    return entries[pd.Series(gone, index=entries.index, dtype=bool)]


def check(folder: str | Path | None = None) -> pd.DataFrame:
    """Read every current entry and return those whose trials are not those that were written."""
    entries = list_entries(folder)
    current = entries[entries["state"] == "current"]
    return current[[not _intact(Path(path)) for path in current["path"]]]


def _row(path: Path) -> dict[str, Any]:
    files = [file.stat() for file in path.iterdir() if file.is_file()]
    row = {
        "dataset": path.parent.name, "subject": path.name.partition("sub-")[2].rpartition("_")[0], "trials": 0,
        "megabytes": sum(file.st_size for file in files) / 1e6,
        "days": (time.time() - max((file.st_mtime for file in files), default=time.time())) / DAY,
        "state": "damaged", "path": str(path),
    }    # fmt: skip
    if path.name.startswith("."):
        return {**row, "state": "unfinished"}
    try:
        entry = json.loads((path / "entry.json").read_text())
        if entry.get("code") != todays_code():    # its files may follow other rules
            return {**row, "trials": entry["shape"][0], "state": "outdated"}
        return {**row, "trials": len(read_entry(path)), "state": "current"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return row


def _remove(path: Path) -> bool:
    """Remove an entry unless it is current or another process has it; whether it is gone."""
    name = path.name.removeprefix(".").removesuffix(".partial")
    lock = path.parent / ".locks" / f"{name}.lock"
    try:
        lock.parent.mkdir(exist_ok=True)
        with FileLock(lock, timeout=0):
            if not path.is_dir() or _row(path)["state"] == "current":    # it may have been made anew meanwhile
                return False
            shutil.rmtree(path)
            return True
    except (Timeout, PermissionError):
        return False


def _intact(path: Path) -> bool:
    trials = read_entry(path)
    return list(trials.fingerprints.values()) == [fingerprint(trials.X, trials.meta)]
