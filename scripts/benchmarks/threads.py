"""What it costs that torch's threads wait for each other by spinning: on an idle machine, and beside other work.

``benchmark.py threads`` trains one stack in one process, on all cores, with libgomp's own number of turns before a
thread that waits lets go of its core, with ours (`eegdecode.SPINS`) and with none. Beside it runs nothing, or one
process that counts. In turn, medians.
"""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

import eegdecode
from benchmarks.table import markdown, publish
from benchmarks.tasks import run_door

OUT = Path("notebooks/benchmarks")
REPEATS = 5
MODELS = ("sttransformer", "eegnet")
USUAL = "300000"    # libgomp's own number
TURNS = {"libgomp": USUAL, "ours": eegdecode.SPINS, "none": "0"}
WORDS = (    # six subjects, one training of each
    "run_store=null", "device=cpu", "trainer.ensemble=vectorise", "trainer.updates=50", "trainer.validation=0",
    "trainer.preflight=false",
)    # fmt: skip


def measure_threads(folder: Path) -> None:
    """Write ``threads.csv`` and ``threads.md``."""
    rows = []
    for model in MODELS:
        for beside in (False, True):
            times = pd.DataFrame([
                {name: _seconds(folder, model, turns, beside=beside) for name, turns in TURNS.items()}
                for _ in range(REPEATS)
            ]).median()    # fmt: skip
            named = {"model": model, "beside": "one process that counts" if beside else "nothing"}
            rows.append(named | {f"{name}, s": round(float(each), 2) for name, each in times.items()})
            rows[-1]["ours to libgomp"] = round(float(times["ours"] / times["libgomp"]), 2)
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    lines = [
        "# Threads that wait for each other",
        f"Seconds that `train.py {' '.join(WORDS)}` trains in one process with {os.cpu_count()} threads, start and "
        f"data not counted, medians of {REPEATS} in turn. A thread that waits for another turns {USUAL} "
        f"times before it lets go of its core (libgomp's own number), {TURNS['ours']} times (ours) or not at all. "
        "Made by `python scripts/benchmark.py threads`.",
        markdown(table),
    ]
    publish(table, lines, OUT, "threads")


def _seconds(folder: Path, model: str, turns: str, *, beside: bool) -> float:
    """Seconds of training alone."""
    out = folder / f"{model}_{turns}_{beside}_{len(list(folder.glob('*')))}"
    hidden = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"GOMP_SPINCOUNT": turns}
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside else None
    try:
        run_door("train.py", *WORDS, f"model={model}", f"out_dir={out}", environment=environment)
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return float(pd.read_csv(out / "scores.csv")["seconds"].sum())
