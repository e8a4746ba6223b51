"""A training that is broken off goes on to the bit: weights, curves, answers, from whichever epoch its state is."""

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
from tests.training.few import some_runs

from eegdecode.identity import run_key
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.reporting.states import DiskStates
from eegdecode.training.augment import Recombination
from eegdecode.training.batches import Material
from eegdecode.training.chain import Chain
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.training.loop import train_stack

NETWORKS = {
    "eegnet": partial(EEGNet, drop=0.25), "sttransformer": partial(STTransformer, width=8, heads=2, depth=1, drop=0.25),
}    # fmt: skip
KINDS = {
    "plain": {}, "no dropout": {"model": partial(EEGNet, drop=0.0)},
    "transformer": {"model": NETWORKS["sttransformer"]},
    "ema": {"average": "ema"}, "swa": {"average": "swa", "swa_share": 0.8, "schedule": "constant"},
    "plateau": {"schedule": "plateau", "plateau_patience": 1, "lr": 0.3, "epochs": 12},
    "best": {"select": "best_val", "lr": 0.3},
    "patience": {"select": "best_val", "patience": 2, "epochs": 14, "lr": 0.05},
    "last, patience": {"patience": 3, "lr": 0.05},
    "no validation": {"validation": 0.0}, "adam": {"optimiser": "adam", "weight_decay": 0.1},
    "mixup and sam": {"mixup": 0.2, "sam": 0.05}, "recombined": {"augment": Recombination(segments=4)},
    "augmented": {"augment": Chain(segments=4, noise=0.1, time_shift=0.1, channel_dropout=0.1), "average": "ema"},
}    # fmt: skip


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from tests.training import test_resume
from eegdecode.training import loop
from eegdecode.training.batches import steps_per_epoch

trials, runs, states = pickle.loads(Path(sys.argv[1]).read_bytes())
update, steps = loop.update, []

def one(task, *rest, **more):
    steps.append(1)
    if len(steps) == 4 * steps_per_epoch(len(runs[0].split.train), 16) + 2:    # in the fifth epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return update(task, *rest, **more)

