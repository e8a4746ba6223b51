import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from eegdecode.training import arithmetic, costs
from eegdecode.training.arithmetic import count_multiply_adds
from eegdecode.training.costs import Meter, peak_memory

SIZES = {"n_chans": 3, "n_times": 20, "n_classes": 2, "sfreq": 100.0}


def network(**sizes):
    return nn.Sequential(nn.Conv1d(3, 4, 5), nn.Flatten(), nn.Linear(64, 2))


def test_multiply_adds_are_those_of_one_trial():
    assert count_multiply_adds(network, network(), SIZES) == 16 * 4 * 3 * 5 + 64 * 2


def test_each_shape_is_counted_once(monkeypatch):
    counted = []
    monkeypatch.setattr(arithmetic, "_count", lambda net, x: counted.append(x.shape) or 1.0)
    model = lambda **sizes: network()    # noqa: E731  (an object of its own)
    for n_times in (20, 20, 40, 20):
        count_multiply_adds(model, network(), {**SIZES, "n_times": n_times})
    assert counted == [(1, 3, 20), (1, 3, 40)]


def test_counting_leaves_the_network_and_the_random_numbers_alone():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(60, 2)).train()
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.random.get_rng_state()
    assert count_multiply_adds(lambda: net, net, SIZES) == 120
    assert net.training
    torch.testing.assert_close(net.state_dict(), before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_cannot_be_counted_is_nan():
    assert np.isnan(count_multiply_adds(lambda: None, nn.Linear(7, 2), SIZES))


def test_memory_is_in_megabytes():
    assert 50 < peak_memory("cpu") < 100_000


def test_a_stack_shares_its_time_and_energy(monkeypatch):
    used = iter([1.0e-3])
    tracker = SimpleNamespace(start_task=lambda: None, stop_task=lambda: SimpleNamespace(energy_consumed=next(used)))
    monkeypatch.setattr(costs, "_tracker", lambda: tracker)
    used = iter([5.0, 1.0e-3])    # kWh: of a training that was broken off, and of this one
    read = Meter().read(n_runs=4, multiply_adds=3.0)
    assert read["costs"]["energy_wh"] == pytest.approx(0.25)
    assert read["costs"]["multiply_adds"] == 3
    assert 0 < read["seconds"] < 1


@pytest.mark.parametrize("broken", ["import", "start"])
def test_a_broken_meter_of_energy_ends_no_training(monkeypatch, broken):
    def fail(*args, **kwargs):
        raise OSError("no permission")

    module = ModuleType("codecarbon")
    module.__spec__ = SimpleNamespace()
    if broken == "start":
        module.OfflineEmissionsTracker = lambda **settings: SimpleNamespace(start_task=fail, stop_task=fail)
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    costs._tracker.cache_clear()
    try:
        assert np.isnan(Meter().read()["costs"]["energy_wh"])
    finally:
        costs._tracker.cache_clear()
