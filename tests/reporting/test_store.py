from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting import outcomes
from eegdecode.reporting.checkpoints import read_checkpoint
from eegdecode.reporting.metrics import score
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.results import load_results
from eegdecode.reporting.tables import HISTORY_COLUMNS, read_history, read_scores

from .conftest import fill, make_meta, make_prediction, make_runs, names


def test_columns_are_those_promised(make_store: Any) -> None:
    store = make_store()
    fill(store)
    results = store.score()
    metrics = ["accuracy", "balanced_accuracy", "kappa", "f1_macro", "auroc", "nll", "ece"]
    assert list(pd.read_csv(store.folder / "scores.csv").columns) == [
        "dataset", "protocol", "transductive", "subject", "session", "fold", "seed", "model", "n_params",
        "n_train", "n_val", "n_test", "test_cues", "chance", "best_epoch", "seconds", "trials_per_s", "multiply_adds",
        "peak_memory_mb", "energy_wh", "chosen", "status",
        *(f"test_{m}" for m in metrics), *(f"val_{m}" for m in metrics), "key",
    ]  # fmt: skip
    assert len(results.scores) == 4
    history = read_history(store.folder)
    assert list(history.columns) == ["subject", "session", "fold", "seed", "key", *HISTORY_COLUMNS]
    assert len(history) == 4 * 12
    promised = "n_done n_expected n_failed mean deviation_subjects deviation_seeds interval chance"
    summary = json.loads((store.folder / "summary.json").read_text())
    assert {*promised.split(), "chance_bound", "data_hash", "split_hash"} <= set(summary)


