"""Ensembles of stored predictions: the numbers, who may be combined, and what is missing."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from eegdecode.reporting.comparison.write import write_comparison
from eegdecode.reporting.ensembles import BY, combine, ensemble_rows
from eegdecode.reporting.metrics import ECE_OF_FEW, probabilities, score
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.report import write_report
from eegdecode.reporting.results import load_results
from eegdecode.reporting.screen import last_screen
from eegdecode.reporting.tables import read_scores

from .conftest import fill, make_failed, make_meta, make_runs

MARKS = {"fingerprints": dict.fromkeys("123", "0" * 32)}
LOGITS = np.array([[[2.0, 0.0, 0.0]], [[0.0, 3.0, 0.0]]])    # two members, one trial, three classes


@pytest.fixture
def seeds_of(make_store: Any) -> Any:
    """Return a factory of run folders with several seeds."""

    def make(n: int | None = None, **settings: Any) -> Any:
        meta = make_meta(n_subjects=3)
        store = make_store(meta=meta, runs=make_runs(meta, **{"n_seeds": 5, "n_folds": 2, **settings}), **MARKS)
        fill(store, n)
        return store

    return make


def show(results: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(last_screen(results))
    return re.sub(r"\s+", " ", console.export_text())


def test_means_of_logits_and_of_probabilities() -> None:
    np.testing.assert_allclose(combine(LOGITS, by="logits"), [[1.0, 1.5, 0.0]])
    p = np.array([[np.exp(2), 1, 1] / (np.exp(2) + 2), [1, np.exp(3), 1] / (np.exp(3) + 2)]).mean(0)
    np.testing.assert_allclose(probabilities(combine(LOGITS))[0], p)
    sure = np.array([[[0.0, -np.inf]], [[0.0, -np.inf]]])    # probabilities of 0 stay 0
    assert probabilities(combine(sure))[0].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="by=votes is not one of: probabilities, logits"):
        combine(LOGITS, by="votes")
    with pytest.raises(ValueError, match="needs members"):
        combine(LOGITS[:0])


def test_the_row_is_that_of_a_computation_by_hand(seeds_of: Any) -> None:
    results = seeds_of().score()
    found, scores = results.summary["ensemble"], read_scores(results.folder)
    kept = {each.key: each for each in load_predictions(results.folder)}
    gains, accuracies, losses = [], [], []
    for _, subject in scores.groupby("subject"):
        folds = [[kept[key] for key in fold["key"]] for _, fold in subject.groupby("fold")]
        own = [score(combine(np.stack([m.logits["test"] for m in fold])), fold[0].labels["test"]) for fold in folds]
        accuracies.append(np.mean([each["accuracy"] for each in own]))
        losses.append(np.mean([each["nll"] for each in own]))
        gains.append(accuracies[-1] - subject["test_accuracy"].mean())
    ours = found["probabilities"]
    assert found["members"]["accuracy"] == pytest.approx(results.summary["mean"])
    assert ours["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert ours["accuracy"]["gain"] == pytest.approx(np.mean(gains))
    assert ours["accuracy"]["gain"] > 0.02    # members err at different trials
    assert ours["accuracy"]["interval"] == pytest.approx(stats.t.interval(0.95, 2, np.mean(gains), stats.sem(gains)))
    assert ours["nll"]["mean"] == pytest.approx(np.mean(losses))
    assert ours["nll"]["mean"] < found["members"]["nll"]    # by Jensen's inequality, always
    assert (found["n_members"], found["least"], found["n_combined"], found["n_short"]) == (5, 5, 6, 0)


def test_it_is_told_in_report_screen_summary_and_comparison(seeds_of: Any, tmp_path: Any) -> None:
    results = seeds_of().score()
    ours = results.summary["ensemble"]["probabilities"]
    said = f"{100 * ours['accuracy']['mean']:.1f}"
    assert json.loads((results.folder / "summary.json").read_text())["ensemble"]["n_members"] == 5
    report = write_report(results.folder).read_text()
    assert f"| ensemble, mean probabilities | {said} | {100 * ours['accuracy']['gain']:+.1f} |" in report
    assert all(f"ensemble, mean {by}" in report for by in BY)
    assert f"Ensemble of 5 seeds, mean probabilities: {said} %" in show(results)
    write_comparison([results.folder], out=tmp_path / "page")
    page = (tmp_path / "page" / "report.md").read_text()
    assert f"| eegnet | 5/5 | {100 * results.summary['mean']:.1f} | {said} |" in page
    assert f"; {ECE_OF_FEW}." in report
    assert f"means over splits; {ECE_OF_FEW}." in page
    for text in (report, page, show(results)):
        assert "INCOMPLETE" not in text


def test_missing_members_are_told_and_never_averaged_silently(seeds_of: Any, tmp_path: Any) -> None:
    results = seeds_of(n=17).score()    # of 30
    ensemble = results.summary["ensemble"]
    counts = results.scores.groupby(["subject", "fold"]).size()
    assert ensemble["n_short"] == 6 - (counts == 5).sum() > 0
    least = f"{counts[counts > 1].min()}/5"
    note = f"INCOMPLETE: {ensemble['n_short']} of 6 splits lack members (the smallest has {least}"
    report = write_report(results.folder).read_text()
    write_comparison([results.folder], out=tmp_path / "page")
    for text in (report, show(results), (tmp_path / "page" / "report.md").read_text()):
        assert note in text
    assert f"| eegnet | {least} |" in (tmp_path / "page" / "report.md").read_text()


def test_a_failed_member_is_missing(seeds_of: Any) -> None:
    store = seeds_of(n=29)
    (last,) = store.unfinished()
    store.add(make_failed(last, store.meta))
    ensemble = store.score().summary["ensemble"]
    assert (ensemble["n_short"], ensemble["least"], ensemble["n_combined"]) == (1, 4, 6)


def test_one_seed_has_no_ensemble(seeds_of: Any) -> None:
    results = seeds_of(n_seeds=1).score()
    assert results.summary["ensemble"] is None
    assert "Ensemble of" not in write_report(results.folder).read_text()
    assert "Ensemble of" not in show(results)


def test_swept_numbers_are_never_combined(seeds_of: Any) -> None:
    results = seeds_of(n_seeds=2, lrs=(1e-3, 1e-2)).score()
    assert results.summary["ensemble"]["n_members"] == 2
    assert results.summary["ensemble"]["n_combined"] == 6    # of the one setting that validation chose
    chosen = results.setting()
    assert results.summary["ensemble"]["members"]["nll"] == pytest.approx(
        chosen.groupby("subject")["test_nll"].mean().mean()
    )


def test_members_with_other_test_trials_or_the_same_seed_are_refused(seeds_of: Any) -> None:
    results = seeds_of(n_seeds=2, n_folds=1).score()
    scores = results.scores
    kept = {each.key: each for each in load_predictions(results.folder)}
    one = scores["key"].iloc[0]
    other = {**kept, one: replace(kept[one], trials={"test": kept[one].trials["test"][::-1]})}
    with pytest.raises(ValueError, match="were tested on different trials"):
        ensemble_rows(scores, other)
    with pytest.raises(ValueError, match=r"must differ in their seed; got seeds \[0, 0\]"):
        ensemble_rows(scores.assign(seed=0), kept)
    assert ensemble_rows(scores.iloc[:0], kept).empty


def test_folders_of_before_seeds_were_noted_still_read(seeds_of: Any) -> None:
    folder = seeds_of(n_seeds=2).score().folder
    marker = json.loads((folder / "experiment.json").read_text())
    del marker["seeds"]
    (folder / "experiment.json").write_text(json.dumps(marker))
    assert load_results(folder).summary["ensemble"]["n_members"] == 2
    (folder / "predictions.npz").unlink()
    assert load_results(folder).summary["ensemble"] is None


def test_of_a_folder_above_run_folders_these_are_named(seeds_of: Any) -> None:
    folder = seeds_of(n_seeds=2).score().folder
    with pytest.raises(FileNotFoundError, match=f"is missing; run folders below it: {folder}$"):
        load_results(folder.parent)


def test_other_seeds_in_another_folder_join_on_the_page(seeds_of: Any, make_store: Any, tmp_path: Any) -> None:
    meta = make_meta(n_subjects=3)
    runs = make_runs(meta, n_seeds=4)
    for name, part in (("one", (0, 1)), ("two", (2, 3))):
        store = make_store(folder=tmp_path / name, meta=meta, runs=[run for run in runs if run.seed in part], **MARKS)
        fill(store)
        store.score()
    write_comparison([tmp_path / "one", tmp_path / "two"], out=tmp_path / "page")
    assert "| eegnet | 4/4 |" in (tmp_path / "page" / "report.md").read_text()


def test_the_table_has_a_row_a_split(seeds_of: Any) -> None:
    results = seeds_of().score()
    rows = ensemble_rows(results.scores, {each.key: each for each in load_predictions(results.folder)})
    assert isinstance(rows, pd.DataFrame)
    assert rows[["subject", "fold"]].drop_duplicates().shape[0] == len(rows) == 6
