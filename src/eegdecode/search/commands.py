"""What ``scripts/sweep.py`` understands: a search, and status, retry and report of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import runs_root
from eegdecode.reporting.searches.page import write_page
from eegdecode.reporting.searches.tables import MARKER, failed_trials, status_text
from eegdecode.search.check import Compose
from eegdecode.search.settings import Search, make_search, meant, read_search
from eegdecode.search.study import open_study, table_of
from eegdecode.search.work import run_search, write_tables

TASKS = ("status", "retry", "report")
KEPT = (    # options that search.json holds
    "n_trials", "sampler", "pruner", "storage", "heartbeat", "patience", "objectives", "metric", "share",
    "test_subjects", "final_seeds",
)    # fmt: skip


def obey(words: Sequence[str], *, configs: Path, compose: Compose) -> list[str]:
    """Do what is typed; give what failed, a line each.

    Parameters
    ----------
    words : sequence of str
        ``sweep=NAME ...``, or ``status|retry|report [FOLDER]``, of the newest search if none is given;
        ``retry FOLDER 3 5`` tries these trials again alone.
    configs : Path
        Folder of the searches' YAML files.
    compose : callable
        Overrides of ``scripts/train.py`` -> what Hydra makes of them.
    """
    task, *rest = words
    if "=" not in task and task not in TASKS:
        raise ValueError(f"{task} is no task, and no sweep=NAME; {meant(task, TASKS)}")
    if task not in TASKS:
        return run_search(read_search(words, configs), compose)
    folder = Path(rest[0].removeprefix("out_dir=")) if rest else newest(runs_root())    # as the search itself was told
    if task != "retry" and rest[1:]:
        raise ValueError(f"{task} takes the folder of a search, or nothing; got {' '.join(rest)}")
    if task == "retry":
        if wrong := [word for word in rest[1:] if not word.isdigit()]:
            raise ValueError(f"retry {folder} {wrong[0]}: that is no number of a trial")
        return retry(folder, compose, [int(word) for word in rest[1:]])
    search = search_of(folder)
    try:
        write_tables(open_study(search, create=False), search)
    except ValueError as error:    # the tables of before tell more than nothing
        if not (folder / "trials.csv").exists():
            raise
        print(f"{error}; as it was {datetime.fromtimestamp((folder / 'trials.csv').stat().st_mtime):%Y-%m-%d %H:%M}:")
    if task == "report":
        print(f"Report: {write_page(folder)}")
        return []
    print(status_text(folder))
    return [f"{len(failed)} trial(s) failed"] if (failed := failed_trials(folder)) else []


def search_of(folder: Path) -> Search:
    """The search that a folder holds, from its own file."""
    about = read_json(folder / MARKER)
    if not about:
        raise ValueError(f"{folder} holds no search: {MARKER} is missing")
    words = {"space": {path: _as_yaml(words) for path, words in about["space"].items()}, "base": about["base"]}
    options = {name: about[name] for name in KEPT if name in about} | {"out_dir": str(folder)}
    return make_search(about["name"], words, typed=about["typed"], options=options)


def _as_yaml(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value not in (None, {}, False)}


def retry(folder: Path, compose: Compose, numbers: list[int] | None = None) -> list[str]:
    """Give failed trials out again, all or some by their number, and go on with the search."""
    search = search_of(folder)
    study = open_study(search, create=False)
    table = table_of(study, search)
    failed = table.loc[(table["state"] == "failed") & ~table["repeated"], "trial"].tolist()
    if wrong := [number for number in numbers or [] if number not in failed]:
        raise ValueError(f"trial {wrong[0]} has not failed, or was repeated; there are {failed or 'none'}")
    return run_search(search, compose, again=numbers or failed)


def newest(runs: Path) -> Path:
    """The search that was begun or gone on with last."""
    found = sorted(runs.glob(f"**/{MARKER}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"there is no search below {runs}; begin one: python scripts/sweep.py sweep=NAME")
    return found[-1].parent
