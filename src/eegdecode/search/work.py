"""A search from its first check to its report; any number of processes do the same, on any number of nodes."""

from __future__ import annotations

import shlex
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
from filelock import FileLock

from eegdecode.experiment import table_of_trials
from eegdecode.identity import split_digest
from eegdecode.reporting.disk import make_folder, read_json, write_json, write_text
from eegdecode.reporting.folders import MARKER as EXPERIMENT
from eegdecode.reporting.searches.page import write_page
from eegdecode.reporting.searches.tables import (
    MARKER,
    digits,
    failed_trials,
    judged_by,
    read_search_folder,
    without_score,
)
from eegdecode.search.best import best_yaml
from eegdecode.search.check import Compose, check_space
from eegdecode.search.final import final_overrides, try_winner, winner
from eegdecode.search.objective import Objective, nested_of
from eegdecode.search.repeats import owed, repeat_failed
from eegdecode.search.settings import Search, lasting
from eegdecode.search.study import Study, count_states, importances, open_study, table_of, try_one, wake_the_dead
from eegdecode.search.versions import changes, is_over, made_with, refusal

WAIT = 1.0    # s between two looks at the trials of other workers
LEAVING = 10.0    # s that a worker which ends by an error waits for its turn to say so
SUSPICIOUS = 4    # failures in a row from the start that are no accident: a trial and its repetition, twice


def run_search(search: Search, compose: Compose, *, again: Sequence[int] = ()) -> list[str]:
    """Do trials until there are ``n_trials``, test the winner once, write the report; give what failed, in words.

    Parameters
    ----------
    again : sequence of int
        Numbers of failed trials to do once more.
    """
    default = check_space(search.space, compose, search.fixed, typed=search.typed)
    made = _with_these_splits(search, compose)
    dealing = FileLock(make_folder(search.folder) / ".dealing")
    with dealing:
        if _claim(search, compose, made, again):
            return _tell(search)
        study = open_study(search, default=default)
        wake_the_dead(study)
        repeat_failed(study, begins=True, again=again)
    objective = Objective(search, compose, dealing)
    try:
        _do_trials(study, search, objective, dealing)
    except BaseException as error:    # what was begun is left to others, but for the error that is on its way
        with suppress(OSError), dealing.acquire(timeout=LEAVING):
            repeat_failed(study, begins=True)
            write_tables(study, search)
        if isinstance(error, KeyboardInterrupt):
            print("interrupted; the trial in work is given out again, to a worker that goes on or to the same command",
                  flush=True)    # fmt: skip
        raise
    finally:
        dealing.release(force=True)
    table = write_tables(study, search)
    best = winner(table, search)
    if best is None:
        raise RuntimeError(f"no trial came to its end; python scripts/sweep.py status {search.folder}")
    if not try_winner(best, search, compose):
        print("another worker tests the winner and writes the report")
        return []
    _write_best(search, compose)
    return _tell(search)


def _tell(search: Search) -> list[str]:
    """Write the report; give what failed, in words."""
    print(f"Report: {write_page(search.folder)}")
    lost = without_score(read_search_folder(search.folder))
    return [*failed_trials(search.folder), *([lost] if lost else [])]


def _with_these_splits(search: Search, compose: Compose) -> dict[str, Any]:
    """Make the splits once: what the protocol, `share` or `test_subjects` cannot do shows here, not in a trial.

    Gives what trials will be made with, see `made_with`.
    """
    parts = compose(search.fixed).build()
    meta, fingerprints = table_of_trials(parts["dataset"], parts["preprocess"])
    splits = nested_of(search, parts["protocol"]).inner(meta)
    return made_with(search, compose, data=fingerprints, splits=split_digest(splits, meta=meta))


def _in_turn(there: Mapping[str, Any], name: str, now: str) -> list[str]:
    """What drew or stopped the trials up to now, in turn: a search may go on with another sampler."""
    before = there.get(f"{name}s") or [there[name]] if name in there else []
    return [*before, *([now] if before[-1:] != [now] else [])]


