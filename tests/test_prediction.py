"""Checkpoints as users take them: one command trains, one makes ensembles, one predicts; each in its own process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from eegdecode.data.files import FileDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.prediction import predict
from eegdecode.reporting.checkpoints import read_checkpoint, write_checkpoint
from eegdecode.reporting.ensembles import combine
from eegdecode.reporting.metrics import probabilities
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.stacking import save_ensembles, stack_members
from eegdecode.training.decoder import decode

ROOT = Path(__file__).parents[1]
SET = ["dataset.n_trials=9", "dataset.subjects=[1,2]", "preprocess.sfreq=100"]
TRAINING = [
    "trainer.batch_size=16", "trainer.epochs=2", "trainer.workers=1", "model.width=8", "model.depth=1", "device=cpu",
    "sweep.seeds=2", "out_dir=out",
]    # fmt: skip


def start(script, *arguments, folder, code=0):
    """Run a script in a folder of its own and return what it printed."""
    env = {
        **os.environ, "EEGDECODE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "100",
        "PYTHONPATH": str(ROOT / "src"),
    }    # fmt: skip
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run folder ``out`` of two subjects and two seeds, its default front end (whiten)."""
    folder = tmp_path_factory.mktemp("prediction")
    start("train.py", *SET, *TRAINING, folder=folder)
    return folder


def kept_of(folder, subject):
    return [kept for kept in load_predictions(folder / "out") if kept.subject == subject]


def answers(table, kept):
    """The rows of the test trials of a run, in its order."""
    columns = [f"p_{name}" for name in kept.classes]
    return table.set_index("trial").loc[kept.trials["test"], columns].to_numpy()


def test_a_checkpoint_predicts_in_another_process_what_the_run_has_stored(trained):
    kept = kept_of(trained, "1")[0]
    (path,) = (trained / "out" / "checkpoints").glob(f"{kept.name}*.safetensors")
    output = start("predict.py", f"checkpoint={path}", "out=one.csv", "device=cpu", *SET, folder=trained)
    table = pd.read_csv(trained / "one.csv")
    np.testing.assert_allclose(answers(table, kept), probabilities(kept.logits["test"]), atol=1e-6)
    assert table["predicted"].isin(kept.classes).all()
    assert len(table) == 2 * 2 * 36
    pool = table[table["trained_on"]]
    assert set(pool["subject"].astype(str)) == {"1"}
    assert set(pool["session"]) == {"0train"}
    assert len(pool) == 36
    assert "TRAINED ON 36 of these trials" in output
    rest = table[~table["trained_on"]]
    assert f"accuracy {100 * (rest['true'] == rest['predicted']).mean():.1f} % on 108 other trials" in output


def test_an_ensemble_is_one_checkpoint_that_answers_as_its_members_together(trained):
    output = start("ensemble.py", "out", folder=trained)
    paths = sorted((trained / "out" / "ensembles").glob("*.safetensors"))
    assert output.count("2/2 members") == len(paths) == 2
    told = start("predict.py", f"checkpoint={paths[0]}", "out=both.csv", "device=cpu", *SET, folder=trained)
    assert "ensemble of 2 seeds, mean probabilities" in told
    members = kept_of(trained, "1")
    expected = probabilities(combine(np.stack([kept.logits["test"] for kept in members])))
    np.testing.assert_allclose(answers(pd.read_csv(trained / "both.csv"), members[0]), expected, atol=1e-6)


