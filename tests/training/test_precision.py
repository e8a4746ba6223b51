"""Training in 16 bits, which only GPUs are asked for: a processor's autocast takes the same path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.batches import Material
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.training.loop import train_stack

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
NETWORKS = [
    p.stem for p in sorted(CONFIGS.glob("*.yaml"))
    if "eegdecode.models" in p.read_text() and "models.foreign" not in p.read_text()
]    # fmt: skip


def trained(make_trials, name, mode, precision="bf16", **settings):
    trials = make_trials(n_sessions=1, n_trials=36)
    runs = expand(WithinSession(folds=4)(trials.meta, validation=0.25), Sweep(), seed=0)[:2]
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    trainer = DeepTrainer(epochs=2, batch_size=12, device="cpu", **settings)
    object.__setattr__(trainer, "precision", precision)    # behind the check, which sends users of processors away
    told = {"frontend": ZScore(), "mode": mode, "on_epoch": lambda run, row: None}
    return train_stack(trainer, instantiate(cfg), Material.of(trials, per_trial=False, device="cpu"), runs, **told)


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_in_16_bits(make_trials, name, mode):
    for one, other in zip(trained(make_trials, name, mode), trained(make_trials, name, mode, "float32"), strict=True):
        assert one.status == "done"
        assert np.abs(one.logits["test"] - other.logits["test"]).max() > 0    # else it was no other precision
        np.testing.assert_allclose(one.history["train_loss"], other.history["train_loss"], rtol=0.1)


@pytest.mark.parametrize("name", ["sttransformer", "eegnet"])
def test_also_with_trials_that_are_changed_on_their_way(make_trials, name):
    """Then nothing is remembered: covariances and moments are made of signals of 16 bits."""
    for prediction in trained(make_trials, name, "vectorise", mixup=0.2, sam=0.05):
        assert prediction.status == "done"
        assert all(torch.tensor(weight).isfinite().all() for weight in prediction.weights.values())
