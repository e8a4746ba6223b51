"""The story: recordings become trials, trials are split, runs are trained, predictions become scores."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import rich

from eegdecode.bounds import check_bounds
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset
from eegdecode.identity import describe, identify
from eegdecode.protocols import Splitter
from eegdecode.reporting.diagnosis.live import LiveDiagnosis
from eegdecode.reporting.diagnosis.preflight import note_warning
from eegdecode.reporting.diagnosis.remedies import typed_settings
from eegdecode.reporting.disk import clear_errors, write_text
from eegdecode.reporting.environment import environment
from eegdecode.reporting.folders import choose_folder, experiment_key, runs_root
from eegdecode.reporting.library import open_library
from eegdecode.reporting.progress import ProgressBar
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import Results
from eegdecode.reporting.screen import last_screen
from eegdecode.reporting.states import FOLDER, DiskStates
from eegdecode.reporting.store import Store
from eegdecode.reporting.tracking import Tracker
from eegdecode.reporting.transfer import begin_from, told
from eegdecode.runs import Run
from eegdecode.sweeps import Sweep, expand, stacks
from eegdecode.trials import Trials


def run_experiment(
    *, dataset: Dataset, preprocess: Preprocess, protocol: Splitter, sweep: Sweep, frontend: Any, model: partial,
    trainer: Any, augment: Any, logger: Tracker, seed: int, device: str | Sequence[str],
    out_dir: str | None, choices: Mapping[str, str], config: str, run_store: str | None = None,
    screen: Callable[..., Any] | None = None,
) -> Results:    # fmt: skip
    """Run one experiment from recordings to report.

    Parameters
    ----------
    dataset, preprocess, protocol, sweep, frontend, model, trainer, augment, logger
        The parts, as instantiated from ``configs/``.
    seed : int
        Seed of the first run.
    device : str or sequence of str
        As typed; the trainer has it too.
    out_dir : str or None
        Run folder; None takes ``<dataset>/<model>/<time>`` below `runs_root`.
    run_store : str or None
        Where the finished runs of all experiments are, see `open_library`: what is there is not trained again.
    choices : mapping
        Group -> what was chosen, names for tables and folders.
    config : str
        The whole configuration as YAML, kept beside the results.
    screen : callable, optional
        What is told of the runs in place of `ProgressBar`, and made as it is. Then the results are the caller's to
        show: neither report nor last screen is made.
    """
    network, init_from, choices = _named(model, choices)
    check_pair(network, trainer, choices)
    check_bounds(model=network)
    trials = load_trials(dataset, preprocess)
    splits = protocol(trials.meta, validation=trainer.validation)
    runs = expand(splits, sweep, seed=seed, n_seeds=getattr(trainer, "seeds", None))
    runs, begun = _begin(runs, init_from, trials, trainer, network, frontend, preprocess)
    trainer.check(network, trials, runs, frontend=frontend, augment=augment)    # what is refused leaves results alone
    learning = {"model": network, "trainer": trainer, "frontend": frontend, "augment": augment}
    identity = identify(trials, learning)
    root = runs_root() / choices["dataset"] / choices["model"]
    folder = Path(out_dir) if out_dir else choose_folder(root, key=experiment_key(runs, **identity))
    if init_from and folder.resolve() == Path(init_from).resolve():    # its results would give way to those of today
        raise ValueError(f"model.init_from={init_from} is the folder of the results too: give another out_dir")
    transductive = _is_transductive((preprocess, protocol, frontend, trainer), runs)
    facts = {**choices, "protocol": protocol.name, "transductive": transductive, **_noted(trainer), **begun}
    facts |= {"first_trials": getattr(frontend, "first_trials", None), "n_channels": trials.X.shape[1]}
    facts |= environment()
    store = Store(
        folder, runs=runs, classes=trials.classes, facts=facts, prepared=describe(preprocess),
        library=open_library(run_store), **identity,
    )    # fmt: skip
    write_text(folder / "config.yaml", config)
    logger.start({**facts, "config": config}, folder)
    try:
        _train(store, trials, runs, logger=logger, screen=screen, **learning)
    finally:    # an interrupted experiment is reported as far as it came
        store.close()
        results = store.score()
        to_show = screen is None and len(results.scores)    # without a run there is nothing to show
        logger.finish(_shown(results) if to_show else None)
    return results


def table_of_trials(dataset: Dataset, preprocess: Preprocess) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """What a protocol is told of the trials of an experiment, to look at its splits before any training.

    Beside it the fingerprint of each subject's trials, which tells whether data are the same.
    """
    trials = load_trials(dataset, preprocess)
    return trials.meta, trials.fingerprints


def _train(
    store: Store, trials: Trials, runs: list[Run], *, model: partial, trainer: Any, frontend: Any, augment: Any,
    logger: Tracker, screen: Callable[..., Any] | None,
) -> None:    # fmt: skip
    """Train what is not finished yet, here or by another process, and keep each prediction as it comes."""
    todo, states = store.unfinished(), DiskStates(store.folder / FOLDER, store.keys)
    states.begin(todo)
    epochs = {run.name(): trainer.count_epochs(len(run.split.train)) for run in todo}
    typed = typed_settings(store.folder, store.facts)
    live = LiveDiagnosis(epochs, labels=trials.y, n_classes=len(trials.classes), settings=typed)
    shown = screen or partial(ProgressBar, verdicts=live.verdicts)
    with shown(epochs, n_reused=len(runs) - len(todo)) as bar:
        watchers = (live.epoch, bar.epoch, lambda run, row: logger.epoch(run.name(), row))
        parts = {
            "frontend": frontend, "augment": augment, "on_epoch": partial(_tell, watchers), "states": states,
            "on_warning": partial(note_warning, store.folder), "claim": store.claim,
        }    # fmt: skip
        while todo:
            for prediction in trainer.fit(model, trials, stacks(runs, todo=todo), **parts):
                store.add(prediction)
                states.drop(prediction.run)
                bar.done(prediction)
            todo = store.wait(todo)    # what another process had in work and left undone


def _named(model: partial, choices: Mapping[str, str]) -> tuple[partial, str | None, Mapping[str, str]]:
    """The network alone, the folder that its runs start from, and the choices with a name of a library's network."""
    own = {key: value for key, value in model.keywords.items() if key != "init_from"}    # a setting of runs
    if "name" in own:
        choices = {**choices, "model": f"{choices['model']}_{own['name']}"}
    return partial(model.func, *model.args, **own), model.keywords.get("init_from"), choices


