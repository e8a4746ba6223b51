"""One trial: its overrides composed, its runs trained as stacks in this process, its validation score returned."""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from eegdecode.experiment import run_experiment
from eegdecode.nested import Inner, Nested
from eegdecode.reporting.disk import make_folder, write_text
from eegdecode.reporting.folders import hold, release
from eegdecode.reporting.stats import subject_means
from eegdecode.runs import DIVERGED
from eegdecode.search.alive import folder_of
from eegdecode.search.check import Compose, Composed
from eegdecode.search.settings import Search
from eegdecode.search.space import overrides, suggest
from eegdecode.search.study import Pruned, Trial, frozen, own_fault, report
from eegdecode.search.watch import STEPS, Watch


class Objective:
    """Scores a trial on validation trials; its folder holds no test trial of the experiment.

    Parameters
    ----------
    compose : callable
        The door's: overrides -> `Composed`.
    dealing : FileLock
        Held while a trial is taken, so that no two workers take the last one; let go as soon as it is ours, of a grid
        as soon as its settings are: else another worker might take the same point, and one would be left out.
    """

    def __init__(self, search: Search, compose: Compose, dealing: FileLock) -> None:
        self.search, self.compose, self.dealing = search, compose, dealing
        self._kept: Path | None = None    # folder of the trial, ours until the study knows how it ended: see `let_go`

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        """Run a trial. A setting that diverges is pruned, for nobody has to try it again; a crash is raised."""
        if self.search.sampler != "grid":
            self.dealing.release(force=True)
        folder = make_folder(self.search.folder / folder_of(frozen(trial)))
        hold(folder)    # before the database is asked for settings: it may be away, and the trial taken for dead
        self._kept = folder
        try:
            return self._run(trial, folder)
        except Pruned:
            raise
        except BaseException as error:
            if not own_fault(error):
                raise
            said = " ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
            with suppress(OSError):    # what fails now must not hide what failed
                write_text(folder / "error.txt", "".join(traceback.format_exception(error)))
                trial.set_user_attr("why", " ".join(said.split())[:300])
            raise

    def let_go(self) -> None:
        """Let others work in the trial's folder; one that is given out again before would be refused there."""
        if self._kept is not None:
            release(self._kept)

    def _run(self, trial: Trial, folder: Path) -> tuple[float, ...]:
        chosen = suggest(self.search.space, trial)
        self.dealing.release(force=True)
        composed = self.compose([*self.search.fixed, *overrides(chosen)])
        parts = inner_parts(self.search, composed, folder)
        judge = partial(_judge, trial) if self.search.pruner != "none" else lambda step, value: None
        watch = Watch(judge, stack=_side_by_side(parts["trainer"]))
        began = time.perf_counter()
        results = run_experiment(**parts, choices=composed.choices, config=composed.text, screen=watch)
        hold(folder)    # training has let it go; with a database away the trial would be taken for dead
        scores = results.scores
        if not results.complete:
            why = scores.loc[scores["status"] != "done", "status"].iloc[0]
            if not str(why).startswith(DIVERGED):
                raise RuntimeError(f"{results.summary['n_failed']} run(s) failed: {why}")
            trial.set_user_attr("why", f"diverged: {why}")
            raise Pruned(why)
        trial.set_user_attr("training", float(scores["seconds"].sum()))
        trial.set_user_attr("wall", time.perf_counter() - began)
        found = {
            "score": float(subject_means(scores, f"val_{self.search.metric}").mean()),
            "n_params": float(scores["n_params"].max()), "seconds": float(scores["seconds"].sum()),
        }    # fmt: skip
        if found["score"] != found["score"]:
            raise RuntimeError(f"metric={self.search.metric} is not defined on the validation trials; take another one")
        return tuple(found[name] for name in self.search.objectives)


def _side_by_side(trainer: Any) -> int | None:
    """How many runs a trainer trains side by side; None where it finds out by itself, and mostly all are."""
    if getattr(trainer, "mode", "loop") == "loop":
        return 1
    return None if trainer.stack == "auto" else int(trainer.stack)


def inner_parts(search: Search, composed: Composed, folder: Path) -> dict[str, Any]:
    """The parts of a trial: those of the experiment, but for a protocol that holds no test trial of it."""
    parts = composed.build()
    if hasattr(parts["trainer"], "preflight"):    # a second a trial, and its warnings would drown
        parts["trainer"] = replace(parts["trainer"], preflight=False)
    return parts | {"protocol": Inner(nested_of(search, parts["protocol"])), "out_dir": str(folder)}


def nested_of(search: Search, protocol: Any) -> Nested:
    """The protocol in two parts."""
    return Nested(protocol, share=search.share, test_subjects=search.test_subjects)


def _judge(trial: Trial, step: int, value: float) -> None:
    """Report a value; whoever falls behind before its end is stopped."""
    if report(trial, step, value):
        trial.set_user_attr("why", f"behind at {step}/{STEPS} of its training")
        raise Pruned
