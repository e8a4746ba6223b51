"""The networks of pretraining: what is hidden stays hidden, and no piece is told from what comes after it."""

import pytest
import torch
from torch import nn

from eegdecode.models.decoder import CrossAttention
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.forecast import Forecaster
from eegdecode.models.masked import MaskedAutoencoder
from eegdecode.models.pieces import Pieces
from eegdecode.models.sttransformer import STTransformer

WORDS = [
    {}, {"spatial": "off"}, {"stem": "conv"}, {"stem": "linear"}, {"position": "convolutional"},
    {"pool": "token", "position": "rotary"}, {"block": {"kernel": "linear", "norm": "batch"}},
]    # fmt: skip
SIZES = {"n_chans": 4, "n_times": 300, "n_classes": 3, "sfreq": 75.0}    # 75 samples a patch: twice 37 and one


def network(**words):
    def build(**sizes):
        torch.manual_seed(0)
        return STTransformer(**sizes, **{"width": 8, "heads": 2, "depth": 1, **words})

    build.encode = STTransformer.encode
    return build


def build(kind, words=None, **settings):
    torch.manual_seed(0)
    net = kind(**SIZES, network=network(**(words or {})), heads=2, drop=0.0, **settings).eval()
    nn.init.normal_(net.decoder.tell.weight)    # at first all is told as the mean
    return net


