from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eegdecode.reporting.results import Results
from eegdecode.reporting.tracking import NoTracker, WandbTracker

from .conftest import make_prediction


@pytest.fixture
def results(make_store: Any) -> Results:
    store = make_store()
    for run in store.unfinished():
        store.add(make_prediction(run, store.meta))
    return store.score()


def follow(tracker: Any, results: Results) -> None:
    tracker.start({"trainer": {"lr": 1e-3}}, results.folder)
    for epoch in range(1, 4):
        tracker.epoch("sub-1", {"epoch": epoch, "train_loss": 1 / epoch, "val_loss": float("nan")})
    tracker.finish(results)


def test_no_tracker_leaves_no_trace(results: Results) -> None:
    before = set(results.folder.rglob("*"))
    follow(NoTracker(), results)
    assert set(results.folder.rglob("*")) == before


def test_offline_jobs_lie_below_the_run_folder(results: Results, caplog: Any) -> None:
    tracker = WandbTracker(mode="offline", group="two jobs, one process")
    follow(tracker, results)
    follow(tracker, results)
    assert "wandb failed" not in caplog.text
    written = list((results.folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 2
    texts = (b"train_loss/sub-1", b"n_expected", b"two jobs, one process")
    deadline = time.monotonic() + 30    # wandb's own process writes on for a moment after the job is finished
    while not all(text in file.read_bytes() for file in written for text in texts):
        assert time.monotonic() < deadline, "the offline file does not hold what was logged"
        time.sleep(0.1)
    assert list((results.folder / "wandb").glob("offline-run-*/files/media/table/scores*"))


def test_disabled_writes_nothing(results: Results) -> None:
    follow(WandbTracker(mode="disabled"), results)
    assert not list(results.folder.rglob("*.wandb"))


@pytest.mark.parametrize("where", ["init", "log", "finish"])
def test_a_failing_wandb_warns_once_and_fails_nothing(
    results: Results, monkeypatch: pytest.MonkeyPatch, caplog: Any, where: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("server on fire")

    def nothing(*_: Any, **__: Any) -> None:
        return None

    job = SimpleNamespace(define_metric=nothing, log=nothing, finish=nothing, summary={})
    fake = SimpleNamespace(init=lambda **_: job, Settings=nothing, Table=nothing, Image=nothing)
    setattr(fake if where == "init" else job, where, fail)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    follow(WandbTracker(), results)
    assert caplog.text.count("server on fire") == 1


def test_thinned_curves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[Any] = []
    job = SimpleNamespace(define_metric=lambda *_, **__: None, log=logged.append)
    fake = SimpleNamespace(init=lambda **_: job, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = WandbTracker(every=10)
    tracker.start({}, tmp_path)
    for epoch in range(1, 31):
        tracker.epoch("r", {"epoch": epoch, "val_loss": 1.0})
    assert [row["epoch"] for row in logged] == [1, 11, 21]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="online, offline, disabled; got 'on'"):
        WandbTracker(mode="on")
    with pytest.raises(ValueError, match="at least 1 epoch"):
        WandbTracker(every=0)
