"""Trackers: who is told of an experiment while it runs. A tracker never fails a training."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml

from eegdecode.reporting.diagnosis.folder import diagnosis_sentence, read_diagnoses
from eegdecode.reporting.disk import plain
from eegdecode.reporting.results import Results

MODES = ("online", "offline", "disabled")
LONGEST_TAG = 64    # characters; wandb refuses the job for one more
log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """What an experiment calls: once at the start, once an epoch of a run, once at the end."""

    def start(self, config: Mapping[str, Any], folder: Path) -> None: ...

    def epoch(self, run_name: str, row: Mapping[str, Any]) -> None: ...

    def finish(self, results: Results | None) -> None: ...


class NoTracker:
    """Tells nobody: the run folder holds everything anyway."""

    def start(self, config: Mapping[str, Any], folder: Path) -> None:
        """Do nothing."""

    def epoch(self, run_name: str, row: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, results: Results | None) -> None:
        """Do nothing."""


class WandbTracker:
    """Logs curves, configuration, scores, summary and figures to Weights & Biases.

    Whatever goes wrong in wandb is told once; the training goes on without it.

    Parameters
    ----------
    mode : str
        ``online`` (needs an account), ``offline`` (below the run folder; ``wandb sync`` sends it later) or
        ``disabled``.
    project, entity, name : str or None
        Where the job stands in wandb.
    group : str or None
        What jobs belong to. None: those of a multirun to its ``out_dir`` (or to data set and time, which the door puts
        here), the parts of an experiment that was interrupted to its folder; ``WANDB_RUN_GROUP`` goes before that.
    tags : tuple of str
        Labels to filter by, beside data set, model and protocol.
    every : int
        Epochs between logged points of a curve; ``history.csv`` has all of them.
    """

    def __init__(
        self,
        *,
        mode: str = "online",
        project: str = "eegdecode",
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: tuple[str, ...] | list[str] = (),
        every: int = 1,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"logger.mode must be one of {', '.join(MODES)}; got {mode!r}")
        if every < 1:
            raise ValueError(f"logger.every must be at least 1 epoch; got {every}")
        self.mode, self.every = mode, every
        self.about: dict[str, Any] = {"project": project, "entity": entity, "name": name}
        self.group, self.tags = group, tags
        self._job: Any = None    # wandb's run
        self._due: dict[str, int] = {}    # epoch from which on a run's next row is logged

    def start(self, config: Mapping[str, Any], folder: Path) -> None:
        """Open a job; its files lie below ``folder/wandb``."""
        self._due.clear()
        self._try(lambda: self._open(config, Path(folder)))

    def epoch(self, run_name: str, row: Mapping[str, Any]) -> None:
        """Log one epoch of one run: a panel a quantity (``val_loss/<run name>``), a line a run."""
        epoch = int(row["epoch"])    # of a long training some are measured alone
        if self._job is None or epoch < self._due.get(run_name, 0):
            return
        self._due[run_name] = epoch + self.every
        curve = {f"{name}/{run_name}": _number(value) for name, value in row.items() if name != "epoch"}
        self._try(lambda: self._job.log({"epoch": epoch, **curve}))

    def finish(self, results: Results | None) -> None:
        """Log scores, summary and figures and close the job; None for an experiment that broke off."""
        if self._job is None:
            return
        if results is not None:
            self._try(lambda: self._log_results(results))
        job, self._job = self._job, None
        if job is not None:
            self._try(lambda: job.finish(exit_code=0 if results is not None else 1))

    def _open(self, config: Mapping[str, Any], folder: Path) -> None:
        import wandb

        if self.mode == "online" and not wandb.login(prompt=False):    # init would ask on a terminal, and wait
            raise ValueError("nobody is logged in: type wandb login, set WANDB_API_KEY, or take logger.mode=offline")
        group = self.group or (None if "WANDB_RUN_GROUP" in os.environ else str(folder))
        named = [str(config[name])[:LONGEST_TAG] for name in ("dataset", "model", "protocol") if config.get(name)]
        about = {**self.about, "group": group, "tags": list(dict.fromkeys([*self.tags, *named]))}
        settings = {"config": yaml.safe_load(config["config"])} if "config" in config else {}    # can be searched so
        self._job = wandb.init(
            dir=folder,
            mode=self.mode,    # pyright: ignore[reportArgumentType]
            config=plain({**config, **settings}),
            reinit="finish_previous",    # a multirun has several jobs in one process
            settings=wandb.Settings(silent=True, console="off"),    # our own screen stays readable
            **about,
        )
        if self.mode == "online":
            log.info("wandb: %s", self._job.url)
        self._job.define_metric("epoch", hidden=True)
        self._job.define_metric("*", step_metric="epoch")

    def _log_results(self, results: Results) -> None:
        import wandb

        figures = sorted((results.folder / "figures").glob("*.png"))
        images = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
        self._job.log({"scores": wandb.Table(dataframe=results.scores), **images})
        facts = plain({**results.summary, "diagnosis": diagnosis_sentence(read_diagnoses(results.folder))})
        self._job.summary.update({k: v for k, v in facts.items() if not isinstance(v, list | dict)})

    def _try(self, action: Callable[[], Any]) -> None:
        """Do something in wandb; on any failure say so once and track no more."""
        try:
            action()
        except Exception as error:
            log.warning("wandb failed (%s: %s); going on without it", type(error).__name__, error)
            self._job = None


def _number(value: Any) -> float:
    number = float(value)
    return number if math.isfinite(number) else float("nan")
