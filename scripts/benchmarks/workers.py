"""How many workers a study stands, and what a trial costs beside its training: through SQLite, a journal, a database.

Stub trainings of ten milliseconds with three reports to the pruner, dealt, ended and counted as a search does it
(`eegdecode.search.work`), by so many processes at once. ``EEGDECODE_STORAGE`` names a PostgreSQL, if one shall be
asked: ``python tests/integration/postgres_here.py -- python scripts/benchmark.py workers``.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks.table import markdown, publish
from benchmarks.tasks import DOOR

OUT = Path("notebooks/benchmarks")
WORKERS, SECONDS, TRAINING = (1, 2, 4, 8, 16), 10, 0.01    # s
MANY = (100, 1_000, 10_000)    # trials that are over


def measure_workers(folder: Path) -> None:
    """Write ``workers.csv`` and ``workers.md``."""
    storages = {"SQLite": "", "journal": "journal"}
    if url := os.environ.get("EEGDECODE_STORAGE"):
        storages["PostgreSQL"] = url
    at_once = pd.DataFrame([_row(folder, name, storage) for name, storage in storages.items()])
    long = pd.DataFrame([_long(folder, name, storages[name]) for name in ("SQLite", "journal")])
    lines = [
        "# Workers of one search",
        f"Stub trainings of {1e3 * TRAINING:.0f} ms with three reports to the pruner, random settings, "
        f"{os.cpu_count()} cores, {SECONDS} s each. Trials a second, of all workers together. Made by "
        "`python scripts/benchmark.py workers` (PostgreSQL: in `python tests/integration/postgres_here.py -- ...`).",
        markdown(at_once),
        "Milliseconds of a trial beside its training where so many are over, one worker (mean of three):",
        markdown(long),
    ]
    publish(at_once, lines, OUT, "workers")


def _row(folder: Path, name: str, storage: str) -> dict:
    row: dict = {"storage": name}
    for n in WORKERS if name != "PostgreSQL" else WORKERS[:-1]:    # a worker holds two of that server's 20 connections
        done = _work(folder / f"{name}_{n}", storage, n)
        row[f"{n} workers" if n > 1 else "1 worker"] = round(sum(done) / SECONDS, 1)
        print(row, flush=True)
    return row


def _work(folder: Path, storage: str, n: int) -> list[int]:
    """Trials of each of ``n`` workers that begin at the same moment."""
    begin = time.time() + 5 + 3 * n    # until all have started
    words = ["worker", str(begin), *([storage] if storage else []), "--folder", str(folder)]
    command = [sys.executable, str(DOOR), *words]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]


def one_worker(folder: Path, begin: str, storage: str = "") -> None:
    """Do trials from a moment on, and print how many were done in time."""
    from filelock import FileLock

    from eegdecode.reporting.disk import make_folder
    from eegdecode.search import work
    from eegdecode.search.study import open_study

    search, dealing = _search(folder, storage), FileLock(make_folder(folder) / ".dealing")
    with dealing:
        study = open_study(search)
    time.sleep(max(0.0, float(begin) - time.time()))
    stub = _Stub(dealing, until=float(begin) + SECONDS)
    work._line = lambda *_: "done"    # nobody reads it
    try:
        work._do_trials(study, search, stub, dealing)    # pyright: ignore[reportArgumentType]
    except KeyboardInterrupt:
        print(json.dumps(stub.done))


def _long(folder: Path, name: str, storage: str) -> dict:
    """What a trial costs in a study that is long already."""
    import optuna
    from filelock import FileLock

    from eegdecode.reporting.disk import make_folder
    from eegdecode.search import work
    from eegdecode.search.study import open_study

    row: dict = {"storage": name}
    search = _search(folder / f"{name}_long", storage)
    dealing = FileLock(make_folder(search.folder) / ".dealing")
    study = open_study(search)
    settings: dict = {"trainer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}
    for n in MANY:
        missing = n - len(study.get_trials(deepcopy=False))
        over = optuna.create_trial(values=[0.5], params={"trainer.lr": 0.01}, distributions=settings)
        study.add_trials([over] * missing)
        stub = _Stub(dealing, most=3)
        began = time.perf_counter()
        try:
            work._do_trials(study, search, stub, dealing)    # pyright: ignore[reportArgumentType]
        except KeyboardInterrupt:
            row[f"{n} trials"] = round(1e3 * ((time.perf_counter() - began) / 3 - TRAINING))
        print(row, flush=True)
    return row


def _search(folder: Path, storage: str):
    from eegdecode.search.settings import make_search

    space = {"trainer.lr": {"float": [1e-4, 1e-1], "log": True}}
    options = {"n_trials": 10**6, "sampler": "random", "out_dir": str(folder), "storage": storage or None}
    return make_search(folder.name, {"space": space}, options=options)


class _Stub:
    """Stands for `eegdecode.search.objective.Objective`."""

    def __init__(self, dealing, *, until: float = float("inf"), most: int = 10**9) -> None:
        self.dealing, self.until, self.most, self.done = dealing, until, most, 0

    def __call__(self, trial) -> tuple[float, ...]:
        from eegdecode.search.study import report

        self.dealing.release(force=True)
        if time.time() > self.until or self.done == self.most:
            raise KeyboardInterrupt
        value = trial.suggest_float("trainer.lr", 1e-4, 1e-1, log=True)
        for step in (5, 10, 15):
            report(trial, step, value)
        time.sleep(TRAINING)
        self.done += 1
        return (value,)

    def let_go(self) -> None:
        pass
