"""Which failed trials are done again: a crash once, one whose process died more often.

A trial has crashed when it says why (user attribute ``why``). Else its process was killed or stopped, its node was
lost, or its disk was full, which is no fault of the setting; of these Ctrl-C alone is known and noted. All of it is
read from the study, so that it does not matter who looks, or whether whoever saw a trial fail was killed before it
could give it out again. Only the holder of ``.dealing`` may call what gives out.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy

from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from eegdecode.search.waiting import asked_once

INTERRUPTED = "interrupted"    # attribute of a trial, and what it is called
CRASHES, DEATHS = 2, 4    # after so many a trial has failed; one that kills its process must not cost every worker


@contextmanager
def known_experimental() -> Iterator[None]:
    """Heartbeats, their repeats and the full grid are called experimental; a test holds us to each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def repeat_failed(study: Study, *, begins: bool = False, again: Collection[int] = ()) -> None:
    """Put failed trials back among those to do.

    Parameters
    ----------
    begins : bool
        Whether a worker begins or ends: then those whose processes died are given out however often they did.
    again : collection of int
        Numbers of those that somebody asks for.
    """
    trials = study.get_trials(deepcopy=False)
    done_again = repeated(trials)
    for trial in trials:
        wanted = trial.number in again or (begins and _died(trial))
        if trial.number not in done_again and (wanted or owed(trial, trials)):
            give_again(study, trial)


def give_again(study: Study, trial: FrozenTrial) -> None:
    """Put a trial back among those to do, with its settings and without its reason."""
    again = deepcopy(trial)
    for name in ("why", INTERRUPTED):
        again.user_attrs.pop(name, None)
    with known_experimental():
        RetryHeartbeatStaleTrialCallback()(study, again)


def note_interruption(trial: Trial) -> None:
    """Note that it was Ctrl-C that ended a trial; whoever presses it does not wait for a database that is away."""
    with suppress(OSError, StorageInternalError, UpdateFinishedTrialError), asked_once():
        trial.set_user_attr(INTERRUPTED, True)


def reason(trial: FrozenTrial) -> str:
    """Why a trial has failed or was pruned, as far as anybody knows."""
    if interrupted(trial):
        return "Ctrl-C: it is given out again, at the next start at the latest"
    return str(trial.user_attrs.get("why", "its process died"))


def interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial was ended by Ctrl-C."""
    return trial.state == TrialState.FAIL and bool(trial.user_attrs.get(INTERRUPTED))


def owed(trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Whether a trial has failed and is to be done again."""
    if trial.state != TrialState.FAIL:
        return False
    died = [_died(trials[number]) for number in [*trial.system_attrs.get("retry_history", []), trial.number]]
    return sum(died) < DEATHS if died[-1] else died.count(False) < CRASHES


def repeated(trials: list[FrozenTrial]) -> set[int]:
    """Numbers of the trials whose place a later one takes."""
    return {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}


def _died(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and "why" not in trial.user_attrs
