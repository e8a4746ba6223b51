"""What every network of configs/model must obey, whatever it is."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from eegdecode.training.ensemble import Ensemble

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
NETWORKS = [
    p.stem for p in sorted(CONFIGS.glob("*.yaml"))
    if "eegdecode.models" in p.read_text() and "models.foreign" not in p.read_text()
]    # fmt: skip
SIZES = {"n_chans": 5, "n_times": 200, "n_classes": 3, "sfreq": 100.0}


def build(name, **override):
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    return instantiate(cfg)(**SIZES, **override)


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.mark.parametrize("shape", [(1, 40, 2, 80.0), (3, 500, 4, 125.0), (22, 1001, 4, 250.0), (64, 480, 5, 160.0)])
def test_takes_any_number_of_channels_and_samples(name, shape):
    n_chans, n_times, n_classes, sfreq = shape
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    net = instantiate(cfg)(n_chans=n_chans, n_times=n_times, n_classes=n_classes, sfreq=sfreq)
    assert net(torch.randn(2, n_chans, n_times)).shape == (2, n_classes)


def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    net = build(name, drop=0.0)
    torch.nn.functional.cross_entropy(net(torch.randn(8, 5, 200)), torch.arange(8) % 3).backward()
    dead = [key for key, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert dead == []


def test_output_depends_on_every_channel_and_not_on_the_batch(name):
    torch.manual_seed(0)
    net = build(name).eval()
    x = torch.randn(4, 5, 200)
    logits = net(x)
    torch.testing.assert_close(net(x[:1]), logits[:1], rtol=1e-4, atol=1e-5)
    for channel in range(5):
        changed = x.clone()
        changed[:, channel] = torch.randn(4, 200)
        assert (net(changed) - logits).abs().max() > 1e-6


def test_first_loss_is_near_that_of_knowing_nothing(name):
    torch.manual_seed(0)
    net = build(name).eval()
    loss = torch.nn.functional.cross_entropy(net(torch.randn(64, 5, 200)), torch.arange(64) % 3)
    assert abs(loss.item() - torch.log(torch.tensor(3.0)).item()) < 0.5


def test_drop_is_a_number_of_the_run(name):
    """Dropout rates are buffers: a stack may hold several; zero gives what evaluation gives."""
    torch.manual_seed(0)
    net = build(name, drop=0.6)
    rates = [b for key, b in net.named_buffers() if key.endswith("rate")]
    assert rates
    assert max(rate.item() for rate in rates) == pytest.approx(0.6)
    assert all(b.item() == 0 for key, b in build(name, drop=0.0).named_buffers() if key.endswith("rate"))
    with pytest.raises(ValueError, match="drop must be in"):
        build(name, drop=1.0)


@pytest.mark.parametrize(("length", "said"), [
    (25, r"=25 is a length in s, and its signal has [\d.]+ s; 25 samples at 100 Hz are 0.25 s"),
    (0, "must be a number above 0, got 0"), (-1.0, "must be a number above 0, got -1"),
])    # fmt: skip
def test_a_length_that_is_typed_in_samples_or_is_none_is_named(name, length, said):
    """Papers count in samples; a kernel of 25 s would be cut to the trial, and train to chance."""
    if name in ("sttransformer", "s3t", "bilstm", "gru"):
        pytest.skip("has rules of its own, and tests of them")
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    for key in {"kernel", "kernels", "pool", "stride"} & set(cfg):
        with pytest.raises(ValueError, match=f"model.{key}.*{said}" if length == 25 else said):
            build(name, **{key: [length] if key == "kernels" else length})


@pytest.mark.parametrize("train", [True, False])
def test_loop_and_vmap_give_the_same(name, train):
    torch.manual_seed(0)
    nets = [build(name, drop=0.0) for _ in range(3)]
    x, y = torch.randn(3, 8, 5, 200), torch.arange(24).reshape(3, 8) % 3
    logits, grads, buffers = {}, {}, {}
    for mode in ("loop", "vectorise"):
        stack = Ensemble(nets, mode=mode, device="cpu")
        logits[mode] = stack(x, train=train)
        loss = torch.stack([torch.nn.functional.cross_entropy(z, t) for z, t in zip(logits[mode], y, strict=True)])
        grads[mode], buffers[mode] = stack.gradients(loss), stack.buffers
    torch.testing.assert_close(logits["loop"], logits["vectorise"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grads["loop"], grads["vectorise"], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(buffers["loop"], buffers["vectorise"], rtol=1e-4, atol=1e-5)


def test_what_is_remembered_changes_nothing(name):
    torch.manual_seed(0)
    net, x = build(name, drop=0.0), torch.randn(8, 5, 200)
    if not hasattr(net, "remember"):
        pytest.skip("remembers nothing")
    whole, parts = net.remember(x), torch.cat([net.remember(one) for one in x.split(3)])
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(x, whole), net(x), rtol=1e-5, atol=1e-6)


class FromPython(TorchDispatchMode):
    """Counts tensors that are made of numbers of Python, which a GPU would wait for."""

    n_made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n_made += "lift_fresh" in str(func)
        return func(*args, **(kwargs or {}))


def test_a_step_can_be_recorded_on_a_gpu(name):
    """A recording (see `Replay`) ends at the first number that comes from the processor."""
    net, x = build(name), torch.randn(4, 5, 200)
    known = net.remember(x) if hasattr(net, "remember") else None
    with FromPython() as watch:
        torch.tensor(1.0)
        net(*([x] if known is None else [x, known])).sum().backward()
    assert watch.n_made == 1    # that of the test
