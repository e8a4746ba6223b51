"""A run folder under kills, damage, full disks and failed runs."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting import disk, folders, outcomes
from eegdecode.reporting.library import Library
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.results import load_results
from eegdecode.reporting.tables import read_scores

from .conftest import fill, make_failed, make_prediction, names
from .train_slowly import open_store, train_slowly


def test_two_settings_in_one_folder_keep_their_checkpoints_apart(make_store: Any) -> None:
    fill(make_store())
    fill(make_store(context={}), 1)
    assert make_store().unfinished() == []
    assert len(list((make_store().folder / "checkpoints").glob("*.safetensors"))) == 5


def test_failed_runs_are_said_and_tried_again(make_store: Any, meta: pd.DataFrame, caplog: Any) -> None:
    store = make_store()
    run = store.unfinished()[0]
    store.add(make_failed(run, meta))
    assert "loss is NaN in epoch 3" in caplog.text
    fill(store)
    assert store.score().summary["complete"]    # tried again by fill
    assert read_scores(store.folder)["status"].eq("done").all()


def test_a_failed_run_stays_visible(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    todo = store.unfinished()
    store.add(make_failed(todo[0], meta))
    for run in todo[1:]:
        store.add(make_prediction(run, meta))
    summary = store.score().summary
    assert (summary["n_done"], summary["n_expected"], summary["n_failed"]) == (3, 4, 1)
    again = make_store()
    assert names(again.unfinished()) == [todo[0].name()]
    row = again.score().scores.iloc[0]
    assert row["status"].startswith("failed: loss is NaN")
    assert np.isnan(row["test_accuracy"])


def test_nan_logits_are_not_done(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    prediction = make_prediction(store.unfinished()[0], meta)
    prediction.logits["test"][0, 0] = np.nan
    store.add(prediction)
    assert len(store.unfinished()) == 4


@pytest.mark.parametrize(
    ("where", "damage"),
    [
        *(("finished", damage) for damage in ("cut", "altered", "empty", "gone")),
        *(("checkpoints", damage) for damage in ("cut", "empty", "gone")),    # safetensors has no checksum
    ],
)
def test_damage_is_noticed_and_trained_anew(make_store: Any, caplog: Any, where: str, damage: str) -> None:
    fill(make_store())
    suffix = "npz" if where == "finished" else "safetensors"
    file = sorted((make_store().folder / where).glob(f"*.{suffix}"))[0]
    content = file.read_bytes()
    middle = len(content) // 2
    altered = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": content[:middle], "altered": altered, "empty": b""}[damage])
    store = make_store()
    assert len(fill(store)) == 1
    assert ("anew" in caplog.text) == ((where, damage) != ("finished", "gone"))
    assert store.score().summary["complete"]


def test_half_written_files_are_swept_and_never_counted(make_store: Any) -> None:
    store = make_store()
    fill(store, 1)
    part = store.folder / "finished" / f".{'a' * 32}.npz.123.part"
    part.write_bytes(b"PK")
    with (store.folder / "scores.csv").open("a") as file:
        file.write("simulated,within_ses")    # a line that a kill cut off
    assert len(load_results(store.folder).scores) == 1
    assert len(make_store().unfinished()) == 3
    assert not part.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_twenty_kills_of_two_processes_that_share_their_runs(tmp_path: Path) -> None:
    """No run lost, none trained by both, none twice but where a kill hit it, no file half-written."""
    fork = multiprocessing.get_context("fork")    # starts in milliseconds
    library, diary, seed = tmp_path / "library", tmp_path / "diary.txt", random.randrange(10**6)
    print(f"moments drawn with seed {seed}")
    rng = np.random.default_rng(seed)
    places = [tmp_path / "a", tmp_path / "b"]
    workers, killed = [None, None], {}

    def start(which: int) -> None:
        workers[which] = fork.Process(target=train_slowly, args=(places[which], library, diary))
        workers[which].start()

    start(0)
    start(1)
    while len(killed) < 20:
        time.sleep(rng.uniform(0, 0.15))
        which = int(rng.integers(2))
        killed[workers[which].pid] = time.monotonic()
        workers[which].kill()
        workers[which].join()
        start(which)
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0

    first, second = (load_results(place) for place in places)
    assert first.summary["complete"]
    assert second.summary["complete"]
    for results in (first, second):
        assert len(results.scores) == 120
        assert results.scores["key"].is_unique
    for one, other in zip(load_predictions(places[0]), load_predictions(places[1]), strict=True):
        np.testing.assert_array_equal(one.logits["test"], other.logits["test"])

    begun: dict[str, tuple[float, int]] = {}
    for line in diary.read_text().splitlines():
        moment, pid, name = line.split(" ", 2)
        if name in begun:    # again: whoever had it before was killed, and before that
            assert killed[begun[name][1]] < float(moment), name
        begun[name] = float(moment), int(pid)
    assert len(begun) == 120
    for file in [*library.glob("??/*.npz"), *tmp_path.glob("[ab]/finished/*.npz")]:
        assert outcomes.read_outcome(file).done
    library = Library(library)
    library.prune()
    assert not list(library.folder.rglob("*.part"))
    assert len(list(library.folder.glob("??/*.npz"))) == 120
    assert all(store_of(place).unfinished() == [] for place in places)


def store_of(place: Path) -> Any:
    store = open_store(place)
    folders.release(place)
    assert not list(place.rglob("*.part"))
    return store


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "out_dir")])
def test_full_disk_says_what_to_do_and_keeps_what_is_finished(
    make_store: Any, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    store = make_store()
    fill(store, 1)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(disk.Path, "replace", refuse)
        with pytest.raises(OSError, match=advice) as caught:
            fill(store, 1)
    assert caught.value.errno == number
    assert not list(store.folder.rglob("*.part"))
    assert len(make_store().unfinished()) == 3


def test_two_processes_do_not_share_a_folder(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store()
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_held", {})    # as another process would see it
        with pytest.raises(BlockingIOError, match="another process"):
            make_store()


def test_a_file_in_the_way_of_the_folder(make_store: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="out_dir"):
        make_store(folder=tmp_path / "file")
