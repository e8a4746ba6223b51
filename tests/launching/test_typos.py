import io
import subprocess
import sys
from pathlib import Path

import pytest

from quotes import check_quotes
from shown import Shown
from words import unknown_setting

TRAIN = str(Path(__file__).resolve().parents[2] / "scripts" / "train.py")


@pytest.mark.parametrize(("words", "said"), [
    ("trainer.upates=20", "there is no trainer.upates; did you mean trainer.updates?"),
    ("datset=simulated", "there is no datset; did you mean dataset?"),
    ("model=eegnet model.heads=2",
     "there is no model.heads with model=eegnet; model has depth, drop, filters, init_from, kernel"),
    ("-m model=ts_lr,eegnet trainer.lr=1,2",
     "there is no trainer.lr with model=ts_lr; trainer has device, scale, seeds, workers"),
    ("experiment=compare_simulated trainer.lrr=1",
     "there is no trainer.lrr with experiment=compare_simulated; did you mean trainer.lr?"),
    ("model=eegnett trainer.lr=1", "there is no model=eegnett; did you mean model=eegnet?"),
    ("-m model=ts_lr,csplda", "there is no model=csplda; did you mean model=csp_lda?"),
    ("augment.std=-1",
     "there is no augment.std; augment has no settings as it is chosen; augment=... takes another choice"),
    ("-m augment=none,noise,chain augment.noise=0.1",
     "there is no augment.noise with augment=none: give augment=noise,chain a command of its own"),
    ("-m model=eegnet,csp_lda,ts_lr model.drop=0.5",
     "there is no model.drop with model=csp_lda,ts_lr: give model=eegnet a command of its own"),
    ("sweep=eegnet_search", "there is no sweep=eegnet_search; there is sweep=none alone"),
    ("launcher=pbs", "there is no launcher=pbs; there are joblib, local, ray, slurm"),
])    # fmt: skip
def test_what_was_meant(words, said):
    assert unknown_setting(words.split(), "train") == said


@pytest.mark.parametrize("words", [
    "-m augment=noise,time_shift augment.noise=0.1",
    "trainer.lr=3 +model.block.window=2 ~trainer.clip hydra.mode=RUN", "trainer=deep trainer.betas.x=2",
    "dataset.subjects.first=2", "trainer.lr", "", "model=mine trainer.lr=3 --config-dir=mine",
])    # fmt: skip
def test_of_what_is_known_and_of_what_hydra_tells_best_nothing_is_said(words):
    assert unknown_setting(words.split(), "train") is None


def test_other_doors_have_their_own_settings():
    said = unknown_setting(["dataset.n_subject=3"], "prepare")
    assert said == "there is no dataset.n_subject; did you mean dataset.n_subjects?"


@pytest.mark.parametrize(("word", "said"), [
    ("trainer.lrr=1", "error: there is no trainer.lrr; did you mean trainer.lr?"),
    ("model=eegnett", "error: there is no model=eegnett; did you mean model=eegnet?"),
])    # fmt: skip
def test_a_typo_is_told_in_one_line(word, said):
    done = subprocess.run([sys.executable, TRAIN, word], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}\n")


def test_what_hydra_tells_best_is_shown():
    done = subprocess.run([sys.executable, TRAIN, "hydra.foo=1"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Could not override 'hydra.foo'" in done.stderr


def test_other_words_are_shown_at_once():
    stream = io.StringIO()
    shown = Shown(stream)
    for text in ("In 'a' all is well\n", "Could not find a file\n"):
        shown.write(text)
    assert (stream.getvalue(), shown.held) == ("In 'a' all is well\nCould not find a file\n", [])


@pytest.mark.parametrize(("word", "typed"), [
    ("checkpoint=/a b (1)/x.safetensors", "\"checkpoint='/a b (1)/x.safetensors'\""),
    ("checkpoint=runs/sub-1_lr=0.001.safetensors", "\"checkpoint='runs/sub-1_lr=0.001.safetensors'\""),
    ("out_dir=Köln", "\"out_dir='Köln'\""), ("+x.y=~/a", "\"+x.y='~/a'\""),
    ("dataset.pattern=sub-{subject}_run-{session}.fif", "\"dataset.pattern='sub-{subject}_run-{session}.fif'\""),
    ("dataset.pattern={subject}/{session}.edf", "\"dataset.pattern='{subject}/{session}.edf'\""),
    ("out_dir=a$b;c", "'out_dir='\"'\"'a$b;c'\"'\"''"),
])    # fmt: skip
def test_a_path_that_hydra_reads_in_quotes_alone_is_shown_in_them(word, typed):
    with pytest.raises(ValueError) as caught:
        check_quotes(["-m", "--cfg", "job", "seed=1", word])
    assert str(caught.value).endswith(f"only within quotes of its own: {typed}")


@pytest.mark.parametrize("word", [
    'dataset.events={"left hand": left}', "dataset.events={Fuß: feet}", "dataset.events={feet (both): feet, 1: rest}",
    "dataset.events={1: Füße}",
])    # fmt: skip
def test_marks_that_cannot_be_typed_go_into_a_file(word):
    with pytest.raises(ValueError, match=r"into a file: configs/dataset/mine\.yaml, chosen by dataset=mine$"):
        check_quotes([word])


@pytest.mark.parametrize("words", [
    "checkpoint=/a b/x.safetensors", "-m", "--config-dir=/a(b)", "trainer.lr=1e-3,1e-4",
    "model=eegnet", "dataset.events={a: b},{c: d}", "~trainer.clip", "out_dir='a=b'", "out_dir=",
    "dataset.events={S  1: left, S//2: 'Füße'}",
])    # fmt: skip
def test_what_hydra_reads_passes(words):
    assert check_quotes([words]) is None    # where a value wants quotes it raises


@pytest.mark.parametrize("word", ["model=[", "dataset.events={a: b", "out_dir='a", "preprocess.bipolar=[[C3,C4]"])
def test_what_is_left_open_is_told(word):
    with pytest.raises(ValueError) as caught:
        check_quotes([word])
    assert str(caught.value).startswith(f"{word} cannot be read: is a quote, bracket or brace open?")
