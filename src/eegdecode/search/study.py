"""The study: Optuna's storage, sampler and pruner for a search, and what it holds as a plain table.

Optuna finds the trials of processes that died (`wake_the_dead`), `repeats` gives them to other workers; storages are in
`database` and `journal`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import optuna
import pandas as pd
from optuna import Study, Trial
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.trial import FrozenTrial, TrialState

from eegdecode.reporting.disk import is_full, read_json
from eegdecode.reporting.searches.tables import MARKER
from eegdecode.search.alive import folder_of
from eegdecode.search.database import Database
from eegdecode.search.journal import BeatingJournal
from eegdecode.search.pruners import pruner_of
from eegdecode.search.repeats import INTERRUPTED, interrupted, known_experimental, note_interruption, reason, repeated
from eegdecode.search.settings import Search
from eegdecode.search.space import Value
from eegdecode.search.waiting import NoAnswerError, asked_once
from eegdecode.search.watch import STEPS

optuna.logging.set_verbosity(optuna.logging.CRITICAL)    # we tell of trials ourselves
WORDS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
         TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}    # fmt: skip
BROKEN = (TrialState.FAIL, TrialState.PRUNED)


class Pruned(optuna.TrialPruned):
    """What a trial raises that is not worth its end."""


def open_study(search: Search, *, default: dict[str, Value] | None = None, create: bool = True) -> Study:
    """Join the study of a search; whoever finds it empty puts the default settings first.

    Raises
    ------
    ValueError
        If the storage cannot be opened, or there is no such study and ``create`` is false.
    """
    with known_experimental():
        try:
            storage = _storage(search)
            if not create:
                return optuna.load_study(study_name=_name(search), storage=storage, sampler=_sampler(search, None))
            about: dict[str, Any] = {"study_name": _name(search), "storage": storage, "pruner": pruner_of(search)}
            about["directions"] = list(search.objectives.values())
            try:
                study = optuna.create_study(**about, sampler=_sampler(search, search.sampler_seed))
            except optuna.exceptions.DuplicatedStudyError:
                study = optuna.create_study(**about, sampler=_sampler(search, None), load_if_exists=True)
        except Exception as error:    # of SQLAlchemy and of whatever database stands behind it
            if isinstance(error, OSError):
                raise
            raise ValueError(f"the study of {search.name} cannot be opened: {_told(error, search)}") from error
        if not study.get_trials(deepcopy=False):
            study.set_metric_names(list(search.objectives))
            if default is not None:
                study.enqueue_trial(default, user_attrs={"default": True})
    return study


def _name(search: Search) -> str:
    """Name of the study; in a database that many searches share it is that of their folder."""
    return str(read_json(search.folder / MARKER).get("study") or search.name)


def _told(error: Exception, search: Search) -> str:
    """Why a storage could not be opened."""
    if isinstance(error, ImportError):
        known = str(search.storage).startswith("postgres")
        way_out = 'pip install -c constraints.txt -e ".[postgres]"' if known else f"install it ({error})"
        return f"storage={search.storage} needs its driver: {way_out}"
    said = str(error.__cause__ or error).splitlines()[0]
    return f"{said} (storage={search.storage})" if search.storage else said


def _storage(search: Search) -> BaseStorage:
    if search.storage == "journal":
        return BeatingJournal(search.folder / "study.journal", interval=search.heartbeat)
    return Database(search)


def _sampler(search: Search, seed: int | None) -> optuna.samplers.BaseSampler:
    if search.sampler == "tpe":    # constant_liar: what other workers have in work is not proposed again
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "grid":
        return optuna.samplers.BruteForceSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def try_one(
    study: Study, objective: Callable[[Trial], tuple[float, ...]], *, told: Callable[[], None] = lambda: None
) -> FrozenTrial:    # fmt: skip
    """Run one trial, a waiting one first, with signs of life; what it raises is recorded, and then ``told`` is called.

    A trial that was taken from us meanwhile, for we were silent for too long, stays what others made of it. What is no
    fault of the trial ends the search, and the trial begins anew with it: see `eegdecode.search.repeats`.
    """
    study._thread_local.in_optimize_loop = True    # as `optimize`, which breaks where a trial was taken from us
    trial = study.ask()
    values, state, stop = None, None, None
    with get_heartbeat_thread(trial._trial_id, study._storage):
        try:
            values = objective(trial)
        except BaseException as error:
            state = TrialState.PRUNED if isinstance(error, Pruned) else TrialState.FAIL
            stop = None if own_fault(error) else error
    if isinstance(stop, KeyboardInterrupt):
        note_interruption(trial)
    try:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            study.tell(trial, values, state, skip_if_finished=True)
        told()
    except OSError:    # of a storage on the same disk, or away; then the trial is given out again as one that died
        if not stop:
            raise
    if stop:
        raise stop
    return study.get_trials(deepcopy=False)[trial.number]


def own_fault(error: BaseException) -> bool:
    """Whether a trial failed by itself, and not by Ctrl-C, a full disk or a database that was given up."""
    return isinstance(error, Exception) and not is_full(error) and not isinstance(error, NoAnswerError)


def report(trial: Trial, step: int, value: float) -> bool:
    """Report a value and tell whether the trial is to be stopped; a database that is away says nothing.

    The default settings are never stopped: the winner is compared with them.
    """
    try:
        with asked_once():
            trial.report(value, step)
            if step == STEPS or trial.user_attrs.get("default"):
                return False
            return bool(trial.should_prune())    # numpy's
    except optuna.exceptions.StorageInternalError:
        return False


def wake_the_dead(study: Study) -> None:
    """Find the trials of processes that died: they have failed."""
    with known_experimental():
        optuna.storages.fail_stale_trials(study)


def frozen(trial: Trial) -> FrozenTrial:
    """What the storage knows of a trial in work."""
    return trial.study.get_trials(deepcopy=False)[trial.number]


def count_states(study: Study) -> dict[str, int]:
    """How many trials count, by state: all but failed ones that are done again."""
    trials = study.get_trials(deepcopy=False)
    again = repeated(trials)
    return {word: sum(trial.state == state and trial.number not in again for trial in trials)
            for state, word in WORDS.items()}    # fmt: skip


def table_of(study: Study, search: Search) -> pd.DataFrame:
    """All trials: a row each, with a column for every objective (by its name) and for every path of the space.

    ``step`` and ``last`` are how far it came and its validation accuracy there, ``repeated`` whether a later trial
    takes its place.
    """
    trials = study.get_trials(deepcopy=False)
    again, rows = repeated(trials), []
    for trial in trials:
        done, state = trial.state == TrialState.COMPLETE, INTERRUPTED if interrupted(trial) else WORDS[trial.state]
        steps = sorted(trial.intermediate_values)
        took = (trial.datetime_complete - trial.datetime_start).total_seconds() if _ended(trial) else float("nan")    # pyright: ignore
        values = dict(zip(search.objectives, trial.values or [], strict=False)) if done else {}    # noqa: PD011
        rows.append({
            "trial": trial.number, "state": state, "folder": str(folder_of(trial)),
            **{name: values.get(name, float("nan")) for name in search.objectives}, "took": took,
            "training": trial.user_attrs.get("training", float("nan")),
            "step": steps[-1] if steps else 0,
            "last": trial.intermediate_values[steps[-1]] if steps else float("nan"),
            "default": bool(trial.user_attrs.get("default")), "repeated": trial.number in again,
            "why": reason(trial) if trial.state in BROKEN else "",
        })    # fmt: skip
    own = ["took", "training", "step", "last", "default", "repeated", "why"]
    table = pd.DataFrame(rows, columns=["trial", "state", "folder", *search.objectives, *own])
    for parameter in search.space:    # where one trial lacks it, pandas would make 2.0 of 2 and NaN of null
        table[parameter.path] = pd.Series([trial.params.get(parameter.path) for trial in trials], dtype=object)
    return table


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
