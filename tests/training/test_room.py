import pytest
import torch
from tests.training.few import some_runs

from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand, stacks
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.room import FEW, SHARE, UNMEASURED, deal, stack_size
from eegdecode.training.settings import MOST

GB = 10**9


class Card:
    """A GPU's memory, of which the signals take a part for good and every run that trains takes ``each``."""

    def __init__(self, monkeypatch, *, each, free, signals=2 * GB):
        self.each, self.free, self.signals, self.peak, self.trained = each, free, signals, 40 * GB, []
        fakes = {
            "reset_peak_memory_stats": self.reset, "memory_allocated": lambda device: self.signals,
            "max_memory_allocated": lambda device: self.peak, "mem_get_info": lambda device: (self.free, 80 * GB),
            "empty_cache": lambda: None,
        }    # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    def reset(self, device):
        self.peak = self.signals

    def train(self, settings, *, runs, on_epoch):
        self.trained.append((settings.epochs, settings.patience, settings.compile, len(runs)))
        self.peak = max(self.peak, self.signals + len(runs) * self.each)
        if len(runs) * self.each > self.free:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def size_on(card, dealt, device="cuda:1", **settings):
    trainer = DeepTrainer(device="cpu", **{"epochs": 300, "patience": 7, **settings})
    return stack_size(trainer, card.train, dealt, device=device)


@pytest.mark.parametrize(
    ("each", "free", "size"),
    [(GB // 10, 60 * GB, 256), (GB, 60 * GB, 32), (GB, 39 * GB, 16), (GB, 41 * GB, 32), (50 * GB, 60 * GB, 2),
     (9 * GB, 50 * GB, 4), (0, 60 * GB, 1 << (int(SHARE * 60 * GB)).bit_length() - 1)],
)    # fmt: skip
def test_a_stack_takes_a_share_of_the_free_memory(make_trials, monkeypatch, each, free, size):
    """A power of two, from what a few runs took in one epoch; if not even those fit, from half of them."""
    card = Card(monkeypatch, each=each, free=free)
    assert size_on(card, stacks(some_runs(make_trials(), None, seeds=8)), ensemble="vectorise", compile=True) == size
    assert card.trained == [(1, None, False, FEW)]


def test_the_stack_with_the_most_trials_is_measured(make_trials, monkeypatch):
    card, seen = Card(monkeypatch, each=GB, free=60 * GB), []
    meta = make_trials().meta
    few, many = (expand(WithinSession(folds=n)(meta, validation=0), Sweep(), seed=0) for n in (2, 6))
    train = card.train
    card.train = lambda settings, *, runs, on_epoch: (seen.extend(runs), train(settings, runs=runs, on_epoch=on_epoch))
    size_on(card, [few, many])
    assert seen == many[:FEW]


def test_nothing_is_measured_where_it_is_not_needed(make_trials, monkeypatch):
    card, runs = Card(monkeypatch, each=GB, free=60 * GB), some_runs(make_trials(), None, seeds=8)
    assert size_on(card, [runs], device="cpu") == size_on(card, [runs], device="mps") == UNMEASURED
    assert size_on(card, [runs[:FEW], runs[:2]]) >= FEW
    assert size_on(card, [runs], stack=48) == 48
    assert card.trained == []


def test_other_errors_of_the_measurement_pass(make_trials, monkeypatch):
    card = Card(monkeypatch, each=GB, free=60 * GB)

    def broken(settings, *, runs, on_epoch):
        raise RuntimeError("shapes differ")

    card.train = broken
    with pytest.raises(RuntimeError, match="shapes differ"):
        size_on(card, [some_runs(make_trials(), None, seeds=2)])


def test_every_device_gets_a_part_of_each_stack(make_trials):
    runs = some_runs(make_trials(), None, seeds=8)
    assert list(map(len, deal([runs[:10], runs[10:13]], size=4, n_devices=2))) == [4, 4, 2, 2, 1]
    assert list(map(len, deal([runs[:10]], size=64, n_devices=3))) == [4, 4, 2]
    assert list(map(len, deal([runs[:2]], size=64, n_devices=8))) == [1, 1]
    assert [run for part in deal([runs], size=5, n_devices=2) for run in part] == runs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stack": 0}, f"trainer.stack must be auto or between 1 and {MOST}, got 0"),
        ({"stack": MOST + 1}, "got 129"),
        ({"stack": "all"}, "got 'all'"),
        ({"compile": True, "device": "cpu"}, "trainer.ensemble=vectorise"),
        ({"device": []}, "names none"),
        ({"device": ["cpu", "gpu"]}, "device=gpu is unknown"),
        ({"device": ["cuda:0", "cuda:99"]}, "is not there"),
        ({"device": ["cpu", "cpu"], "precision": "bf16"}, "for GPUs"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepTrainer(**settings)


def test_auto_means_every_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card of {device}")
    assert DeepTrainer().machine == "cuda:0 (card of cuda:0), cuda:1 (card of cuda:1)"
    assert DeepTrainer().mode == "vectorise"
    assert DeepTrainer(device="cuda:1").machine == "cuda:1 (card of cuda:1)"
