"""Run folders: which one an experiment goes on in, and that no two processes write into the same one."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from eegdecode.identity import digest, split_digest
from eegdecode.reporting.disk import clear_errors, make_folder, read_json, write_json
from eegdecode.reporting.leases import Leases
from eegdecode.runs import Run

MARKER = "experiment.json"    # what the folder's experiment is; see `Store`
SEARCH = "search.json"    # what a search's folder holds in its place
SUMMARY = "summary.json"
ERROR = "error.json"    # of a job that failed before its first run: it has no marker
TRAINING, PRETRAINING = "training", "pretraining"    # kinds of run folders
_HELD = ".held"    # below a run folder: who works in it
_held: dict[tuple[int, Path], Leases] = {}    # by process: a fork inherits the table, not the right

log = logging.getLogger(__name__)


def runs_root() -> Path:
    """Where run folders lie: ``$EEGDECODE_RUNS``, by default ``data/runs``."""
    return Path(os.environ.get("EEGDECODE_RUNS") or "data/runs")


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

    It is held for this process, see `hold`.
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


def by_name(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by their names, which must differ."""
    if not runs:
        raise ValueError("an experiment needs at least one run")
    named = {run.name(): run for run in runs}
    if len(named) < len(runs):
        twice = next(name for name, n in Counter(run.name() for run in runs).items() if n > 1)
        raise ValueError(f"two runs have the same name: {twice}")
    return named


def mark_folder(
    folder: Path, runs: Collection[Run], numbers: Sequence[str], *, classes: Sequence[str], facts: Mapping[str, Any],
    **identity: str,
) -> None:    # fmt: skip
    """Note what a folder's experiment is: enough to summarise it without its runs, data or code."""
    counts = Counter((run.split.subject, *(run.numbers.get(name) for name in numbers)) for run in runs)
    columns = ("subject", *numbers)
    expected = [{**dict(zip(columns, values, strict=True)), "n": n} for values, n in counts.items()]
    about = {"numbers": numbers, "classes": classes, "facts": facts, "expected": expected}
    seeds = sorted({run.seed for run in runs})
    write_json(folder / MARKER, {**identity, **about, "seeds": seeds})
    (folder / ERROR).unlink(missing_ok=True)


def note_error(folder: Path, reason: str, *, command: str) -> None:
    """Note why a job came to no run, in a folder that holds nothing else."""
    if not folder.exists() or {file.name for file in folder.iterdir()} <= {ERROR}:
        make_folder(folder)
        write_json(folder / ERROR, {"reason": reason, "command": command})


def refuse_other_kind(folder: Path, *, kind: str) -> None:
    """Refuse a folder of results of another kind: they would be set aside, or taken for these."""
    if (folder / SEARCH).exists():
        raise ValueError(f"{folder} is the folder of a search, whose report this would replace: give another out_dir")
    marker = read_json(folder / MARKER)
    there = marker.get("kind", TRAINING)
    if "facts" in marker and there != kind:    # without facts it is a folder that was just made
        raise ValueError(f"{folder} holds results of a {there}, and this is a {kind}: give another out_dir")


def refuse_run_folder(folder: Path, *, what: str, option: str = "out_dir") -> None:
    """Refuse the folder of a run or a search, also one that is damaged or has just begun.

    `what` would lie among its results, or replace its report.
    """
    for marker, kind in ((MARKER, "a run folder"), (SEARCH, "the folder of a search")):
        if (folder / marker).exists():
            raise ValueError(f"{folder} is {kind}, and a {what} would lie among its results: give another {option}")


def is_complete(folder: Path) -> bool:
    """Whether every run of the folder's experiment is done."""
    summary = read_json(folder / SUMMARY)
    return bool(summary) and summary.get("n_done") == summary.get("n_expected")


def hold(folder: Path) -> bool:
    """Keep other processes out of a folder, on other machines too; False if another one works in it.

    It lasts until `release` or the end of the process, however it ends.
    """
    mine = (os.getpid(), folder.resolve())
    if mine not in _held:
        leases = Leases(folder / _HELD)
        with clear_errors(folder):
            if not leases.claim_or_watch("folder"):
                leases.close()
                return False
        _held[mine] = leases
    return True


def holder_of(folder: Path) -> dict[str, Any]:
    """The process that works in a folder: its host, pid and command; empty if there is none."""
    leases = Leases(folder / _HELD)
    try:
        return next(iter(leases.holders()), {})
    finally:
        leases.close()


def release(folder: Path) -> None:
    """Let other processes work in a folder."""
    leases = _held.pop((os.getpid(), Path(folder).resolve()), None)
    if leases is not None:
        leases.close()
