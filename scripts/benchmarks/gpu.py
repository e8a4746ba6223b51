"""What a step of a stack takes on a GPU, as Python starts its kernels and played back from a recording (`Replay`).

``benchmark.py gpu`` trains 55 runs side by side (11 people left out in turn, five seeds; noise in the shape of
`ssvep_exo`: 8 channels, 512 samples, 720 training trials in batches of 32) with every network, or those that are named,
for some epochs each way. The first epoch is not counted: it holds the recording.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from hydra.utils import instantiate

from benchmarks.table import markdown
from benchmarks.tasks import DOOR
from eegdecode.protocols import CrossSubject
from eegdecode.sweeps import Sweep, expand
from eegdecode.training import loop
from eegdecode.training.batches import Material
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.trials import Signal, Trials

OUT = Path("notebooks/benchmarks")
CONFIGS = DOOR.parents[1] / "configs" / "model"
NETWORKS = (
    "sttransformer", "eegnet", "shallow_convnet", "deep_convnet", "eeg_tcnet", "eeg_conformer", "atcnet", "ctnet",
    "basenet", "tcformer", "bilstm", "gru", "s3t",
)    # fmt: skip
EPOCHS = 4


def measure_gpu(folder: Path, *words: str) -> None:
    """Write ``gpu.csv`` and ``gpu.md``; ``device=cpu`` tries the measurement without a GPU."""
    device = next((word.partition("=")[2] for word in words if word.startswith("device=")), "cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; device=cpu tries the measurement, and means nothing")
    rows = [_row(name, device) for name in [word for word in words if "=" not in word] or NETWORKS]
    OUT.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(OUT / "gpu.csv", index=False)
    machine = DeepTrainer(device=device).machine
    lines = ["# A step on a GPU", f"Machine: {machine}; torch {torch.__version__}. {(__doc__ or '').strip()}"]
    (OUT / "gpu.md").write_text("\n\n".join([*lines, markdown(pd.DataFrame(rows))]) + "\n")


def _row(name: str, device: str) -> dict:
    plain, played = (1e3 * _seconds(name, device, replay=replay) for replay in (False, True))
    row = {"network": name, "ms a step": round(plain, 1), "played back": round(played, 1),
           "times": round(plain / played, 1)}    # fmt: skip
    print(row, flush=True)
    return row


def _seconds(name: str, device: str, *, replay: bool) -> float:
    """Median time of a step over the epochs but the first."""
    trials = _trials()
    runs = expand(CrossSubject()(trials.meta, validation=0.0), Sweep(seeds=5), seed=0)
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    config.pop("defaults", None)
    trainer = DeepTrainer(epochs=EPOCHS, device=device, ensemble="vectorise", replay=replay)
    times, epoch = [], loop.train_epoch

    def timed(task, adam, rngs, shares, **others):
        _wait(device)
        start, done = time.perf_counter(), epoch(task, adam, rngs, shares, **others)
        _wait(device)
        times.append((time.perf_counter() - start) / len(shares))
        return done

    loop.train_epoch = timed
    try:
        material = Material.of(trials, per_trial=False, device=device)
        given = {"frontend": ZScore(), "mode": "vectorise", "on_epoch": lambda run, row: None}
        loop.train_stack(trainer, instantiate(config), material, runs, **given)
    finally:
        loop.train_epoch = epoch
    return float(np.median(times[1:]))


def _trials() -> Trials:
    rng, n_subjects, n_each = np.random.default_rng(0), 11, 72
    rows = np.arange(n_subjects * n_each)
    meta = pd.DataFrame({"trial": rows.astype(str), "subject": (rows // n_each).astype(str), "session": "0",
                         "run": "0", "label": rows % 4})    # fmt: skip
    signal = Signal(tuple("abcdefgh"), 256.0, 0.0, np.full((8, 3), np.nan))
    X = rng.standard_normal((len(rows), 8, 512), dtype=np.float32)
    return Trials(X, meta, signal, ("a", "b", "c", "d"), "noise", {})


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
