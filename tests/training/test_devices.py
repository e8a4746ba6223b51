"""Several devices: a process each, which trains stacks."""

import os
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.training.few import some_runs

from eegdecode.models.eegnet import EEGNet
from eegdecode.training import workers
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.job import job_folder

MODEL = partial(EEGNet, drop=0.0)


def on_two_devices(trials, stacks, *, frontend=None, on_epoch=lambda run, row: None):
    """Two processors stand for two GPUs."""
    trainer = DeepTrainer(epochs=2, batch_size=16, device=["cpu", "cpu"], ensemble="vectorise")
    return trainer.fit(MODEL, trials, stacks, frontend=frontend or ZScore(), on_epoch=on_epoch)


def test_stacks_are_dealt_out_to_devices_and_give_the_same(make_trials, monkeypatch):
    trials, told = make_trials(), []
    runs = some_runs(trials, 7)
    here = DeepTrainer(epochs=2, batch_size=16, device="cpu", ensemble="vectorise")
    expected = {p.run: p for p in here.fit(MODEL, trials, [runs], frontend=ZScore(), on_epoch=lambda run, row: None)}
    stacks, collect = [], workers.collect

    def watched(begin, dealt, *others, **named):
        stacks.extend(dealt)
        return collect(begin, dealt, *others, **named)

    monkeypatch.setattr(workers, "collect", watched)
    dealt = on_two_devices(trials, [runs[:5], runs[5:]], on_epoch=lambda *e: told.append(e))
    there = {p.run: p for p in dealt}
    assert stacks == [runs[:3], runs[3:5], runs[5:6], runs[6:]]
    assert set(there) == set(runs)
    for run in runs:
        np.testing.assert_allclose(there[run].logits["test"], expected[run].logits["test"], rtol=2e-3, atol=2e-4)
        assert [row["epoch"] for of, row in told if of is run] == [1, 2]
        losses = [row["running_loss"] for of, row in told if of is run]
        np.testing.assert_array_equal(losses, there[run].history["running_loss"])


def test_each_device_has_a_process_of_its_own(make_trials, tmp_path):
    with (
        job_folder(DeepTrainer(device="cpu"), MODEL, make_trials(), ZScore()) as folder,
        workers._crew(folder, ["cpu", "mps"]) as (pool, _),
    ):
        met = [pool.submit(meet, tmp_path) for _ in range(2)]
        assert {future.result() for future in met} == {"cpu", "mps"}


def meet(folder):
    """Wait until two processes are here, and say which device this one has."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return workers._device


def test_an_error_on_a_device_names_run_and_device(make_trials):
    trials = make_trials()
    runs = some_runs(trials, 4)
    train = runs[2].split.train
    runs[2] = replace(runs[2], split=replace(runs[2].split, train=train[trials.y[train] == 0]))
    with pytest.raises(ValueError, match="CSP needs training trials of two classes") as caught:
        list(on_two_devices(trials, [runs[:2], runs[2:3], runs[3:]], frontend=CSP(n_filters=2)))
    assert caught.value.__notes__ == [f"(in run {runs[2].name()}, on cpu)"]
