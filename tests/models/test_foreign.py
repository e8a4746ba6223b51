"""Networks of braindecode. What needs the library is skipped without the extra ``braindecode``."""

import pickle
import sys
from dataclasses import replace

import pytest
import torch

from eegdecode.identity import describe
from eegdecode.models.foreign import braindecode
from eegdecode.runs import Run, Split
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "braindecode.models", None)
    with pytest.raises(ValueError, match=r'pip install -c constraints.txt -e "\.\[braindecode\]"'):
        braindecode("ShallowFBCSPNet")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ShalowFBCSPNet", {}, r"model.name=ShalowFBCSPNet is no network of braindecode .*: ShallowFBCSPNet"),
        ("EEGNet", {"dorp": 0.3}, r"model.options.dorp is unknown to EEGNet, which takes .*drop_prob"),
        ("EEGNet", {"n_chans": 3}, r"model.options.n_chans is unknown to EEGNet"),
    ],
)
def test_a_wrong_name_is_told(peers, name, options, message):
    with pytest.raises(ValueError, match=message):
        braindecode(name, options)


def test_what_cannot_be_trained_is_told(peers):
    with pytest.raises(ValueError, match=r"model\.name=HybridNet gives"):
        braindecode("HybridNet")(n_chans=3, n_times=1000, n_classes=2, sfreq=250.0)
    with pytest.raises(ValueError, match=r"drop and sweep\.drop are"):
        braindecode("EEGNet")(n_chans=3, n_times=200, n_classes=2, sfreq=100.0, drop=0.3)


def test_options_and_version_are_of_the_network_and_of_its_identity(peers):
    model = braindecode("ShallowFBCSPNet", {"drop_prob": 0.2})
    net = model(n_chans=3, n_times=200, n_classes=2, sfreq=100.0)
    assert net.training
    assert {m.p for m in net.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}
    said = describe(pickle.loads(pickle.dumps(model)))    # as a worker process gets it
    assert (said["name"], said["options"]) == ("ShallowFBCSPNet", {"drop_prob": 0.2})
    assert said["version"] == sys.modules["braindecode"].__version__
    assert describe(braindecode("ShallowFBCSPNet")) != said


def test_it_is_trained_one_by_one(peers, make_trials):
    trials = make_trials(n_subjects=1, n_sessions=2, n_trials=24)
    train, test = trials.meta.groupby("session").indices.values()
    split = Split(train[:18], train[18:], test, "1", "s1", 0, "toy")
    stack = [Run(split, seed) for seed in range(2)]
    trainer = DeepTrainer(epochs=12, batch_size=12, device="cpu", workers=1)
    model = braindecode("ShallowFBCSPNet")
    done = list(trainer.fit(model, trials, [stack], frontend=ZScore(), on_epoch=lambda run, row: None))
    assert [p.status for p in done] == ["done", "done"]
    assert all(p.history["train_loss"].iloc[-1] < p.history["train_loss"].iloc[0] for p in done)
    assert done[0].model["network"]["name"] == "ShallowFBCSPNet"
    with pytest.raises(ValueError, match=r"take trainer\.ensemble=loop"):
        list(replace(trainer, ensemble="vectorise").fit(
            model, trials, [stack], frontend=ZScore(), on_epoch=lambda run, row: None
        ))    # fmt: skip
