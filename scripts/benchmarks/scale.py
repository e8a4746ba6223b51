"""What a run costs beside its training when there are ten thousand: store, library, tables, report, disk, memory.

Stub trainings of ten milliseconds leave what EEGNet leaves on a session of 2a. Times are seconds of this process on a
core, so that neighbours on the machine do not count; only ``wall`` is by the clock.
"""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.table import markdown, publish
from benchmarks.tasks import call

OUT = Path("notebooks/benchmarks")
SIZES = (1_000, 3_000, 10_000)    # runs
TRAINING = 0.01    # s
N_SUBJECTS, N_TRIALS, N_EPOCHS, N_PARAMS, CLASSES = 20, 288, 100, 1716, ("left", "right", "feet", "tongue")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def measure_scale(folder: Path, *sizes: str) -> None:
    """Write ``scale.csv`` and ``scale.md``; ``benchmark.py scale 1000 30000`` takes other sizes."""
    told = [call("scale-of", folder / size, size) for size in sizes or map(str, SIZES)]
    write_scale([json.loads(text.splitlines()[-1]) for text in told])


def write_scale(rows: list[dict]) -> None:
    """Write both files."""
    table = pd.DataFrame(rows)
    lines = [
        "# Many runs",
        f"Stub trainings of {1e3 * TRAINING:.0f} ms: {N_SUBJECTS} subjects, {len(RATES)} rates, the rest seeds; "
        f"{N_TRIALS} test trials, {N_EPOCHS} epochs of history, {N_PARAMS} weights each. Milliseconds a run on a core, "
        "so that neighbours do not count; *wall* alone is by the clock, of the training. A column that stays level is "
        "linear. *new*: keys and an empty folder; *add*: write a run's checkpoint, outcome and rows; *share*: its "
        "lease and its place in the library, beside that; *score*: tables, `predictions.npz`, summary; *open*: open "
        "the folder of finished runs again; *unfinished*: find that nothing is left; *take*: fill a second folder from "
        "the library; *report*: verdicts, figures, `report.md`; *compare*: `scripts/report.py`. Made by "
        "`python scripts/benchmark.py scale`.",
        markdown(table),
    ]
    publish(table, lines, OUT, "scale")
    print(table.to_string())


