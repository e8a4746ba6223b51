from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting import folders
from eegdecode.reporting.store import Store
from eegdecode.reporting.tables import HISTORY_COLUMNS
from eegdecode.runs import Prediction, Run, Split

CLASSES = ("feet", "left_hand", "right_hand", "tongue")
N_RUNS, N_PER_RUN = 4, 24


def make_meta(*, n_subjects: int) -> pd.DataFrame:
    rows = [
        {"trial": f"s{s}-r{r}-{i:02d}", "subject": str(s), "session": "0", "run": str(r), "label": i % 4}
        for s in range(1, n_subjects + 1)
        for r in range(N_RUNS)
        for i in range(N_PER_RUN)
    ]
    return pd.DataFrame(rows)


def make_runs(
    meta: pd.DataFrame, *, n_seeds: int, n_folds: int = 1, lrs: tuple[float, ...] = ()
) -> list[Run]:
    runs = []
    for subject in meta["subject"].unique():
        for fold in range(n_folds):
            own = meta[meta["subject"] == subject]
            part = (own["run"].astype(int) + fold) % N_RUNS
            rows = {"train": [0, 1], "val": [2], "test": [3]}
            parts = {name: own.index[part.isin(which)].to_numpy() for name, which in rows.items()}
            split = Split(**parts, subject=subject, session="0", fold=fold, protocol="within_session")
            settings = [{"lr": lr} for lr in lrs] or [{}]
            runs += [Run(split, seed, numbers) for numbers in settings for seed in range(n_seeds)]
    return runs


def make_history(rng: np.random.Generator, *, n_epochs: int, skill: float) -> pd.DataFrame:
    """Curves as a network over-fitting on EEG draws them."""
    e = np.arange(1, n_epochs + 1)
    tau, chance = n_epochs / 6, np.log(len(CLASSES))
    train = chance * (0.12 + 0.9 * np.exp(-e / tau)) + rng.normal(0, 0.01, n_epochs)
    val = chance * (1.03 - 0.5 * skill * (1 - np.exp(-e / tau))) + 0.25 * skill * (e / n_epochs) ** 2
    right = 0.25 + 0.75 * skill * (1 - np.exp(-e / tau))
    val_right = np.round((right + rng.normal(0, 0.03, n_epochs)).clip(0, 1) * N_PER_RUN) / N_PER_RUN
    noisy = val + rng.normal(0, 0.03, n_epochs)
    ones = np.ones(n_epochs)
    columns = [e, 1e-3 * ones, train + 0.2, train, 1 - 0.75 * np.exp(-e / tau), noisy, val_right, ones]
    columns += [2.0 * e, 0 * ones, ones, ones]    # updates, dead share, flow, scale of the input
    return pd.DataFrame(dict(zip(HISTORY_COLUMNS, columns, strict=True)))


def make_prediction(run: Run, meta: pd.DataFrame, *, n_epochs: int = 12, weights: bool = True) -> Prediction:
    """Skill differs by subject, errors prefer neighbouring classes; equal runs give equal numbers."""
    rng = np.random.default_rng([run.seed, run.split.fold, *map(ord, run.split.subject)])
    skill = 0.35 + 0.6 * np.random.default_rng(ord(run.split.subject[-1])).random()
    y = meta["label"].to_numpy()
    logits = {}
    for part in ("val", "test"):
        truth = y[getattr(run.split, part)]
        mean = 2.2 * skill * (np.eye(4) + 0.25 * np.eye(4)[[0, 2, 1, 3]])[truth]
        logits[part] = rng.normal(mean, 1.0).astype(np.float32)
    return Prediction(
        run=run,
        logits=logits,
        history=make_history(rng, n_epochs=n_epochs, skill=skill),
        best_epoch=max(1, n_epochs * 2 // 3 + int(rng.integers(-2, 3))) if n_epochs else 0,
        n_params=8684,
        seconds=1.5,
        weights={"head.weight": rng.normal(size=(4, 3)).astype(np.float32)} if weights else {},
        model={"name": "eegnet", "n_chans": 3},
    )


def make_failed(run: Run, meta: pd.DataFrame) -> Prediction:
    good = make_prediction(run, meta)
    empty = {part: np.full_like(logits, np.nan) for part, logits in good.logits.items()}
    return replace(good, logits=empty, weights={}, status="failed: loss is NaN in epoch 3, at once")


def fill(store: Any, n: int | None = None) -> list[Run]:
    """Train what is unfinished, or the first n of it."""
    todo = store.unfinished()[:n]
    for run in todo:
        store.add(make_prediction(run, store.meta))
    return todo


def names(runs: list[Run]) -> list[str]:
    return [run.name() for run in runs]


@pytest.fixture
def meta() -> pd.DataFrame:
    return make_meta(n_subjects=2)


@pytest.fixture
def runs(meta: pd.DataFrame) -> list[Run]:
    return make_runs(meta, n_seeds=2)


@pytest.fixture
def make_store(meta: pd.DataFrame, runs: list[Run], tmp_path: Path) -> Any:
    """Open a store as a new process would."""

    def open_store(**changed: Any) -> Store:
        folder = changed.pop("folder", tmp_path / "out")
        folders.release(folder)
        settings = {
            "runs": runs,
            "meta": meta,
            "classes": CLASSES,
            "fingerprints": dict.fromkeys(meta["subject"].unique(), "0" * 32),
            "context": {"trainer": {"lr": 1e-3}},
            "facts": {"dataset": "simulated", "model": "eegnet", "transductive": False, "select": "last"},
        }
        return Store(folder, **{**settings, **changed})

    return open_store
