"""The story: recordings become trials, trials are split, runs are trained, predictions become scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rich

from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset
from eegdecode.protocols import Splitter
from eegdecode.reporting.environment import environment
from eegdecode.reporting.folders import choose_folder, experiment_key
from eegdecode.reporting.progress import ProgressBar
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import Results
from eegdecode.reporting.screen import last_screen
from eegdecode.reporting.store import Store
from eegdecode.runs import Run, describe, training_sources
from eegdecode.sweeps import Sweep, expand, stacks


def run_experiment(
    *, dataset: Dataset, preprocess: Preprocess, protocol: Splitter, sweep: Sweep, frontend: Any, model: partial,
    trainer: Any, augment: Any, logger: Any, seed: int, device: str, out_dir: str | None, choices: Mapping[str, str],
    config: str, screen: Callable[..., Any] | None = None,
) -> Results:    # fmt: skip
    """Run one experiment from recordings to report.

    Parameters
    ----------
    dataset, preprocess, protocol, sweep, frontend, model, trainer, augment, logger
        The parts, as instantiated from ``configs/``.
    seed : int
        Seed of the first run.
    device : str
        As typed; the trainer has it too.
    out_dir : str or None
        Run folder; None takes ``data/runs/<dataset>/<model>/<time>``.
    choices : mapping
        Group -> what was chosen, names for tables and folders.
    config : str
        The whole configuration as YAML, kept beside the results.
    screen : callable, optional
        What is told of the runs in place of `ProgressBar`, and made as it is. Then the results are the caller's to
        show: neither report nor last screen is made.
    """
    if "name" in model.keywords:    # which of a library's networks
        choices = {**choices, "model": f"{choices['model']}_{model.keywords['name']}"}
    trials = load_trials(dataset, preprocess)
    splits = protocol(trials.meta, validation=trainer.validation)
    runs = expand(splits, sweep, seed=seed, n_seeds=getattr(trainer, "seeds", None))
    identity = {
        "meta": trials.meta, "fingerprints": trials.fingerprints,
        "context": {
            **describe({"model": model, "trainer": trainer, "frontend": frontend, "augment": augment}),
            "sources": training_sources(), "torch": version("torch"),
        },
    }    # fmt: skip
    root = Path("data", "runs", choices["dataset"], choices["model"])
    folder = Path(out_dir) if out_dir else choose_folder(root, key=experiment_key(runs, **identity))
    facts = {
        **choices, "protocol": protocol.name, "device": getattr(trainer, "machine", "cpu"),
        "transductive": any(getattr(part, "transductive", False) for part in (preprocess, protocol, frontend)),
        "select": getattr(trainer, "chosen_by", "last"), "watch_test": getattr(trainer, "watch_test", False),
        **environment(),
    }    # fmt: skip
    store = Store(folder, runs=runs, classes=trials.classes, facts=facts, **identity)
    (folder / "config.yaml").write_text(config)
    logger.start({**facts, "config": config}, folder)

    todo = store.unfinished()
    try:
        epochs = {run.name(): trainer.count_epochs(len(run.split.train)) for run in todo}
        with (screen or ProgressBar)(epochs, n_reused=len(runs) - len(todo)) as bar:
            watchers = (bar.epoch, lambda run, row: logger.epoch(run.name(), row))
            dealt, on_epoch = stacks(runs, todo=todo), partial(_tell, watchers)
            parts = {"frontend": frontend, "augment": augment, "on_epoch": on_epoch}
            for prediction in trainer.fit(model, trials, dealt, **parts):
                store.add(prediction)
                bar.done(prediction)
    finally:    # an interrupted experiment is reported as far as it came
        results = store.score()
        to_show = screen is None and len(results.scores)    # without a run there is nothing to show
        logger.finish(_shown(results) if to_show else None)
    return results


def _shown(results: Results) -> Results:
    """Write the report, which draws the figures that a logger takes, and print the last screen."""
    write_report(results.folder)
    rich.print(last_screen(results))
    return results


def _tell(watchers: Sequence[Callable], run: Run, row: Mapping[str, float]) -> None:
    for watch in watchers:
        watch(run, row)

