"""The comparison report: time of the door for 500 runs (twelve models, ten subjects, five seeds) and for more."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tasks import DOOR, REPEATS, spread

N_SUBJECTS, N_SEEDS, N_TRIALS, CLASSES = 10, 5, 288, ("left", "right", "feet", "tongue")    # a session of 2a
MODELS = {
    "tcformer": 77.8e3, "atcnet": 113.7e3, "ctnet": 152.7e3, "basenet": 3.7e3, "eeg_tcnet": 4.1e3,
    "eeg_conformer": 789.6e3, "eegnet": 1.7e3, "ts_lr": 0, "csp_lda": 0, "shallow_convnet": 44.6e3, "gru": 21e3,
    "bilstm": 38e3,
}    # fmt: skip
PROTOCOLS = ("cross_session", "within_session", "cross_subject")


def measure_report(folder: Path) -> None:
    """Seconds of ``scripts/report.py`` on 520 runs of one protocol, and on those of three."""
    for protocol in PROTOCOLS:
        for place, model in enumerate(MODELS):
            write_runs(folder / protocol / model, model, protocol, skill=2.2 - 0.14 * place)
    for places in ([folder / PROTOCOLS[0]], [folder / protocol for protocol in PROTOCOLS]):
        command = [sys.executable, DOOR.parent / "report.py", *places, f"out={folder / 'report'}"]
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        n_runs = sum(len(list(place.glob("*/finished/*.npz"))) for place in places)
        print(f"report of {n_runs} runs: {spread(times)}" + (" (goal: below 20)" if len(places) == 1 else ""))


def write_runs(folder: Path, model: str, protocol: str, *, skill: float) -> None:
    """A run folder as training leaves it, with made-up answers: the better, the larger `skill`."""
    from eegdecode.reporting.store import Store
    from eegdecode.runs import Prediction, Run, Split

    n = 2 * N_TRIALS * N_SUBJECTS
    trial = np.arange(n)
    meta = pd.DataFrame({"trial": [f"trial{i:05d}" for i in trial], "label": trial % len(CLASSES),
                         "subject": (1 + trial // (2 * N_TRIALS)).astype(str)})    # fmt: skip
    runs = []
    for subject in range(N_SUBJECTS):
        rows = np.split(trial[trial // (2 * N_TRIALS) == subject], 2)
        split = Split(rows[0], rows[0][:0], rows[1], str(subject + 1), "1test", 0, protocol)
        runs += [Run(split, seed) for seed in range(N_SEEDS if MODELS[model] else 1)]
    fingerprints = dict.fromkeys(meta["subject"].unique(), "0" * 32)
    facts = {"dataset": "made_up", "model": model, "protocol": protocol, "command": f"python train.py model={model}"}
    store = Store(folder, runs=runs, meta=meta, classes=CLASSES, fingerprints=fingerprints, context={"model": model},
                  facts=facts)    # fmt: skip
    for run in store.unfinished():
        rng = np.random.default_rng([run.seed, *map(ord, model + run.split.subject)])
        talent = skill * np.random.default_rng(int(run.split.subject)).uniform(0.4, 1.2)
        labels = meta["label"].to_numpy()[run.split.test]
        logits = talent * np.eye(len(CLASSES))[labels] + rng.normal(size=(len(labels), len(CLASSES)))
        seconds = 1e-3 * MODELS[model] ** 0.8 + 0.3
        store.add(Prediction(
            run, {"test": logits, "val": np.zeros((0, len(CLASSES)))}, pd.DataFrame(), 0, int(MODELS[model]), seconds,
        ))    # fmt: skip
    store.score()
