"""A search against the same trials as one process each: what a trial costs beside its training."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tasks import DOOR
from eegdecode.search.settings import NOT_IDENTITY, OPTIONS

SCRIPTS = DOOR.parent
OUT = Path("notebooks/benchmarks")
TINY = ["dataset=simulated", "sweep.seeds=1"]    # 4 subjects: a trial is four runs


def measure_search(folder: Path, *words: str) -> None:
    """Search, then train its trials by ``scripts/train.py``; print all.

    Words are ``n_trials=...``, ``workers=...`` and ``pruner=...`` of the search (1, none), ``by_hand=...`` (how many of
    its trials processes train, evenly from the first to the last; 0: all), ``by_subject=...`` (for how many of those
    also each subject gets a process of its own; protocols within a subject alone), ``"hand=..."``, once or several
    times (overrides that say how a process trains its runs; unless given as `train.py` does by itself, on every core)
    and overrides; the search is ``sttransformer_search`` unless ``sweep=`` says another. The same settings, on the same
    machine, with the same data cache filled before. A search that FOLDER holds already is not searched again. A process
    knows nothing of other trials and cannot stop one that falls behind: what a pruner saves is part of the ratio, so
    the table says how many it stopped. Of several workers each has its share of the cores; a process by hand has all.
    What the processes train are the splits of the outer protocol, a little longer than the inner ones of the search:
    with 20 % more trials, and as many steps.
    """
    own = {"n_trials": "8", "workers": "1", "by_subject": "0", "by_hand": "0", "pruner": "none"}
    given = own | {key: value for key, _, value in (word.partition("=") for word in words) if key in own}
    hands = [word.removeprefix("hand=") for word in words if word.startswith("hand=")] or [""]
    typed = [word for word in words if word.partition("=")[0] not in (*own, "hand")] or TINY
    named = [word for word in typed if word.startswith("sweep=")] or ["sweep=sttransformer_search"]
    ours = [word for word in typed if word.partition("=")[0] in OPTIONS]    # of the search, not of a training
    rest = [word for word in typed if word not in (*named, *ours)]
    settings = [word for word in rest if word.partition("=")[0] not in NOT_IDENTITY]
    n_trials, n_workers, by_subject, by_hand = (int(given[name]) for name in own if name != "pruner")
    pruner = f"pruner={given['pruner']}"
    base = [sys.executable, str(SCRIPTS / "sweep.py"), *named, "final_seeds=1", *ours, *rest, "run_store=null"]
    out = folder / "search"
    _run([*base, "final_seeds=1", "n_trials=1", "pruner=none", f"out_dir={folder / 'warm'}"])    # fills the cache
    began = time.perf_counter()
    command = [*base, f"n_trials={n_trials}", pruner, f"out_dir={out}"]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // n_workers))}
    others = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_environment(threads))
              for _ in range(n_workers - 1)]    # fmt: skip
    _run(command, threads)
    for other in others:
        other.wait()
    searched = time.perf_counter() - began
    trials = pd.read_csv(out / "trials.csv", keep_default_na=False, na_values=[""])
    about: dict[str, Any] = json.loads((out / "search.json").read_text())
    inside = float(trials["took"].sum()) / n_workers
    every = trials[trials["state"].isin(["done", "pruned"])]
    picked = np.linspace(0, len(every) - 1, min(by_hand or len(every), len(every))).round().astype(int)
    each, n_stopped = inside / len(trials), int((trials["state"] == "pruned").sum())
    rest_of_it = f"; start, test and report {searched - inside:.1f} s" if searched > inside else ""
    lines = [
        f"{len(trials)} trials of {shlex.join([*named, *rest])}, on {os.cpu_count()} cores",
        f"{pruner} stopped {n_stopped} of them; {len(picked)} were trained by hand",
        f"search with {n_workers} worker(s): {each:.2f} s a trial{rest_of_it}",
    ]
    for number, hand in enumerate(hands):
        taken = [*about["base"], *settings, *hand.split()]
        alone, apart = _by_hand(every.iloc[picked], folder / "alone" / str(number), about["space"], taken, by_subject)
        how = f"one after the other, {hand or 'as train.py does'}"
        lines.append(f"a process a trial, {how}: {_against(each, alone)} (goal: at least 5)")
        if apart:
            lines.append(f"a process a subject, {how} ({len(apart)} trials): {_against(each, apart)}")
    print("\n".join(lines))
    OUT.mkdir(parents=True, exist_ok=True)
    name = "search.txt" if given["pruner"] == "none" else f"search_{given['pruner']}.txt"
    (OUT / name).write_text("\n".join(lines) + "\n")


def _by_hand(
    trials: pd.DataFrame, folder: Path, space: dict[str, Any], words: list[str], by_subject: int
) -> tuple[list[float], list[float]]:    # fmt: skip
    """Seconds of each trial in a process of its own, and of the first ones with a process a subject."""
    alone, apart = [], []
    for row in trials.to_dict("records"):
        chosen = [f"{path}={row[path]}" for path in space if row[path] == row[path]]
        chosen = [word.removesuffix(".0") if _whole(space, word) else word for word in chosen]
        chosen = sorted(chosen, key=lambda word: "." in word.split("=")[0])
        train = [sys.executable, str(SCRIPTS / "train.py"), *words, *chosen, "trainer.validation=0.2"]
        place = folder / str(row["trial"])
        alone.append(_run([*train, "run_store=null", f"out_dir={place}"])[1])
        print(f"trial {row['trial']}: {alone[-1]:.1f} s", flush=True)
        if len(alone) <= by_subject:
            subjects = pd.read_csv(place / "scores.csv", dtype={"subject": str})["subject"].unique()
            ones = [[f"dataset.subjects=[{name}]", f"out_dir={place}_{name}"] for name in subjects]
            kept = [word for word in train if not word.startswith("dataset.subjects=")]
            apart.append(sum(_run([*kept, *one, "run_store=null"])[1] for one in ones))
            print(f"trial {row['trial']}, a process a subject: {apart[-1]:.1f} s", flush=True)
    return alone, apart


def _against(each: float, by_hand: list[float]) -> str:
    once = sum(by_hand) / len(by_hand)
    return f"{once:.2f} s a trial; ratio {once / each:.2f}"


def _whole(space: dict[str, Any], word: str) -> bool:
    """Whether a number that a table with gaps made a decimal is a whole one."""
    words = space[word.split("=")[0]]
    return "int" in words or all(isinstance(value, int) for value in words.get("choice", [0.5]))


def _environment(more: dict[str, str]) -> dict[str, str]:
    """What processes are given: all cores, whatever stands in ours, or as many as is said."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | more


def _run(command: list[str], more: dict[str, str] | None = None) -> tuple[str, float]:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(more or {}))
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - began
