"""A mapping of events that is typed is the whole mapping, whatever the YAML file of the data set has."""

import os
import subprocess
import sys
from pathlib import Path

import mne
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from tests.data.fakes import make_raw

import sweep  # as every door it brings `typed`, which teaches it to Hydra

ROOT = Path(__file__).parents[2]
RUNS = {"right": "right", "rest": "rest"}    # of mi_openbci.yaml


def events(*words, name="train"):
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        return dict(compose(name, ["dataset=mi_openbci", *words]).dataset.events)


@pytest.mark.parametrize("name", ["train", "pretrain", "prepare", "predict"])
@pytest.mark.parametrize(("words", "meant"), [
    (["dataset.events={right: right}"], {"right": "right"}),
    (["dataset.events={1: right, 2: rest}"], {1: "right", 2: "rest"}),
    (["dataset.events={a: b}", "dataset.events={c: d}"], {"c": "d"}),
    (["dataset.events={a: b}", "dataset.events.a=c", "+dataset.events.d=e"], {"a": "c", "d": "e"}),
    (["dataset.events.right=hand"], {"right": "hand", "rest": "rest"}),
    (["++dataset.events={left: left}"], {**RUNS, "left": "left"}),
    (["dataset.name=mine"], RUNS),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")    # fmt: skip
def test_a_typed_mapping_is_the_whole_one_and_its_parts_are_parts(name, words, meant):
    assert events(*words, name=name) == meant


def test_a_search_composes_its_trials_in_the_same_way():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        composed = sweep.compose_training(["dataset=mi_openbci", "dataset.events={1: right, 2: rest}"])
    assert composed.config["dataset"]["events"] == {1: "right", 2: "rest"}


def test_a_data_set_without_events_has_none_to_replace():
    with pytest.raises(ConfigCompositionException):
        events("dataset=simulated", "dataset.events={a: b}")


def test_jobs_of_a_sweep_train_the_classes_that_were_typed(tmp_path):
    """Swept in a process of its own each: the command that is kept is the one that was typed."""
    for run in (1, 2):
        marks = mne.Annotations([5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0], 0, ["left", "right"] * 4)
        file = tmp_path / "raw" / f"sub-1_run-{run}_eeg.fif"
        file.parent.mkdir(exist_ok=True)
        make_raw(seed=run).set_annotations(marks).save(file, verbose="error")
    env = {**os.environ, "EEGDECODE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "src")}
    swept = "dataset.events={left: l, right: r},{1: r, left: r, right: l}"
    words = ["-m", "launcher=joblib", "model=csp_lda", "dataset=mi_openbci", "dataset.folder=raw", swept, "out_dir=out"]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = [yaml.safe_load((tmp_path / "out" / f"{i}_csp_lda" / "config.yaml").read_text()) for i in range(2)]
    assert [each["dataset"]["events"] for each in kept] == [
        {"left": "l", "right": "r"}, {1: "r", "left": "r", "right": "l"},
    ]    # fmt: skip
    assert "'dataset.events={left:l,right:r}'" in done.stdout