def one_size(folder: Path, size: str, seconds: str = str(TRAINING)) -> None:
    """Print what so many runs cost, as JSON; a folder that is there already goes on."""
    from eegdecode.reporting.comparison.write import write_comparison
    from eegdecode.reporting.folders import release
    from eegdecode.reporting.library import Library
    from eegdecode.reporting.report import write_report

    n, row = int(size), {"runs": int(size)}
    meta, runs = make_runs(n)
    library = Library(folder / "library")
    with timed(row, "new", n):
        store = open_store(folder / "one", meta, runs, library)
        todo = store.unfinished()
    train(store, todo, row, seconds=float(seconds))
    with timed(row, "score", n):
        store.score()
    release(store.folder)
    with timed(row, "report", n):
        write_report(folder / "one")
    with timed(row, "compare", n):
        write_comparison([folder / "one"], out=folder / "compared")
    with timed(row, "open", n):
        again = open_store(folder / "one", meta, runs, library)
    with timed(row, "unfinished", n):
        assert not again.unfinished()
    with timed(row, "take", n):
        assert not open_store(folder / "other", meta, runs, library).unfinished()
    files = [file.stat() for file in (folder / "one").rglob("*") if file.is_file()]
    row |= {"files": len(files), "kB_a_run": round(sum(file.st_size for file in files) / n / 1e3, 1),
            "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000}    # fmt: skip
    library.close()
    print(json.dumps(row))


@contextmanager
def timed(row: dict, name: str, n: int) -> Iterator[None]:
    """Note milliseconds of a core for each run."""
    began = time.process_time()
    yield
    row[name] = round(1e3 * (time.process_time() - began) / n, 3)
    print(name, row[name], flush=True)


def train(store, runs: list, row: dict, *, seconds: float) -> None:
    """Train as an experiment does, and note what adding and sharing take apart."""
    labels, began, shared, added = store.meta["label"].to_numpy(), time.perf_counter(), 0.0, 0.0
    publish, free = store.sharing.library.publish, store.sharing.library.free
    marks: list[float] = []

    def timed_publish(*arguments) -> None:
        begin = time.process_time()
        publish(*arguments)
        marks.append(time.process_time() - begin)

    def timed_free(key: str) -> None:
        begin = time.process_time()
        free(key)
        marks.append(time.process_time() - begin)

    store.sharing.library.publish, store.sharing.library.free = timed_publish, timed_free
    for run in runs:
        begin = time.process_time()
        store.claim([run])
        shared += time.process_time() - begin
        prediction = make_prediction(run, labels)
        time.sleep(seconds)
        begin, before = time.process_time(), sum(marks)
        marks[:] = [before]
        store.add(prediction)
        inside = sum(marks) - before
        shared, added = shared + inside, added + time.process_time() - begin - inside
    row["wall"] = round(1e3 * (time.perf_counter() - began) / len(runs), 2)
    row["add"], row["share"] = (round(1e3 * spent / len(runs), 3) for spent in (added, shared))
    print("add", row["add"], "share", row["share"], flush=True)


def make_runs(n: int) -> tuple[pd.DataFrame, list]:
    """A table of trials of two sessions, and runs from the first to the second."""
    from eegdecode.runs import Run, Split

    trial = np.arange(2 * N_TRIALS * N_SUBJECTS)
    meta = pd.DataFrame({"trial": [f"trial{i:06d}" for i in trial], "label": trial % len(CLASSES),
                         "subject": (1 + trial // (2 * N_TRIALS)).astype(str)})    # fmt: skip
    splits = []
    for subject in range(N_SUBJECTS):
        first, second = np.split(trial[trial // (2 * N_TRIALS) == subject], 2)
        splits.append(Split(first[58:], first[:58], second, str(subject + 1), "1test", 0, "cross_session"))
    n_seeds = n // (N_SUBJECTS * len(RATES))
    return meta, [Run(split, seed, {"lr": lr}) for seed in range(n_seeds) for lr in RATES for split in splits]


def open_store(folder: Path, meta: pd.DataFrame, runs: list, library):
    from eegdecode.reporting.store import Store

    facts = {"dataset": "made_up", "model": "eegnet", "protocol": "cross_session", "command": "python train.py"}
    return Store(folder, runs=runs, meta=meta, classes=CLASSES, context={}, facts=facts, library=library,
                 fingerprints=dict.fromkeys(meta["subject"].unique(), "0" * 32))    # fmt: skip


def make_prediction(run, labels: np.ndarray):
    """Answers and curves of a network that learns, drawn from the run's seed."""
    from eegdecode.reporting.tables import HISTORY_COLUMNS
    from eegdecode.runs import Prediction

    rng = np.random.default_rng([run.seed, int(run.split.subject), int(1e6 * run.numbers["lr"])])
    logits = {
        part: (np.eye(len(CLASSES))[labels[rows]] + rng.normal(size=(len(rows), len(CLASSES)))).astype(np.float32)
        for part, rows in (("val", run.split.val), ("test", run.split.test))
    }
    history = pd.DataFrame(rng.random((N_EPOCHS, len(HISTORY_COLUMNS))), columns=list(HISTORY_COLUMNS))
    history["epoch"] = np.arange(1, N_EPOCHS + 1)
    history["train_loss"] = 1.4 * np.exp(-history["epoch"] / 30)
    history["val_loss"] = 0.5 + 0.9 * np.exp(-history["epoch"] / 30)
    weights = {"head.weight": rng.normal(size=N_PARAMS).astype(np.float32)}
    return Prediction(run, logits, history, N_EPOCHS, N_PARAMS, TRAINING, weights, {"name": "eegnet"})
