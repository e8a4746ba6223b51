from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.training.few import some_runs
from torch import nn

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training import batches as batches_module
from eegdecode.training import step
from eegdecode.training.align import Align
from eegdecode.training.augment import Recombination, extend
from eegdecode.training.batches import Memory, Signals, draw_epoch
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import LinearMap, ZScore
from eegdecode.trials import Trials

NETWORKS = [partial(EEGNet, drop=0.0), partial(STTransformer, width=8, heads=2, depth=1, drop=0.0)]
QUARTERS = Recombination(segments=4)


def fit(trials, runs, *, augment=QUARTERS, model=NETWORKS[0], frontend=None, **settings):
    trainer = DeepTrainer(**{"epochs": 3, "batch_size": 16, "device": "cpu", "workers": 1, **settings})
    return list(trainer.fit(
        model, trials, [runs], frontend=frontend or ZScore(), on_epoch=lambda run, row: None, augment=augment,
    ))    # fmt: skip


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "seen anew"])
@pytest.mark.parametrize(("segments", "share"), [(8, 0.5), (1, 0.5), (5, 0.25), (7, 0.8)])
def test_every_segment_is_a_training_trials_of_the_class_where_it_stood(monkeypatch, segments, share, kept):
    """Each sample tells its trial, its channel and its time; each run sees it through its own front end."""
    monkeypatch.setattr(batches_module, "MOST", 2**29 if kept else 0)
    n, n_chans, n_times, batch_size = 60, 3, 50, 16
    y = np.random.default_rng(0).integers(0, 3, n)
    x = torch.arange(n * n_chans * n_times, dtype=torch.float32).reshape(n, n_chans, n_times)
    maps = [LinearMap(scale * np.eye(n_chans, dtype=np.float32), np.zeros(n_chans, np.float32)) for scale in (1, 2)]
    train = [np.random.default_rng(run).permutation(n)[:41] for run in range(2)]
    signals, rngs = Signals(x, maps), [np.random.default_rng(run) for run in range(2)]
    memory = Memory(signals, train, lambda trials: None)
    drawn = draw_epoch(train, rngs, batch_size=batch_size)
    augment, seen = Recombination(segments=segments, share=share), set()
    for rows, donors in zip(drawn, augment.draw(drawn, train, y, rngs), strict=True):
        real, made = rows.shape[1], donors.shape[1]
        assert made / (made + real) == pytest.approx(share, abs=0.03)
        batch, of = extend(memory[torch.tensor(rows)][0], torch.tensor(rows), torch.tensor(donors), memory)
        torch.testing.assert_close(batch[:, :real], signals[torch.tensor(rows)])
        for run in range(2):
            labels = y[of[run, real:].numpy()]
            np.testing.assert_array_equal(labels, y[rows[run][np.arange(made) % real]])
            values = batch[run, real:].round().long() // (run + 1)
            trial, channel, time = np.unravel_index(values.numpy(), x.shape)
            assert (channel == np.arange(n_chans)[:, None]).all()
            assert (time == np.arange(n_times)).all()
            assert set(trial.ravel()) <= set(train[run])
            assert (y[trial] == labels[:, None, None]).all()
            assert all(len(np.unique(each)) <= segments for each in trial)
            seen |= set(trial.ravel())
    assert len(seen) > 30 or segments == 1


@pytest.mark.parametrize("model", NETWORKS, ids=["eegnet", "sttransformer"])
@pytest.mark.parametrize("frontend", [ZScore(), Align()], ids=["zscore", "align"])
def test_a_run_alone_in_a_loop_and_in_a_stack_gives_the_same(make_trials, model, frontend):
    trials = make_trials()
    runs = some_runs(trials, 3)
    loop, stack = (fit(trials, runs, model=model, frontend=frontend, ensemble=mode) for mode in ("loop", "vectorise"))
    for run, one, other in zip(runs, loop, stack, strict=True):
        (alone,) = fit(trials, [run], model=model, frontend=frontend, ensemble="vectorise")
        for mine in (one, other):
            np.testing.assert_allclose(alone.logits["test"], mine.logits["test"], rtol=2e-3, atol=2e-4)
    (plain,) = fit(trials, runs[:1], model=model, frontend=frontend, augment=None)
    assert np.abs(plain.history["running_loss"] - loop[0].history["running_loss"]).max() > 1e-3


