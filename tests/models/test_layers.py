import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.attention import Attention
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.layers import Dropout, MaxNormLinear, limit_norm
from eegdecode.models.spatial import CALM, SpatialAttention, WhiteningAttention, likeness, principal
from eegdecode.models.sttransformer import STTransformer
from eegdecode.models.tcformer import TCFormer


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(100_000)
    out = Dropout(0.3)(x)
    assert abs((out == 0).float().mean().item() - 0.3) < 0.01
    assert abs(out.mean().item() - 1) < 0.01
    assert Dropout(0.3).eval()(x) is x


def test_limit_norm_scales_long_rows_and_leaves_short_ones():
    weight = torch.tensor([[3.0, 4.0], [0.03, 0.04]])
    torch.testing.assert_close(limit_norm(weight, 1.0), torch.tensor([[0.6, 0.8], [0.03, 0.04]]))
    layer = MaxNormLinear(2, 2, bias=False, max_norm=1.0)
    with torch.no_grad():
        layer.weight.copy_(weight)
    torch.testing.assert_close(layer(torch.eye(2)).T, limit_norm(weight, 1.0))


def test_attention_equals_torchs_own():
    torch.manual_seed(0)
    ours, x = Attention(12, heads=3, drop=0.0), torch.randn(2, 7, 12)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="multiple of heads"):
        Attention(10, heads=3, drop=0.0)


@pytest.mark.parametrize("heads", [1, 3])
def test_spatial_attention_works(heads):
    """Scores are per trial, rows sum to one, q and k matter: what the published code's einsum undoes."""
    torch.manual_seed(0)
    layer, x = SpatialAttention(6, heads=heads, drop=0.0), torch.randn(3, 6, 100)
    score = layer.weights(likeness(x))
    torch.testing.assert_close(score.sum(-1), torch.ones(3, heads, 6))
    assert (score[0] - score[1]).abs().max() > 1e-3
    # by hand: q and k at every sample, score (query, key), output = sum over keys
    z = F.layer_norm(x, (100,))
    q, k = (torch.einsum("hdc,bct->bhdt", w, z) for w in (layer.query, layer.key))
    by_hand = (torch.einsum("bhmt,bhct->bhmc", q, k) / 10).softmax(-1)
    torch.testing.assert_close(score, by_hand, rtol=1e-4, atol=1e-5)
    mixed = torch.einsum("bhmc,bct->bhmt", by_hand, x)
    out = layer(score) @ x
    torch.testing.assert_close(out, torch.einsum("hdm,bhmt->bdt", layer.mix, mixed), rtol=1e-4, atol=1e-4)
    out.square().sum().backward()
    for weight in (layer.query, layer.key):
        assert weight.grad is not None
        assert weight.grad.abs().max() > 1e-4


def test_whitening_attention_goes_part_of_the_way():
    """Exponent 1 leaves every direction of a trial equally loud, 0 what there was, and one half the root of it."""
    torch.manual_seed(0)
    x = torch.randn(3, 6, 400) * torch.tensor([1.0, 3, 0.2, 2, 1, 5])[:, None]
    x = torch.randn(6, 6) @ x - 4.0    # not centred: a constant offset is no power
    layer, axes = WhiteningAttention(8, heads=3), principal(x)
    with torch.no_grad():
        layer.exponent.copy_(torch.tensor([0.0, 0.5, 1.0]) / CALM)
    weights, filters = layer.weights(axes), torch.randn(8, 6)
    mixed = weights @ (x - x.mean(-1, keepdim=True))[:, None]
    C, first, half, whole = (z @ z.mT / 400 for z in (x - x.mean(-1, keepdim=True), *mixed.unbind(1)))
    torch.testing.assert_close(first, C, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(half @ half, C, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(whole, torch.eye(6).expand(3, 6, 6), rtol=1e-2, atol=1e-2)
    of_map = torch.stack([filters[d] @ weights[:, d % 3] for d in range(8)], dim=1)
    torch.testing.assert_close(layer.bend(filters, axes), of_map, rtol=1e-4, atol=1e-4)


def test_whitening_attention_leaves_silence_silent():
    """An average reference takes a direction away, and a flat trial has none: what is amplified is no noise."""
    torch.manual_seed(0)
    x = torch.randn(2, 6, 400)
    x = torch.cat([x - x.mean(1, keepdim=True), torch.zeros(1, 6, 400)])
    out = WhiteningAttention(6, heads=1).weights(principal(x))[:, 0] @ x
    assert out.abs().max() < 10
    assert (out[2] == 0).all()


def test_a_broken_trial_breaks_no_other():
    torch.manual_seed(0)
    x = torch.randn(3, 6, 100)
    whole = principal(x)
    x[1, 2, 50] = torch.nan
    broken = principal(x)
    assert broken[1].isnan().all()
    torch.testing.assert_close(broken[[0, 2]], whole[[0, 2]])


@pytest.mark.parametrize("relations", [likeness, principal])
def test_channels_relate_by_a_trials_own_samples(relations):
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 6, 100), torch.tensor([100, 70, 40])
    padded = relations(x, torch.arange(100) < lengths[:, None])
    for trial, length in enumerate(lengths.tolist()):
        alone = relations(x[trial : trial + 1, :, :length])[0]
        torch.testing.assert_close(padded[trial].abs(), alone.abs(), rtol=1e-3, atol=1e-3)    # axes have no sign


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    torch.manual_seed(0)
    out = Dropout(rate)(torch.ones(301, 1001))
    share = (out == 0).float().mean().item()
    assert abs(share - rate) < 4 * (rate * (1 - rate) / out.numel()) ** 0.5
    torch.testing.assert_close(out[out > 0], torch.full_like(out[out > 0], 1 / (1 - rate)))
    neighbours = ((out[:, 1:] == 0) & (out[:, :-1] == 0)).float().mean().item()    # four come of one number
    assert abs(neighbours - rate**2) < 0.005


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="width 10 must be a multiple of heads 4"):
        STTransformer(4, 20, 2, 100.0, width=10)
    with pytest.raises(ValueError, match="at least 32 samples"):
        EEGNet(4, 20, 2, 100.0)
    for settings in ({"heads": 3}, {"heads": 5}, {"kv_heads": 3}, {"heads": 24, "kv_heads": 1, "group": 4}):
        with pytest.raises(ValueError, match=f"heads={settings.get('heads', 4)} must be a multiple of kv_heads"):
            TCFormer(4, 500, 2, 250.0, **settings)
    with pytest.raises(ValueError, match="group=15 must be a multiple of 4"):
        TCFormer(4, 500, 2, 250.0, group=15)
