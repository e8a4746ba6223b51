import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from eegdecode.models.eegnet import EEGNet
from eegdecode.protocols import CrossSession
from eegdecode.runs import COSTS, Prediction, Split
from eegdecode.sweeps import Sweep, expand
from eegdecode.training import arithmetic, costs
from eegdecode.training.arithmetic import count_multiply_adds, with_arithmetic
from eegdecode.training.costs import Meter, peak_memory
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
NETWORKS = [
    p.stem for p in sorted(CONFIGS.glob("*.yaml"))
    if "eegdecode.models" in p.read_text() and "models.foreign" not in p.read_text()
]    # fmt: skip

SIZES = {"n_chans": 3, "n_times": 20, "n_classes": 2, "sfreq": 100.0}


def network(n_chans, n_times, **sizes):
    return nn.Sequential(
        nn.Conv1d(n_chans, 4, 5), nn.BatchNorm1d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * n_times - 16, 2)
    )    # fmt: skip


def test_multiply_adds_are_those_of_one_trial_and_no_random_number_is_drawn():
    state = torch.random.get_rng_state()
    assert count_multiply_adds(network, SIZES) == 16 * 4 * 3 * 5 + 64 * 2
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("n_times", [20, 21])
def test_a_transform_counts_as_often_as_it_is_taken(n_times):
    class Twice(nn.Module):
        def forward(self, x):
            return torch.fft.irfft(torch.fft.rfft(x), n_times)

    counted = count_multiply_adds(lambda **sizes: Twice(), {**SIZES, "n_times": n_times})
    assert counted == pytest.approx(3 * 2 * 1.25 * n_times * np.log2(n_times))


def test_what_cannot_be_counted_is_nan():
    assert np.isnan(count_multiply_adds(lambda **sizes: nn.Linear(7, 2), SIZES))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_counted(name):
    sizes = {"n_chans": 4, "n_times": 250, "n_classes": 3, "sfreq": 125.0}
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    model = instantiate(cfg)
    assert count_multiply_adds(model, sizes) > 1000


def test_each_run_of_a_stack_has_its_costs(make_trials):
    trials = make_trials(n_trials=12)
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    trainer = DeepTrainer(epochs=1, device="cpu", workers=1, validation=0.0)
    parts = {"frontend": ZScore(), "on_epoch": lambda run, row: None}
    first, second = trainer.fit(partial(EEGNet), trials, [runs], **parts)
    assert first.costs["multiply_adds"] == second.costs["multiply_adds"] > 1000
    assert set(first.costs) == set(COSTS)


def test_each_shape_is_counted_once(monkeypatch):
    counted = []
    monkeypatch.setattr(arithmetic, "count_multiply_adds", lambda model, sizes: counted.append(sizes["n_times"]) or 1.0)
    (run,) = expand([Split(np.array([0]), np.array([], int), np.array([1]), "1", "a", 0, "p")], Sweep(), seed=0)
    shapes = [{**SIZES, "n_times": n_times} for n_times in (20, 20, 40, 20)]
    predictions = [Prediction(run, {}, pd.DataFrame(), 1, 1, 1.0, model={"sizes": sizes}) for sizes in shapes]
    assert [p.costs for p in with_arithmetic(predictions, network)] == [{"multiply_adds": 1.0}] * 4
    assert counted == [20, 40]


def test_memory_is_in_megabytes():
    assert 50 < peak_memory("cpu") < 100_000


def test_a_stack_shares_its_time_and_energy(monkeypatch):
    tracker = SimpleNamespace(start_task=lambda: None, stop_task=lambda: SimpleNamespace(energy_consumed=next(used)))
    monkeypatch.setattr(costs, "_tracker", lambda: tracker)
    used = iter([5.0, 1.0e-3])    # kWh: of a training that was broken off, and of this one
    read = Meter().read(n_runs=4)
    assert read["costs"]["energy_wh"] == pytest.approx(0.25)
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
