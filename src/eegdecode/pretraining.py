"""The story of pretraining: recordings become trials, their labels are taken away, encoders learn from what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.bounds import check_bounds
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset
from eegdecode.identity import describe, identify, run_key
from eegdecode.protocols import Splitter
from eegdecode.reporting.disk import write_text
from eegdecode.reporting.environment import environment
from eegdecode.reporting.folders import choose_folder, experiment_key, runs_root
from eegdecode.reporting.pretraining import PretrainingFolder, last_words
from eegdecode.reporting.progress import ProgressBar
from eegdecode.reporting.states import FOLDER, DiskStates
from eegdecode.runs import Split
from eegdecode.sweeps import Sweep, expand, stacks


def pretrain(
    *, dataset: Dataset, preprocess: Preprocess, protocol: Splitter, sweep: Sweep, frontend: Any, model: partial,
    task: partial, trainer: Any, seed: int, device: str | Sequence[str], out_dir: str | None,
    choices: Mapping[str, str], config: str,
) -> tuple[str, bool]:    # fmt: skip
    """Pretrain an encoder for each split and seed, on the training trials of the split.

    Parameters
    ----------
    dataset, preprocess, protocol, sweep, frontend, model, trainer
        As in `run_experiment`; the trainer is a `Pretrainer`.
    task : partial
        `MaskedAutoencoder` or `Forecaster`, but for the network, which is ``model``.
    seed, device, out_dir, choices, config
        As in `run_experiment`.

    Returns
    -------
    str
        What to say at the end.
    bool
        Whether every encoder is done.
    """
    if not getattr(trainer, "pretrains", False):
        raise ValueError(f"trainer={choices['trainer']} trains with labels: pretrain.py takes trainer=pretrain, its "
                         "default, with trainer.updates=... and the like")    # fmt: skip
    check_bounds(model=model, task=task)
    trials = load_trials(dataset, preprocess, labelled=False)
    splits = split_without_labels(protocol, trials.meta, validation=trainer.validation)
    runs = expand(splits, sweep, seed=seed)
    whole = partial(task, network=model)
    trainer.check(whole, trials, runs, frontend=frontend)
    identity = identify(trials, {"model": whole, "trainer": trainer, "frontend": frontend})
    key = experiment_key(runs, **identity)
    root = runs_root() / choices["dataset"] / f"{choices['model']}_{choices['task']}"
    folder = Path(out_dir) if out_dir else choose_folder(root, key=key)
    parts = (preprocess, protocol, frontend)
    facts = {
        **choices, "protocol": protocol.name, "device": device, **environment(),
        "transductive": any(getattr(part, "transductive", False) for part in parts),
    }    # fmt: skip
    keys = {run.name(): run_key(run, **identity) for run in runs}
    shelf = PretrainingFolder(folder, keys=keys, key=key, meta=trials.meta, facts=facts, prepared=describe(preprocess))
    write_text(folder / "config.yaml", config)
    todo, states = shelf.unfinished(runs), DiskStates(folder / FOLDER, keys)
    states.begin(todo)
    epochs = {run.name(): trainer.count_epochs(len(run.split.train)) for run in todo}
    try:
        with ProgressBar(epochs, n_reused=len(runs) - len(todo)) as bar:
            dealt = stacks(runs, todo=todo)
            for result in trainer.fit(whole, trials, dealt, frontend=frontend, on_epoch=bar.epoch, states=states):
                shelf.add(result)
                states.drop(result.run)
                bar.done(result)
    finally:    # an interrupted pretraining is told as far as it came
        summary = shelf.finish()
    return last_words(folder, summary), summary["n_done"] == summary["n_expected"]


def split_without_labels(protocol: Splitter, meta: pd.DataFrame, *, validation: float) -> list[Split]:
    """Splits of trials whose labels are hidden: in their place stands whether a row is even or odd.

    Protocols want two classes on each side of a split, and hold out as much of each. A second hiding tells whether
    labels decide: the labels themselves, which may lack a class here and there, are no matter of a pretraining.

    Raises
    ------
    ValueError
        If labels decide which trials are tested: then these would not be the splits of the training that follows.
    """
    row = np.arange(len(meta))
    hidden, other = meta.assign(label=row % 2), meta.assign(label=(row + 1) // 2 % 2)
    splits, others = (protocol(table, validation=validation) for table in (hidden, other))
    pairs = zip(splits, others, strict=True)
    if not all(np.array_equal(np.sort(one.test), np.sort(other.test)) for one, other in pairs):
        raise ValueError(
            f"protocol={protocol.name} deals out its folds by labels, which pretraining must not see: take "
            "cross_subject, cross_session or leave_one_session_out"
        )
    return splits
