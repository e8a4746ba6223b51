"""The study: Optuna's storage, sampler and pruner for a search, and what it holds as a plain table.

Optuna is imported here alone. Its stale-trial machinery gives the trial of a process that died to another worker.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna import Study, Trial
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, journal
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial, TrialState

from eegdecode.search.settings import Search
from eegdecode.search.space import Value
from eegdecode.search.watch import STEPS

optuna.logging.set_verbosity(optuna.logging.CRITICAL)    # we tell of trials ourselves
GRACE = 4    # heartbeats without one before a trial counts as dead
WORDS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
         TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}    # fmt: skip
BROKEN = (TrialState.FAIL, TrialState.PRUNED)


class Pruned(optuna.TrialPruned):
    """What a trial raises that is not worth its end."""


class BeatingJournal(JournalStorage, BaseHeartbeat):
    """A journal file whose running trials give signs of life, as those of Optuna's databases do.

    The clocks of all nodes must agree to within the time after which a trial counts as dead.
    """

    def __init__(self, path: Path, *, interval: int, callback: Callable[[Study, FrozenTrial], None]) -> None:
        super().__init__(journal.JournalFileBackend(str(path)))
        self.interval, self.callback = interval, callback

    def record_heartbeat(self, trial_id: int) -> None:
        """Note the time beside the trial."""
        self.set_trial_system_attr(trial_id, "beat", time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if time.time() - _sign_of_life(trial) > GRACE * self.interval]

    def get_heartbeat_interval(self) -> int | None:
        """Seconds between two signs of life."""
        return self.interval

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None] | None:
        """What is done about a trial that died."""
        return self.callback


def _sign_of_life(trial: FrozenTrial) -> float:
    began = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    return max(began, float(trial.system_attrs.get("beat", 0)))


@contextmanager
def _known_experimental() -> Iterator[None]:
    """Heartbeats, their callback and the full grid are called experimental; a test holds us to each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def open_study(search: Search, *, default: dict[str, Value] | None = None, create: bool = True) -> Study:
    """Join the study of a search; whoever creates it puts the default settings first.

    Raises
    ------
    ValueError
        If the storage cannot be opened, or there is no such study and ``create`` is false.
    """
    with _known_experimental():
        try:
            storage = _storage(search)
            if not create:
                return optuna.load_study(study_name=search.name, storage=storage, sampler=_sampler(search, None))
            about: dict[str, Any] = {"study_name": search.name, "storage": storage, "pruner": _pruner(search)}
            about["directions"] = list(search.objectives.values())
            try:
                study = optuna.create_study(**about, sampler=_sampler(search, search.sampler_seed))
            except optuna.exceptions.DuplicatedStudyError:
                return optuna.create_study(**about, sampler=_sampler(search, None), load_if_exists=True)
        except (ImportError, KeyError, ValueError) as error:
            raise ValueError(f"the study of {search.name} cannot be opened: {error}") from error
        except Exception as error:    # of SQLAlchemy and of whatever database stands behind it
            if isinstance(error, OSError | KeyboardInterrupt):
                raise
            raise ValueError(f"the study of {search.name} cannot be opened: {str(error).splitlines()[0]}") from error
        study.set_metric_names(list(search.objectives))
        if default is not None and search.sampler != "grid":
            study.enqueue_trial(default, user_attrs={"default": True})
    return study


def _storage(search: Search) -> BaseStorage:
    callback = RetryHeartbeatStaleTrialCallback(max_retry=1)
    if search.storage == "journal":
        return BeatingJournal(search.folder / "study.journal", interval=search.heartbeat, callback=callback)
    url = search.storage or f"sqlite:///{search.folder / 'study.db'}"
    wait = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    return RDBStorage(
        url, engine_kwargs=wait, heartbeat_interval=search.heartbeat, grace_period=GRACE * search.heartbeat,
        heartbeat_stale_trial_callback=callback,
    )    # fmt: skip


def _sampler(search: Search, seed: int | None) -> optuna.samplers.BaseSampler:
    if search.sampler == "tpe":    # constant_liar: what other workers have in work is not proposed again
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "grid":
        return optuna.samplers.BruteForceSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if search.pruner == "median":    # nobody is judged by less than a third of its training
        return optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=STEPS // 3)
    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=2, max_resource=STEPS, reduction_factor=3)
    return optuna.pruners.NopPruner()


