"""Attention kernels against softmax attention: equal where all is seen, nearer with every rise of the budget."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from eegdecode.models import attention
from eegdecode.models.attention import KERNELS, UNORDERED, Attention
from eegdecode.models.kernels_blocks import hash_order, soft_permutation
from eegdecode.models.masks import valid_tokens

N, H, W = 96, 2, 8


def tokens(seed=0, strength=1.0):
    """Queries, already scaled, keys and values of independent numbers."""
    q, k, v = torch.randn(3, 2, H, N, W, generator=torch.Generator().manual_seed(seed))
    return strength * q * W**-0.5, k, v


def build(name, seed=0, **settings):
    torch.manual_seed(seed)
    return KERNELS[name](H, W, N, drop=0.0, **settings).eval()


def softmax(q, k, v, valid=None):
    """As it is written."""
    scores = q @ k.mT
    if valid is not None:
        scores = scores.masked_fill(~valid[:, None, None], -torch.inf)
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("softmax", {}), ("local", {"window": N - 1}), ("local", {"window": 1000}),
        ("global", {"tokens": N, "window": 0}), ("global", {"tokens": 1, "window": N}),
        ("linformer", {"slots": N}), ("linformer", {"slots": 1000}),
        ("reformer", {"size": N}), ("reformer", {"size": 1000, "rounds": 3}), ("sinkhorn", {"size": N}),
        ("sinkhorn", {"size": 1000, "iterations": 1}),
    ],
)  # fmt: skip
def test_where_all_is_seen_it_is_softmax(name, settings, masked):
    """Outputs and gradients, in double precision so that only a wrong formula could differ."""
    valid = valid_tokens(torch.tensor([N, 40]), N) if masked else None
    q, k, v = (x.double().requires_grad_() for x in tokens(strength=2.0))
    kernel = build(name, **settings).double()
    seen = torch.ones(2, N) if valid is None else valid.double()
    out, expected = (f(q, k, v, valid) * seen[:, None, :, None] for f in (kernel, softmax))
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    way = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(out, (q, k, v), way), torch.autograd.grad(expected, (q, k, v), way), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("room", [1, 700, H * N**2, 10**6])
@pytest.mark.parametrize("dropped", [False, True])
def test_how_many_scores_are_held_changes_nothing(room, dropped, monkeypatch):
    """Queries one by one, some, trials one by one, and all at once; alone and by vmap."""
    monkeypatch.setattr(attention, "ROOM", room)
    q, k, v = (x.requires_grad_() for x in tokens())
    mask = torch.rand(2, H, N, N) < 0.7 if dropped else None
    kept = 1 if mask is None else mask
    expected, way = ((q @ k.mT).softmax(-1) * kept) @ v, torch.randn(2, H, N, W)
    out = attention.mix(q, k, v, mask)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(out, (q, k, v), way), torch.autograd.grad(expected, (q, k, v), way), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    axes = (0, 0, 0, None if mask is None else 0)
    pieces = (x if x is None else x[:, None] for x in (q, k, v, mask))
    torch.testing.assert_close(torch.func.vmap(attention.mix, in_dims=axes)(*pieces)[:, 0], expected)


@pytest.mark.parametrize(
    ("name", "setting", "budgets", "strength", "last"),
    [
        ("performer", "features", (8, 64, 512, 4096), 0.5, 0.3),
        ("linformer", "slots", (4, 24, 48, 72, N), 2.0, 1e-5),
        ("local", "window", (2, 8, 24, 48, N), 2.0, 1e-5),
        ("global", "tokens", (1, 16, 48, 72, N), 2.0, 1e-5),
        ("reformer", "size", (4, 8, 16, 24, N), 2.0, 1e-5),
        ("reformer", "rounds", (1, 2, 4, 8), 2.0, 0.5),
        ("sinkhorn", "size", (4, 12, 24, 48, N), 2.0, 1e-5),
    ],
)
def test_error_falls_as_the_budget_grows(name, setting, budgets, strength, last):
    """Relative error of the output, a mean over five draws of data and of random features."""
    errors = []
    for budget in budgets:
        each = []
        for seed in range(5):
            q, k, v = tokens(seed, strength)
            expected = softmax(q, k, v)
            out = build(name, seed, **{setting: budget})(q, k, v)
            each.append(((out - expected).norm() / expected.norm()).item())
        errors.append(sum(each) / len(each))
    assert all(now < before for before, now in itertools.pairwise(errors)), errors
    assert errors[-1] < last, errors


def test_performers_error_falls_with_the_root_of_its_features():
    errors = []
    for features in (64, 1024):
        each = []
        for seed in range(20):
            q, k, v = tokens(seed, 0.5)
            expected = softmax(q, k / 2, v)
            each.append(((build("performer", seed, features=features)(q, k / 2, v) - expected).norm()).item())
        errors.append(sum(each) / len(each))
    assert errors[0] / errors[1] == pytest.approx((1024 / 64) ** 0.5, rel=0.3)


def test_reformer_finds_what_points_the_same_way_better_than_chance():
    """Keys that equal one query each: hashing brings them together, blocks by place do not."""
    torch.manual_seed(0)
    q, _, v = tokens(0)
    order = torch.randperm(N)
    q = 8 * F.normalize(q, dim=-1)
    k = F.normalize(q, dim=-1)[:, :, order]
    expected = softmax(q, k, v)
    hashed = build("reformer", size=8, rounds=4)(q, k, v)
    near = build("local", window=12)(q, k, v)
    assert (hashed - expected).norm() < 0.5 * (near - expected).norm()


def test_reformers_rounds_are_mixed_by_the_sums_of_their_exponentials():
    """As one softmax over what every round sees, a key that several of them see counting several times."""
    q, k, v = tokens(strength=3.0)
    kernel, seen = build("reformer", size=4, rounds=3), torch.ones(2, 1, N, 1) > 0
    each = torch.eye(N).expand(2, H, N, N)
    counts = sum((kernel.once(q, k, each, seen, way)[0] > 0).float() for way in kernel.directions)
    assert set(counts.unique().tolist()) == {0, 1, 2, 3}
    weights = counts * (q @ k.mT).exp()
    torch.testing.assert_close(kernel(q, k, v), weights / weights.sum(-1, keepdim=True) @ v, rtol=1e-4, atol=1e-5)


def test_reformers_buckets_come_in_opposite_pairs():
    """One direction makes two buckets: what points along it, and what points against it."""
    q, _, _ = tokens()
    way = torch.randn(H, W, 1, generator=torch.Generator().manual_seed(0))
    order = hash_order(q, torch.ones(2, 1, N, 1) > 0, way)
    assert torch.equal(order, (q @ way < 0).int().argsort(dim=2, stable=True))


def test_linear_is_the_product_that_it_avoids():
    q, k, v = tokens()
    product = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    torch.testing.assert_close(build("linear")(q, k, v), product / product.sum(-1, keepdim=True) @ v)


def test_additive_is_the_loop_over_pairs():
    q, k, v = tokens()
    kernel = build("additive")
    scores = torch.stack([torch.tanh(q[:, :, i : i + 1] + k) @ kernel.score[:, :, None] for i in range(N)], dim=2)
    torch.testing.assert_close(kernel(q, k, v), scores.squeeze(-1).softmax(-1) @ v, rtol=1e-4, atol=1e-5)


def test_local_and_global_see_what_they_say():
    torch.manual_seed(0)
    place = torch.arange(N)
    near = (place[:, None] - place).abs() <= 5
    all_see = near | (place[:, None] < 3) | (place < 3)
    for name, expected, settings in (("local", near, {}), ("global", all_see, {"tokens": 3})):
        layer = Attention(H * W, heads=H, drop=0.0, kernel=name, window=5, **settings)
        _, weights = layer(torch.randn(1, N, H * W), return_attention=True)
        assert torch.equal(weights[0, 0] > 0, expected)


def test_sinkhorns_columns_sum_to_one_the_better_the_more_often_they_are_scaled():
    torch.manual_seed(0)
    scores, seen = 3 * torch.randn(1, 1, 12, 12), torch.ones(1, 1, 12, 12, dtype=torch.bool)
    errors = []
    for iterations in (1, 5, 50):
        weights = soft_permutation(scores, seen, iterations)
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 12))
        errors.append((weights.sum(-2) - 1).abs().max().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_sinkhorn_sorts_to_a_block_the_block_that_it_asks_for():
    """Keys of block i are what the queries of another block, far away, look for: it sees them, and little else."""
    torch.manual_seed(0)
    wanted = torch.tensor([5, 7, 3, 6, 1, 0, 2, 4])
    ways = torch.linalg.qr(torch.randn(H, W, W))[0]                                          # a direction of each block
    q, k = (x.repeat_interleave(6, dim=1).expand(2, -1, -1, -1) for x in (12 * ways[:, wanted], ways))
    v = torch.randn(2, H, 6 * W, W)
    expected = softmax(q, k, v)
    assert (build("sinkhorn", size=6)(q, k, v) - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("name", ["performer", "reformer"])
def test_random_features_are_part_of_the_state(name):
    """The same seed gives the same, another seed another; a saved state brings them back."""
    q, k, v = tokens()
    settings = {"size": 8} if name == "reformer" else {}
    one, same, other = (build(name, seed, **settings) for seed in (0, 0, 1))
    assert torch.equal(one(q, k, v), same(q, k, v))
    assert not torch.equal(one(q, k, v), other(q, k, v))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(q, k, v), other(q, k, v))


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "linformer"])    # whose places are learned
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_padding_changes_nothing_however_large_the_keys_are(name, strength):
    q, k, v = tokens()
    kernel, k = build(name), strength * k
    q, k, v, n = q[:, :, :12], k[:, :, :12], v[:, :, :12], 5
    padded = kernel(q, k, v, valid_tokens(torch.tensor([n, n]), 12))[:, :, :n]
    torch.testing.assert_close(padded, kernel(q[:, :, :n], k[:, :, :n], v[:, :, :n]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_tokens_may_come_in_any_order_where_it_is_said(name):
    """And only there: in blocks, windows and slots a token is where it stands."""
    q, k, v = tokens(strength=3.0)
    order, kernel = torch.randperm(N, generator=torch.Generator().manual_seed(0)), build(name)
    turned, plain = kernel(q[:, :, order], k[:, :, order], v[:, :, order]), kernel(q, k, v)[:, :, order]
    assert torch.allclose(turned, plain, rtol=1e-4, atol=1e-5) == (name in UNORDERED)


@pytest.mark.parametrize("name", ["softmax", "additive", "local", "global", "linformer", "reformer", "sinkhorn"])
def test_weights_are_dropped_in_training(name):
    q, k, _ = tokens()
    ones = torch.ones(2, H, N, W)
    kernel = KERNELS[name](H, W, N, drop=0.5)
    out = kernel(q, k, ones)
    assert out.std() > 0.05
    assert abs(out.mean() - 1) < 0.05
    torch.testing.assert_close(kernel.eval()(q, k, ones), ones)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("local", {"window": -1}, "window must be at least 0, got -1"),
        ("sinkhorn", {"size": 0}, "size must be at least 1, got 0"),
        ("reformer", {"buckets": 1}, "buckets must be at least 2, got 1"),
        ("performer", {"features": 0}, "features must be at least 1, got 0"),
        ("linformer", {"slots": 0}, "slots must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build(name, **settings)


def test_linformer_says_what_it_was_built_for():
    with pytest.raises(ValueError, match="must know n_tokens"):
        Attention(H * W, heads=H, drop=0.0, kernel="linformer")
    with pytest.raises(ValueError, match="built for 10 tokens, got 12"):
        Attention(H * W, heads=H, drop=0.0, kernel="linformer", n_tokens=10)(torch.randn(1, 12, H * W))
