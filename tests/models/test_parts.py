"""What every word of every part obeys, alone and together in a block."""

import itertools

import pytest
import torch
from scipy.fft import dct
from torch.nn import functional as F

from eegdecode.models.attention import KERNELS, Attention
from eegdecode.models.block import FEEDS, Block, Encoder, StochasticDepth, TokenDropout
from eegdecode.models.masks import valid_tokens
from eegdecode.models.norms import NORMS, GroupNorm, normalisation
from eegdecode.models.patches import patch_counts
from eegdecode.models.pooling import POOLINGS
from eegdecode.models.positions import POSITIONS, rotate
from eegdecode.training.ensemble import Ensemble

N, D, H, N_CHANS = 21, 12, 3, 4
SMALL = {    # budgets that bite at N tokens
    "local": {"window": 3}, "global": {"window": 2, "tokens": 2}, "linformer": {"slots": 5},
    "performer": {"features": 16}, "reformer": {"size": 5}, "sinkhorn": {"size": 5},
}    # fmt: skip


class Network(torch.nn.Module):
    """The least network that has every part; it takes (B, C, T) signals, and lengths in samples."""

    def __init__(self, *, position="none", pooling="mean", kernel="softmax", drop=0.0, **block):
        super().__init__()
        self.embed = torch.nn.Conv1d(N_CHANS, D, 4, stride=2)
        self.position, self.pool = POSITIONS[position](D, N), POOLINGS[pooling](D)
        self.blocks = Encoder(
            D, depth=2, heads=H, expand=2, drop=drop, kernel=kernel, n_tokens=N + self.pool.added,
            rotary=position == "rotary", **block, **SMALL.get(kernel, {}),
        )    # fmt: skip
        self.head = torch.nn.Linear(self.pool.parts * D, 3)

    def forward(self, x, lengths=None):
        z = self.embed(x).mT
        counts = None if lengths is None else patch_counts(lengths, size=4, stride=2)
        valid = None if counts is None else valid_tokens(counts, z.shape[1])
        z, valid = self.pool.extend(self.position(z, valid), valid)
        return self.head(self.pool(self.blocks(z, valid), valid))


