"""A training of ten milliseconds a run that other processes kill: see `test_survival.py`."""

import os
import time
from pathlib import Path

from tests.reporting.conftest import CLASSES, make_meta, make_prediction, make_runs

from eegdecode.reporting import sharing
from eegdecode.reporting.library import Library
from eegdecode.reporting.store import Store

SECONDS = 0.01    # of a run


def open_store(folder: Path, library: Path | None = None) -> Store:
    meta = make_meta(n_subjects=4)
    return Store(
        folder, runs=make_runs(meta, n_seeds=30), meta=meta, classes=CLASSES, context={},
        fingerprints=dict.fromkeys(meta["subject"].unique(), "0"), facts={"dataset": "simulated", "model": "eegnet"},
        library=Library(library) if library else None,
    )    # fmt: skip


def train_slowly(folder: Path, library: Path, diary: Path) -> None:
    """Train what is missing as an experiment does, and note when each run was begun, by whom."""
    sharing.LOOKS = (0.02, 0.1)
    store = open_store(folder, library)
    todo = store.unfinished()
    while todo:
        for run in (mine for each in todo for mine in store.claim([each])):
            with diary.open("a") as file:
                file.write(f"{time.monotonic()} {os.getpid()} {run.name()}\n")
            time.sleep(SECONDS)
            store.add(make_prediction(run, store.meta))
        todo = store.wait(todo)
    store.close()
    store.score()
