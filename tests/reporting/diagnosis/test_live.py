"""What is told of a training on its way: illness, soon and once; of healthy ones nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts.benchmarks.diagnosis_curves import synthetic_suite
from scripts.benchmarks.diagnosis_suite import HEALTHY, read_suite
from tests.reporting.conftest import fill

from eegdecode.reporting.diagnosis.live import MOST_TOLD, LiveDiagnosis
from eegdecode.reporting.diagnosis.preflight import note_warning, read_warnings
from eegdecode.reporting.diagnosis.remedies import EXPLAINING
from eegdecode.reporting.diagnosis.verdicts import Diagnosis
from eegdecode.reporting.disk import write_json
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import load_results
from eegdecode.runs import Run, Split

SUITE = Path(__file__).parents[3] / "notebooks" / "benchmarks" / "diagnosis_suite.npz"
NAMED = {    # fault -> what is told of it on its way, and of what share of the stored trainings at least
    "rate /1000": (("rate too low",), 1.0), "volts": (("input scale", "diverged"), 1.0),
    "dropout .95": (("over-regularised",), 0.5), "frozen layer": (("dead parameters",), 1.0),    # one network bears it
    "rate x100": (("diverged", "rate too high"), 0.75),
}    # fmt: skip


def told(row: dict[str, Any], seed: int = 0) -> tuple[str, float]:
    """Follow a finished training as if it ran now: what is told of it and after which share of its epochs."""
    score, history = row["score"], row["history"]
    n_train, n_val, n_test = (int(score[name]) for name in ("n_train", "n_val", "n_test"))
    rows = np.arange(n_train + n_val + n_test)
    parts = np.split(rows, [n_train, n_train + n_val])
    split = Split(*parts, subject="1", session="1", fold=0, protocol="cross_session")
    run, epochs = Run(split, seed), int(history["epoch"].max())
    settings = {EXPLAINING[name]: value for name, value in row["settings"].items() if value is not None}
    about = {"n_classes": row["n_classes"], "settings": settings, "share": float("inf")}
    live = LiveDiagnosis({run.name(): epochs}, labels=rows % row["n_classes"], **about)
    for record in history.to_dict("records"):
        live.epoch(run, record)
        if live.verdicts:
            return live.verdicts[run.name()], record["epoch"] / epochs
    return "", 1.0


@pytest.fixture(scope="module")
def suite() -> list[dict[str, Any]]:
    return read_suite(SUITE)


def test_healthy_trainings_are_not_called_sick_on_their_way(suite: list[dict[str, Any]]) -> None:
    healthy = [row for row in suite if row["label"] == HEALTHY]
    assert len(healthy) >= 100
    said = [told(row)[0] for row in healthy]
    assert said == [""] * len(healthy)


@pytest.mark.parametrize("fault", NAMED)
def test_faults_are_told_in_the_first_three_fifths_of_a_training(suite: list[dict[str, Any]], fault: str) -> None:
    names, least = NAMED[fault]
    said = [told(row) for row in suite if row["label"] == fault]
    assert len(said) >= 16
    assert sum(name in names and share <= 0.6 for name, share in said) >= least * len(said), said


def test_what_does_no_harm_in_the_end_is_not_told(suite: list[dict[str, Any]]) -> None:
    """A decay of 10 holds the loss up at first; as the rate falls it lets go."""
    rows = [row for row in suite if row["label"] == "weight decay 10" and row["score"]["test_accuracy"] > 0.8]
    assert len(rows) >= 14
    assert [told(row)[0] for row in rows] == [""] * len(rows)


def test_a_stuck_training_is_told_of_after_a_third(caplog: Any) -> None:
    (row, *_) = [row for row in synthetic_suite(seed=7, n=1) if row["label"] == "stuck"]
    name, share = told(row)
    assert name == "stuck"
    assert 0.25 < share <= 0.4
    assert "stuck" in caplog.text
    assert "guessing reaches" in caplog.text
    assert "Try: trainer.lr=" in caplog.text


def test_many_sick_runs_are_told_of_briefly_and_a_run_once(caplog: Any) -> None:
    (row, *_) = [row for row in synthetic_suite(seed=7, n=1) if row["label"] == "stuck"]
    rows = np.arange(100)
    runs = [Run(Split(rows[:60], rows[60:80], rows[80:], "1", "1", 0, "cross_session"), seed) for seed in range(8)]
    epochs = int(row["history"]["epoch"].max())
    live = LiveDiagnosis({run.name(): epochs for run in runs}, labels=rows % 4, n_classes=4, share=float("inf"))
    for record in row["history"].to_dict("records"):
        for run in runs:
            live.epoch(run, record)
    assert len(live.verdicts) == 8
    lines = [line for line in caplog.text.splitlines() if "stuck" in line]
    assert len(lines) == MOST_TOLD + 1
    assert "the report will count them" in lines[-1]


def test_looks_take_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second an epoch, and looks that take a tenth of one: one every 5 s."""
    clock, looks = [0.0], []

    def slow(*_: Any, **__: Any) -> list[Diagnosis]:
        looks.append(clock[0])
        clock[0] += 0.1
        return [Diagnosis("learning", "", 0.9)]

    monkeypatch.setattr("eegdecode.reporting.diagnosis.live.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("eegdecode.reporting.diagnosis.live.diagnose", slow)
    rows = np.arange(100)
    runs = [Run(Split(rows[:60], rows[60:80], rows[80:], "1", "1", 0, "cross_session"), seed) for seed in range(50)]
    live = LiveDiagnosis({run.name(): 100 for run in runs}, labels=rows % 4, n_classes=4)
    for epoch in range(1, 100):
        clock[0] = max(clock[0], float(epoch))
        for run in runs:
            live.epoch(run, {"epoch": epoch, "train_loss": 1.0})
    assert looks[0] == 5    # of 20 in 100 epochs the first: trainings of some seconds are looked at as well
    assert 0.1 * len(looks) <= 0.02 * clock[0]
    assert len(looks) >= 10


def test_a_look_imports_nothing_that_takes_long() -> None:
    """Half a second for scipy.stats was the price of the first look, and put it off by 25 s, the second by 50."""
    code = """
import sys
import numpy as np
from eegdecode.reporting.diagnosis.live import LiveDiagnosis
from eegdecode.runs import Run, Split
rows = np.arange(100)
run = Run(Split(rows[:60], rows[60:80], rows[80:], "1", "1", 0, "cross_session"), 0)
live = LiveDiagnosis({run.name(): 20}, labels=rows % 4, n_classes=4, share=float("inf"))
for epoch in range(1, 20):
    loss = {f"{part}_loss": 1.386 for part in ("running", "train", "val")}
    right = {f"{part}_accuracy": 0.25 for part in ("train", "val")}
    live.epoch(run, {"epoch": epoch, "lr": 1e-7, "steps": 2 * epoch, "grad_norm": 1.0, **loss, **right})
print(*live.verdicts.values(), *(name for name in ("scipy", "matplotlib", "sklearn") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "rate too low"


def test_a_rule_that_breaks_fails_no_training(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("eegdecode.reporting.diagnosis.live.diagnose", fail)
    (row, *_) = [row for row in synthetic_suite(seed=7, n=1) if row["label"] == "stuck"]
    assert told(row) == ("", 1.0)
    assert "no diagnosis" in caplog.text


def test_what_the_preflight_warned_of_stands_in_report_and_summary(make_store: Any) -> None:
    store = make_store()
    for _ in range(2):    # the experiment was interrupted once: the same is said twice
        note_warning(store.folder, "the first loss is 9.30, far above ln 4")
    note_warning(store.folder, "no gradient reaches head.bias")
    fill(store)
    summary = store.score().summary
    assert summary["preflight"] == ["the first loss is 9.30, far above ln 4", "no gradient reaches head.bias"]
    text = write_report(store.folder).read_text()
    assert "## Preflight" in text
    assert "- no gradient reaches head.bias" in text
    assert load_results(make_store().folder).summary["preflight"] == summary["preflight"]
    again = make_store(context={"trainer": {"lr": 3e-4}})    # other settings in the same folder
    assert read_warnings(again.folder) == []
    write_json(store.folder / "preflight.json", {})
    assert read_warnings(store.folder) == []
