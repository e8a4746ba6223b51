"""Pretraining in the loop: it learns what there is, from training trials alone, without a label."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eegdecode.models.forecast import Forecaster
from eegdecode.models.masked import MaskedAutoencoder
from eegdecode.models.sttransformer import STTransformer
from eegdecode.reporting.states import DiskStates
from eegdecode.runs import Run, Split
from eegdecode.training.align import Align
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.pretrain import Pretrainer

KINDS = (MaskedAutoencoder, Forecaster)
NETWORK = partial(STTransformer, width=8, heads=2, depth=1)
NEW = {"head.weight", "head.bias", "pool.score.weight"}    # what a classifier has beside its encoder
SETTINGS = {"updates": 3, "batch_size": 16, "device": "cpu", "validation": 0.0}


def runs_of(trials, n_train=32, n_val=8, seeds=(0,)):
    rows = np.arange(len(trials))
    parts = rows[:n_train], rows[n_train : n_train + n_val], rows[n_train + n_val :]
    return [Run(Split(*parts, "1", "a", 0, "toy"), seed=seed) for seed in seeds]


def fit(trials, runs, *, kind=MaskedAutoencoder, frontend=None, drop=0.0, network=NETWORK, **settings):
    model = partial(kind, network=network, heads=2, drop=drop)
    trainer = Pretrainer(**{**SETTINGS, **settings})
    return list(trainer.fit(model, trials, [runs], frontend=frontend or ZScore(), on_epoch=lambda run, row: None))


def assert_same(one, other, exact=True):
    assert one.weights.keys() == other.weights.keys()
    for name in one.weights:
        near = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-3, "atol": 1e-4}
        np.testing.assert_allclose(one.weights[name], other.weights[name], **near)
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=exact, rtol=1e-3)


def structured(make_trials, n=168, seed=0):
    """Trials whose channels have a gain of their own, the same throughout a trial."""
    trials = make_trials(n_subjects=1, n_sessions=1, n_trials=n, n_chans=4, n_times=384, n_classes=2, strength=0.0)
    gain = np.exp(np.random.default_rng(seed).normal(0, 0.6, (n, 4, 1)))
    return replace(trials, X=(trials.X * gain).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_it_beats_the_mean_and_repeating_where_there_is_something_to_tell(make_trials, kind):
    trials = structured(make_trials)
    network = partial(NETWORK, spatial="signals")    # whitening would take the gains away, which are all there is
    (done,) = fit(trials, runs_of(trials, 120, 40), kind=kind, network=network, updates=60, lr=1e-2, batch_size=32)
    last = done.history.iloc[-1]
    assert last["val_loss"] < 0.9 * min(last["val_mean"], last["val_repeat"])
    assert last["train_loss"] < 0.9 * min(last["train_mean"], last["train_repeat"])
    assert done.history["running_loss"].iloc[0] == pytest.approx(1.0, abs=0.2)    # it begins with the mean
    assert done.examples["truth"].shape == done.examples["told"].shape == (4, len(done.examples["axis"]), 4)
    assert np.corrcoef(done.examples["truth"].ravel(), done.examples["told"].ravel())[0, 1] > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_test_trials_change_nothing(make_trials, kind):
    trials = make_trials(n_subjects=1, n_times=384)
    rng = np.random.default_rng(0)
    permuted = trials.meta.assign(label=rng.permutation(trials.meta["label"]))
    X = trials.X.copy()
    X[40:] = rng.normal(0, 1e3, X[40:].shape)
    (one,) = fit(trials, runs_of(trials), kind=kind)
    for other in (replace(trials, meta=permuted), replace(trials, X=X)):
        (same,) = fit(other, runs_of(other), kind=kind)
        assert_same(one, same)
    X = trials.X.copy()
    X[:32] *= rng.uniform(0.5, 2, (32, trials.X.shape[1], 1)).astype(np.float32)
    (changed,) = fit(replace(trials, X=X), runs_of(trials), kind=kind)
    assert np.abs(changed.weights["stem.spatial"] - one.weights["stem.spatial"]).max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_loop_stack_and_single_run_agree(make_trials, kind):
    trials = make_trials(n_subjects=1, n_times=384)
    runs = runs_of(trials, n_val=0, seeds=(0, 1))
    loop, stack = (fit(trials, runs, kind=kind, ensemble=mode) for mode in ("loop", "vectorise"))
    (alone,) = fit(trials, runs[1:], kind=kind)
    assert_same(alone, loop[1])
    for one, other in zip(loop, stack, strict=True):
        assert_same(one, other, exact=False)
    assert np.abs(loop[0].weights["stem.spatial"] - loop[1].weights["stem.spatial"]).max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_the_network_without_its_head_and_rates(make_trials, kind):
    trials = make_trials(n_subjects=1, n_times=384)
    (done,) = fit(trials, runs_of(trials), kind=kind, drop=0.1)
    net = NETWORK(n_chans=6, n_times=384, n_classes=3, sfreq=128.0, drop=0.5)
    given = {name: torch.tensor(w) for name, w in done.weights.items()}
    left = net.load_state_dict(given, strict=False)
    assert {name for name in left.missing_keys if not name.endswith(".rate")} == NEW
    assert all(name.startswith(("decoder.", "pieces.", "frontend.", "mask", "embed")) for name in left.unexpected_keys)
    assert done.model["network"]["call"]["name"].endswith("STTransformer")
    assert done.status == "done"


def test_forecasts_take_the_place_of_truth_more_and_more(make_trials, monkeypatch):
    """Scheduled sampling: from none at the start to its full probability in the last epoch."""
    plan, told = Forecaster.plan, []

    def noted(self, draws, progress):
        told.append(progress)
        return plan(self, draws, progress)

    monkeypatch.setattr(Forecaster, "plan", noted)
    trials = make_trials(n_subjects=1, n_times=384)
    fit(trials, runs_of(trials, n_val=0), kind=Forecaster, epochs=3)
    assert sorted(set(told)) == [0.0, 0.5, 1.0]


def test_steps_are_clipped(make_trials):
    trials = make_trials(n_subjects=1, n_times=384)
    one, other = (fit(trials, runs_of(trials), clip=clip)[0].weights["stem.spatial"] for clip in (1.0, 1e-9))
    assert np.abs(one - other).max() > 1e-4    # below Adam's eps nothing moves


def test_a_run_that_fails_says_so(make_trials):
    trials = make_trials(n_subjects=1, n_times=384)
    broken = replace(trials, X=trials.X.copy())
    broken.X[0] = np.nan
    (failed,) = fit(broken, runs_of(broken), epochs=300)
    assert failed.status.startswith("failed: the loss is nan")
    assert list(failed.history["epoch"]) == [1]    # what is lost is not trained to its end


def test_what_cannot_be_is_refused(make_trials):
    trials = make_trials(n_subjects=1, n_times=384)
    for frontend in (CSP(), Align(then=CSP())):
        with pytest.raises(ValueError, match="learns from labels"):
            Pretrainer(**SETTINGS).check(partial(MaskedAutoencoder), trials, runs_of(trials), frontend=frontend)
        with pytest.raises(ValueError, match="needs training trials of two classes, got class"):    # they have none
            fit(trials, runs_of(trials), frontend=frontend)
    rows = np.arange(len(trials))
    zero_shot = Run(Split(rows[:0], rows[:0], rows, "1", "a", 0, "toy", trials=0), seed=0)
    with pytest.raises(ValueError, match=r"protocol\.trials holds 0, of which nothing can be pretrained"):
        Pretrainer(**SETTINGS).check(partial(MaskedAutoencoder), trials, [zero_shot], frontend=ZScore())
    with pytest.raises(ValueError, match="plateau is not for pretraining"):
        Pretrainer(schedule="plateau")
    with pytest.raises(ValueError, match=r"trainer\.lr"):
        Pretrainer(lr=0.0)


class KilledError(Exception):
    """Stands for the end of the process."""


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from tests.training import test_pretrain
from eegdecode.training import pretrain

trials, runs, states = pickle.loads(Path(sys.argv[1]).read_bytes())
clip, steps = pretrain.clip, []

def one(*given):
    steps.append(1)
    if len(steps) == 4 * 2 + 1:    # in the fifth epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return clip(*given)

pretrain.clip = one
test_pretrain.fit_with_states(trials, runs, states)
"""


