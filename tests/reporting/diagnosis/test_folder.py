from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from eegdecode.reporting.diagnosis.folder import (
    diagnosis_section,
    diagnosis_sentence,
    read_diagnoses,
    verdicts_by_subject,
)
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import load_results
from eegdecode.reporting.screen import last_screen

from ..conftest import make_failed, make_prediction  # noqa: TID252


def train_with_a_stuck_subject(store: Any) -> Path:
    for run in store.unfinished():
        prediction = make_prediction(run, store.meta)
        if run.split.subject == "2":
            flat = dict.fromkeys(("running_loss", "train_loss", "val_loss"), np.log(4))
            flat |= {"train_accuracy": 0.25, "val_accuracy": 0.25, "lr": 0.01}
            prediction = replace(prediction, history=prediction.history.assign(**flat))
        store.add(prediction)
    store.score()
    return store.folder


def test_every_run_is_diagnosed_and_told_everywhere(make_store: Any) -> None:
    folder = train_with_a_stuck_subject(make_store())
    report = write_report(folder).read_text()
    table = read_diagnoses(folder)
    assert len(table) == 4
    stuck = table[table["subject"] == "2"]
    assert set(stuck["verdict"]) == {"stuck"}
    assert "stuck" not in set(table.loc[table["subject"] == "1", "verdict"])
    assert verdicts_by_subject(table)["2"] == "stuck"
    said = diagnosis_sentence(table)
    assert "stuck in 2 of 4 runs (subject 2)" in said
    section = report.partition("## Diagnosis")[2]
    assert "**stuck**: 2 of 4 runs (subject 2)" in section
    assert "- Try: `trainer.lr=0.001`; or trainer.lr=0.03, and check" in section
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(last_screen(load_results(folder)))
    assert "stuck in 2 of 4 runs" in re.sub(r"\s+", " ", console.export_text())


def test_the_settings_of_the_run_are_evidence(make_store: Any) -> None:
    store = make_store()
    folder = train_with_a_stuck_subject(store)
    (folder / "config.yaml").write_text("trainer: {weight_decay: 0.01}\nmodel: {drop: 0.95}\n")
    write_report(folder)
    assert "dropout takes 95%" in read_diagnoses(folder).set_index("subject").loc["2", "evidence"].iloc[0]


def test_a_remedy_knows_what_was_chosen(make_store: Any) -> None:
    """Choices of groups are noted with the experiment, not in its configuration: a flicker was told to be cut up."""
    store = make_store(facts={"dataset": "exo", "model": "eegnet", "frontend": "csp", "preprocess": "ssvep"})
    for run in store.unfinished():
        prediction = make_prediction(run, store.meta)
        known = {"train_loss": 0.01, "train_accuracy": 1.0, "val_loss": 2.0, "val_accuracy": 0.25}
        store.add(replace(prediction, history=prediction.history.assign(**known)))
    store.score()
    write_report(store.folder)
    told = read_diagnoses(store.folder)
    assert set(told["verdict"]) == {"memorising"}
    assert set(told["remedy"]) == {"trainer.weight_decay=0.1; first check labels and split"}


def test_failed_runs_and_runs_without_curves(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    runs = store.unfinished()
    store.add(make_failed(runs[0], meta))
    for run in runs[1:]:
        store.add(make_prediction(run, meta, n_epochs=0))    # as a classical pipeline
    store.score()
    write_report(store.folder)
    table = read_diagnoses(store.folder)
    assert table["verdict"].tolist() == ["diverged"]
    assert "loss is NaN in epoch 3" in table["evidence"].iloc[0]


def test_nothing_is_said_without_runs(make_store: Any) -> None:
    store = make_store()
    report = write_report(store.folder).read_text()
    assert "## Diagnosis" not in report
    table = read_diagnoses(store.folder)
    assert diagnosis_sentence(table) == diagnosis_section(table) == ""
