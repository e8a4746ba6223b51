from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from eegdecode.reporting.plots import draw_figures
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import load_results
from eegdecode.reporting.screen import last_screen
from eegdecode.reporting.tables import read_history
from eegdecode.runs import WATCHED

from .conftest import make_failed, make_meta, make_prediction, make_runs

FIGURES = {"curves", "curves_by_subject", "subjects", "confusion"}


def train(store: Any, n: int | None = None, **about: Any) -> Path:
    for run in store.unfinished()[:n]:
        store.add(make_prediction(run, store.meta, **about))
    return store.folder


def show(folder: Path) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(last_screen(load_results(folder)))
    return console.export_text()


def test_whole_experiment(make_store: Any) -> None:
    store = make_store()
    folder = train(store)
    summary = store.score().summary
    (folder / "config.yaml").write_text("seed: 0\n")
    report = write_report(folder).read_text()
    for name in FIGURES:
        assert f"figures/{name}.png" in report
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"{100 * summary['mean']:.1f} %" in report
    for text in ("within_session", "4/4 runs", "no test trial chose", "last epoch", "seed: 0", "Inductive"):
        assert text in report
    assert "INCOMPLETE" not in report


def test_results_that_are_kept_without_their_curves_are_reported_and_that_is_said(make_store: Any) -> None:
    folder = train(store := make_store())
    mean = store.score().summary["mean"]
    write_report(folder)
    diagnosed = (folder / "diagnosis.csv").read_text()
    (folder / "history.csv").unlink()
    report = write_report(folder).read_text()
    assert "**Without curves:** `history.csv` is not in this folder" in report
    assert f"{100 * mean:.1f} %" in report
    assert "figures/curves" not in report
    assert "figures/subjects.png" in report
    assert (folder / "diagnosis.csv").read_text() == diagnosed
    (folder / "diagnosis.csv").unlink()
    assert "## Diagnosis" not in write_report(folder).read_text()


def test_screen_fits_a_terminal_and_says_what_a_number_needs(make_store: Any) -> None:
    store = make_store()
    folder = train(store)
    store.score()
    text = show(folder)
    assert max(map(len, text.splitlines())) <= 80
    flat = re.sub(r"\s+", " ", text)
    for part in ("within_session", "test accuracy", "±", "Chance 25.0 %", "4/4 runs", "eegnet on simulated"):
        assert part in flat
    assert str(folder) in text.replace("\n", "")


def test_killed_before_any_scoring(make_store: Any) -> None:
    folder = train(make_store(), 1)
    assert not (folder / "predictions.npz").exists()
    report = write_report(folder).read_text()
    assert "1/4 runs: INCOMPLETE" in report
    assert "1/2" in report    # of the subject
    assert "Runs left: 3" in show(folder)


def test_nothing_finished_yet(make_store: Any) -> None:
    store = make_store()
    assert "No run is finished (0/4)" in write_report(store.folder).read_text()
    assert "No run is finished" in show(store.folder)
    assert store.score().summary["mean"] != store.score().summary["mean"]    # NaN, not 0


