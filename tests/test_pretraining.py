"""The story of pretraining: from trials to a folder of checkpoints, which goes on after an interruption."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from eegdecode import pretraining
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.simulated import SimulatedDataset
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.masked import MaskedAutoencoder
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSubject, WithinSession
from eegdecode.reporting.checkpoints import read_checkpoint
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.transfer import begin_from
from eegdecode.runs import Run
from eegdecode.sweeps import Sweep
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.pretrain import Pretrainer
from eegdecode.training.transfer import load_source

PARTS = {
    "dataset": SimulatedDataset(), "preprocess": Preprocess(), "protocol": CrossSubject(), "sweep": Sweep(),
    "frontend": ZScore(), "model": partial(STTransformer, width=8, heads=2, depth=1),
    "task": partial(MaskedAutoencoder, heads=2), "trainer": Pretrainer(updates=2, device="cpu"),
    "seed": 0, "device": "cpu", "config": "seed: 0\n",
    "choices": {"dataset": "toy", "model": "sttransformer", "task": "masked"},
}    # fmt: skip


@pytest.fixture
def story(make_trials, monkeypatch, tmp_path):
    trials = make_trials(n_subjects=3, n_sessions=1, n_times=384)
    monkeypatch.setattr(pretraining, "load_trials", lambda dataset, preprocess, labelled: trials)
    return lambda **other: pretraining.pretrain(**{**PARTS, "out_dir": str(tmp_path / "run"), **other})[0]


def test_a_folder_holds_an_encoder_for_each_split_and_goes_on(story, tmp_path, capsys):
    said, folder = story(), tmp_path / "run"
    assert "3 of 3 encoders" in said
    assert "model.init_from" in said
    files = sorted((folder / "checkpoints").glob("*.safetensors"))
    assert [file.name.partition("_")[0] for file in files] == ["sub-1", "sub-2", "sub-3"]
    weights, about = read_checkpoint(files[0])
    assert weights["stem.spatial"].shape == (8, 6)
    assert (about["subject"], about["seed"], len(about["learned_from"])) == ("1", 0, 12 * 48)    # 48 trials of others
    assert {"history.csv", "summary.json", "config.yaml"} <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "figures").glob("*.png"))) == 4
    history = pd.read_csv(folder / "history.csv")
    assert history["run"].nunique() == 3
    assert np.isfinite(history[["train_loss", "val_loss", "val_mean", "val_repeat"]]).all().all()

    before = {file: file.stat().st_mtime_ns for file in files}
    files[1].write_bytes(files[1].read_bytes()[:100])    # as an interruption might leave it
    (folder / "history.csv").unlink()
    story()
    assert "2 of 3 runs were finished before" in capsys.readouterr().out
    assert [file.stat().st_mtime_ns == before[file] for file in files] == [True, False, True]
    assert read_json(folder / "summary.json")["n_done"] == 3
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)


def test_other_settings_are_pretrained_anew(story, tmp_path):
    story()
    said = story(trainer=Pretrainer(updates=2, device="cpu", validation=0.0))
    for folder in ("checkpoints", "other_settings"):    # what starts from this folder sees the former alone
        assert len(list((tmp_path / "run" / folder).glob("*.json"))) == 3
    assert "error on training trials" in said


def test_settings_that_come_back_find_what_they_left(story, tmp_path):
    """Settings A, others, A again in one folder: nothing is trained twice, and only figures of A are among A's."""
    story()
    folder, other = tmp_path / "run", Pretrainer(updates=2, device="cpu", lr=3e-4)
    before = {path: path.read_bytes() for path in folder.glob("*/*.safetensors")}
    figures = {path.name for path in (folder / "figures").iterdir()}
    story(trainer=other)
    assert len(list((folder / "figures").iterdir())) == 4
    assert {path.name for path in (folder / "figures").iterdir()} & figures == {"losses.png"}
    trained = []
    fit = Pretrainer.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretrainer, "fit", lambda *args, **more: trained.extend(args[3]) or fit(*args, **more))
        story()
    assert not trained
    assert {path: path.read_bytes() for path in folder.glob("checkpoints/*.safetensors")} == before
    assert {path.name for path in (folder / "figures").iterdir()} == figures
    assert len(list((folder / "other_settings").iterdir())) == 3 * 3    # weights, note and figure of the others