CHOICES = [
    *({"position": word} for word in POSITIONS), *({"norm": word} for word in NORMS),
    *({"kernel": word} for word in KERNELS), *({"pooling": word} for word in POOLINGS),
    *({"feed": word} for word in FEEDS), {"order": "post"}, {"order": "post", "norm": "batch"},
]    # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_loop_and_vmap_give_the_same(choice, train, masked):
    """With lengths too, which go where an ensemble hands on what a network remembers."""
    torch.manual_seed(0)
    nets = [Network(**choice) for _ in range(3)]
    x, y = torch.randn(3, 4, N_CHANS, 44), torch.arange(12).reshape(3, 4) % 3
    lengths = torch.randint(4, 45, (3, 4)) if masked else None
    logits, grads, buffers = {}, {}, {}
    for mode in ("loop", "vectorise"):
        stack = Ensemble(nets, mode=mode, device="cpu")
        logits[mode] = stack(x, train=train, memory=lengths)
        loss = torch.stack([F.cross_entropy(z, t) for z, t in zip(logits[mode], y, strict=True)])
        grads[mode], buffers[mode] = stack.gradients(loss), stack.buffers
    torch.testing.assert_close(logits["loop"], logits["vectorise"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grads["loop"], grads["vectorise"], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(buffers["loop"], buffers["vectorise"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_stack_with_dropout_and_lengths_can_be_trained(kernel):
    """Random numbers and masks under vmap."""
    torch.manual_seed(0)
    nets = [Network(kernel=kernel, norm="batch", drop=0.3, skip=0.3) for _ in range(2)]
    x, lengths = torch.randn(2, 4, N_CHANS, 44), torch.tensor([[44, 30, 12, 8], [44, 44, 20, 3]])
    for mode in ("loop", "vectorise"):
        stack = Ensemble(nets, mode=mode, device="cpu")
        grads = stack.gradients(stack(x, train=True, memory=lengths).square().sum((1, 2)))
        assert all(g.isfinite().all() for g in grads.values())
        assert all(b.isfinite().all() for b in stack.buffers.values())


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_parameter_gets_a_finite_gradient(kernel):
    for position, pooling, norm, feed in (
        ("learned", "token", "batch", "gelu"),
        ("convolutional", "attention", "group", "gated"),
        ("rotary", "mean", "rms", "gelu"),
    ):
        torch.manual_seed(0)
        net = Network(position=position, pooling=pooling, norm=norm, feed=feed, kernel=kernel)
        F.cross_entropy(net(torch.randn(8, N_CHANS, 44)), torch.arange(8) % 3).backward()
        for name, p in net.named_parameters():
            assert p.grad is not None, name
            assert p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 1e-12, name


@pytest.mark.parametrize("kernel", KERNELS)
def test_padding_changes_no_logit(kernel):
    """A trial in a padded batch gives what it gives cut to its length, whatever lies in the padding."""
    lengths = torch.tensor([44, 35, 18, 9])
    for words in itertools.product(NORMS, POSITIONS, POOLINGS):
        norm, position, pooling = words
        torch.manual_seed(0)
        net = Network(kernel=kernel, norm=norm, position=position, pooling=pooling).eval()
        x = torch.randn(4, N_CHANS, 44)
        for row, length in enumerate(lengths.tolist()):
            x[row, :, length:] = 1e3 * torch.randn(N_CHANS, 44 - length)
        logits = net(x, lengths)
        for row, length in enumerate(lengths.tolist()):
            one = net(x[row : row + 1, :, :length])
            torch.testing.assert_close(logits[row : row + 1], one, rtol=1e-4, atol=1e-5, msg=str(words))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("norm", NORMS)
def test_padding_changes_nothing_in_training_either(norm, kernel):
    """Logits, gradients and running statistics of a batch are those of the same batch with less padding."""
    torch.manual_seed(0)
    net, other = Network(norm=norm, kernel=kernel), Network(norm=norm, kernel=kernel)
    other.load_state_dict(net.state_dict())
    x, lengths = torch.randn(4, N_CHANS, 44), torch.tensor([30, 30, 18, 9])
    x[:, :, 30:] *= 1e3
    one, two = net(x, lengths), other(x[:, :, :30], lengths)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    for p, q in zip(
        torch.autograd.grad(one.square().sum(), list(net.parameters())),
        torch.autograd.grad(two.square().sum(), list(other.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4 * q.abs().max().item())
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, other.get_buffer(name))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_trial_of_padding_alone_is_finite(kernel, norm):
    torch.manual_seed(0)
    for pooling in POOLINGS:
        net = Network(kernel=kernel, norm=norm, pooling=pooling)
        logits = net(torch.randn(3, N_CHANS, 40), torch.tensor([40, 3, 0]))
        grads = torch.autograd.grad(logits.square().sum(), list(net.parameters()))
        assert logits.isfinite().all()
        assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_on_request(kernel):
    """The weights are those that were used; they see no padding, and asking for them changes no output."""
    torch.manual_seed(0)
    layer = Attention(D, heads=H, drop=0.0, kernel=kernel, n_tokens=N, **SMALL.get(kernel, {})).eval()
    x, valid = torch.randn(2, N, D), valid_tokens(torch.tensor([N, 13]), N)
    for mask in (None, valid):
        out, weights = layer(x, mask, return_attention=True)
        assert weights.shape == (2, H, N, N)
        seen = slice(None) if mask is None else mask
        torch.testing.assert_close(layer(x, mask)[seen], out[seen], rtol=1e-4, atol=1e-5)
        rows = weights.sum(-1).movedim(1, 2)[seen]
        torch.testing.assert_close(rows, torch.ones_like(rows), rtol=1e-4, atol=1e-5)
    assert weights[1, :, :13, 13:].abs().max() == 0
    blocks = Encoder(D, depth=2, heads=H, expand=2, drop=0.0, kernel=kernel, n_tokens=N, **SMALL.get(kernel, {}))
    out, weights = blocks(x, return_attention=True)
    assert weights.shape == (2, 2, H, N, N)
    torch.testing.assert_close(out, blocks(x), rtol=1e-4, atol=1e-5)


def test_norms_are_torchs():
    torch.manual_seed(0)
    x = 2 * torch.randn(5, N, D) + 1
    for groups in (1, 3, 4):
        theirs = F.group_norm(x.reshape(-1, D), groups).reshape(x.shape)
        torch.testing.assert_close(GroupNorm(D, groups)(x), theirs, rtol=1e-4, atol=1e-5)
    apart = GroupNorm(4, [0, 1, 0, 1])(x[..., :4])
    torch.testing.assert_close(apart[..., ::2], F.layer_norm(x[..., 0:4:2], (2,)), rtol=1e-4, atol=1e-5)
    ours, theirs = NORMS["batch"](D), torch.nn.BatchNorm1d(D)
    for train in (True, True, False):
        expected = theirs.train(train)(x.mT).mT
        torch.testing.assert_close(ours.train(train)(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    with pytest.raises(ValueError, match=r"two features or more .* got groups=3"):
        GroupNorm(4, 3)
    with pytest.raises(ValueError, match="groups must be at least 1, got 0"):
        GroupNorm(4, 0)
    with pytest.raises(ValueError, match="groups=2 is of norm=group, and this is norm=layer"):
        normalisation("layer", 4, groups=2)


def test_rotary_products_know_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(8).expand(1, 1, 30, 8), torch.randn(8).expand(1, 1, 30, 8)
    scores = (rotate(q) @ rotate(k).mT)[0, 0]
    for lag in (-5, 0, 3):
        diagonal = scores.diagonal(lag)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert (scores[0, 0] - scores[0, 5]).abs() > 1e-2


def test_waves_and_turns_are_those_of_the_papers():
    """Vaswani et al. (2017), section 3.5, sines before cosines; Su et al. (2021), section 3.2.2, as complex numbers."""
    torch.manual_seed(0)
    angle = torch.arange(N)[:, None] / 10_000 ** (torch.arange(0, 8, 2) / 8)
    for width in (8, 7):
        waves = POSITIONS["sinusoidal"](width, N)(torch.zeros(1, N, width))[0]
        torch.testing.assert_close(waves, torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width])
    x = torch.randn(2, H, N, 8)
    turned = torch.complex(x[..., :4], x[..., 4:]) * torch.exp(1j * angle)
    torch.testing.assert_close(rotate(x), torch.cat([turned.real, turned.imag], dim=-1))


@pytest.mark.parametrize("word", sorted(set(POSITIONS) - {"none"}))
def test_positions_tell_tokens_apart(word):
    """Without a position equal tokens stay equal; with one they do not, also where there are more than at first."""
    torch.manual_seed(0)
    net = Network(position=word, kernel="softmax").eval()
    x = torch.randn(1, 1, D).expand(1, N, D) + 0.1 * torch.eye(N, D)
    z, back = (net.blocks(net.position(t)).mean(1) for t in (x, x.flip(1)))
    assert (z - back).abs().max() > 1e-5
    longer = torch.randn(1, N + 5, N_CHANS).mT.repeat(1, 1, 2)
    if word == "learned":
        with pytest.raises(ValueError, match="built for 21 tokens, got 25"):
            net(longer)
    else:
        assert net(longer).isfinite().all()


def test_stochastic_depth_skips_trials_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = StochasticDepth(0.25), torch.ones(20_000, 2, 3)
    out = layer(x)
    assert abs((out[:, 0, 0] == 0).float().mean() - 0.25) < 0.02
    assert (out == out[:, :1, :1]).all()
    assert abs(out.mean() - 1) < 0.03
    assert layer.eval()(x) is x
    rates = [block.skip.rate.item() for block in Encoder(4, depth=2, skip=0.4, heads=1, expand=1, drop=0.0)]
    assert rates == pytest.approx([0.2, 0.4])


def test_token_dropout_zeroes_whole_tokens():
    layer, x = TokenDropout(0.25), torch.ones(2000, 10, 3)
    out = layer(x)
    gone = (out == 0).all(-1)
    assert abs(gone.float().mean() - 0.25) < 0.02
    assert (out[~gone] == 1 / 0.75).all()
    assert 0.05 < (gone.float().mean(1) == 0).float().mean() < 0.07    # trials that lose none: .75 ** 10
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=r"model.drop_tokens must be in \[0, 1\), got 1"):
        TokenDropout(1.0)


def test_feed_forwards_are_those_of_the_papers():
    """GELU(x V) W (Hendrycks and Gimpel, 2016), and (GELU(x V) * x U) W (Shazeer, 2020)."""
    torch.manual_seed(0)
    x = 2 * torch.randn(3, N, D)
    gelu = FEEDS["gelu"](D, expand=2, drop=0.0)
    torch.testing.assert_close(gelu(x), gelu[3](F.gelu(gelu[0](x))))
    gated = FEEDS["gated"](D, expand=2, drop=0.0)
    first, second = gated.widen(x).chunk(2, dim=-1)
    torch.testing.assert_close(gated(x), gated.narrow(first * F.gelu(second)))


def test_gated_has_about_as_many_weights():
    counts = [sum(p.numel() for p in FEEDS[word](40, expand=4, drop=0.0).parameters()) for word in FEEDS]
    assert counts[1] == pytest.approx(counts[0], rel=0.03)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernel": "flash"}, "kernel must be one of softmax.*, off, got 'flash'"),
        ({"norm": "Layer"}, "norm must be one of layer, batch, group, rms, got 'Layer'"),
        ({"feed": "relu"}, "feed must be one of gelu, gated, got 'relu'"),
        ({"order": "both"}, "order must be one of pre, post, got 'both'"),
        ({"rotary": True, "heads": 4}, "heads of an even width, got 3"),
        ({"skip": 1.0}, r"skip must be in \[0, 1\), got 1.0"), ({"expand": -1}, "expand must be at least 1, got -1"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
    ],
)
def test_unknown_words_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        Block(D, **{"heads": H, "expand": 2, "drop": 0.0, **wrong})


def test_cosines_are_those_of_scipy():
    x, given = torch.randn(2, N, D), torch.tensor([N, 8])
    pooled = POOLINGS["cosine"](D)(x, valid_tokens(given, N)).unflatten(1, (3, D))
    for row, length in enumerate(given.tolist()):
        wanted = torch.as_tensor(dct(x[row, :length].numpy(), axis=0, norm="ortho")[:3]) / length**0.5
        torch.testing.assert_close(pooled[row], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(POOLINGS["cosine"](D)(x[:1])[0], pooled[0].flatten(), rtol=1e-5, atol=1e-6)