def test_only_failures(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    for run in store.unfinished():
        store.add(make_failed(run, meta))
    store.score()
    report = write_report(store.folder).read_text()
    assert "loss is NaN in epoch 3" in report
    assert set(draw_figures(store.folder)) == {"curves", "curves_by_subject"}
    assert "FAILED runs: 4" in show(store.folder)


def test_transductive_is_said(make_store: Any) -> None:
    store = make_store(facts={"dataset": "simulated", "model": "eegnet", "transductive": True})
    folder = train(store)
    assert "TRANSDUCTIVE" in write_report(folder).read_text()
    assert "TRANSDUCTIVE" in show(folder)


def test_the_first_trials_of_a_new_subject_are_not_called_unseen(make_store: Any) -> None:
    store = make_store(facts={"dataset": "simulated", "model": "eegnet", "first_trials": 20})
    report = write_report(train(store)).read_text()
    assert "The first 20 trials of a new subject were used without their labels" in report
    assert "Inductive" not in report


def test_the_best_test_epoch_is_told_as_a_leak_and_stands_nowhere_else(make_store: Any) -> None:
    facts = {"dataset": "simulated", "model": "eegnet", "select": "last", "watch_test": True}
    store = make_store(facts=facts)
    for i, run in enumerate(store.unfinished()):
        prediction = make_prediction(run, store.meta)
        followed = np.linspace(0.2, 0.9, len(prediction.history)) if i else np.full(len(prediction.history), 0.95)
        store.add(replace(prediction, history=prediction.history.assign(**{WATCHED: followed})))
    results = store.score()
    scores = results.scores
    assert scores["leaky_best_test_accuracy"].tolist() == pytest.approx([0.95, 0.9, 0.9, 0.9])
    assert scores["leaky_best_test_epoch"].tolist() == [1, 12, 12, 12]
    assert read_history(store.folder)[WATCHED].notna().all()
    leak = results.summary["leak"]
    assert leak["leaky"] == pytest.approx(0.9125)
    assert leak["honest"] == results.summary["mean"] != leak["leaky"]
    report, screen = write_report(store.folder).read_text(), re.sub(r"\s+", " ", show(store.folder))
    for text in (report, screen):
        before, _, after = text.partition("LEAKY, NOT A RESULT")
        assert "would give 91.3 %" in after
        assert "91.3" not in before
    assert "Diagnostic: best test epoch (leaky, not a result)" in report
    assert f"{100 * results.summary['mean']:.1f} %" in report.partition("Diagnostic")[0]


def test_without_watching_nobody_speaks_of_a_leak(make_store: Any) -> None:
    store = make_store()
    folder = train(store)
    assert "leak" not in store.score().summary
    assert "leak" not in (folder / "scores.csv").read_text() + (folder / "history.csv").read_text()
    assert "leak" not in (write_report(folder).read_text() + show(folder)).lower()


def test_classical_pipeline_has_no_curves_and_no_epoch(make_store: Any) -> None:
    store = make_store()
    folder = train(store, n_epochs=0, weights=False)
    store.score()
    report = write_report(folder).read_text()
    assert set(draw_figures(folder)) == {"subjects", "confusion"}
    assert "epoch" not in report.split("## What was run")[0].replace("chose an epoch", "")


def test_sweep_shows_the_setting_that_validation_chose(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store(runs=make_runs(meta, n_seeds=1, lrs=(1e-3, 1e-2)))
    folder = train(store)
    store.score()
    report = write_report(folder).read_text()
    assert "best mean validation accuracy" in report
    assert "lr = 0.01" in report
    assert "shown" in show(folder)


def test_sweep_without_validation_prefers_no_setting(make_store: Any, meta: pd.DataFrame) -> None:
    empty = np.zeros(0, np.int64)
    runs = make_runs(meta, n_seeds=1, lrs=(1e-3, 1e-2))
    store = make_store(runs=[replace(run, split=replace(run.split, val=empty)) for run in runs])
    folder = train(store)
    assert store.score().summary["mean"] is None
    report = write_report(folder).read_text()
    assert "none is preferred" in report
    assert "lr = 0.01" in report
    assert "no validation trials to choose one by" in re.sub(r"\s+", " ", show(folder))


def test_unbalanced_classes_are_said(make_store: Any, meta: pd.DataFrame) -> None:
    rare = meta.assign(label=(meta.index % 6 == 0).astype(int))
    store = make_store(meta=rare, classes=("other", "target"), runs=make_runs(rare, n_seeds=1))
    for run in store.unfinished():
        labels = rare["label"].to_numpy()
        logits = {part: np.zeros((len(getattr(run.split, part)), 2)) - [0, 1] for part in ("val", "test")}
        assert labels[run.split.test].mean() < 0.2
        store.add(replace(make_prediction(run, meta), logits=logits))
    summary = store.score().summary
    assert summary["mean"] == pytest.approx(summary["chance"])
    assert "balanced accuracy, 50.0 %" in re.sub(r"\s+", " ", show(store.folder))


def test_a_metric_that_some_runs_lack_has_no_mean_and_that_is_said(make_store: Any) -> None:
    store = make_store()
    folder = train(store)
    scores = store.score().scores
    scores.loc[0, "test_auroc"] = np.nan    # no trial of a class in one test
    scores.to_csv(folder / "scores.csv", index=False)
    report = write_report(folder).read_text()
    assert "| auroc | – | – | – | – |" in report
    assert "auroc has no mean: it is not defined in 1 of these runs." in report
    assert "| accuracy | – |" not in report


@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_a_run_without_an_answer_to_each_trial_has_failed(make_store: Any, meta: pd.DataFrame, logit: float) -> None:
    store = make_store()
    run, *others = store.unfinished()
    broken = make_prediction(run, meta)
    broken.logits["test"][0, 0] = logit
    for prediction in (broken, *(make_prediction(other, meta) for other in others)):
        store.add(prediction)
    assert store.score().scores.set_index("key")["status"].str.startswith("failed: the logits hold").sum() == 1


@pytest.mark.parametrize("n_subjects", [1, 45])
def test_any_number_of_subjects(make_store: Any, n_subjects: int) -> None:
    meta = make_meta(n_subjects=n_subjects)
    prints = dict.fromkeys(meta["subject"].unique(), "0")
    store = make_store(meta=meta, runs=make_runs(meta, n_seeds=1), fingerprints=prints)
    folder = train(store)
    store.score()
    assert set(draw_figures(folder)) == (FIGURES if n_subjects > 1 else FIGURES - {"curves_by_subject"})
    assert ("15 more" in show(folder)) == (n_subjects == 45)
    assert "– to –" not in write_report(folder).read_text()

