"""Recorded steps give what plain ones give: with a stand-in for a GPU's graph, and on a GPU where there is one."""

from functools import partial

import numpy as np
import pytest
import torch

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.training.replay import WARM, Replay, Take

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
MODELS = {"eegnet": partial(EEGNet, drop=0.0), "sttransformer": partial(STTransformer, width=8, heads=2, drop=0.0),
          "whiten": partial(STTransformer, width=8, heads=2, drop=0.0, spatial="whiten")}    # fmt: skip
MOST_OF_TRIALS = 2    # inputs of a recording that predicts; a step has numbers beside them


class Again:
    """A stand-in for a graph: it computes again, into the same tensors."""

    def __init__(self, compute, inputs, outputs):
        self.compute, self.inputs, self.outputs, self.played = compute, inputs, outputs, 0

    def replay(self):
        self.played += 1
        for mine, now in zip(self.outputs, self.compute(*self.inputs), strict=True):
            mine.copy_(now)


@pytest.fixture
def tape(monkeypatch):
    """Recordings that were made, as stand-ins on the CPU. As on a GPU, nothing is computed while they are made."""
    made = []

    def record(self, compute, inputs):
        held, n_runs = [each.clone() for each in inputs], len(inputs[0])
        is_step = len(inputs) > MOST_OF_TRIALS
        outputs = [torch.zeros(n_runs), torch.zeros(n_runs)] if is_step else [each.clone() for each in compute(*held)]
        made.append(Again(compute, held, outputs))
        return Take(made[-1], held, outputs)

    monkeypatch.setattr(Replay, "_record", record)
    monkeypatch.setattr(DeepTrainer, "replays", lambda self, device: self.replay and not self.compile)
    return made


def train(trials, *, network, device="cpu", **settings):
    runs = expand(WithinSession(folds=4)(trials.meta, validation=0.25), Sweep(), seed=0)[:4]
    trainer = DeepTrainer(device=device, ensemble="vectorise", batch_size=5, **settings)    # batches of 5 and of 4
    fitted = trainer.fit(MODELS[network], trials, [runs], frontend=ZScore(), on_epoch=lambda run, row: None)
    return {prediction.run.name(): prediction for prediction in fitted}


def assert_same(some, others, *, atol):
    assert list(some) == list(others)
    for name, one in some.items():
        np.testing.assert_allclose(one.logits["test"], others[name].logits["test"], atol=atol)
        np.testing.assert_allclose(one.history["running_loss"], others[name].history["running_loss"], atol=atol)
        assert one.history["steps"].tolist() == others[name].history["steps"].tolist()


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 5}, {"epochs": 5, "schedule": "plateau", "plateau_patience": 1}, {"epochs": 5, "average": "ema"},
     {"epochs": 12, "patience": 1, "lr": 0.02}, {"epochs": 5, "optimiser": "adam", "decay_norms": True}],
    ids=["plain", "plateau", "ema", "runs that stop", "adam"],
)    # fmt: skip
def test_recorded_steps_give_what_plain_ones_give(make_trials, tape, settings):
    trials = make_trials(n_trials=32)
    plain = train(trials, network="sttransformer", replay=False, **settings)
    assert not tape
    assert_same(plain, train(trials, network="sttransformer", **settings), atol=1e-4)
    assert sum(take.played for take in tape) > WARM


def test_two_batch_sizes_are_two_recordings(make_trials, tape):
    train(make_trials(n_trials=32), network="sttransformer", epochs=20)
    steps = [take for take in tape if len(take.inputs) > MOST_OF_TRIALS]
    assert sorted(take.inputs[0].shape[1] for take in steps) == [4, 5]
    assert len(tape) == 4    # and the training and the validation trials, after each epoch


class Watch(torch.overrides.TorchFunctionMode):
    def __init__(self, replay):
        super().__init__()
        self.n_inside, self.n_outside, self.replay = 0, 0, replay

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.linalg.eigh:
            self.n_inside += self.replay.inside
            self.n_outside += not self.replay.inside
        return func(*args, **(kwargs or {}))


def test_no_eigenvectors_are_computed_in_a_recording(make_trials, monkeypatch):
    """A GPU cannot record them: not of training trials, which are known, and not of validation trials."""
    monkeypatch.setattr(DeepTrainer, "replays", lambda self, device: True)
    plain = Replay.__call__

    def call(self, name, compute, *inputs):
        Replay.inside = True
        try:
            return plain(Replay(on=False), name, compute, *inputs)
        finally:
            Replay.inside = False

    monkeypatch.setattr(Replay, "__call__", call)
    monkeypatch.setattr(Replay, "inside", False, raising=False)
    with Watch(Replay) as watch:
        train(make_trials(n_trials=32), network="whiten", epochs=2)
    assert (watch.n_inside, watch.n_outside > 0) == (0, True)


@pytest.mark.parametrize("settings", [{"mixup": 0.2}, {"sam": 0.05}, {"accumulate": 2}], ids=str)
def test_steps_that_draw_or_repeat_are_not_recorded(make_trials, tape, settings):
    train(make_trials(n_trials=32), network="sttransformer", epochs=5, **settings)
    assert not [take for take in tape if len(take.inputs) > MOST_OF_TRIALS]


def test_what_cannot_be_recorded_is_computed(make_trials, tape, monkeypatch):
    def fail(self, compute, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    trials = make_trials(n_trials=32)
    plain = train(trials, network="eegnet", epochs=5, replay=False)
    monkeypatch.setattr(Replay, "_record", fail)
    assert_same(plain, train(trials, network="eegnet", epochs=5), atol=1e-4)


@on_gpu
@pytest.mark.parametrize("network", MODELS)
def test_a_gpu_plays_back_what_it_computes(make_trials, network):
    trials = make_trials(n_trials=32)
    plain = train(trials, network=network, device="cuda", epochs=20, replay=False)
    assert_same(plain, train(trials, network=network, device="cuda", epochs=20), atol=1e-3)


@on_gpu
def test_what_a_recording_draws_is_new_each_time():
    replay, draw = Replay(on=True), torch.zeros(4, device="cuda")
    drawn = [replay("draw", lambda like: (torch.rand_like(like),), draw)[0].tolist() for _ in range(6)]
    assert len({tuple(numbers) for numbers in drawn}) == 6
