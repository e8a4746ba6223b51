import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.few import some_runs

from eegdecode.models.eegnet import EEGNet
from eegdecode.training.align import Align
from eegdecode.training.batches import Material
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.ensemble import Ensemble
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.loop import train_stack

MODEL = partial(EEGNet, drop=0.0)


def train(trials, runs, *, mode, frontend, **settings):
    trainer = DeepTrainer(batch_size=16, device="cpu", **settings)
    material = Material.of(trials, per_trial=False, device="cpu")
    return train_stack(trainer, MODEL, material, runs, frontend=frontend, mode=mode, on_epoch=lambda run, row: None)


@pytest.mark.parametrize(
    ("mode", "select", "frontend"),
    [("loop", "last", Align()), ("loop", "best_val", ZScore()), ("vectorise", "last", ZScore()),
     ("vectorise", "best_val", Align())],
    ids=["loop-last", "loop-best", "vectorise-last", "vectorise-best"],
)    # fmt: skip
def test_runs_that_stop_leave_the_stack_and_change_no_other(make_trials, monkeypatch, select, frontend, mode):
    trials = make_trials(n_trials=32, strength=3.0)
    runs = some_runs(trials, 5)
    lr = 0.02 if mode == "loop" else 3e-3    # a high rate makes much of the last bit, in which a stack differs
    settings = {"mode": mode, "frontend": frontend, "epochs": 30, "lr": lr, "patience": 2, "select": select}
    alone = [train(trials, [run], **settings)[0] for run in runs]
    sizes, compute = [], Ensemble.__call__

    def watched(ensemble, x, *, train, **more):
        if train:
            sizes.append(len(x))
        return compute(ensemble, x, train=train, **more)

    monkeypatch.setattr(Ensemble, "__call__", watched)
    together = train(trials, runs, **settings)
    lengths = [len(prediction.history) for prediction in together]
    assert len(set(lengths)) > 1
    steps = len(sizes) // max(lengths)
    assert sizes == [sum(epoch < length for length in lengths) for epoch in range(max(lengths)) for _ in range(steps)]
    for one, other in zip(alone, together, strict=True):
        assert one.run is other.run
        assert one.best_epoch == other.best_epoch
        for part in ("val", "test"):
            np.testing.assert_allclose(one.logits[part], other.logits[part], atol=1e-4 if mode == "loop" else 2e-2)


def test_runs_whose_features_are_unequally_many_are_no_stack(make_trials):
    """CSP has filters for each class that it saw; one by one such runs train."""
    trials = make_trials()
    run, other = some_runs(trials, 2)
    lacks = run.split.train[trials.y[run.split.train] < 2]
    cut = [replace(run.split, train=lacks), replace(other.split, train=other.split.train[: len(lacks)])]
    runs = [replace(run, split=split) for split in cut]
    settings = {"frontend": CSP(n_filters=2), "epochs": 1}
    assert [train(trials, [each], mode="loop", **settings)[0].status for each in runs] == ["done"] * 2
    with pytest.raises(ValueError, match=r"unequally many features.*lack a class: take trainer.ensemble=loop"):
        train(trials, runs, mode="vectorise", **settings)


def fit(trials, stacks):
    trainer = DeepTrainer(epochs=1, device="cpu", ensemble="vectorise")
    return list(trainer.fit(MODEL, trials, stacks, frontend=ZScore(), on_epoch=lambda run, row: None))


@pytest.fixture
def small_memory(monkeypatch):
    """Return a list of the stacks that were tried, of which those of more than ``room`` runs do not fit."""

    def make(room, error):
        tried = []

        def train(settings, model, material, runs, **others):
            tried.append(len(runs))
            if len(runs) > room:
                raise error
            return train_stack(settings, model, material, runs, **others)

        monkeypatch.setattr("eegdecode.training.room.train_stack", train)
        return tried

    return make


ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError("MPS: out of memory")]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "mps"])
def test_a_stack_that_does_not_fit_is_halved_and_so_are_those_after_it(make_trials, small_memory, caplog, error):
    trials = make_trials()
    runs = some_runs(trials, 12)
    tried = small_memory(2, error)
    with caplog.at_level(logging.WARNING):
        predictions = fit(trials, [runs[:7], runs[7:]])
    assert [prediction.run for prediction in predictions] == runs
    assert tried == [7, 4, 2, 2, 2, 1, 2, 2, 1]
    assert "does not hold 7 runs" in caplog.text


def test_one_run_that_does_not_fit_is_named_and_other_errors_pass(make_trials, small_memory):
    trials = make_trials()
    small_memory(0, ERRORS[0])
    with pytest.raises(RuntimeError, match=r"lower trainer.batch_size"):
        fit(trials, [some_runs(trials, 2)])
    tried = small_memory(0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        fit(trials, [some_runs(trials, 2)])
    assert tried == [2]