def fit_with_states(trials, runs, states, *, kind=MaskedAutoencoder, kill_after=None, **settings):
    """Pretrain with a state after every epoch, to the end or until an epoch of the last run was told."""
    told = []

    def on_epoch(run, row):
        told.append((run.name(), row["epoch"]))
        if kill_after is not None and row["epoch"] > kill_after and run is runs[-1]:
            raise KilledError

    trainer = Pretrainer(**{**SETTINGS, "epochs": 8, "save_every": 0, **settings})
    parts = {"frontend": ZScore(), "on_epoch": on_epoch, "states": states}
    return list(trainer.fit(partial(kind, network=NETWORK, heads=2, drop=0.2), trials, [runs], **parts)), told


def states_of(tmp_path, runs):
    return DiskStates(tmp_path / "in_work", {run.name(): f"key of seed {run.seed}" for run in runs})


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_to_the_bit(make_trials, tmp_path, kind, mode):
    trials = make_trials(n_subjects=1, n_times=384)
    runs = runs_of(trials, seeds=(0,) if mode == "loop" else (0, 1))
    lever = {"kind": kind, "ensemble": mode}
    whole, told = fit_with_states(trials, runs, None, **lever)
    states = states_of(tmp_path, runs)
    for after in (2, 5):    # what was gone on with is killed again
        with pytest.raises(KilledError):
            fit_with_states(trials, runs, states, kill_after=after, **lever)
        assert states.read(runs)[1]["epoch"] == after
        torch.rand(7)    # another process has drawn other numbers
    broken, again = fit_with_states(trials, runs, states, **lever)
    for one, other in zip(whole, broken, strict=True):
        assert_same(one, other)
        for name, example in one.examples.items():
            np.testing.assert_array_equal(example, other.examples[name])
    assert sorted(again) == sorted(told)    # the bar sees the whole course


