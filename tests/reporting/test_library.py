"""Runs that experiments share: taken, published, damaged, refused by a full disk, and trained by one at a time."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest

from eegdecode.identity import run_key
from eegdecode.reporting import folders, sharing
from eegdecode.reporting import library as shared
from eegdecode.reporting.library import Library
from eegdecode.reporting.predictions import load_predictions
from eegdecode.runs import Run

from .conftest import fill, make_failed, make_prediction, make_runs


@pytest.fixture
def libraries(tmp_path: Path):
    """One library as several processes see it."""
    opened = [Library(tmp_path / "library") for _ in range(3)]
    yield opened
    for library in opened:
        library.close()


def test_a_run_is_trained_once_for_all_experiments(
    make_store: Any, tmp_path: Path, libraries: Any, caplog: Any
) -> None:
    one = make_store(folder=tmp_path / "one", library=libraries[0])
    fill(one)
    more = make_runs(one.meta, n_seeds=3)
    with caplog.at_level(logging.INFO):
        facts = {**one.facts, "model": "its"}
        other = make_store(folder=tmp_path / "other", library=libraries[1], runs=more, facts=facts)
        assert [run.seed for run in other.unfinished()] == [2, 2]
    assert f"4 of 6 runs were trained before, by {tmp_path / 'one'} (4)" in caplog.text
    fill(other)
    results = other.score()
    assert results.complete
    assert results.scores["seconds"].eq(1.5).all()    # of the training
    assert results.scores["model"].eq("its").all()
    kept = {run.name: run for run in load_predictions(one.score().folder)}
    for run in load_predictions(other.folder):
        if run.name in kept:
            np.testing.assert_array_equal(run.logits["test"], kept[run.name].logits["test"])
    key = other.keys[more[0].name()]
    assert (other.folder / "finished" / f"{key}.npz").samefile(one.folder / "finished" / f"{key}.npz")    # no copy
    assert len(list((other.folder / "checkpoints").glob("*.safetensors"))) == 6


def test_without_a_library_nothing_is_shared(make_store: Any, tmp_path: Path) -> None:
    fill(make_store(folder=tmp_path / "one"))
    assert len(make_store(folder=tmp_path / "other").unfinished()) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_run_is_trained_anew_and_replaced(
    make_store: Any, tmp_path: Path, libraries: Any, caplog: Any, suffix: str, damage: str
) -> None:
    one = make_store(folder=tmp_path / "one", library=libraries[0])
    fill(one)
    file = libraries[0].path(next(iter(one.keys.values()))).with_suffix(suffix)
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    other = make_store(folder=tmp_path / "other", library=libraries[1])
    assert len(fill(other)) == 1
    assert ("trained anew" in caplog.text) == ((suffix, damage) != (".npz", "gone"))
    assert len(file.read_bytes()) > len(content) // 2
    assert make_store(folder=tmp_path / "third", library=libraries[2]).unfinished() == []


def test_failed_runs_are_not_shared_and_may_be_tried_by_others(make_store: Any, tmp_path: Path, libraries: Any) -> None:
    one, other = (make_store(folder=tmp_path / name, library=lib) for name, lib in zip("ab", libraries, strict=False))
    run = one.unfinished()[0]
    assert one.claim([run]) == [run]
    one.add(make_failed(run, one.meta))
    assert other.claim([run]) == [run]
    assert one.wait([run]) == []    # it has tried


def test_two_processes_train_no_run_twice_and_wait_for_each_other(
    make_store: Any, tmp_path: Path, libraries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LOOKS", (0.01, 0.05))
    one, other = (make_store(folder=tmp_path / name, library=lib) for name, lib in zip("ab", libraries, strict=False))
    runs = one.unfinished()
    assert one.claim(runs[:2]) == runs[:2]
    assert one.claim(runs[:2]) == runs[:2]    # a stack that did not fit is claimed again in parts
    assert other.claim(runs) == runs[2:]
    for run in runs[2:]:
        other.add(make_prediction(run, other.meta))
    one.add(make_prediction(runs[0], one.meta))
    gives_up = Timer(0.2, one.close)    # with its second run undone
    gives_up.start()
    assert other.wait(runs) == [runs[1]]
    gives_up.join()
    assert other.claim([runs[1]]) == [runs[1]]
    other.add(make_prediction(runs[1], other.meta))
    assert other.wait(runs) == []
    assert one.unfinished() == []
    assert one.score().complete
    assert other.score().complete


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_library_that_cannot_be_written_costs_a_warning_and_no_run(
    make_store: Any, tmp_path: Path, libraries: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    store = make_store(folder=tmp_path / "one", library=libraries[0])
    with monkeypatch.context() as patch:
        patch.setattr(shared, "_link", refuse)
        patch.setattr(libraries[0].leases, "claim", refuse)
        for run in store.unfinished():
            assert store.claim([run]) == [run]
            store.add(make_prediction(run, store.meta))
        assert store.wait(list(store.runs.values())) == []
    assert store.score().complete
    assert caplog.text.count("Runs are kept in the run folder alone") == 1
    assert {errno.ENOSPC: "disk is full"}.get(number, "no permission") in caplog.text
    assert not list(libraries[0].folder.rglob("*.npz"))
    assert make_store(folder=tmp_path / "one", library=libraries[0]).unfinished() == []    # and publishes what it has
    assert len(list(libraries[0].folder.rglob("*.npz"))) == 4


def test_where_there_are_no_hard_links_runs_are_copied(
    make_store: Any, tmp_path: Path, libraries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(shared.os, "link", refuse)
    fill(make_store(folder=tmp_path / "one", library=libraries[0]))
    other = make_store(folder=tmp_path / "other", library=libraries[1])
    assert other.unfinished() == []
    assert other.score().complete


def test_what_no_folder_holds_is_pruned(make_store: Any, tmp_path: Path, libraries: Any) -> None:
    store = make_store(folder=tmp_path / "one", library=libraries[0])
    fill(store)
    assert libraries[1].prune() == []
    keys = list(store.keys.values())
    for file in [*store.folder.glob(f"finished/{keys[0]}.npz"), *store.folder.glob(f"checkpoints/*{keys[0][:8]}*")]:
        file.unlink()
    (libraries[0].path(keys[1]).parent / f".{keys[1]}.npz.1.part").write_text("half")
    gone = {path.name for path in libraries[1].prune()}
    assert gone == {*(f"{keys[0]}{suffix}" for suffix in (".npz", *shared.CHECKPOINT)), f".{keys[1]}.npz.1.part"}
    assert sorted(path.stem for path in libraries[0].folder.glob("??/*.npz")) == sorted(keys[1:])
    assert not list(libraries[0].folder.rglob("*.part"))


def test_where_files_are_copies_those_of_run_folders_stay(make_store: Any, tmp_path: Path, libraries: Any,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:    # fmt: skip
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    store = make_store(folder=tmp_path / "one", library=libraries[0])
    fill(store)
    assert libraries[1].prune() == []
    key = next(iter(store.keys.values()))
    (store.folder / "finished" / f"{key}.npz").unlink()
    assert {path.name for path in libraries[1].prune()} == {f"{key}{suffix}" for suffix in (".npz", *shared.CHECKPOINT)}


def test_the_key_holds_what_the_random_numbers_depend_on(make_store: Any, runs: list[Run]) -> None:
    split = runs[0].split
    other = Run(type(split)(split.train, split.val, split.test, split.subject, split.session, 7, split.protocol), 0)
    about = {"meta": make_store().meta, "fingerprints": {"1": "0", "2": "0"}, "context": {}}
    assert run_key(runs[0], **about) != run_key(other, **about)


def test_a_folder_is_held_against_other_machines_too(tmp_path: Path) -> None:
    assert folders.hold(tmp_path)
    (heart,) = (tmp_path / ".held").glob("*.heart")
    folders.release(tmp_path)
    heart.write_text('{"machine": "another", "locked": true}')
    (tmp_path / ".held" / "folder.lease").write_text(heart.stem)
    beat = Timer(0.5, lambda: os.utime(heart))
    beat.start()
    assert not folders.hold(tmp_path)
    beat.join()
    os.utime(heart, (0, 0))
    assert folders.hold(tmp_path)
    folders.release(tmp_path)
