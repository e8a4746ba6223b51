"""The network of our own: every part by its word, trials of any length and electrodes anywhere."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.block import FEEDS
from eegdecode.models.block import ORDERS as PLACES
from eegdecode.models.norms import NORMS
from eegdecode.models.pooling import POOLINGS
from eegdecode.models.positions import POSITIONS
from eegdecode.models.spatial import likeness
from eegdecode.models.stems import STEMS
from eegdecode.models.sttransformer import SPATIAL, STTransformer
from eegdecode.training.ensemble import Ensemble

WORDS = [
    *[{"stem": word} for word in STEMS], *[{"spatial": word} for word in SPATIAL],
    *[{"position": word} for word in POSITIONS], *[{"pool": word} for word in POOLINGS],
    *[{"block": {"norm": word}} for word in NORMS], *[{"block": {"order": word}} for word in PLACES],
    *[{"block": {"feed": word}} for word in FEEDS], {"block": {"skip": 0.3}}, {"spatial_heads": 3},
    {"spatial_heads": 16}, {"spatial": "signals", "spatial_heads": 3}, {"spatial": "whiten", "stem": "conv"},
    *[{"spatial": word, "pool": "token", "block": {"kernel": "local", "window": 2}} for word in ("off", "after")],
    *[{"block": {"kernel": "off", "order": order}} for order in PLACES], {"pool": "cosine", "block": {"kernel": "off"}},
    {"spatial": "before", "block": {"order": "post", "norm": "rms"}}, {"block": {"norm": "group", "groups": 2}},
    {"block": {"kernel": "linformer"}}, {"spatial": "interleaved", "stem": "conv", "position": "rotary"},
    {"stem_options": {"windows": 2}}, {"stem_options": {"windows": [2, 1, 3]}}, {"patch": 1.0, "stride": 0.5},
]    # fmt: skip
SFREQ, N_TIMES = 50.0, 200
ids = [str(words) for words in WORDS]


def build(n_chans=5, n_times=N_TIMES, **words):
    heads = None if words.get("block", {}).get("kernel") == "off" else 2
    sizes = {"width": 16, "heads": heads, "depth": 2, "drop": 0.0, "patch": 0.5, "stride": 0.25}
    return STTransformer(n_chans, n_times, 3, SFREQ, **{**sizes, **words})


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_a_stack_computes_what_each_does_alone(words):
    torch.manual_seed(0)
    nets, x, y = [build(**words) for _ in range(2)], torch.randn(2, 8, 5, N_TIMES), torch.arange(16).reshape(2, 8) % 3
    stack = Ensemble(nets, mode="vectorise", device="cpu")
    logits = stack(x, train=False)
    loss = torch.stack([F.cross_entropy(z, t) for z, t in zip(logits, y, strict=True)])
    grads = stack.gradients(loss)
    for run, net in enumerate(nets):
        net.eval()
        torch.testing.assert_close(logits[run], net(x[run]), rtol=1e-4, atol=1e-5)
        F.cross_entropy(net(x[run]), y[run]).backward()
        for name, p in net.named_parameters():
            mine = torch.zeros_like(p) if p.grad is None else p.grad
            torch.testing.assert_close(grads[name][run], mine, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_every_part_learns(words):
    """Every parameter has a gradient, but for the q and k of the attention that does nothing."""
    torch.manual_seed(0)
    net = build(**words)
    net(torch.randn(8, 5, N_TIMES)).square().sum().backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-6}
    expected = {"mixing.query", "mixing.key"} if words.get("spatial") == "noop" else set()
    assert idle == expected


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_padding_changes_no_logit(words):
    torch.manual_seed(0)
    net = build(**words).eval()
    x, lengths = torch.randn(3, 5, N_TIMES), torch.tensor([N_TIMES, 120, 60])
    padded = net(x, valid_lens=lengths)
    other = x.masked_fill(torch.arange(N_TIMES) >= lengths[:, None, None], 1e3)
    torch.testing.assert_close(net(other, valid_lens=lengths), padded)
    torch.testing.assert_close(padded[0], net(x[:1])[0], rtol=1e-4, atol=1e-5)
    if words.get("block", {}).get("kernel") == "linformer":    # its slots belong to places
        return
    for trial, length in enumerate(lengths.tolist()):
        short = build(n_times=length, **words)
        sizes = {name: len(p) if p.ndim else 1 for name, p in short.state_dict().items()}
        theirs = {name: p for name, p in net.state_dict().items() if name in sizes}    # one patch has no scores
        short.load_state_dict({name: p[: sizes[name]] if p.ndim else p for name, p in theirs.items()})
        alone = short.eval()(x[trial : trial + 1, :, :length])
        torch.testing.assert_close(padded[trial], alone[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("words", [words for words in WORDS if words != {"block": {"kernel": "linformer"}}], ids=str)
def test_padding_changes_no_logit_in_training(words):
    """Not through the statistics of a batch either: a batch that is padded gives what it gives when cut."""
    torch.manual_seed(0)
    length, words = 120, {**words, "block": {**words.get("block", {}), "skip": 0.0}}
    net, short, x = build(**words), build(n_times=length, **words), torch.randn(4, 5, N_TIMES)
    sizes = {name: p.shape for name, p in short.state_dict().items()}
    kept = {name: p[: sizes[name][0]] if p.ndim else p for name, p in net.state_dict().items()}
    short.load_state_dict(kept)
    padded = net.train()(x, valid_lens=torch.full((4,), length))
    torch.testing.assert_close(padded, short.train()(x[..., :length]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_a_trial_shorter_than_a_patch_is_one_patch(words):
    """It told nothing: every such trial had the same logits."""
    torch.manual_seed(0)
    net, x = build(**words).eval(), torch.randn(3, 5, N_TIMES)
    padded = net(x, valid_lens=torch.tensor([20, 20, 10]))    # a patch has 25
    assert (padded[0] - padded[1]).abs().max() > 1e-4
    hidden = x.masked_fill(torch.arange(N_TIMES) >= torch.tensor([20, 20, 10])[:, None, None], 1e3)
    torch.testing.assert_close(net(hidden, valid_lens=torch.tensor([20, 20, 10])), padded)


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_attention_on_request_changes_no_logit(words):
    torch.manual_seed(0)
    net, x = build(**words).eval(), torch.randn(4, 5, N_TIMES)
    logits, weights = net(x, return_attention=True)
    torch.testing.assert_close(logits, net(x), rtol=1e-5, atol=1e-6)
    absent = {"spatial": words.get("spatial") == "off", "temporal": words.get("block", {}).get("kernel") == "off",
              "pooling": words.get("pool", "attention") != "attention"}    # fmt: skip
    assert weights.keys() == {name for name, gone in absent.items() if not gone}
    for name, each in weights.items():
        if (name, words.get("spatial", "whiten")) != ("spatial", "whiten"):
            torch.testing.assert_close(each.sum(-1), torch.ones(each.shape[:-1]))
    n_tokens = net.stem.n_tokens + net.pool.added
    if "temporal" in weights:
        assert weights["temporal"].shape[-2:] == (n_tokens, n_tokens)
    if "pooling" in weights:
        assert weights["pooling"].shape[-1] == n_tokens
    if "spatial" in weights:
        assert weights["spatial"].shape[-2:] == (5, 5)


@pytest.mark.parametrize("words", WORDS, ids=ids)
def test_attention_that_nobody_asks_for_costs_nothing(words):
    """Weights are made beside what the logits need, so they are left out where they are not asked for."""
    net, x = build(**words).eval(), torch.randn(4, 5, N_TIMES)
    assert operations(lambda: net(x)) < operations(lambda: net(x, return_attention=True))


def operations(call):
    """How many of PyTorch's operations a call takes."""
    with torch.no_grad(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        call()
    return sum(event.count for event in seen.key_averages())


def test_a_single_patch_has_no_idle_weights():
    net = build(n_times=40)    # of 0.8 s: a P300 epoch behind patches of 0.5 s that begin every 0.25 s has two
    assert net.stem.n_tokens == 2
    assert "pool.score.weight" in net.state_dict()
    net = build(n_times=30)
    assert net.stem.n_tokens == 1
    assert "pool.score.weight" not in net.state_dict()


def test_spatial_attention_depends_on_the_trial_and_the_noop_does_not():
    torch.manual_seed(0)
    trials = likeness(torch.randn(2, 5, N_TIMES) * torch.tensor([1.0, 3, 1, 2, 1])[:, None].cumsum(0))
    for spatial, same in (("signals", False), ("noop", True)):
        mixing = build(spatial=spatial).mixing
        first, second = mixing(mixing.weights(trials))
        assert torch.allclose(first, second, atol=1e-5) == same


@pytest.mark.parametrize("spatial", ["signals", "whiten"])
def test_there_is_a_head(spatial):
    with pytest.raises(ValueError, match=r"model\.spatial_heads must be at least 1, got 0"):
        build(spatial=spatial, spatial_heads=0)


def test_heads_must_find_maps():
    with pytest.raises(ValueError, match=r"from 1 to model\.width=16, got 17"):
        build(spatial="whiten", spatial_heads=17)


@pytest.mark.parametrize("spatial", ["before", "after", "interleaved", "off"])
def test_heads_that_nothing_would_have_are_refused(spatial):
    with pytest.raises(ValueError, match=rf"model\.spatial_heads=2 is of .* model\.spatial={spatial} (attends|leaves)"):
        build(spatial=spatial, spatial_heads=2)


@pytest.mark.parametrize(
    ("spatial", "of_patches", "of_chans"),
    [
        ("before", [False, False], [True, True]), ("after", [True, True], [False, False]),
        ("interleaved", [False, True], [True, True]),
    ],
)
def test_blocks_over_channels_stand_where_it_is_said(spatial, of_patches, of_chans):
    """Whether the weights of the first patch depend on the last patch, and those of the first channel on the last."""
    torch.manual_seed(0)
    net, x = build(spatial=spatial, stride=0.5).eval(), torch.randn(2, 5, N_TIMES)
    later, other = x.clone(), x.clone()
    later[..., -25:], other[:, -1] = 3 * torch.randn(2, 5, 25), 3 * torch.randn(2, N_TIMES)
    weights, after, beside = (net(each, return_attention=True)[1] for each in (x, later, other))
    for name, changed, expected in (("spatial", after, of_patches), ("temporal", beside, of_chans)):
        change = (weights[name] - changed[name])[:, :, 0].abs().flatten(1).amax(1)           # of each block
        assert (change > 1e-5).tolist() == expected


def test_a_network_moves_to_other_electrodes():
    """Weights know places, not channels: a permutation of channels changes nothing, and a subset can be taken."""
    torch.manual_seed(0)
    places = np.random.default_rng(0).normal(0, 0.05, (7, 3)).tolist()
    words = {"spatial": "interleaved", "depth": 1}
    net, x = build(7, positions=places, **words).eval(), torch.randn(4, 7, N_TIMES)
    order = [3, 0, 6, 1, 2, 5, 4]
    other = build(7, positions=[places[i] for i in order], **words).eval()
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(x[:, order]), net(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(net(x[:, order]), net(x), atol=1e-3)
    few = build(3, positions=places[:3], **words).eval()
    few.load_state_dict(net.state_dict())
    assert few(x[:, :3]).isfinite().all()
    unknown = build(3, positions=[[np.nan] * 3] * 3, **words).eval()
    assert unknown(x[:, :3]).isfinite().all()


def test_fourier_power_is_that_of_the_filtered_patch():
    """With a flat response and a periodic patch: the variance of the mapped patch, Hann's window on it."""
    torch.manual_seed(0)
    stem = build(spatial="off", stem_options={"fmax": 22.5, "windows": [1.0]}).stem.eval()
    x = torch.randn(2, 5, N_TIMES)
    wave = torch.sin(2 * torch.pi * 8 * torch.arange(N_TIMES) / SFREQ)        # 8 Hz: whole periods a patch
    with torch.no_grad():
        stem.response[0].fill_(1.0)
        tokens = stem(stem.coefficients(0 * x + wave))
        expected = (stem.filters(None).sum(1).square() * 2 * 30.0**2 * 0.5).log()
    torch.testing.assert_close(tokens, expected.expand_as(tokens), rtol=1e-3, atol=1e-3)


def test_conv_and_linear_stems_are_what_they_say():
    """The log of the mean square of each patch behind filters of two lengths; a product with each patch's samples."""
    torch.manual_seed(0)
    x, stem = torch.randn(2, 5, N_TIMES), build(stem="conv", stem_options={"kernels": [0.2, 0.5]}).stem.eval()
    mixed = (stem.filters(None) @ x).split(8, dim=1)
    padded = [F.pad(z, ends) for z, ends in zip(mixed, [(5, 4), (12, 12)], strict=True)]    # filters of 10 and 25
    filtered = [F.conv1d(z, p.weight[:, None], groups=8) for z, p in zip(padded, stem.temporal, strict=True)]
    patches = torch.cat(filtered, dim=1).unfold(2, 25, 12)                                   # (B, D, N, P)
    torch.testing.assert_close(stem(x), patches.square().mean(-1).log().mT, rtol=1e-3, atol=1e-3)
    stem = build(stem="linear").stem.eval()
    patches = (stem.filters(None) @ x).unfold(2, 25, 12)
    expected = (patches * stem.temporal[:, None]).sum(-1).mT + stem.bias
    torch.testing.assert_close(stem(x), expected, rtol=1e-4, atol=1e-5)


def test_one_filter_length_needs_no_list():
    for kernels in (0.5, [0.5]):
        stem = build(stem="conv", stem_options={"kernels": kernels}).stem
        assert [part.weight.shape for part in stem.temporal] == [(16, 25)]


def test_long_windows_see_the_ends_of_a_trial():
    """A window begins with nothing: one patch long, it has no part of a trial's first samples."""
    torch.manual_seed(0)
    x, seen = torch.randn(4, 5, N_TIMES), {}
    for windows in (1.0, 1.5, 2.0):
        stem = build(patch=1.0, stride=0.5, stem_options={"windows": [windows]}).stem
        parts = [x * (torch.arange(N_TIMES) // 5 == tenth) for tenth in (0, 20)]
        first, middle = (float(stem.coefficients(part).square().sum()) for part in parts)
        seen[windows] = first / middle
    assert seen[1.0] < 0.01 < 0.05 < seen[1.5] < seen[2.0]


def test_windows_of_several_lengths_see_the_same_moment():
    """A burst is loudest in the same patch, whatever the length, and two patches tell half a hertz apart."""
    stem = STTransformer(1, 400, 2, 100.0, stem_options={"windows": [1, 2, 3]}).stem
    time = torch.arange(400) / 100
    burst = torch.sin(2 * torch.pi * 10 * time) * ((time - 1.5).abs() < 0.25)
    power = stem.coefficients(burst[None, None]).square().sum((2, 4))[0]                     # (N, F)
    assert (stem.n_tokens, stem.bins) == (7, [45, 90, 135])
    assert [int(part.sum(1).argmax()) for part in power.split(stem.bins, dim=1)] == [2, 2, 2]    # centred at 1.5 s
    for hertz, peak in ((10.0, 19), (10.5, 20)):
        tone = torch.sin(2 * torch.pi * hertz * time)
        power = stem.coefficients(tone[None, None]).square().sum((1, 2, 4))[0]               # (F,)
        assert int(power.split(stem.bins)[1].argmax()) == peak


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"stem": "cnn"}, "stem must be one of fourier, conv, linear, got 'cnn'"), ({"spatial": "on"}, "spatial"),
        ({"position": "x"}, "position"), ({"pool": "max"}, "pool"), ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"heads": 3}, "multiple of heads 3"), ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"), ({"expand": 0}, r"model\.expand .* at least 1, got 0"),
        ({"patch": 0}, r"model\.patch must be a number above 0, got 0"),
        ({"patch": float("nan")}, "patch must be .* got nan"), ({"stride": -0.5}, "stride must be .* got -0.5"),
        ({"stem_options": {"fmax": 0.5}}, "fmax=0.5 Hz leaves no .* of 0.5 s tells 2 Hz at first; raise it or length"),
        ({"patch": 0.04}, r"fmax=45.0 Hz leaves no .* ends at 22.5 Hz, and a .* tells 25 Hz at first; lengthen"),
        ({"n_times": 2, "patch": 1.0}, "leaves no frequency.* at first; take longer trials"),
        ({"patch": 125}, r"model.patch=125 is a length in s, and its signal has .* samples at"),
        ({"patch": 0.04, "stem_options": {"fmax": 9}}, "ends at 9 Hz, .* tells 25 Hz at first; lengthen model.patch$"),
        ({"stem_options": {"kernels": [1.0]}}, "stem=fourier has no setting kernels; its settings are fmax, win"),
        ({"stem": "linear", "stem_options": {"fmax": 9}}, "linear has no setting fmax; it has none"),
        ({"stem": "conv", "stem_options": {"kernels": []}}, r"kernels must be one or several lengths in s, got \[\]"),
        ({"stem": "conv", "stem_options": {"kernels": [-1]}}, "kernels must be a number above 0, got -1"),
        ({"block": {"window": 2}}, "kernel=softmax has no setting window; it has none"),
        ({"block": {"kernel": "global", "slots": 2}}, "kernel=global has no setting slots; its settings are window,"),
        ({"block": {"norm": "x"}}, "norm"), ({"stem_options": {"windows": [0.5, 1]}}, r"of at least 1, got \[0.5, 1\]"),
        ({"stem_options": {"windows": []}}, "windows must be"),
        ({"stem_options": {"windows": 1e6}}, r"windows=1e\+06: from 17 patches on, .* whole trial of 4 s; take less"),
        ({"block": {"kernel": "off"}, "pool": "token"}, "pool=token gathers in the blocks, where kernel=off has no"),
        ({"block": {"kernel": "off"}, "position": "rotary"}, "position=rotary turns what kernel=off has not"),
        ({"block": {"kernel": "off"}, "spatial": "after"}, "spatial=after attends .* take model.block.kernel=soft"),
        ({"block": {"kernel": "off"}, "heads": 2}, "heads=2 is of attention in the blocks, of which"),
        ({"block": {"kernel": "off", "window": 2}}, "kernel=off has no attention that window could set"),
    ],
)
def test_bad_words_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        build(**words)