def test_a_pretraining_that_was_killed_does_not_count_as_finished(story, monkeypatch, make_trials, tmp_path):
    """With the summary of what lay there before, networks would start from the first of its encoders alone."""
    story()
    fit, finish = Pretrainer.fit, pretraining.PretrainingFolder.finish

    def killed(self, *args, **kwargs):
        yield next(fit(self, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(Pretrainer, "fit", killed)
    monkeypatch.setattr(pretraining.PretrainingFolder, "finish", lambda self: {})    # after kill -9 there is no end
    with pytest.raises(KeyboardInterrupt):
        story(seed=7)
    meta = make_trials(n_subjects=3, n_sessions=1, n_times=384).meta
    runs = [Run(split, seed=7) for split in CrossSubject()(meta, validation=0.0)]
    with pytest.raises(ValueError, match="0 of its 3 runs are done; finish it first"):
        begin_from(tmp_path / "run", runs, meta=meta, dataset="toy")
    monkeypatch.setattr(pretraining.PretrainingFolder, "finish", finish)
    monkeypatch.setattr(Pretrainer, "fit", fit)
    assert "3 of 3 encoders" in story(seed=7)


def test_an_interruption_within_a_run_goes_on_to_the_bit(story, monkeypatch, tmp_path):
    trainer = Pretrainer(epochs=4, device="cpu", save_every=0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    story(trainer=trainer, out_dir=str(whole))
    epoch = pretraining.ProgressBar.epoch

    def killed(self, run, row):
        epoch(self, run, row)
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(pretraining.ProgressBar, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        story(trainer=trainer, out_dir=str(broken))
    monkeypatch.setattr(pretraining.ProgressBar, "epoch", epoch)
    assert len(list((broken / "in_work").iterdir())) == 1
    story(trainer=trainer, out_dir=str(broken))
    assert not (broken / "in_work").exists()
    for path in (whole / "checkpoints").glob("*.safetensors"):
        assert (broken / "checkpoints" / path.name).read_bytes() == path.read_bytes()
    assert (broken / "history.csv").read_text() == (whole / "history.csv").read_text()


def test_networks_start_from_encoders_that_know_none_of_their_test_trials(story, make_trials, tmp_path):
    story()
    meta = make_trials(n_subjects=3, n_sessions=1, n_times=384).meta
    runs = [Run(split, seed=0) for split in CrossSubject()(meta, validation=0.0)]
    begun = begin_from(tmp_path / "run", runs, meta=meta, dataset="toy")
    assert [run.source.about["subject"] for run in begun] == ["1", "2", "3"]
    net = PARTS["model"](n_chans=6, n_times=384, n_classes=3, sfreq=128.0)
    fit = load_source(net, begun[0].source, new_head=True)
    new = {"head.weight", "head.bias", "pool.score.weight"}
    assert {name for name in fit.new if not name.endswith("rate")} == new
    np.testing.assert_array_equal(net.stem.spatial.detach().numpy(), begun[0].source.weights["stem.spatial"])


def test_an_interruption_leaves_what_is_finished(story, monkeypatch, tmp_path):
    fit = Pretrainer.fit

    def interrupted(self, *args, **kwargs):
        yield next(fit(self, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(Pretrainer, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        story()
    assert read_json(tmp_path / "run" / "summary.json")["n_done"] == 1
    monkeypatch.setattr(Pretrainer, "fit", fit)
    assert "3 of 3 encoders" in story()


def test_folders_lie_where_run_folders_lie(story, monkeypatch, tmp_path):
    monkeypatch.setenv("EEGDECODE_RUNS", str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere" / "toy" / "sttransformer_masked") in story(out_dir=None)


@pytest.mark.parametrize(("other", "message"), [
    ({"frontend": CSP()}, "frontend=csp learns from labels"),
    ({"task": partial(MaskedAutoencoder, heads=2, depth=0)}, "task.depth must be a whole number of at least 1, got 0"),
    ({"model": partial(STTransformer, width=8, heads=2, spatial="after")}, "take signals or off"),
    ({"model": partial(STTransformer, width=8, heads=2, drop=2)}, r"model\.drop=2: dropout must be in"),
    ({"model": partial(EEGNet)}, "EEGNet has no `encode` to pretrain"),
    ({"trainer": DeepTrainer(), "choices": {**PARTS["choices"], "trainer": "deep"}}, "trainer=deep trains with labels"),
], ids=lambda value: value if isinstance(value, str) else "")    # fmt: skip
def test_what_cannot_be_pretrained_is_said_before_there_is_a_folder(story, tmp_path, other, message):
    with pytest.raises(ValueError, match=message):
        story(**other)
    assert not (tmp_path / "run").exists()


def test_an_encoder_that_fails_is_missing_and_the_command_says_so(make_trials, monkeypatch, tmp_path):
    trials = make_trials(n_subjects=2, n_sessions=1, n_times=384)
    trials.X[0] = np.nan    # of subject 1, from which the encoder for subject 2 learns
    monkeypatch.setattr(pretraining, "load_trials", lambda dataset, preprocess, labelled: trials)
    said, complete = pretraining.pretrain(**{**PARTS, "out_dir": str(tmp_path / "run")})
    assert "1 of 2 encoders" in said
    assert not complete


def test_recordings_of_one_label_are_enough(make_trials, monkeypatch, tmp_path):
    """Rest, or marks that mean nothing: there is nothing to tell apart, and much to learn."""
    trials = make_trials(n_subjects=2, n_sessions=1, n_times=384)
    rest = replace(trials, meta=trials.meta.assign(label=0), classes=("rest",))

    def load(dataset, preprocess, labelled=True):
        assert not labelled
        return rest

    monkeypatch.setattr(pretraining, "load_trials", load)
    said, complete = pretraining.pretrain(**{**PARTS, "out_dir": str(tmp_path / "run")})
    assert complete, said
    with pytest.raises(ValueError, match="protocol=within_session deals out its folds by labels"):
        pretraining.split_without_labels(WithinSession(folds=3), rest.meta, validation=0.0)


def test_a_subject_that_lacks_a_class_is_pretrained_on(make_trials):
    meta = make_trials(n_subjects=3).meta
    lacking = meta[(meta["subject"] != "3") | (meta["label"] != 2)].reset_index(drop=True)
    assert len(pretraining.split_without_labels(CrossSubject(), lacking, validation=0.2)) == 3


def test_a_sweep_is_no_source_for_nothing_chose_a_setting(story, make_trials, tmp_path):
    story(sweep=Sweep(drop=[0.1, 0.3]))
    meta = make_trials(n_subjects=3, n_sessions=1, n_times=384).meta
    runs = [Run(split, 0, {}) for split in CrossSubject()(meta, validation=0.2)]
    with pytest.raises(ValueError, match="holds several settings, and nothing chose one"):
        begin_from(tmp_path / "run", runs, meta=meta, dataset="toy")


def test_splits_do_not_depend_on_labels_and_those_that_do_are_refused(make_trials):
    meta = make_trials(n_subjects=3).meta
    permuted = meta.assign(label=np.random.default_rng(0).permutation(meta["label"]))
    one, other = (pretraining.split_without_labels(CrossSubject(), table, validation=0.2) for table in (meta, permuted))
    for split, same in zip(one, other, strict=True):
        for part in ("train", "val", "test"):
            np.testing.assert_array_equal(getattr(split, part), getattr(same, part))
    with pytest.raises(ValueError, match="protocol=within_session deals out its folds by labels"):
        pretraining.split_without_labels(WithinSession(folds=3), permuted, validation=0.0)
