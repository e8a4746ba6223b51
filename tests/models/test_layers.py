import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.attention import Attention
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.layers import Dropout, MaxNormLinear, TimeFilter, filter_maps, limit_norm
from eegdecode.models.spatial import SpatialAttention, likeness
from eegdecode.models.sttransformer import STTransformer


@pytest.mark.parametrize("length", [1, 2, 63, 64, 200])
@pytest.mark.parametrize("n_times", [30, 64, 129])
def test_time_filter_is_a_depthwise_convolution(length, n_times):
    torch.manual_seed(0)
    layer, x = TimeFilter(4, length), torch.randn(2, 4, n_times)
    padded = F.pad(x, (length // 2, (length - 1) // 2))
    plain = F.conv1d(padded, layer.weight[:, None], groups=4)
    torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)
    seen = torch.randn_like(plain)
    fast = torch.autograd.grad((layer(x) * seen).sum(), layer.weight)[0]
    slow = torch.autograd.grad((plain * seen).sum(), layer.weight)[0]
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


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


def test_likeness_is_of_a_trials_own_samples():
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 6, 100), torch.tensor([100, 70, 40])
    padded = likeness(x, torch.arange(100) < lengths[:, None])
    for trial, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(padded[trial], likeness(x[trial : trial + 1, :, :length])[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n_times", "length"), [(1000, 64), (63, 63), (130, 1), (64, 16)])
def test_filter_maps_is_a_depthwise_convolution(n_times, length):
    torch.manual_seed(0)
    x, w = torch.randn(3, 4, n_times, requires_grad=True), torch.randn(4, length, requires_grad=True)
    fast, plain = filter_maps(x, w), F.conv1d(x, w[:, None], groups=4)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-4)
    seen = torch.randn_like(plain)
    for one, other in zip(
        torch.autograd.grad(fast, (x, w), seen), torch.autograd.grad(plain, (x, w), seen), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


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
