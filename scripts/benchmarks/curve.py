"""The curve: what a run costs as the number of runs grows, and on a GPU the goals of whole benchmarks."""

import os
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.engine import fast, processor
from benchmarks.table import markdown

OUT = Path("notebooks/benchmarks")
COUNTS = (1, 2, 4, 8, 16, 32, 90)
SESSION, N_CHANS, N_TIMES, SFREQ, CLASSES = 288, 22, 1000, 250.0, ("a", "b", "c", "d")    # of 2a
FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "cuda": {"stack": {}, "compiled stack": {"compile": True}, "one by one": {"ensemble": "loop"}},
    "cpu": {"workers": {}, "one by one": {"workers": 1}},
}
EPOCHS = {"cuda": 20, "cpu": 2}
FEWEST = {"one by one": 4}    # runs of the forms whose cost cannot fall
GOALS = {"eegnet": "9 subjects x 10 seeds x 500 epochs in 2a's shape", "s3t": "the same of S3T"}


def measure_curve(folder: Path) -> None:
    """Measure and write ``curve.csv``, ``curve.md`` and ``curve.png``."""
    warnings.simplefilter("ignore")
    device, load = "cuda" if torch.cuda.is_available() else "cpu", os.getloadavg()[0]
    trials, rows = _noise(n_subjects=9 if device == "cuda" else 1), []
    for form, settings in FORMS[device].items():
        for n in [n for n in COUNTS if n <= FEWEST.get(form, n)]:
            run = partial(_seconds, "eegnet", trials, n, device=device, **settings)
            if device == "cuda":    # not counted: compilation, of which torch keeps eight sizes
                torch.compiler.reset()
                run(epochs=1)
            seconds = run(epochs=EPOCHS[device])
            rows.append({"form": form, "runs": n, "seconds": round(seconds, 2), "seconds_a_run": round(seconds / n, 3)})
            print(rows[-1], flush=True)
    goals = [_goal(network, trials) for network in GOALS] if device == "cuda" else []
    _write(pd.DataFrame(rows), pd.DataFrame(goals), OUT, device=device, load=load)


def _seconds(network: str, trials: Any, n_runs: int, *, epochs: int, device: str, **settings: Any) -> float:
    """Time of so many runs, from the call of the trainer to the last prediction."""
    from eegdecode.sweeps import Sweep, expand, stacks
    from eegdecode.training.deep import DeepTrainer
    from eegdecode.training.frontend import CSP, Identity

    subjects = trials.meta["subject"].nunique()
    runs = expand(_splits(trials), Sweep(seeds=-(-n_runs // subjects)), seed=0)[:n_runs]
    frontend = CSP(n_filters=4) if network == "s3t" else Identity()
    trainer = DeepTrainer(epochs=epochs, batch_size=64, device=device, **settings)
    began = time.perf_counter()
    done = list(trainer.fit(fast(network), trials, stacks(runs), frontend=frontend, on_epoch=lambda run, row: None))
    assert len(done) == n_runs
    return time.perf_counter() - began


def _goal(network: str, trials: Any) -> dict[str, Any]:
    """A whole benchmark, and the loop over its runs scaled up from two of them."""
    run = partial(_seconds, network, trials, device="cuda")
    run(2, epochs=2)    # to warm up
    whole, few = run(90, epochs=500), run(2, epochs=20, ensemble="loop")
    loop = few / (2 * 20) * 90 * 500
    return {"network": network, "what": GOALS[network], "minutes": round(whole / 60, 1),
            "loop_minutes_scaled": round(loop / 60, 1), "ratio_scaled": round(loop / whole, 1)}    # fmt: skip


def _noise(*, n_subjects: int) -> Any:
    from eegdecode.trials import Signal, Trials

    n = 2 * SESSION * n_subjects
    x = np.random.default_rng(0).standard_normal((n, N_CHANS, N_TIMES), np.float32)
    trial = np.arange(n)
    meta = pd.DataFrame({
        "trial": trial.astype(str), "subject": (1 + trial // (2 * SESSION)).astype(str),
        "session": (trial // SESSION % 2).astype(str), "run": "0", "label": trial % len(CLASSES),
    })    # fmt: skip
    signal = Signal(tuple(f"E{i}" for i in range(N_CHANS)), SFREQ, 0.0, np.full((N_CHANS, 3), np.nan))
    return Trials(x, meta, signal, CLASSES, "noise", {}, pd.DataFrame())


def _splits(trials: Any) -> list:
    from eegdecode.protocols import CrossSession

    return CrossSession()(trials.meta, validation=0.2)


def _write(table: pd.DataFrame, goals: pd.DataFrame, out: Path, *, device: str, load: float) -> None:
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "curve.csv", index=False)
    where = torch.cuda.get_device_name() if device == "cuda" else processor()
    busy = (
        f" The machine was not idle: load {load:.1f} at the start, so the figures are too high and, measured one "
        "after the other, do not compare the forms."
    )
    lines = [
        "# The cost of a run as the number of runs grows",
        f"EEGNet (64 taps), trials of ({N_CHANS}, {N_TIMES}): 230 to train, 58 to validate, 288 to test; "
        f"{EPOCHS[device]} epochs. From the call of the trainer to the last prediction, the start of workers included. "
        f"{where}, torch {torch.__version__}, threads a process: {torch.get_num_threads()}. "
        "Made by `python scripts/benchmark.py curve`."
        + (busy if load > 0.5 else ""),
        markdown(table),
        "![Cost of a run](curve.png)",
        "Whole benchmarks (the loop is scaled up from 2 runs of 20 epochs on the same card):\n\n" + markdown(goals)
        if len(goals) else "Whole benchmarks on a GPU: not measured, there is none here.",
    ]    # fmt: skip
    (out / "curve.md").write_text("\n\n".join(lines) + "\n")
    _draw(table, out / "curve.png", device=device)


def _draw(table: pd.DataFrame, path: Path, *, device: str) -> None:
    import matplotlib.pyplot as plt  # here, so that the start is measured without it

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for (form, part), colour in zip(table.groupby("form", sort=False), ("#0072b2", "#d55e00", "#999999"), strict=False):
        axes.plot(part["runs"], part["seconds_a_run"], "o-", color=colour, label=form)
    axes.set(xscale="log", yscale="log", xlabel="runs", ylabel=f"s a run of {EPOCHS[device]} epochs")
    axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
