from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting import disk, folders
from eegdecode.reporting.metrics import score
from eegdecode.reporting.outcomes import load_checkpoint
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.results import load_results
from eegdecode.reporting.tables import HISTORY_COLUMNS, read_history, read_scores

from .conftest import make_failed, make_meta, make_prediction, make_runs


def fill(store: Any, n: int | None = None) -> list[Any]:
    todo = store.unfinished()[:n]
    for run in todo:
        store.add(make_prediction(run, store.meta))
    return todo


def names(runs: list[Any]) -> list[str]:
    return [run.name() for run in runs]


def test_columns_are_those_promised(make_store: Any) -> None:
    store = make_store()
    fill(store)
    results = store.score()
    metrics = ["accuracy", "balanced_accuracy", "kappa", "f1_macro", "auroc", "nll", "ece"]
    assert list(pd.read_csv(store.folder / "scores.csv").columns) == [
        "dataset", "protocol", "transductive", "subject", "session", "fold", "seed", "model", "n_params",
        "n_train", "n_val", "n_test", "chance", "best_epoch", "seconds", "status",
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


def test_a_checkpoint_that_another_setting_replaced_is_trained_anew(make_store: Any) -> None:
    fill(make_store())
    fill(make_store(context={}), 1)
    assert len(make_store().unfinished()) == 1


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


def test_kill_in_the_middle(tmp_path: Path) -> None:
    """A process that is killed without warning, again and again, ends with every run there once."""
    script = Path(__file__).with_name("train_slowly.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    deadline = time.monotonic() + 90
    kills = 0
    while time.monotonic() < deadline:
        worker = subprocess.Popen([sys.executable, script, tmp_path / "out"], env=environment)
        try:
            worker.wait(timeout=None if kills >= 3 else 2.5 + 0.13 * kills)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            kills += 1
        if worker.returncode == 0:
            break
    results = load_results(tmp_path / "out")
    assert results.summary["complete"]
    assert results.scores["key"].is_unique
    trained = (tmp_path / "out" / "trained.txt").read_text().split()
    assert len(trained) - len(set(trained)) <= kills    # at most the run that the kill hit is trained twice


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


def test_checkpoint_comes_back(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    (run,) = fill(store, 1)
    weights, about = load_checkpoint(store.folder / "checkpoints", run.name())
    np.testing.assert_array_equal(weights["head.weight"], make_prediction(run, meta).weights["head.weight"])
    assert about["model"] == {"name": "eegnet", "n_chans": 3}
    with pytest.raises(ValueError, match="no whole checkpoint"):
        load_checkpoint(store.folder / "checkpoints", "nobody")


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


def test_two_processes_do_not_share_a_folder(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store()
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_held", {})    # as another process would see it
        with pytest.raises(RuntimeError, match="another process"):
            make_store()


def test_doubles_stay_doubles(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    for run in store.unfinished():
        prediction = make_prediction(run, meta, weights=False)
        store.add(replace(prediction, logits={k: v / np.float64(3) for k, v in prediction.logits.items()}))
    store.score()
    assert load_predictions(store.folder)[0].logits["test"].dtype == np.float64


def test_a_file_in_the_way_of_the_folder(make_store: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="out_dir"):
        make_store(folder=tmp_path / "file")


def test_runs_that_are_not_of_the_experiment_are_refused(make_store: Any, meta: pd.DataFrame) -> None:
    strange = make_runs(make_meta(n_subjects=3), n_seeds=1)[-1]
    with pytest.raises(ValueError, match="not a run of this experiment"):
        make_store().add(make_prediction(strange, make_meta(n_subjects=3)))
    with pytest.raises(ValueError, match="same name"):
        make_store(runs=[*make_runs(meta, n_seeds=1), *make_runs(meta, n_seeds=1)])
    with pytest.raises(ValueError, match="at least one run"):
        make_store(runs=[])