def test_cross_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = CrossAttention(8, heads=2, drop=0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, source, seen = torch.randn(3, 5, 8), torch.randn(3, 4, 8), torch.tensor([1, 0, 1, 1]).bool().expand(3, 4)
    expected, _ = theirs(x, source, source, key_padding_mask=~seen)
    torch.testing.assert_close(ours(x, source, seen[:, None]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_with_all_patches_the_encoder_is_that_of_the_network(words):
    torch.manual_seed(0)
    net, x = network(drop=0.5, **words)(**SIZES).eval(), torch.randn(3, 4, 300)
    everything = torch.ones(3, net.stem.n_tokens, dtype=torch.bool), torch.ones(3, 300, dtype=torch.bool)
    tokens, there = net.encode(x, *everything)
    torch.testing.assert_close(net.head(net.pool(tokens, there)), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_what_is_masked_does_not_reach_the_encoder(words):
    net, x = build(MaskedAutoencoder, words), torch.randn(6, 4, 300, requires_grad=True)
    visible = net.plan(torch.rand(6, net.n_draws), 0.0)
    assert (visible.sum(1) == net.n_visible).all()
    told, truth, _, hidden = net.reconstruct(x, visible)
    assert hidden.any(1).all()
    assert not hidden.all(1).any()
    assert (told[:, 0] - told[:, 1]).abs().max() > 1e-4    # each piece is asked for by its place
    samples = hidden.repeat_interleave(net.pieces.size, dim=1)                   # (B, samples that lie in pieces)
    rest = torch.zeros(6, 300 - samples.shape[1], dtype=torch.bool)
    samples = torch.cat([samples, rest], dim=1)[:, None].expand_as(x)
    (gradient,) = torch.autograd.grad(told.square().sum(), x, retain_graph=True)
    assert gradient[samples].abs().max() == 0
    assert gradient[~samples].abs().max() > 1e-6
    other = net.reconstruct(torch.where(samples, 1e3 * torch.randn_like(x), x), visible)
    torch.testing.assert_close(other.told, told, rtol=0, atol=0)
    assert (other.truth - truth)[hidden].abs().max() > 1


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_no_piece_is_told_from_what_comes_after_it(words):
    net, x = build(Forecaster, words), torch.randn(3, 4, 300)
    none, some = torch.zeros(3, net.n_draws, dtype=torch.bool), torch.rand(3, net.n_draws) < 0.5
    assert net.n_draws >= 3
    for replaced in (none, some):
        told = net.reconstruct(x, replaced).told
        for piece in range(net.n_draws):
            later = x.clone()
            later[..., (net.first + piece) * net.pieces.size :] = torch.randn(3, 4, 1)
            changed = (net.reconstruct(later, replaced).told - told).abs().amax(dim=(0, 2))
            assert changed[: piece + 1].max() == 0
            assert replaced is some or piece + 1 == net.n_draws or changed[piece + 1] > 1e-6
    rolled, later = net.roll_out(x), x.clone()
    later[..., net.first * net.pieces.size :] = 0
    torch.testing.assert_close(net.roll_out(later), rolled, rtol=0, atol=0)


def test_scheduled_sampling_with_probability_0_is_teacher_forcing():
    net, x = build(Forecaster), torch.randn(3, 4, 300)
    draws = torch.rand(3, net.n_draws)
    assert not net.plan(draws, 0.0).any()
    assert not build(Forecaster, sampling=0.0).plan(draws, 1.0).any()
    sampled = net.reconstruct(x, net.plan(draws, 0.0)).told
    tokens, there = net._context(x)
    forced = net.decoder(net.embed(net.pieces(x)[:, net.first - 1 : -1]), tokens, there)
    torch.testing.assert_close(sampled, forced, rtol=0, atol=0)
    gradients = [torch.autograd.grad(told.square().sum(), net.embed.weight)[0] for told in (sampled, forced)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_what_is_replaced_is_the_networks_own_forecast():
    net, x = build(Forecaster, sampling=0.4), torch.randn(3, 4, 300)
    assert net.plan(torch.rand(2000, net.n_draws), 0.5).float().mean().item() == pytest.approx(0.2, abs=0.03)
    told = net.reconstruct(x, torch.ones(3, net.n_draws, dtype=torch.bool)).told
    torch.testing.assert_close(told[:, :2], net.roll_out(x)[:, :2], rtol=1e-4, atol=1e-5)
    forced = net.reconstruct(x, torch.zeros(3, net.n_draws, dtype=torch.bool)).told
    assert (told - forced)[:, 1:].abs().max() > 1e-4


def test_power_is_that_of_a_sine_and_of_noise_and_does_not_leak():
    """Under a Hann window: A^2 / 3 at the frequency of a sine of amplitude A, 2 / n of the variance of noise."""
    torch.manual_seed(0)
    pieces = Pieces(1, 4000, 100.0, length=1.0, target="power", band=(4.0, 40.0))
    time = torch.arange(4000) / 100
    sine = pieces.raw(3.0 * torch.sin(2 * torch.pi * 10 * time)[None, None]).exp()[0, 0]
    assert sine[pieces.frequencies.index(10.0)].item() == pytest.approx(3.0, rel=0.01)
    noise = pieces.raw(2.0 * torch.randn(20, 1, 4000)).exp().mean().item()
    assert noise == pytest.approx(4.0 * 2 / 100, rel=0.05)
    between = pieces.raw(3.0 * torch.sin(2 * torch.pi * 10.5 * time)[None, None]).exp()[0, 0]
    assert between[pieces.frequencies.index(20.0)] < 1e-4    # of a rectangle 4e-3


@pytest.mark.parametrize("target", ["power", "signal"])
def test_errors_are_those_of_the_network_of_the_mean_and_of_repeating(target):
    net, x = build(MaskedAutoencoder, target=target), torch.randn(5, 4, 300)
    visible = net.plan(torch.rand(5, net.n_draws), 0.0)
    told, truth, repeated, hidden = net.reconstruct(x, visible)
    for trial in range(5):
        at = hidden[trial]
        seen = truth[trial, ~at].mean(0)
        expected = [(told[trial, at] - truth[trial, at]).square().mean(), truth[trial, at].square().mean(),
                    (seen - truth[trial, at]).square().mean()]    # fmt: skip
        torch.testing.assert_close(repeated[trial, 0], seen, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net(x, visible)[trial], torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "settings", "said"), [
    (MaskedAutoencoder, {"ratio": 1.0}, "task.ratio"), (MaskedAutoencoder, {"piece": 3.0}, "task.piece"),
    (MaskedAutoencoder, {"target": "phase"}, "task.target"), (MaskedAutoencoder, {"band": [50, 60]}, "task.band"),
    (Forecaster, {"context": 0.0}, "task.context"), (Forecaster, {"sampling": 2.0}, "task.sampling"),
    (MaskedAutoencoder, {"words": {"patch": 4.0}}, "two patches"), (Forecaster, {"depth": 0}, "task.depth"),
    (MaskedAutoencoder, {"piece": 0.0}, "task.piece must be a time above 0 s, got 0.0"),
    (MaskedAutoencoder, {"band": [4]}, "task.band must be two frequencies"),
    (Forecaster, {"band": [-4, 40]}, "task.band must be two frequencies"),
    (Forecaster, {"band": [8, 30], "target": "signal"}, "30] is of task.target=power, and that is signal: type"),
    (MaskedAutoencoder, {"ratio": 0.2}, "task.ratio=0.2 hides a whole piece in only"),
])    # fmt: skip
def test_bad_settings_are_refused(kind, settings, said):
    with pytest.raises(ValueError, match=said):
        build(kind, **settings)


def test_networks_that_have_no_encoder_to_pretrain_are_refused():
    with pytest.raises(ValueError, match="EEGNet has no `encode`"):
        MaskedAutoencoder(**SIZES, network=EEGNet)
    divided = build(MaskedAutoencoder, {"spatial": "after"})
    with pytest.raises(ValueError, match="take signals or off"):
        divided(torch.randn(2, 4, 300), divided.plan(torch.rand(2, divided.n_draws), 0.0))