def test_members_can_average_logits_instead(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("EEGDECODE_CACHE", str(trained / "cache"))
    path = save_ensembles(trained / "out", out=tmp_path).splitlines()[0].split(": ")[0]
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        cfg = compose("predict", overrides=[*SET, f"checkpoint={path}", "by=logits", "device=cpu"])
    parts = {part: instantiate(cfg[part], _convert_="all") for part in ("dataset", "preprocess", "decode")}
    said = predict(checkpoint=cfg.checkpoint, by=cfg.by, out=str(tmp_path / "t.csv"), **parts)
    assert "ensemble of 2 seeds, mean logits" in said    # what was done, not what the checkpoint would do
    members = kept_of(trained, "1")
    expected = probabilities(np.mean([kept.logits["test"] for kept in members], axis=0))
    np.testing.assert_allclose(answers(pd.read_csv(tmp_path / "t.csv"), members[0]), expected, atol=1e-6)


def test_the_weights_of_an_ensemble_are_those_of_its_members_along_a_run_axis(trained):
    path = save_ensembles(trained / "out", out=trained / "stacked", by="logits").splitlines()[0].split(": ")[0]
    weights, about = read_checkpoint(path)
    assert about["by"] == "logits"
    assert [member["seed"] for member in about["members"]] == [0, 1]
    for place, member in enumerate(about["members"]):
        single, own = read_checkpoint(trained / "out" / "checkpoints" / f"{member['run']}_{member['key'][:8]}")
        assert own["key"] == member["key"]
        assert single.keys() == weights.keys()
        for name, array in single.items():
            np.testing.assert_array_equal(weights[name][place], array)


def test_members_that_differ_in_more_than_their_seed_are_refused(trained, tmp_path):
    one, two = (read_checkpoint(p) for p in sorted((trained / "out" / "checkpoints").glob("*.safetensors"))[:2])
    for changed in ({"numbers": {"lr": 0.1}}, {"learned_from": ""}, {"model": {}}):
        with pytest.raises(ValueError, match=f"differ in {next(iter(changed))}: members may differ in their seed"):
            stack_members([one, (two[0], {**two[1], **changed})], by="logits")
    with pytest.raises(ValueError, match="does not say which trials it has learned from"):
        stack_members([(one[0], {**one[1], "learned_from": None})] * 2, by="logits")
    with pytest.raises(ValueError, match="by=votes is not one of"):
        save_ensembles(trained / "out", by="votes")


def test_a_missing_member_is_told(trained, tmp_path):
    """As after an interruption: the last run is not finished."""
    folder = shutil.copytree(trained / "out", tmp_path / "cut")
    scores = (folder / "scores.csv").read_text().splitlines(keepends=True)
    (folder / "scores.csv").write_text("".join(scores[:-1]))
    output = save_ensembles(folder)
    assert "2/2 members" in output
    assert "sub-2_ses-1test_fold-0: left out, 1/2 members: INCOMPLETE" in output


def test_a_checkpoint_must_be_named(trained):
    assert "give it: checkpoint=..." in start("predict.py", folder=trained, code=1)


DIVIDED = ["model=sttransformer", "model.spatial=interleaved", "model.block.kernel=softmax", "frontend=zscore"]


def test_a_network_that_knows_electrodes_serves_others_by_command(tmp_path):
    """Trained with eight, asked with five that it has never seen; and a start for networks of those."""
    picked, others = "preprocess.channels=[FC3,FC4,C5,C3,C4,C6,CP3,CP4]", "preprocess.channels=[Fz,C1,Cz,C2,Pz]"
    one = [SET[0], "dataset.subjects=[1]", *SET[2:]]
    learning = [argument for argument in TRAINING if not argument.startswith(("out_dir", "sweep"))]
    start("train.py", *DIVIDED, *one, *learning, picked, "out_dir=eight", folder=tmp_path)
    path = next((tmp_path / "eight" / "checkpoints").glob("sub-1*.safetensors"))
    said = start("predict.py", f"checkpoint={path}", others, "out=t.csv", "device=cpu", *one, folder=tmp_path)
    assert "the 5 channels Fz, C1, Cz, C2, Pz in place of the 8 channels FC3, FC4" in said
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == 2 * 36
    np.testing.assert_allclose(table.filter(like="p_").sum(axis=1), 1)
    begin = ["protocol=calibration", "protocol.trials=[0,2]", "trainer.new_head=false", "model.init_from=eight"]
    said = start("train.py", *DIVIDED, *one, *learning, others, *begin, "out_dir=five", folder=tmp_path)
    assert "channels: the 5 channels Fz, C1, Cz, C2, Pz in place of the 8 channels FC3, FC4" in said
    scores = pd.read_csv(tmp_path / "five" / "scores.csv")
    assert (scores["status"] == "done").all()
    (zero,) = (kept for kept in load_predictions(tmp_path / "five") if kept.name.endswith("trials-0"))
    np.testing.assert_allclose(answers(table, zero), probabilities(zero.logits["test"]), atol=1e-5)


def test_a_network_that_knows_channels_refuses_others_by_command(trained):
    path = next((trained / "out" / "checkpoints").glob("*.safetensors"))
    said = start("predict.py", f"checkpoint={path}", "preprocess.channels=[C3,C4]", *SET, folder=trained, code=1)
    assert "it cannot take: model.spatial=whiten learns filters with a weight for each channel; a network that" in said


@pytest.fixture
def own(trained):
    """One's own recording: the channels of the training under another subject, cues whose class is not known."""
    single = next((trained / "out" / "checkpoints").glob("*.safetensors"))
    names = read_checkpoint(single)[1]["model"]["ch_names"]
    X = 1e-5 * np.random.default_rng(0).normal(size=(len(names), 100 * 30))
    raw = mne.io.RawArray(X, mne.create_info(names, 100.0, "eeg"), verbose=False)
    raw.set_annotations(mne.Annotations([2.0, 10.0, 18.0], [0.0] * 3, ["cue", "cue", "feet"]))
    folder = trained / "recordings"
    folder.mkdir(exist_ok=True)
    raw.save(folder / "sub-me_ses-1_run-1_eeg.fif", overwrite=True, verbose=False)
    return single, folder


def test_own_recordings_without_labels_are_predicted(own, tmp_path, monkeypatch, caplog):
    single, folder = own
    monkeypatch.setenv("EEGDECODE_CACHE", str(tmp_path / "cache"))
    files = {"name": "mine", "folder": folder, "pattern": "sub-{subject}_ses-{session}_run-{run}_eeg.fif"}
    dataset = FileDataset(**files, events={"cue": "cue", "feet": "feet"}, interval=(0, 4))
    said = predict(
        checkpoint=str(single), dataset=dataset, preprocess=Preprocess(), decode=decode, out=str(tmp_path / "t.csv")
    )
    table = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert table["true"].tolist() == ["", "", "feet"]
    assert not table["trained_on"].any()
    np.testing.assert_allclose(table.filter(like="p_").sum(axis=1), 1)
    assert "2 trials have no label among the checkpoint's classes" in said
    assert "on 1 trials" in said
    assert "preprocess.sfreq was 100.0 in training and is None here" in caplog.text
    only, out = FileDataset(**files, events={"cue": "cue"}, interval=(0, 4)), str(tmp_path / "u.csv")
    said = predict(checkpoint=str(single), dataset=only, preprocess=Preprocess(), decode=decode, out=out)
    assert "accuracy" not in said


def test_a_damaged_description_is_named(own, tmp_path):
    single, _ = own
    weights, about = read_checkpoint(single)
    for model, message in (({}, "does not tell its ch_names"), ({**about["model"], "network": 3}, "tell its network")):
        write_checkpoint(tmp_path, "damaged", weights, {**about, "model": model})
        with pytest.raises(ValueError, match=message):
            decode(*read_checkpoint(tmp_path / "damaged"), trials_of(own))
    write_checkpoint(tmp_path, "damaged", weights, {**about, "members": [{}, {}]})
    with pytest.raises(ValueError, match=r"tells 2 members, which .* does not hold"):
        decode(*read_checkpoint(tmp_path / "damaged"), trials_of(own))


def test_bad_words_are_named_before_trials_are_loaded(own, tmp_path, monkeypatch):
    single, folder = own
    monkeypatch.setattr("eegdecode.prediction.load_trials", lambda *_, **__: pytest.fail("trials were loaded"))
    dataset = FileDataset(name="mine", folder=folder, pattern="{subject}.fif", events={"cue": "cue"}, interval=(0, 4))
    weights, about = read_checkpoint(single)
    write_checkpoint(tmp_path, "encoder", weights, {**about, "kind": "pretraining"})
    write_checkpoint(tmp_path, "old", weights, {name: value for name, value in about.items() if name != "learned_from"})
    for words, message in (
        ({"by": "votes"}, "by=votes is not one of: probabilities, logits"),
        ({"out": str(tmp_path)}, f"out={tmp_path} is a folder; give the name of a table"),
        ({"out": str(folder.parent / "out" / "scores.csv")}, r"scores.csv is there and holds no predictions"),
        ({"checkpoint": str(tmp_path / "encoder")}, "encoder is a pretrained encoder, which has no head"),
        ({"checkpoint": str(tmp_path / "old.json")}, r"old.json does not say which trials it has learned from"),
    ):    # fmt: skip
        with pytest.raises(ValueError, match=message):
            predict(**{"checkpoint": str(single), **words}, dataset=dataset, preprocess=Preprocess(), decode=decode)


def trials_of(own):
    _, folder = own
    dataset = FileDataset(
        name="mine", folder=folder, pattern="sub-{subject}_ses-{session}_run-{run}_eeg.fif", events={"cue": "cue"},
        interval=(0, 4),
    )    # fmt: skip
    return load_trials(dataset, Preprocess(), cache_dir=folder.parent / "cache", labelled=False)
