"""Run folders: which one an experiment goes on in, and that no two processes write into the same one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from eegdecode.reporting.disk import clear_errors, make_folder, read_json, write_json
from eegdecode.runs import Run, digest, split_digest

MARKER = "experiment.json"    # what the folder's experiment is; see `Store`
SUMMARY = "summary.json"
_LOCK = ".lock"
_held: dict[tuple[int, Path], FileLock] = {}    # by process: a fork inherits the table, not the right

log = logging.getLogger(__name__)


def experiment_key(
    runs: Sequence[Run],
    *,
    meta: pd.DataFrame,
    fingerprints: Mapping[str, str],
    context: Mapping[str, Any],
) -> str:
    """Digest of everything that defines an experiment: data, splits, seeds, numbers and context."""
    splits = list({id(run.split): run.split for run in runs}.values())
    number = {id(split): i for i, split in enumerate(splits)}
    return digest(
        {
            "runs": [
                [number[id(run.split)], run.seed, dict(run.numbers), *([run.source.digest] if run.source else [])]
                for run in runs
            ],
            "splits": split_digest(splits, meta=meta),
            "data": dict(fingerprints),
            "context": context,
        }
    )


def choose_folder(root: Path, *, key: str) -> Path:
    """The folder below `root` to go on in: the newest unfinished one of this experiment, else a new one.

    The folder is locked for this process until `release` or its end, however it ends.
    """
    root = make_folder(Path(root))
    ours = [mark.parent for mark in root.glob(f"*/{MARKER}") if read_json(mark).get("key") == key]
    for folder in sorted(ours, key=lambda f: f.name, reverse=True):
        if not is_complete(folder) and hold(folder):
            log.info("going on in %s", folder)
            return folder
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1, 10_000):
        folder = root / (name if attempt == 1 else f"{name}_{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        hold(folder)
        write_json(folder / MARKER, {"key": key})
        return folder
    raise RuntimeError(f"10,000 folders named {name} below {root}; remove some")


def is_complete(folder: Path) -> bool:
    """Whether every run of the folder's experiment is done."""
    summary = read_json(folder / SUMMARY)
    return bool(summary) and summary.get("n_done") == summary.get("n_expected")


def hold(folder: Path) -> bool:
    """Lock a folder for this process; False if another one works in it. The lock ends with the process."""
    mine = (os.getpid(), folder.resolve())
    if mine not in _held:
        lock = FileLock(folder / _LOCK)
        try:
            with clear_errors(folder / _LOCK):
                lock.acquire(timeout=0)
        except Timeout:
            return False
        _held[mine] = lock
    return True


def release(folder: Path) -> None:
    """Let other processes work in a folder."""
    lock = _held.pop((os.getpid(), Path(folder).resolve()), None)
    if lock is not None:
        lock.release()