loop.update = one
test_resume.train(trials, runs, states)
"""


class KilledError(Exception):
    """Stands for the end of the process."""


def train(trials, runs, states, *, mode="loop", kill_after=None, model=NETWORKS["eegnet"], **changed):
    """Train with a state after every epoch, to the end or until an epoch of the last run was told."""
    settings = DeepTrainer(**{"epochs": 9, "batch_size": 16, "lr": 0.01, "device": "cpu", "ensemble": mode, **changed})
    settings = replace(settings, save_every=0, states=states)
    told = []

    def on_epoch(run, row):
        told.append((run.name(), row["epoch"]))
        if kill_after is not None and row["epoch"] > kill_after:    # its state was written, this epoch's is not
            raise KilledError

    material = Material.of(trials, per_trial=False, device="cpu")
    parts = {"frontend": ZScore(), "mode": mode, "on_epoch": on_epoch}
    return train_stack(settings, model, material, runs, **parts), told


def keys_of(trials, runs, **context):
    about = {"meta": trials.meta, "fingerprints": trials.fingerprints, "context": context}
    return {run.name(): run_key(run, **about) for run in runs}


def assert_equal(one, other):
    assert one.best_epoch == other.best_epoch
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)
    for part in ("val", "test"):
        np.testing.assert_array_equal(one.logits[part], other.logits[part])
    assert one.weights.keys() == other.weights.keys()
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(weight, other.weights[name], err_msg=name)


STACKED = ("plain", "patience", "plateau", "augmented")    # the others go through the same lines
CASES = [(kind, "loop") for kind in KINDS] + [(kind, "vectorise") for kind in STACKED]


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_goes_on_to_the_bit(make_trials, tmp_path, kind, mode):
    trials = make_trials(n_trials=32, strength=0.0 if kind == "plateau" else 2.0)    # what is noise is not learned
    runs = some_runs(trials, 3 if mode == "vectorise" else 1, validation=KINDS[kind].get("validation", 0.25))
    whole, told = train(trials, runs, None, mode=mode, **KINDS[kind])
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    kills = range(1, 11) if kind == "plateau" else (2, 7)    # what was gone on with is killed again
    for after in kills:    # after each epoch, a plateau that is forgotten would never lower the rate
        with pytest.raises(KilledError):
            train(trials, runs, states, mode=mode, kill_after=after, **KINDS[kind])
        torch.rand(7)    # another process has drawn other numbers
    broken, again = train(trials, runs, states, mode=mode, **KINDS[kind])
    for one, other in zip(whole, broken, strict=True):
        assert_equal(one, other)
    if kind == "plateau":
        assert whole[0].history["lr"].iloc[-1] < whole[0].history["lr"].iloc[1]
    if kind == "best":
        assert whole[0].best_epoch <= 7    # of nine: it comes from a state
    assert sorted(again) == sorted(told)    # the bar, wandb and the diagnosis see the whole course


def test_a_process_that_is_killed_goes_on_to_the_bit(make_trials, tmp_path):
    """SIGKILL in the middle of an epoch, in a process of its own; this one goes on."""
    trials = make_trials(n_trials=32)
    runs = some_runs(trials, 1)
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    (tmp_path / "parts.pickle").write_bytes(pickle.dumps((trials, runs, states)))
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "parts.pickle"], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    kept = states.read(runs)
    assert kept is not None
    assert kept[1]["epoch"] == 4
    (broken,), _ = train(trials, runs, states)
    (whole,), _ = train(trials, runs, None)
    assert_equal(whole, broken)
    states.drop(runs[0])
    assert not (tmp_path / "in_work").exists()


def test_runs_that_have_stopped_stay_stopped(make_trials, tmp_path):
    """The state of a stack of which runs have left: patience, with the weights of those that are gone."""
    trials = make_trials(n_trials=32, strength=3.0)
    runs = some_runs(trials, 5)
    lever = {"epochs": 30, "lr": 0.02, "patience": 3, "mode": "vectorise", "model": partial(EEGNet, drop=0.0)}
    whole, _ = train(trials, runs, None, **lever)
    lengths = sorted(len(each.history) for each in whole)
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    with pytest.raises(KilledError):
        train(trials, runs, states, kill_after=lengths[0] + 1, **lever)
    assert lengths[0] + 1 < lengths[-1]
    broken, _ = train(trials, runs, states, **lever)
    for one, other in zip(whole, broken, strict=True):
        assert_equal(one, other)


def test_a_failed_run_stays_failed_and_its_neighbour_goes_on(make_trials, tmp_path):
    trials = make_trials(n_trials=32)
    first, second = some_runs(trials, 2)
    wild, tame = {"lr": 9.0, "weight_decay": 100.0}, {"lr": 1e-3, "weight_decay": 0.0}
    runs = [replace(first, numbers=wild), replace(second, numbers=tame)]
    lever = {"mode": "vectorise", "clip": None, "model": NETWORKS["sttransformer"]}
    whole, _ = train(trials, runs, None, **lever)
    assert whole[0].status.startswith("failed")
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    with pytest.raises(KilledError):
        train(trials, runs, states, kill_after=7, **lever)
    broken, _ = train(trials, runs, states, **lever)
    assert [each.status for each in broken] == [each.status for each in whole]
    assert_equal(whole[1], broken[1])


def test_seconds_count_from_the_first_start(make_trials, tmp_path):
    trials = make_trials(n_trials=32)
    runs = some_runs(trials, 1)
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    with pytest.raises(KilledError):
        train(trials, runs, states, kill_after=3)
    arrays, facts = states.read(runs)
    states.write(runs, (arrays, {**facts, "seconds": 1e4}))
    (done,), _ = train(trials, runs, states)
    assert 1e4 < done.seconds < 2e4


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_keep_states_too(make_trials, tmp_path, workers):
    trials = make_trials(n_trials=32)
    runs = some_runs(trials, 2)
    keys = keys_of(trials, runs)
    trainer = DeepTrainer(epochs=8, batch_size=16, device="cpu", workers=workers, save_every=0, preflight=False)

    def fit(states, kill_after=None):
        def on_epoch(run, row):
            if kill_after is not None and row["epoch"] > kill_after:
                raise KilledError

        told = {"frontend": ZScore(), "on_epoch": on_epoch, "states": states}
        done = list(trainer.fit(NETWORKS["eegnet"], trials, [runs], **told))
        return sorted(done, key=lambda prediction: prediction.run.name())

    whole = fit(None)
    states = DiskStates(tmp_path / "in_work", keys)
    with pytest.raises(KilledError):
        fit(states, kill_after=3)
    kept = [state for run in runs if (state := states.read([run]))]
    assert kept
    assert any(0 < state[1]["epoch"] <= 8 for state in kept)
    for one, other in zip(whole, fit(states), strict=True):
        assert_equal(one, other)


def test_short_runs_write_nothing_and_null_neither_reads_nor_writes(make_trials, tmp_path):
    trials = make_trials()
    runs = some_runs(trials, 1)
    folder = tmp_path / "in_work"
    parts = {"frontend": ZScore(), "on_epoch": lambda run, row: None}
    for every in (60, None):
        trainer = DeepTrainer(epochs=3, device="cpu", workers=1, save_every=every)
        list(trainer.fit(NETWORKS["eegnet"], trials, [runs], **parts, states=DiskStates(folder, keys_of(trials, runs))))
        assert not folder.exists()
    assert DeepTrainer(device="cpu").save_every == 60


def test_a_state_of_another_way_of_computing_is_refused_and_that_is_said(make_trials, tmp_path, caplog):
    trials = make_trials(n_trials=32)
    runs = some_runs(trials, 1)
    states = DiskStates(tmp_path / "in_work", keys_of(trials, runs))
    with pytest.raises(KilledError):
        train(trials, runs, states, mode="vectorise", kill_after=4)
    whole, _ = train(trials, runs, None)
    broken, _ = train(trials, runs, states)
    assert_equal(whole[0], broken[0])
    assert "was left by a training on cpu, vectorise, this one is on cpu, loop" in caplog.text


def test_a_full_disk_ends_the_states_and_not_the_training(make_trials, tmp_path, caplog):
    trials = make_trials()
    runs = some_runs(trials, 1)
    (tmp_path / "file").write_text("")
    done, told = train(trials, runs, DiskStates(tmp_path / "file" / "in_work", keys_of(trials, runs)))
    assert done[0].status == "done"
    assert len(told) == 9
    assert caplog.text.count("no state is kept") == 1


def test_bad_seconds_are_named():
    with pytest.raises(ValueError, match=r"trainer.save_every must be null or at least 0 s, got -1"):
        DeepTrainer(device="cpu", save_every=-1)
