"""The engine: a training step against the limits of the machine, against peers, and whole experiments."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.nn import functional as F

from benchmarks.floors import FLOORS
from benchmarks.table import write_table
from benchmarks.tasks import DOOR, call

OUT = Path("notebooks/benchmarks")
N_TRIALS, N_TIMES, SFREQ, N_CLASSES, BATCH = 288, 1000, 250.0, 4, 64    # a session of 2a
ROUNDS, EPOCHS = 5, 3    # processes a form, in turn with the others; epochs in each after the first
FORMS = {    # network: channels, forms of it, the slowest first
    "eegnet": (22, ("braindecode", "plain", "ours")),
    "s3t": (16, ("plain", "ours")),
    "sttransformer": (22, ("braindecode-eegnet", "ours")),    # a Transformer shall cost no more than that
}
GOALS = {("eegnet", "braindecode"): 8.0, ("s3t", "plain"): 3.0, ("sttransformer", "braindecode-eegnet"): 1.0}
N_RUNS, PEER_RUNS, RUN_EPOCHS = 30, 3, 20


def measure_engine(folder: Path) -> None:
    """Make every figure of the engine, and write them as CSV, Markdown and figure."""
    warnings.simplefilter("ignore")
    limits = json.loads(call("machine", folder))
    print(f"machine: {limits}")
    rows = [row for network in FORMS for row in _compare(network, folder, limits)]
    table = pd.DataFrame(rows)
    runs = json.loads(call("runs", folder))
    print(f"runs: {runs}")
    write_table(table, limits, runs, OUT)


def machine(folder: Path) -> None:
    """Bandwidth of a copy and rate of a matrix product, with all threads: medians."""
    x, out = torch.ones(2**26), torch.ones(2**26)    # 268 MB each: no cache holds them
    a = torch.randn(2048, 2048)
    copy, product = (np.median([_seconds(f) for _ in range(9)]) for f in (lambda: out.copy_(x), lambda: a @ a))
    print(json.dumps({
        "processor": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "gigabytes_s": round(2 * x.nbytes / copy / 1e9, 1), "gigaflops": round(2 * 2048**3 / product / 1e9, 1),
    }))    # fmt: skip


def epochs(folder: Path, network: str, form: str) -> None:
    """Seconds of some training epochs of one form of a network, after one to warm up."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(N_TRIALS, FORMS[network][0], N_TIMES)).astype(np.float32)
    y = np.arange(N_TRIALS) % N_CLASSES
    epoch = _our_epoch(network, x, y) if form == "ours" else _plain_epoch(_peer(network, form), x, y)
    epoch()
    print(json.dumps([_seconds(epoch) for _ in range(EPOCHS)]))


def runs(folder: Path) -> None:
    """Hours of many runs: `train.py` as users type it, and a loop over braindecode's EEGClassifier."""
    own = ["dataset=simulated", "dataset.n_subjects=6", "dataset.n_trials=72", "dataset.n_runs=4", "dataset.sfreq=250",
           "frontend=none", "model=eegnet", "model.kernel=0.256", "sweep.seeds=5",
           f"trainer.epochs={RUN_EPOCHS}", "device=cpu"]    # fmt: skip
    environment = {**os.environ, "EEGDECODE_CACHE": str(folder / "runs")}
    train = [sys.executable, str(DOOR.parent / "train.py"), *own]
    warm = ["sweep.seeds=1", "trainer.epochs=1"]
    subprocess.run([*train, *warm, f"out_dir={folder / 'warm'}"], check=True, env=environment, capture_output=True)
    began = time.perf_counter()
    subprocess.run([*train, f"out_dir={folder / 'ours'}"], check=True, env=environment, capture_output=True)
    ours = N_RUNS / (time.perf_counter() - began) * 3600
    scores = pd.read_csv(folder / "ours" / "scores.csv")
    theirs, accuracy = _peer_runs(folder / "runs") if _has_braindecode() else (None, None)
    print(json.dumps({
        "n_runs": len(scores), "epochs": RUN_EPOCHS, "ours_an_hour": round(ours),
        "peer_an_hour": None if theirs is None else round(theirs), "peer_runs": PEER_RUNS,
        "ratio": None if theirs is None else round(ours / theirs, 1),
        "accuracy_ours": round(float(scores["test_accuracy"].mean()), 3), "accuracy_peer": accuracy,
    }))    # fmt: skip


def _compare(network: str, folder: Path, limits: dict) -> list[dict]:
    """Time the forms of a network in turn; every figure is a median, every ratio one of ratios of a round."""
    n_chans, forms = FORMS[network]
    forms = [form for form in forms if not form.startswith("braindecode") or _has_braindecode()]
    times = {form: [] for form in forms}
    for _ in range(ROUNDS):
        for form in forms:
            times[form].append(np.median(json.loads(call("epochs", folder, network, form))))
    floor = FLOORS[network](n_chans, N_TIMES, N_TRIALS) if network in FLOORS else None
    rows = []
    for form in forms:
        ratio = float(np.median(np.array(times[form]) / np.array(times["ours"])))
        seconds = float(np.median(times[form]))
        row = {"network": network, "form": form, "ms_an_epoch": round(1000 * seconds, 1), "times_ours": round(ratio, 1),
               "goal": GOALS.get((network, form))}    # fmt: skip
        if floor and form != "braindecode-eegnet":    # it is the floor of another network
            least = max(floor.operations / limits["gigaflops"], floor.bytes / limits["gigabytes_s"]) / 1e9
            row |= {"floor_ms": round(1000 * least, 1), "times_floor": round(seconds / least, 1)}
        print(row, flush=True)
        rows.append(row)
    return rows