def test_a_process_that_is_killed_goes_on_to_the_bit(make_trials, tmp_path):
    """SIGKILL in the middle of an epoch, in a process of its own; this one goes on."""
    trials = make_trials(n_subjects=1, n_times=384)
    runs = runs_of(trials)
    states = states_of(tmp_path, runs)
    (tmp_path / "parts.pickle").write_bytes(pickle.dumps((trials, runs, states)))
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "parts.pickle"], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert states.read(runs)[1]["epoch"] == 4
    ((broken,), _), ((whole,), _) = fit_with_states(trials, runs, states), fit_with_states(trials, runs, None)
    assert_same(whole, broken)


def test_short_pretrainings_write_no_state_and_seconds_count_from_the_first_start(make_trials, tmp_path):
    trials = make_trials(n_subjects=1, n_times=384)
    runs = runs_of(trials)
    states = states_of(tmp_path, runs)
    for every in (60, None):
        fit_with_states(trials, runs, states, save_every=every)
        assert not states.folder.exists()
    with pytest.raises(KilledError):
        fit_with_states(trials, runs, states, kill_after=3)
    arrays, facts = states.read(runs)
    states.write(runs, (arrays, {**facts, "seconds": 1e4}))
    (done,), _ = fit_with_states(trials, runs, states)
    assert 1e4 < done.seconds < 2e4
