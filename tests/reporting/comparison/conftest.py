from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.reporting.conftest import CLASSES, make_failed, make_meta, make_prediction

from eegdecode.reporting import folders
from eegdecode.reporting.store import Store
from eegdecode.runs import Prediction, Run, Split

MakeFolder = Callable[..., Path]


def make_splits(meta: pd.DataFrame, *, train: Sequence[int], val: Sequence[int], test: Sequence[int]) -> list[Split]:
    """A split a subject; the runs of its parts by number, of four."""
    splits = []
    for subject in meta["subject"].unique():
        own = meta[meta["subject"] == subject]
        parts = [own.index[own["run"].astype(int).isin(runs)].to_numpy() for runs in (train, val, test)]
        splits.append(Split(*parts, subject=subject, session="0", fold=0, protocol="cross_run"))
    return splits


def better(prediction: Prediction, skill: float, labels: np.ndarray) -> Prediction:
    """The same answers with the right ones made more likely."""
    logits = {
        part: values + skill * np.eye(len(CLASSES))[labels[getattr(prediction.run.split, part)]]
        for part, values in prediction.logits.items()
    }
    return replace(prediction, logits=logits)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a factory of run folders, as training leaves them."""

    def make(
        name: str, *, model: str = "", skill: float = 0.0, n_subjects: int = 6, seeds: Sequence[int] = (0,),
        keep: int = 999, train: Sequence[int] = (0, 1), val: Sequence[int] = (2,), test: Sequence[int] = (3,),
        lrs: Sequence[float] = (), data: str = "0", n_failed: int = 0, config: dict[str, Any] | None = None,
        old: bool = False, trials: Sequence[int] = (), **facts: Any,
    ) -> Path:    # fmt: skip
        meta = make_meta(n_subjects=n_subjects)
        splits = make_splits(meta, train=train, val=val, test=test)
        numbers = [{"lr": lr} for lr in lrs] or [{}]
        if trials:    # as protocol=calibration: the first so many of each class
            splits = [replace(s, train=s.train[: n * len(CLASSES)], trials=n) for n in trials for s in splits]
        of_split = [{} if split.trials is None else {"trials": split.trials} for split in splits]
        runs = [
            Run(split, seed, {**number, **more})
            for number in numbers for seed in seeds for split, more in zip(splits, of_split, strict=True)
        ]    # fmt: skip
        about = {"dataset": "toy", "model": model or name.split("/")[-1], "protocol": "cross_run",
                 "command": f"python scripts/train.py model={name}", **facts}    # fmt: skip
        folder = tmp_path / "runs" / name
        store = Store(folder, runs=runs, meta=meta, classes=CLASSES, context={"of": about["model"], "config": config},
                      fingerprints=dict.fromkeys(meta["subject"].unique(), data * 32), facts=about)    # fmt: skip
        for i, run in enumerate(store.unfinished()[:keep]):
            done = better(make_prediction(run, meta, n_epochs=0, weights=False), skill, meta["label"].to_numpy())
            store.add(make_failed(run, meta) if i < n_failed else done)
        store.score()
        folders.release(folder)
        (folder / "config.yaml").write_text(yaml.safe_dump(config or {}))
        if old:    # as folders were before the pool was noted
            marker = (folder / folders.MARKER).read_text().replace('"pool_hash"', '"x"').replace('"test_hash"', '"y"')
            (folder / folders.MARKER).write_text(marker)
        return folder

    return make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runs"
