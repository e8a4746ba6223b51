"""The story of a data set: prepare it, measure it, compare it with its paper, score it quickly, write its page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset
from eegdecode.data.shelf import check, list_entries, prune
from eegdecode.protocols import Splitter, WithinSession
from eegdecode.reporting.card import write_card
from eegdecode.reporting.facts import Score, broken_promises, measure
from eegdecode.reporting.folders import refuse_run_folder
from eegdecode.sweeps import Sweep, expand
from eegdecode.trials import Trials


def prepare(
    *, dataset: Dataset, preprocess: Preprocess, protocol: Splitter, trainer: Any, frontend: Any, model: partial,
    name: str, n_jobs: int = 1, out_dir: str | None = None, promises: Mapping[str, float] | None = None,
) -> str:    # fmt: skip
    """Prepare a data set and write its card.

    Parameters
    ----------
    dataset, preprocess, protocol, trainer, frontend, model
        The parts, as instantiated from ``configs/``; trainer and model make the quick score.
    name : str
        What the data set was called.
    n_jobs : int
        Processes that prepare, a subject at a time each.
    out_dir : str or None
        Folder of the page; None takes ``data/cards/<name>``.
    promises : mapping or None
        What the paper of the set says, see ``configs/promises``.

    Returns
    -------
    str
        The card as text.
    """
    if n_jobs < 1:
        raise ValueError(f"n_jobs={n_jobs} prepares nothing: give at least 1 process")
    page = Path(out_dir or f"data/cards/{name}")
    refuse_run_folder(page, what="card")    # before the work
    trials = load_trials(dataset, preprocess, n_jobs=n_jobs)
    facts = measure(
        trials.X, trials.meta, trials.notes, ch_names=trials.signal.ch_names, positions=trials.signal.positions,
        sfreq=trials.signal.sfreq, tmin=trials.signal.tmin, classes=trials.classes,
    )    # fmt: skip
    chosen = {
        "subjects": getattr(dataset, "subjects", None), "sfreq": preprocess.sfreq,
        "channels": preprocess.channels or preprocess.bipolar or preprocess.reference,
    }    # fmt: skip
    kept = {key: value for key, value in (promises or {}).items() if not chosen.get(key)}
    differs = broken_promises(facts, trials.meta, kept) if promises else None
    guard = _guard(protocol, trials)
    score = _score(trials, trainer, frontend, model)
    return write_card(page, name, facts, differs=differs, guard=guard, score=score)


def tend_cache(what: str) -> str:
    """List the cache, prune it, or check it for flipped bits; return what was found as text."""
    tasks = {"list": list_entries, "prune": prune, "check": check}
    if what not in tasks:
        raise ValueError(f"cache={what} is not one of: {', '.join(tasks)}")
    found = tasks[what]()
    words = {"list": "entries", "prune": "entries removed", "check": "current entries whose trials have changed"}
    table = found.drop(columns="path").to_string(index=False, float_format="{:.1f}".format) if len(found) else ""
    return f"{table}\n{len(found)} {words[what]}, {found['megabytes'].sum():.1f} MB".strip()


def _guard(protocol: Splitter, trials: Trials) -> str:
    """Say whether the protocol finds anything wrong with the splits."""
    try:
        splits = protocol(trials.meta, validation=0.0)
    except ValueError as error:
        return f"refused: {error}"
    return f"{len(splits)} splits, sound"


def _score(trials: Trials, trainer: Any, frontend: Any, model: partial) -> Score | None:
    """Cross-validate a quick pipeline within each session; None where sessions are too small."""
    least = trials.meta.groupby(["subject", "session", "label"]).size().min()
    folds = min(5, int(least))
    if folds < 2:
        return None
    protocol = WithinSession(folds=folds, duplicates="drop")
    try:
        runs = expand(protocol(trials.meta, validation=0.0), Sweep(), seed=0)
    except ValueError:    # a class is missing from a session
        return None
    right, of_subject, failed = np.zeros(len(trials), bool), trials.meta["subject"].to_numpy(), ""
    for prediction in trainer.fit(model, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None):
        test = prediction.run.split.test
        failed = failed or (f"{prediction.run.name()} {prediction.status}" if prediction.status != "done" else "")
        right[test] = prediction.logits["test"].argmax(1) == trials.y[test]
    by_subject = {subject: float(right[of_subject == subject].mean()) for subject in dict.fromkeys(of_subject)}
    return Score(folds=folds, accuracy=by_subject, labels=trials.y, n_classes=len(trials.classes), failed=failed)
