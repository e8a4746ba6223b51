"""A search against the same trials as one process each: what a trial costs beside its training."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.tasks import DOOR

SCRIPTS = DOOR.parent
OUT = Path("notebooks/benchmarks")
TINY = ["dataset=simulated", "sweep.seeds=1"]    # 4 subjects: a trial is four runs


def measure_search(folder: Path, *words: str) -> None:
    """Search, without stopping trials early, then train each of its trials by ``scripts/train.py``; print both.

    Words are ``n_trials=...`` and overrides; the search is ``sttransformer_search`` unless ``sweep=`` says another. The
    same settings, on the same machine, with the same data cache filled before. What the processes train are the splits
    of the outer protocol, a little longer than the inner ones of the search: with 20 % more trials, and as many steps.
    """
    typed = list(words) or TINY
    named = [word for word in typed if word.startswith("sweep=")] or ["sweep=sttransformer_search"]
    options = [word for word in typed if word.startswith("n_trials=")] or ["n_trials=8"]
    rest = [word for word in typed if word not in (*named, *options)]
    base = [sys.executable, str(SCRIPTS / "sweep.py"), *named, *rest]
    out = folder / "search"
    _run([*base, "n_trials=1", "pruner=none", f"out_dir={folder / 'warm'}"])    # fills the cache
    _, searched = _run([*base, *options, "pruner=none", "final_seeds=1", f"out_dir={out}"])
    trials = pd.read_csv(out / "trials.csv", keep_default_na=False, na_values=[""])
    about: dict[str, Any] = json.loads((out / "search.json").read_text())
    inside = float(trials["took"].sum())
    alone = 0.0
    for row in trials[trials["state"] == "done"].to_dict("records"):
        chosen = [f"{path}={row[path]}" for path in about["space"] if row[path] == row[path]]
        chosen = [word.removesuffix(".0") if _whole(about["space"], word) else word for word in chosen]
        words_of_trial = sorted(chosen, key=lambda word: "." in word.split("=")[0])
        command = [sys.executable, str(SCRIPTS / "train.py"), *about["base"], *rest, *words_of_trial]
        alone += _run([*command, "trainer.validation=0.2", f"out_dir={folder / 'alone' / str(row['trial'])}"])[1]
    training = float(trials["training"].sum())
    lines = [
        f"{len(trials)} trials of {shlex.join([*named, *rest])}, on {os.cpu_count()} cores",
        f"trials in one process: {inside:.1f} s, {inside / len(trials):.2f} s each, of which runs trained "
        f"{training / len(trials):.2f} s (added up over processes)",
        f"one process each: {alone:.1f} s, {alone / len(trials):.2f} s each",
        f"ratio: {alone / inside:.2f} (goal: at least 5), without start, final test and report of the search, "
        f"{searched - inside:.1f} s",
    ]    # fmt: skip
    print("\n".join(lines))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "search.txt").write_text("\n".join(lines) + "\n")


def _whole(space: dict[str, Any], word: str) -> bool:
    """Whether a number that a table with gaps made a decimal is a whole one."""
    words = space[word.split("=")[0]]
    return "int" in words or all(isinstance(value, int) for value in words.get("choice", [0.5]))


def _run(command: list[str]) -> tuple[str, float]:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - began
