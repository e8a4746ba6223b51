from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eegdecode.reporting.diagnosis.folder import diagnosis_sentence, read_diagnoses
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import Results
from eegdecode.reporting.tracking import NoTracker, WandbTracker

from .conftest import make_prediction

BLOCK = 32 * 1024    # bytes of a block of LevelDB's log


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


def records(path: Path) -> Iterator[Any]:
    """What an offline job wrote, as wandb's own messages; the file is a log of LevelDB behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, message = 7, b""
    while at + 7 <= len(data):
        if (left := BLOCK - at % BLOCK) < 7:    # no header fits: padding
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        message += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):    # whole, or the last piece
            yield wandb_internal_pb2.Record.FromString(message)
            message = b""


def read_back(path: Path) -> dict[str, Any]:
    """Group, tags, config, points of curves and summary of an offline job, once it is finished."""
    deadline = time.monotonic() + 30
    while not any(record.WhichOneof("record_type") == "exit" for record in records(path)):
        assert time.monotonic() < deadline, "the offline job did not end"
        time.sleep(0.1)
    found: dict[str, Any] = {"curves": [], "summary": {}, "config": {}}
    for record in records(path):
        if record.HasField("run"):
            found |= {"group": record.run.run_group, "tags": set(record.run.tags)}
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif record.HasField("history"):
            found["curves"].append({_name(item): json.loads(item.value_json) for item in record.history.item})
        elif record.HasField("summary"):
            found["summary"] |= {_name(item): json.loads(item.value_json) for item in record.summary.update}
    return found


def _name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def test_an_offline_job_is_read_back(results: Results, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    facts = {"dataset": "simulated", "model": "m" * 80, "protocol": "cross_session"}
    write_report(results.folder)    # draws the figures and writes the diagnosis, as an experiment does before its end
    tracker = WandbTracker(mode="offline", tags=["mine", "simulated"])
    tracker.start({**facts, "config": "trainer:\n  lr: 0.001\n"}, results.folder)
    for epoch in (1, 2, 3):
        tracker.epoch("sub-1", {"epoch": epoch, "val_loss": 1 / epoch})
    tracker.finish(results)
    assert "wandb failed" not in caplog.text
    (path,) = (results.folder / "wandb").glob("offline-run-*/run-*.wandb")
    found = read_back(path)
    assert found["group"] == str(results.folder)
    assert found["tags"] == {"mine", "simulated", "m" * 64, "cross_session"}
    assert found["config"]["config"] == {"trainer": {"lr": 0.001}}
    curve = [(point["epoch"], point["val_loss/sub-1"]) for point in found["curves"] if "val_loss/sub-1" in point]
    assert curve == [(epoch, pytest.approx(1 / epoch)) for epoch in (1, 2, 3)]
    assert found["summary"]["n_done"] == found["summary"]["n_expected"] == 4
    assert found["summary"]["mean"] == pytest.approx(results.summary["mean"])
    assert found["summary"]["diagnosis"] == diagnosis_sentence(read_diagnoses(results.folder)) != ""
    images = {name.split("/")[1] for point in found["curves"] for name in point if name.startswith("figures/")}
    assert {"curves", "subjects", "confusion"} <= images


@pytest.mark.parametrize(
    ("typed", "outside", "group"), [(None, None, "out"), (None, "mine", None), ("typed", "mine", "typed")]
)
def test_jobs_belong_to_their_folder_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None, outside: str | None, group: str | None
) -> None:
    opened: list[dict[str, Any]] = []
    job = SimpleNamespace(define_metric=lambda *_, **__: None)
    fake = SimpleNamespace(init=lambda **about: opened.append(about) or job, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    if outside:
        monkeypatch.setenv("WANDB_RUN_GROUP", outside)
    WandbTracker(mode="offline", group=typed).start({}, tmp_path / "out")
    assert opened[0]["group"] == (str(tmp_path / "out") if group == "out" else group)    # None: of the environment


CALLS = ["Settings", "init", "define_metric", "log", "Image", "Table", "summary", "finish"]


@pytest.mark.parametrize("where", CALLS)
def test_a_failing_wandb_warns_once_and_fails_nothing(
    results: Results, monkeypatch: pytest.MonkeyPatch, caplog: Any, where: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("server on fire")

    def nothing(*_: Any, **__: Any) -> None:
        return None

    (results.folder / "figures").mkdir()
    (results.folder / "figures" / "curves.png").write_bytes(b"")
    summary = SimpleNamespace(update=fail if where == "summary" else nothing)
    job = SimpleNamespace(define_metric=nothing, log=nothing, finish=nothing, summary=summary, url="")
    known = {"Settings": nothing, "Table": nothing, "Image": nothing, "login": lambda **_: True}
    fake = SimpleNamespace(init=lambda **_: job, **known)
    if where != "summary":
        setattr(job if hasattr(job, where) else fake, where, fail)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    follow(WandbTracker(mode="online"), results)
    assert caplog.text.count("server on fire") == 1


def test_whoever_is_not_logged_in_is_told_and_not_asked(
    results: Results, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """On a terminal wandb's menu waited for an answer, and the training did not begin."""
    fake = SimpleNamespace(init=lambda **_: pytest.fail("it asks"), login=lambda *, prompt: prompt)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    follow(WandbTracker(mode="online"), results)
    assert "nobody is logged in: type wandb login, set WANDB_API_KEY, or take logger.mode=offline" in caplog.text


def test_an_absent_wandb_fails_nothing(results: Results, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    follow(WandbTracker(), results)
    assert caplog.text.count("wandb failed") == 1


def test_a_folder_that_cannot_be_written_fails_nothing(results: Results, caplog: Any) -> None:
    (results.folder / "wandb").write_text("a file in the way")
    follow(WandbTracker(mode="offline"), results)
    assert (results.folder / "wandb").read_text() == "a file in the way"


def test_thinned_curves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[Any] = []
    job = SimpleNamespace(define_metric=lambda *_, **__: None, log=logged.append)
    fake = SimpleNamespace(init=lambda **_: job, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = WandbTracker(mode="offline", every=10)
    tracker.start({}, tmp_path)
    for epoch in range(1, 31):
        tracker.epoch("r", {"epoch": epoch, "val_loss": 1.0})
    assert [row["epoch"] for row in logged] == [1, 11, 21]
    logged.clear()
    tracker.start({}, tmp_path)
    for epoch in range(4, 41, 4):    # of a long training every fourth is measured: no point of them was logged
        tracker.epoch("r", {"epoch": epoch, "val_loss": 1.0})
    assert [row["epoch"] for row in logged] == [4, 16, 28, 40]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="online, offline, disabled; got 'on'"):
        WandbTracker(mode="on")
    with pytest.raises(ValueError, match="at least 1 epoch"):
        WandbTracker(every=0)