def check_pair(model: partial, trainer: Any, choices: Mapping[str, str]) -> None:
    """Refuse a pipeline for a trainer of networks, and the reverse."""
    takes = inspect.signature(model.func).parameters    # of a network of the user's own perhaps none but **sizes
    for_networks, is_network, is_pipeline = hasattr(trainer, "compare"), "n_chans" in takes, "classes" in takes
    if not (is_pipeline and not is_network if for_networks else is_network):
        return
    is_a, for_a = ("pipeline", "networks") if for_networks else ("network", "pipelines")
    for_a = "pretraining (pretrain.py)" if hasattr(trainer, "pretrains") else for_a
    raise ValueError(
        f"model={choices.get('model')} is a {is_a}, and trainer={choices.get('trainer')} is for {for_a}: leave "
        "trainer=... out, each model brings its own"
    )


def _is_transductive(parts: Sequence[Any], runs: Sequence[Run]) -> bool:
    """Whether unlabelled test trials are used, here or in what runs start from."""
    sources = [run.source.about.get("facts", {}) for run in runs if run.source]
    return any(getattr(part, "transductive", False) for part in parts) or any(
        facts.get("transductive", False) for facts in sources
    )


def _noted(trainer: Any) -> dict[str, Any]:
    """What is noted of a trainer beside its settings."""
    return {
        "device": getattr(trainer, "machine", "cpu"), "select": getattr(trainer, "chosen_by", "last"),
        "watch_test": getattr(trainer, "watch_test", False),
    }    # fmt: skip


def _begin(
    runs: list[Run], folder: str | None, trials: Trials, trainer: Any, model: partial, frontend: Any,
    preprocess: Preprocess,
) -> tuple[list[Run], dict[str, Any]]:    # fmt: skip
    """Give runs what they start from, or refuse it; return them and what is noted of it."""
    for name, usual in (("fine_tune", "full"), ("new_head", True)):
        if folder is None and getattr(trainer, name, usual) != usual:
            raise ValueError(
                f"trainer.{name}={str(getattr(trainer, name)).lower()} is for networks that start from others: give "
                "model.init_from=RUN_FOLDER, or leave it out"
            )
    if folder is None and all(len(run.split.train) for run in runs):
        return runs, {}
    if folder is None:
        raise ValueError(
            "protocol.trials holds 0, zero-shot, which needs a network that was trained elsewhere: give "
            "model.init_from=RUN_FOLDER, or leave 0 out"
        )
    if not hasattr(trainer, "compare"):
        raise ValueError(f"model.init_from={folder} is for networks; this model is a pipeline, take null")
    prepared = {"prepared": describe(preprocess), "tmin": trials.signal.tmin}
    runs = begin_from(folder, runs, meta=trials.meta, dataset=trials.dataset, **prepared)
    loaded = trainer.compare(model, trials, runs, frontend=frontend)
    return runs, {"init_from": told(folder, runs, loaded)}


def _shown(results: Results) -> Results:
    """Write the report, which draws the figures that a logger takes, and print the last screen."""
    with clear_errors(results.folder):    # figures are written by matplotlib
        write_report(results.folder)
    rich.print(last_screen(results))
    return results


def _tell(watchers: Sequence[Callable], run: Run, row: Mapping[str, float]) -> None:
    for watch in watchers:
        watch(run, row)