def _claim(search: Search, compose: Compose, made: dict[str, Any], again: Sequence[int] = ()) -> bool:
    """Note what the folder's search is; refuse a folder of another one, or of trials of another version.

    True if such a search is over: then there is nothing to do but to show it.
    """
    if (search.folder / EXPERIMENT).exists():
        raise ValueError(f"{search.folder} is a run folder, whose report this would replace: give another out_dir")
    mine, marker = search.identity(), search.folder / MARKER
    there = read_json(marker)
    if there and there.get("key") != mine["key"]:
        then = {**there, "overrides": sorted(lasting(there.get("overrides", [])))}    # places, of an older version
        now = {**mine, "overrides": sorted(mine["overrides"])}
        other = [name for name in mine if name != "key" and then.get(name) != now[name]]
        said = "; ".join(f"{name} was {there.get(name)}, now {mine[name]}" for name in other)
        if other:
            raise ValueError(f"{search.folder} holds another search ({said}): give another folder, out_dir=...")
    _refuse_another_storage(search, there)
    if there and "made_with" not in there:
        print(f"{marker} is of an older version and does not say with which settings, code and data its trials were "
              "made: the search goes on as if nothing had changed since", flush=True)    # fmt: skip
    elif there and (changed := changes(there["made_with"], made)):
        if again or not is_over(search):
            raise refusal(search.folder, changed)
        print(f"{search.folder} is over, and was made with another version ({changed}): nothing is trained", flush=True)
        return True
    command = shlex.join(["python", *sys.argv])
    if not any(word.startswith("sweep=") for word in sys.argv):    # a retry; the last search that was typed goes on
        command = there.get("command", command)
    shared = search.storage not in (None, "journal") and not there    # a database: folders are many, names are few
    study = f"{search.name}-{uuid.uuid4().hex[:8]}" if shared else there.get("study", search.name)
    about = {
        **mine, "study": study, "n_trials": search.n_trials, "sampler": search.sampler, "pruner": search.pruner,
        "samplers": _in_turn(there, "sampler", search.sampler), "pruners": _in_turn(there, "pruner", search.pruner),
        "storage": search.storage, "heartbeat": search.heartbeat, "patience": search.patience, "base": search.base,
        "typed": search.typed, "choices": compose(search.fixed).choices, "command": command, "made_with": made,
    }    # fmt: skip
    write_json(marker, about)
    return False


def _refuse_another_storage(search: Search, there: Mapping[str, Any]) -> None:
    """Elsewhere the trials would be lost, or those of another search taken for them; a host may have two names."""
    before, now = there.get("storage"), search.storage
    same_database = before and now and "://" in before and before.rpartition("/")[2] == now.rpartition("/")[2]
    if "storage" in there and before != now and not same_database:
        raise ValueError(f"{search.folder} keeps its trials in storage={before or 'null'}, and storage={now or 'null'} "
                         "holds none of them: take the first, or give another out_dir")    # fmt: skip


def _do_trials(study: Study, search: Search, objective: Objective, dealing: FileLock) -> None:
    said_waiting = False
    while True:
        with dealing:
            wake_the_dead(study)
            repeat_failed(study)    # before anybody can take the search for done
            states = count_states(study)
            if states["waiting"] or sum(states.values()) < search.n_trials:
                _one(study, search, objective)    # lets the lock go as soon as it has a trial
                continue
        if not states["running"]:
            return
        if not said_waiting:    # one that dies is given out again, to us
            print(f"waiting for {states['running']} trial(s) of other workers", flush=True)
            said_waiting = True
        time.sleep(WAIT)


def _one(study: Study, search: Search, objective: Objective) -> None:
    """Run a trial and say what came of it."""
    number = try_one(study, objective, told=objective.let_go).number
    table = table_of(study, search)
    row: dict[str, Any] = {str(name): value for name, value in table.iloc[number].to_dict().items()}
    if row["repeated"]:
        print(f"trial {number} was given to another worker meanwhile, for nothing was heard of this one", flush=True)
        return
    trials = study.get_trials(deepcopy=False)
    again = owed(trials[number], trials)
    print(_line(row, table, search) + ("; it is tried once more" if again else ""), flush=True)
    if row["state"] == "failed":
        print(f"  log: {search.folder / row['folder'] / 'error.txt'}; status and retry: python scripts/sweep.py status "
              f"{search.folder}", flush=True)    # fmt: skip
    hopeless = (table["state"] == "failed").sum() >= SUSPICIOUS and not table["state"].isin(["done", "pruned"]).any()
    if hopeless and not again:
        log = search.folder / row["folder"] / "error.txt"
        raise RuntimeError(f"no trial has worked yet, the last one says: {row['why']} ({log})")


def _line(row: dict[str, Any], table: pd.DataFrame, search: Search) -> str:
    values = ", ".join(f"{name} {digits(row[name], 4)}" for name in search.objectives if row[name] == row[name])
    over, best = table["state"].isin(["done", "pruned", "failed"]) & ~table["repeated"], winner(table, search)
    by = "" if best is None else f", best {digits(best[judged_by(search.objectives)], 4)} (trial {best['trial']})"
    what = values or f"{row['state']}: {row['why']}"
    return f"[{int(over.sum())}/{search.n_trials}] trial {row['trial']}: {what}{by}, {row['took']:.1f} s"


def write_tables(study: Study, search: Search) -> pd.DataFrame:
    """Write ``trials.csv`` and ``importances.json``: what report and status read, without the study."""
    table = table_of(study, search)
    write_text(search.folder / "trials.csv", table.to_csv(index=False))
    write_json(search.folder / "importances.json", importances(study, search))
    return table


def _write_best(search: Search, compose: Compose) -> None:
    found = read_search_folder(search.folder)
    words = final_overrides(search, compose, found.final["winner"]["overrides"], found.final["seeds"])
    text = best_yaml(compose(words), words, search=search, found=found)
    write_text(search.folder / "best.yaml", text)