def test_every_score_can_be_computed_again_from_the_predictions(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    fill(store)
    store.score()
    scores = read_scores(store.folder).set_index("key")
    kept = load_predictions(store.folder)
    assert len(kept) == len(scores)
    truth = meta.set_index("trial")["label"]
    for run in kept:
        for part in ("val", "test"):
            np.testing.assert_array_equal(truth[run.trials[part]], run.labels[part])
            for metric, value in score(run.logits[part], run.labels[part]).items():
                assert scores.loc[run.key, f"{part}_{metric}"] == pytest.approx(value, rel=1e-12)


def test_costs_stand_beside_the_scores_and_what_was_not_measured_is_empty(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    first, second, *_ = store.unfinished()
    costs = {"multiply_adds": 1.5e6, "peak_memory_mb": 345.25, "energy_wh": float("nan")}
    store.add(replace(make_prediction(first, meta), costs=costs, chosen="classify__C=10.0, delays__lag=2"))
    store.add(make_prediction(second, meta))
    for results in (read_scores(store.folder), store.score().scores):
        one, other = (results.iloc[i] for i in range(2))
        assert (one["multiply_adds"], one["peak_memory_mb"]) == (1.5e6, 345.25)
        assert one["chosen"] == "classify__C=10.0, delays__lag=2"
        assert one["trials_per_s"] == pytest.approx(len(first.split.train) * 12 / 1.5)
        assert np.isnan([one["energy_wh"], other["multiply_adds"], other["energy_wh"]]).all()
        assert other["chosen"] == ""


def test_a_run_of_before_there_were_costs_still_counts(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tuple(name for name in outcomes._HEADER if name not in ("costs", "chosen"))
    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "_HEADER", old)
        fill(make_store())
    store = make_store()
    assert store.unfinished() == []
    assert store.score().scores["multiply_adds"].isna().all()


def test_a_folder_of_before_there_were_costs_can_be_read(make_store: Any) -> None:
    store = make_store()
    fill(store)
    store.score()
    path = store.folder / "scores.csv"
    dropped = ["trials_per_s", "multiply_adds", "peak_memory_mb", "energy_wh", "chosen"]
    pd.read_csv(path).drop(columns=dropped).to_csv(path, index=False)
    assert load_results(store.folder).complete


def test_history_survives_the_round_trip(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    (run,) = fill(store, 1)
    read = read_history(store.folder)[list(HISTORY_COLUMNS)]
    np.testing.assert_allclose(read, make_prediction(run, meta).history, rtol=1e-7)


def test_half_then_the_rest_equals_all_at_once(make_store: Any, tmp_path: Path) -> None:
    first = make_store()
    half = fill(first, 2)
    second = make_store()
    rest = fill(second)
    assert not set(names(half)) & set(names(rest))
    resumed = second.score()
    whole = make_store(folder=tmp_path / "whole")
    fill(whole)
    pd.testing.assert_frame_equal(resumed.scores, whole.score().scores)
    assert (second.folder / "scores.csv").read_bytes() == (whole.folder / "scores.csv").read_bytes()


def test_order_of_finishing_does_not_show(make_store: Any, tmp_path: Path) -> None:
    forth, back = make_store(folder=tmp_path / "forth"), make_store(folder=tmp_path / "back")
    fill(forth)
    for run in reversed(back.unfinished()):
        back.add(make_prediction(run, back.meta))
    for store in (forth, back):
        store.score()
    for name in ("scores.csv", "history.csv", "predictions.npz"):
        assert (forth.folder / name).read_bytes() == (back.folder / name).read_bytes()


def test_changed_context_reuses_nothing_and_changed_facts_everything(make_store: Any) -> None:
    fill(make_store())
    facts = {"dataset": "simulated", "model": "eegnet", "device": "another"}
    assert make_store(facts=facts).unfinished() == []
    other = make_store(context={"trainer": {"lr": 0.1}})
    assert len(other.unfinished()) == 4
    fill(other, 1)
    results = other.score()
    assert len(results.scores) == 1
    assert results.summary["n_other_runs"] == 4


def test_more_subjects_reuse_the_finished_ones(make_store: Any) -> None:
    fill(make_store())
    meta = make_meta(n_subjects=3)
    shuffled = pd.concat([meta[meta["subject"] == s] for s in ("3", "1", "2")], ignore_index=True)
    store = make_store(
        meta=shuffled, runs=make_runs(shuffled, n_seeds=2), fingerprints=dict.fromkeys("123", "0" * 32)
    )
    assert {run.split.subject for run in store.unfinished()} == {"3"}
    truth = shuffled.set_index("trial")["label"]
    store.score()
    for run in load_predictions(store.folder):
        np.testing.assert_array_equal(truth[run.trials["test"]], run.labels["test"])


def test_checkpoint_comes_back(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    (run,) = fill(store, 1)
    path = store.folder / "checkpoints" / f"{run.name()}_{store.keys[run.name()][:8]}"
    for given in (path, f"{path}.safetensors", f"{path}.json"):
        weights, about = read_checkpoint(given)
        np.testing.assert_array_equal(weights["head.weight"], make_prediction(run, meta).weights["head.weight"])
        assert about["model"] == {"name": "eegnet", "n_chans": 3}


def test_classical_pipelines_have_no_checkpoint(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    for run in store.unfinished():
        store.add(make_prediction(run, meta, weights=False, n_epochs=0))
    assert store.unfinished() == []
    assert not (store.folder / "checkpoints").exists()
    assert len(read_history(store.folder)) == 0
    assert store.score().summary["complete"]


def test_without_validation_trials(make_store: Any, meta: pd.DataFrame) -> None:
    empty = np.zeros(0, np.int64)
    runs = [replace(run, split=replace(run.split, val=empty)) for run in make_runs(meta, n_seeds=1)]
    store = make_store(runs=runs)
    fill(store)
    results = store.score()
    assert results.scores["val_accuracy"].isna().all()
    assert load_predictions(store.folder)[0].logits["val"].shape == (0, 4)


def test_swept_numbers_are_never_averaged_over(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store(runs=make_runs(meta, n_seeds=2, lrs=(1e-3, 1e-2)))
    fill(store)
    results = store.score()
    assert list(results.scores.columns[-2:]) == ["lr", "key"]
    assert results.summary["n_done"] == 8
    assert results.summary["setting_done"] == results.summary["setting_expected"] == 4
    assert results.summary["setting_chosen_by"] == "val_accuracy"
    assert [row["setting"] for row in results.summary["settings"]] == [{"lr": 1e-3}, {"lr": 1e-2}]
    assert len(results.setting()) == 4


def test_doubles_stay_doubles(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    for run in store.unfinished():
        prediction = make_prediction(run, meta, weights=False)
        store.add(replace(prediction, logits={k: v / np.float64(3) for k, v in prediction.logits.items()}))
    store.score()
    assert load_predictions(store.folder)[0].logits["test"].dtype == np.float64


def test_runs_that_are_not_of_the_experiment_are_refused(make_store: Any, meta: pd.DataFrame) -> None:
    strange = make_runs(make_meta(n_subjects=3), n_seeds=1)[-1]
    with pytest.raises(ValueError, match="not a run of this experiment"):
        make_store().add(make_prediction(strange, make_meta(n_subjects=3)))
    with pytest.raises(ValueError, match="same name"):
        make_store(runs=[*make_runs(meta, n_seeds=1), *make_runs(meta, n_seeds=1)])
    with pytest.raises(ValueError, match="at least one run"):
        make_store(runs=[])
