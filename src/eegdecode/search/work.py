"""A search from its first check to its report; any number of processes do the same, on any number of nodes."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from eegdecode.experiment import run_experiment
from eegdecode.reporting.disk import make_folder, read_json, write_json, write_text
from eegdecode.reporting.results import Results
from eegdecode.reporting.searches.page import write_page
from eegdecode.reporting.searches.tables import MARKER, failed_trials, read_search_folder, status_text
from eegdecode.search.best import best_yaml
from eegdecode.search.check import Compose, check_space
from eegdecode.search.final import chosen_by, final_overrides, test_once, winner
from eegdecode.search.objective import Objective
from eegdecode.search.settings import Search, make_search
from eegdecode.search.study import Study, give_again, importances, open_study, table_of, try_one, wake_the_dead

WAIT = 1.0    # s between two looks at the trials of other workers
SUSPICIOUS = 4    # failures in a row from the start that are no accident: a trial and its repetition, twice


def run_search(search: Search, compose: Compose, *, train: Callable[..., Results] = run_experiment) -> list[str]:
    """Do trials until there are ``n_trials``, test the winner once, write the report; give what failed, in words."""
    default = check_space(search.space, compose, search.fixed)
    _claim(search, compose)
    study = open_study(search, default=default)
    dealing = FileLock(search.folder / ".dealing")
    objective = Objective(search, compose, search.folder, dealing, train)
    try:
        _do_trials(study, search, objective, dealing)
    finally:
        dealing.release(force=True)
        table = write_tables(study, search)
    best = winner(table, search)
    if best is None:
        raise RuntimeError(f"no trial of {search.folder} came to its end; python scripts/sweep.py status {search.folder}")
    if not test_once(best, search, compose, train=train):
        print("another worker tests the winner and writes the report")
        return []
    _write_best(search, compose, best)
    print(f"Report: {write_page(search.folder)}")
    return failed_trials(search.folder)


def _claim(search: Search, compose: Compose) -> None:
    """Note what the folder's search is; refuse a folder of another one."""
    mine, marker = search.identity(), make_folder(search.folder) / MARKER
    there = read_json(marker)
    if there and there.get("key") != mine["key"]:
        other = [name for name in mine if name != "key" and there.get(name) != mine[name]]
        said = "; ".join(f"{name} was {there.get(name)}, now {mine[name]}" for name in other)
        raise ValueError(f"{search.folder} holds another search ({said}): give another folder, out_dir=...")
    command = shlex.join(["python", *sys.argv])
    about = {
        **mine, "n_trials": search.n_trials, "sampler": search.sampler, "pruner": search.pruner,
        "storage": search.storage, "heartbeat": search.heartbeat, "base": search.base, "typed": search.typed,
        "choices": compose(search.fixed).choices, "command": there.get("command", command),
    }    # fmt: skip
    write_json(marker, about)


def _do_trials(study: Study, search: Search, objective: Objective, dealing: FileLock) -> None:
    said_waiting = False
    while True:
        with dealing:
            states = _states(study)
            if states["waiting"] or sum(states.values()) < search.n_trials:
                _one(study, search, objective)    # lets the lock go as soon as it has a trial
                continue
        if not states["running"]:
            return
        if not said_waiting:    # one that dies is given out again, to us
            print(f"waiting for {states['running']} trial(s) of other workers")
            said_waiting = True
        time.sleep(WAIT)
        wake_the_dead(study)


def _states(study: Study) -> dict[str, int]:
    """How many trials count, by state: all but failed ones that are done again."""
    counts = dict.fromkeys(("done", "pruned", "failed", "running", "waiting"), 0)
    trials = study.get_trials(deepcopy=False)
    repeated = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    names = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
    for trial in trials:
        if trial.number not in repeated:
            counts[names[trial.state.name]] += 1
    return counts


