import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.few import some_runs
from torch import nn

from eegdecode.identity import describe
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.s3t import S3T
from eegdecode.models.sttransformer import STTransformer
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, Identity, ZScore
from eegdecode.training.preflight import find_rate, preflight, small_task

SMALL = partial(STTransformer, width=8, heads=2, depth=1)


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """A busy machine ends the trial of a batch after a second, with too few steps to say anything."""
    monkeypatch.setattr("eegdecode.training.preflight.SECONDS", 600.0)


def look(trials, model, *, frontend=None, **settings):
    trainer = DeepTrainer(device="cpu", **settings)
    torch.manual_seed(0)    # dropout, as `warn` does
    return list(preflight(small_task(trainer, model, trials, some_runs(trials)[0], frontend=frontend or ZScore())))


@pytest.mark.parametrize("model", [EEGNet, SMALL, partial(S3T, kernel=0.1)], ids=["eegnet", "sttransformer", "s3t"])
def test_healthy_networks_pass_in_silence(make_trials, model):
    frontend = CSP(n_filters=2) if isinstance(model, partial) and model.func is S3T else None
    assert look(make_trials(), partial(model), frontend=frontend) == []


def test_the_attention_that_does_nothing_is_named(make_trials):
    (said,) = look(make_trials(), partial(S3T, kernel=0.1, official_noop=True), frontend=CSP(n_filters=2))
    assert "spatial.query.0.weight, spatial.key.0.weight" in said
    assert "no gradient" in said


class Faulty(nn.Module):
    """One fault at a time."""

    def __init__(self, n_chans, n_times, n_classes, sfreq, *, fault):
        super().__init__()
        self.fault, self.spare, self.head = fault, nn.Linear(3, 3), nn.Linear(n_chans, n_classes)

    def forward(self, x):
        """Linear on the power of the channels, but for the fault."""
        z = self.head(x.square().mean(-1))
        if self.fault == "constant":
            return z * 0 + self.head.bias
        return {"unused": z, "too sure": 100 * z, "nan": z / 0}[self.fault] + 0 * self.spare.weight.sum().detach()


@pytest.mark.parametrize(
    ("fault", "word"),
    [("unused", "spare.weight"), ("too sure", "the first loss"), ("nan", "the loss is nan"), ("constant", "depend")],
)
def test_faults_of_a_network_are_named(make_trials, fault, word):
    assert any(word in said for said in look(make_trials(), partial(Faulty, fault=fault)))


def test_volts_and_a_rate_too_low_are_named(make_trials):
    trials = make_trials()
    volts = replace(trials, X=trials.X * np.float32(1e-6))
    assert any("take frontend=zscore" in said for said in look(volts, SMALL, frontend=Identity()))
    assert any("is not fitted" in said for said in look(trials, partial(EEGNet), lr=1e-6))


def test_no_result_and_no_identity_changes(make_trials):
    trials, model = make_trials(), partial(EEGNet, drop=0.5)
    logits = []
    for on in (False, True):
        torch.manual_seed(0)
        np.random.seed(0)    # noqa: NPY002
        trainer = DeepTrainer(epochs=2, device="cpu", workers=1, preflight=on, find_rate=on)
        parts = {"frontend": ZScore(), "on_epoch": lambda run, row: None}
        logits.append([each.logits["test"] for each in trainer.fit(model, trials, [some_runs(trials, 2)], **parts)])
        logits[-1] += [torch.rand(3).numpy(), np.random.rand(3)]    # noqa: NPY002
    for without, with_it in zip(*logits, strict=True):
        np.testing.assert_array_equal(without, with_it)
    assert describe(DeepTrainer(device="cpu")) == describe(DeepTrainer(device="cpu", preflight=False, find_rate=True))


def test_warnings_and_the_rate_are_logged(make_trials, caplog):
    trials = make_trials()
    caplog.set_level(logging.INFO, "eegdecode")
    trainer = DeepTrainer(epochs=1, device="cpu", workers=1, find_rate=True)
    model, parts = partial(Faulty, fault="unused"), {"frontend": ZScore(), "on_epoch": lambda run, row: None}
    list(trainer.fit(model, trials, [some_runs(trials, 1)], **parts))
    assert "preflight: no gradient reaches spare.weight" in caplog.text
    assert "to begin with: trainer.lr=" in caplog.text


def test_the_rate_lies_where_the_loss_falls(make_trials):
    trials = make_trials()
    task = small_task(DeepTrainer(device="cpu"), partial(EEGNet), trials, some_runs(trials)[0], frontend=ZScore())
    rate = float(find_rate(task).rpartition("=")[2])
    assert 1e-4 <= rate <= 1e-1


def test_a_rate_is_found_for_a_network_that_starts_too_sure(make_trials):
    """Its first loss is beyond that at which others are given up."""
    trials, sure = make_trials(), partial(Faulty, fault="too sure")
    told = find_rate(small_task(DeepTrainer(device="cpu"), sure, trials, some_runs(trials)[0], frontend=ZScore()))
    assert float(told.rpartition("=")[2]) >= 1e-5
    assert len(told.splitlines()) > 6


def test_a_rare_class_is_among_the_trials_that_are_tried(make_trials):
    """Four of 300 trials, in a row: a front end that wants two classes is not refused."""
    trials = make_trials(n_trials=300, n_classes=2, n_times=32)
    label = np.isin(np.arange(len(trials)) % 300, (5, 6, 7, 8)).astype(int)
    trials = replace(trials, meta=trials.meta.assign(label=label))
    run = some_runs(trials)[0]
    DeepTrainer(device="cpu").check(partial(EEGNet), trials, [run], frontend=CSP(n_filters=1), augment=None)
    with pytest.raises(ValueError, match=r"drop must be in \[0, 1\)"):
        DeepTrainer(device="cpu").check(partial(EEGNet, drop=2.0), trials, [run], frontend=ZScore(), augment=None)