def _seconds(what) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def processor() -> str:
    """Name of the processor, as the system gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _has_braindecode() -> bool:
    return importlib.util.find_spec("braindecode") is not None


def _peer_runs(cache: Path) -> tuple[float, float]:
    """Runs an hour of braindecode's own way on the same trials, and their mean accuracy."""
    from braindecode import EEGClassifier  # pyright: ignore[reportMissingImports]  (optional)
    from braindecode.models import EEGNet  # pyright: ignore[reportMissingImports]
    from skorch.dataset import ValidSplit  # pyright: ignore[reportMissingImports]

    from eegdecode.data.prepare import load_trials
    from eegdecode.data.preprocess import Preprocess
    from eegdecode.data.simulated import SimulatedDataset

    dataset = SimulatedDataset(n_subjects=6, n_trials=72, n_runs=4)
    trials = load_trials(dataset, Preprocess(l_freq=4, h_freq=40), cache_dir=cache)
    scores, began = [], time.perf_counter()
    for subject in list(dict.fromkeys(trials.meta["subject"]))[:PEER_RUNS]:
        mine = trials.meta[trials.meta["subject"] == subject]
        first = mine["session"] == mine["session"].iloc[0]
        train, test = mine.index[first].to_numpy(), mine.index[~first].to_numpy()
        network = EEGNet(n_chans=trials.X.shape[1], n_outputs=len(trials.classes), n_times=trials.X.shape[2])
        classifier = EEGClassifier(
            network, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, optimizer__lr=1e-3,
            batch_size=32, max_epochs=RUN_EPOCHS, train_split=ValidSplit(5, stratified=True), verbose=0,
            callbacks=["accuracy"],
        )    # fmt: skip
        classifier.fit(trials.X[train], trials.y[train])
        scores.append((classifier.predict(trials.X[test]) == trials.y[test]).mean())
    return PEER_RUNS / (time.perf_counter() - began) * 3600, round(float(np.mean(scores)), 3)


def fast(network: str) -> partial:
    from eegdecode.models.eegnet import EEGNet
    from eegdecode.models.s3t import S3T

    if network == "sttransformer":    # as people train it
        config: Any = OmegaConf.load(DOOR.parents[1] / "configs" / "model" / "sttransformer.yaml")
        return instantiate({key: value for key, value in config.items() if key != "defaults"}, _convert_="all")
    return {"eegnet": partial(EEGNet, kernel=0.256), "s3t": partial(S3T)}[network]    # 64 taps, as braindecode's


def _peer(network: str, form: str) -> torch.nn.Module:
    n_chans = FORMS[network][0]
    if form.startswith("braindecode"):
        from braindecode.models import EEGNet  # pyright: ignore[reportMissingImports]  (optional)

        return EEGNet(n_chans=n_chans, n_outputs=N_CLASSES, n_times=N_TIMES)    # 64 taps
    from eegdecode.models.plain import PlainEEGNet, PlainS3T

    plain = {"eegnet": partial(PlainEEGNet, kernel=0.256), "s3t": PlainS3T}
    return plain[network](n_chans, N_TIMES, N_CLASSES, SFREQ)


def _plain_epoch(net: torch.nn.Module, x: np.ndarray, y: np.ndarray):
    """The loop of every tutorial."""
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    xs, ys = torch.from_numpy(x), torch.from_numpy(y)

    def epoch() -> None:
        for rows in torch.randperm(len(xs)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(net(xs[rows]), ys[rows]).backward()
            optimiser.step()

    return epoch


def _our_epoch(network: str, x: np.ndarray, y: np.ndarray):
    """One pass of `eegdecode.training.loop`, front end, clipping and all."""
    from eegdecode.runs import Run, Split
    from eegdecode.training.batches import Material, draw_epoch
    from eegdecode.training.frontend import Identity
    from eegdecode.training.heap import keep_freed_memory
    from eegdecode.training.loop import Task, update
    from eegdecode.training.optim import Adam
    from eegdecode.training.settings import DeepSettings
    from eegdecode.trials import Signal, Trials

    keep_freed_memory()
    rows = np.arange(len(x))
    names = [str(i) for i in rows]
    meta = pd.DataFrame({"trial": names, "subject": "1", "session": "0", "run": "0", "label": y})
    signal = Signal(tuple(f"E{i}" for i in range(x.shape[1])), SFREQ, 0.0, np.full((x.shape[1], 3), np.nan))
    trials = Trials(x, meta, signal, ("a", "b", "c", "d"), "noise", {}, pd.DataFrame())
    settings, rng = DeepSettings(batch_size=BATCH, device="cpu"), np.random.default_rng(0)
    split = Split(train=rows[1:], val=rows[:0], test=rows[:1], subject="1", session="0", fold=0, protocol="noise")
    task = Task.build(
        settings, fast(network), Material.of(trials, per_trial=False, device="cpu"), [Run(split, seed=0)],
        frontend=Identity(), mode="loop",
    )    # fmt: skip
    adam = Adam(betas=settings.betas, decoupled=True)

    def epoch() -> None:
        for batch in draw_epoch([rows[1:]], [rng], batch_size=BATCH):
            update(task, adam, torch.as_tensor(batch), share=1.0)

    return epoch