def try_one(study: Study, objective: Callable[[Trial], tuple[float, ...]]) -> FrozenTrial | None:
    """Run one trial, a waiting one first, with signs of life; what it raises is recorded.

    Gives the trial, None if it was taken from us meanwhile. Trials of processes that died are given out again here.
    """
    numbers: list[int] = []

    def run(trial: Trial) -> tuple[float, ...]:
        numbers.append(trial.number)
        return objective(trial)

    try:
        with _known_experimental():
            study.optimize(run, n_trials=1, catch=(Exception,))
    except KeyboardInterrupt:
        if numbers:    # it begins anew when the search does
            give_again(study, numbers[0], most=None)
        raise
    return next((trial for trial in study.get_trials(deepcopy=False) if trial.number in numbers), None)


def wake_the_dead(study: Study) -> None:
    """Give out again the trials of processes that died."""
    with _known_experimental():
        optuna.storages.fail_stale_trials(study)


def give_again(study: Study, number: int, *, most: int | None = 1) -> bool:
    """Put a failed trial back among those to do, unless it was tried again so often; tells whether."""
    before = len(study.get_trials(deepcopy=False))
    with _known_experimental():
        failed = study.get_trials(deepcopy=True)[number]
        RetryHeartbeatStaleTrialCallback(max_retry=most)(study, failed)
    return len(study.get_trials(deepcopy=False)) > before


def frozen(trial: Trial) -> FrozenTrial:
    """What the storage knows of a trial in work."""
    return trial.study.get_trials(deepcopy=False)[trial.number]


def first_number(trial: FrozenTrial) -> int:
    """Number of the trial that this one repeats, or its own: its folder is named by it."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def count_states(study: Study) -> dict[str, int]:
    """How many trials count, by state: all but failed ones that are done again."""
    trials = study.get_trials(deepcopy=False)
    repeated = _repeated(trials)
    return {word: sum(trial.state == state and trial.number not in repeated for trial in trials)
            for state, word in WORDS.items()}    # fmt: skip


def _repeated(trials: list[FrozenTrial]) -> set[int]:
    return {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}


def table_of(study: Study, search: Search) -> pd.DataFrame:
    """All trials: a row each, with a column for every objective (by its name) and for every path of the space.

    ``step`` and ``last`` are how far it came and its validation accuracy there, ``repeated`` whether a later trial
    takes its place.
    """
    trials = study.get_trials(deepcopy=False)
    repeated, rows = _repeated(trials), []
    for trial in trials:
        done = trial.state == TrialState.COMPLETE
        steps = sorted(trial.intermediate_values)
        took = (trial.datetime_complete - trial.datetime_start).total_seconds() if _ended(trial) else float("nan")    # pyright: ignore
        values = dict(zip(search.objectives, trial.values or [], strict=False)) if done else {}    # noqa: PD011
        rows.append({
            "trial": trial.number, "state": WORDS[trial.state], "folder": f"trials/{first_number(trial):04d}",
            **{name: values.get(name, float("nan")) for name in search.objectives}, "took": took,
            "training": trial.user_attrs.get("training", float("nan")),
            "step": steps[-1] if steps else 0,
            "last": trial.intermediate_values[steps[-1]] if steps else float("nan"),
            "default": bool(trial.user_attrs.get("default")), "repeated": trial.number in repeated,
            "why": trial.user_attrs.get("why", "its process died") if trial.state in BROKEN else "",
            **{parameter.path: trial.params.get(parameter.path) for parameter in search.space},
        })    # fmt: skip
    own = ["took", "training", "step", "last", "default", "repeated", "why", *(p.path for p in search.space)]
    return pd.DataFrame(rows, columns=["trial", "state", "folder", *search.objectives, *own])


def _ended(trial: FrozenTrial) -> bool:
    return trial.datetime_complete is not None and trial.datetime_start is not None


def importances(study: Study, search: Search) -> dict[str, float]:
    """Share of the score's variance that each setting explains (fANOVA; Hutter et al., 2014).

    Of the settings that every finished trial has; empty with fewer than four of them or without any variance.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.values[0] for trial in done}) < 2:    # noqa: PD011
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: trial.values[0]    # noqa: PD011
        )
    except (RuntimeError, ValueError):
        return {}
    return {path: float(share) for path, share in found.items()}
