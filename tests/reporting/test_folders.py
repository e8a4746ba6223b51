from __future__ import annotations

import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eegdecode.reporting import folders
from eegdecode.reporting.folders import choose_folder, experiment_key, refuse_run_folder
from eegdecode.reporting.pretraining import PretrainingFolder

from .conftest import fill, make_prediction, make_runs


def test_a_new_folder_is_named_by_time_and_unique(tmp_path: Path) -> None:
    made = [choose_folder(tmp_path / "runs", key=str(i)) for i in range(3)]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d)?", folder.name) for folder in made)


def test_an_unfinished_experiment_goes_on_where_it_was(tmp_path: Path) -> None:
    first = choose_folder(tmp_path, key="a")
    folders.release(first)
    assert choose_folder(tmp_path, key="a") == first
    assert choose_folder(tmp_path, key="b") != first


def test_a_complete_experiment_gets_a_new_folder(tmp_path: Path) -> None:
    first = choose_folder(tmp_path, key="a")
    (first / "summary.json").write_text(json.dumps({"n_done": 3, "n_expected": 4}))
    assert choose_folder(tmp_path, key="a") == first
    (first / "summary.json").write_text(json.dumps({"n_done": 4, "n_expected": 4}))
    assert choose_folder(tmp_path, key="a") != first


def test_the_marker_of_a_killed_start_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "experiment.json").write_text('{"key": ')
    assert choose_folder(tmp_path, key="a").name != "old"


def _choose(root: Path, names: Any, go_on: Any) -> None:
    names.put(choose_folder(root, key="a").name)
    go_on.wait(20)


def test_processes_that_start_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")    # children inherit the table of locks, the harder case
    folders.release(choose_folder(tmp_path, key="a"))
    names, go_on = fork.Queue(), fork.Event()
    workers = [fork.Process(target=_choose, args=(tmp_path, names, go_on)) for _ in range(3)]
    for worker in workers:
        worker.start()
    chosen = [names.get(timeout=20) for _ in workers]
    go_on.set()
    for worker in workers:
        worker.join(20)
    assert len(set(chosen)) == 3


def test_the_store_marks_what_choose_folder_looks_for(
    make_store: Any, meta: pd.DataFrame, tmp_path: Path
) -> None:
    runs = make_runs(meta, n_seeds=1)
    defined = {"meta": meta, "fingerprints": {"1": "x", "2": "y"}, "context": {"lr": 1}}
    key = experiment_key(runs, **defined)
    store = make_store(folder=choose_folder(tmp_path, key=key), runs=runs, **defined)
    for run in store.unfinished()[:1]:
        store.add(make_prediction(run, meta))
    store.score()
    assert choose_folder(tmp_path, key=key) == store.folder
    for run in store.unfinished():
        store.add(make_prediction(run, meta))
    store.score()
    assert choose_folder(tmp_path, key=key) != store.folder


@pytest.mark.parametrize("change", ["context", "fingerprints", "seeds"])
def test_whatever_defines_an_experiment_changes_its_key(meta: pd.DataFrame, change: str) -> None:
    defined: dict[str, Any] = {"meta": meta, "fingerprints": {"1": "x", "2": "y"}, "context": {"lr": 1}}
    key = experiment_key(make_runs(meta, n_seeds=2), **defined)
    assert key == experiment_key(make_runs(meta, n_seeds=2), **defined)
    changed = {"context": {"lr": 2}, "fingerprints": {"1": "z", "2": "y"}}
    if change in changed:
        defined[change] = changed[change]
    assert key != experiment_key(make_runs(meta, n_seeds=3 if change == "seeds" else 2), **defined)


def test_trainings_and_encoders_never_share_a_folder(make_store: Any, meta: pd.DataFrame, tmp_path: Path) -> None:
    """Checkpoints of the other kind would be set aside, and its marker lost."""
    store = make_store()
    fill(store)
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    encoders = {"keys": {"sub-1": "a" * 32}, "key": "b" * 32, "meta": meta, "facts": {}}
    with pytest.raises(ValueError, match="out holds results of a training, and this is a pretraining: give another"):
        PretrainingFolder(store.folder, **encoders)
    assert {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()} == before
    PretrainingFolder(tmp_path / "encoders", **encoders)
    with pytest.raises(ValueError, match="encoders holds results of a pretraining, and this is a training: give"):
        make_store(folder=tmp_path / "encoders")
    (tmp_path / "searched").mkdir()
    (tmp_path / "searched" / "search.json").write_text("{}")
    with pytest.raises(ValueError, match="searched is the folder of a search, whose report this would replace"):
        make_store(folder=tmp_path / "searched")
    for place, kind in (("encoders", "a run folder"), ("searched", "the folder of a search")):
        with pytest.raises(ValueError, match=f"{place} is {kind}, and a card would lie among its results"):
            refuse_run_folder(tmp_path / place, what="card")
    PretrainingFolder(choose_folder(tmp_path, key="new"), **encoders)    # its marker has a key alone