def _one(study: Study, search: Search, objective: Objective) -> None:
    """Run a trial, say what came of it, and give it out once more if it crashed."""
    trial = try_one(study, objective)
    table = table_of(study, search)
    if trial is None:
        return
    row = table.loc[trial.number]
    again = row["state"] == "failed" and give_again(study, trial.number)
    print(_line(row, table, search) + ("; it is tried once more" if again else ""), flush=True)
    if not again and (table["state"] == "failed").sum() >= SUSPICIOUS and not table["state"].isin(["done", "pruned"]).any():
        raise RuntimeError(f"no trial has worked yet, the last one says: {row['why']} ({search.folder / row['folder']}/error.txt)")


def _line(row: pd.Series, table: pd.DataFrame, search: Search) -> str:
    values = ", ".join(f"{name} {row[name]:.4g}" for name in search.objectives if row[name] == row[name])
    over, best = table["state"].isin(["done", "pruned", "failed"]) & ~table["repeated"], winner(table, search)
    by = "" if best is None else f", best {best[next(iter(search.objectives))]:.4g} (trial {best['trial']})"
    what = values or f"{row['state']}: {row['why']}"
    return f"[{int(over.sum())}/{search.n_trials}] trial {row['trial']}: {what}{by}, {row['took']:.1f} s"


def write_tables(study: Study, search: Search) -> pd.DataFrame:
    """Write ``trials.csv`` and ``importances.json``: what report and status read, without the study."""
    table = table_of(study, search)
    write_text(search.folder / "trials.csv", table.to_csv(index=False))
    write_json(search.folder / "importances.json", importances(study, search))
    return table


def _write_best(search: Search, compose: Compose, best: dict[str, Any] | Any) -> None:
    found = read_search_folder(search.folder)
    words = final_overrides(search, compose, found.final["winner"]["overrides"], found.final["seeds"])
    text = best_yaml(compose(words), words, search=search, found=found, chosen=chosen_by(best, search))
    write_text(search.folder / "best.yaml", text)


def search_of(folder: Path) -> Search:
    """The search that a folder holds, from its own file."""
    about = read_json(folder / MARKER)
    if not about:
        raise ValueError(f"{folder} holds no search: {MARKER} is missing")
    names = ("n_trials", "sampler", "pruner", "storage", "heartbeat", "objectives", "metric", "share", "test_subjects", "final_seeds")
    words = {"space": {path: _as_yaml(words) for path, words in about["space"].items()}, "base": about["base"]}
    options = {name: about[name] for name in names} | {"out_dir": str(folder)}
    return make_search(about["name"], words, typed=about["typed"], options=options)


def _as_yaml(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value not in (None, {}, False)}


def status(folder: Path) -> tuple[str, bool]:
    """What a search has done so far, in words, and whether something of it failed."""
    search = search_of(folder)
    write_tables(open_study(search, create=False), search)
    return status_text(folder), bool(failed_trials(folder))


def retry(folder: Path, compose: Compose, numbers: list[int] | None = None) -> list[str]:
    """Give failed trials out again, all or some by their number, and go on with the search."""
    search = search_of(folder)
    study = open_study(search, create=False)
    table = table_of(study, search)
    failed = table.loc[(table["state"] == "failed") & ~table["repeated"], "trial"].tolist()
    if wrong := [number for number in numbers or [] if number not in failed]:
        raise ValueError(f"trial {wrong[0]} has not failed, or was repeated; there are {failed or 'none'}")
    for number in numbers or failed:
        give_again(study, int(number), most=None)
    return run_search(search, compose)


def newest(runs: Path) -> Path:
    """The search that was begun or gone on with last."""
    found = sorted(runs.glob(f"**/{MARKER}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"there is no search below {runs}; begin one: python scripts/sweep.py sweep=NAME")
    return found[-1].parent


def report(folder: Path) -> Path:
    """Write the report of a search, finished or not."""
    search = search_of(folder)
    write_tables(open_study(search, create=False), search)
    return write_page(folder)