def test_workers_augment_as_one_process_does(make_trials):
    trials = make_trials()
    runs = some_runs(trials, 2)
    here = {prediction.run: prediction for prediction in fit(trials, runs)}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    there = {prediction.run: prediction for prediction in fit(trials, runs, workers=2)}
    torch.set_num_threads(before)
    for run in runs:
        np.testing.assert_allclose(here[run].logits["test"], there[run].logits["test"], atol=1e-4)


@pytest.mark.parametrize("part", ["test", "val"])
def test_no_test_or_validation_trial_is_a_donor(make_trials, part):
    trials = make_trials()
    run = expand(CrossSession()(trials.meta, validation=0.25), Sweep(), seed=0)[0]
    X, meta = trials.X.copy(), trials.meta.copy()
    rows = getattr(run.split, part)
    X[rows] *= 50
    meta.loc[rows, "label"] = (meta.loc[rows, "label"] + 1) % 3
    changed = Trials(X, meta, trials.signal, trials.classes, trials.dataset, trials.fingerprints)
    (before,), (after,) = (fit(each, [run]) for each in (trials, changed))
    for name, weight in before.weights.items():
        np.testing.assert_array_equal(weight, after.weights[name], err_msg=name)


class Counting(nn.Module):
    """Notes how many trials it is trained on, and what it is told of them."""

    seen: ClassVar[list] = []

    def __init__(self, n_chans, n_times, n_classes, sfreq):
        super().__init__()
        self.head = nn.Linear(n_chans, n_classes)

    def remember(self, x):
        return x.square().mean(2)

    def forward(self, x, memory=None):
        if self.training:
            self.seen.append((len(x), memory is not None))
        return self.head(x.square().mean(2) if memory is None else memory)


def test_networks_are_told_nothing_of_artificial_trials_and_real_ones_go_on_as_before(make_trials):
    trials = make_trials()
    runs = some_runs(trials, 1)
    n_train = len(runs[0].split.train)
    assert n_train <= 16
    Counting.seen.clear()
    fit(trials, runs, model=partial(Counting), epochs=1, preflight=False)
    assert Counting.seen == [(2 * n_train, False)]
    Counting.seen.clear()
    fit(trials, runs, model=partial(Counting), epochs=1, preflight=False, augment=None)
    assert Counting.seen == [(n_train, True)]


def test_without_augmentation_nothing_is_drawn(make_trials, monkeypatch):
    extended = []
    monkeypatch.setattr(step, "extend", lambda x, rows, *_: extended.append(rows) or (x, rows))
    trials = make_trials()
    fit(trials, some_runs(trials, 1), augment=None)
    assert extended == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"segments": 0}, "augment.segments must be a whole number of at least 1, got 0"),
     ({"share": 0.0}, "augment.share must lie between 0 and 1, got 0"),
     ({"share": 1.0}, "augment.share")],
)    # fmt: skip
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Recombination(**settings)


def test_more_segments_than_samples_are_named(make_trials):
    trials = make_trials()
    many = Recombination(segments=200)
    with pytest.raises(ValueError, match=r"augment.segments=200 are more than a trial has samples \(128\); lower it"):
        fit(trials, some_runs(trials, 1), augment=many)
    with pytest.raises(ValueError, match=r"augment.segments=200"):    # before there is a folder
        DeepTrainer(device="cpu").check(NETWORKS[0], trials, some_runs(trials), frontend=ZScore(), augment=many)
