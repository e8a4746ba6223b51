"""TCFormer (Altaheri et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.attention import Softmax
from eegdecode.models.block import StochasticDepth
from eegdecode.models.filterbank import FilterBank, SameConv, Squash
from eegdecode.models.layers import Dropout, MeanPool, limit_norm, samples, start_as_glorot
from eegdecode.models.positions import angles
from eegdecode.models.tcn import TCN

SHRINK = 4    # times fewer maps decide which groups open
Maps = Float[Tensor, "batch map time"]
Tokens = Float[Tensor, "batch token width"]
Memory = Float[Tensor, "batch lag lag_and_one"] | None


class MultiKernelBank(FilterBank):
    """`FilterBank` with temporal filters of several lengths, which are long ones with zeros at their ends."""

    def __init__(self, n_chans: int, filters: int, depth: int, lengths: Sequence[int]) -> None:
        super().__init__(n_chans, filters * len(lengths), depth, max(lengths), same=True, max_norm=None)
        self.temporal = nn.ModuleList([nn.Conv2d(1, filters, (1, length), bias=False) for length in lengths])

    def temporal_filters(self) -> Float[Tensor, "filter lag"]:
        """Weights over time, the middle of each filter above the middle of the longest."""
        weights = [cast(Tensor, conv.weight)[:, 0, 0] for conv in cast(nn.ModuleList, self.temporal)]
        ends = [(self.pads[0] - (w.shape[1] - 1) // 2, self.pads[1] - w.shape[1] // 2) for w in weights]
        return torch.cat([F.pad(w, end) for w, end in zip(weights, ends, strict=True)])


class GroupGate(nn.Module):
    """Add to each group of maps a share of it that their means decide (Hu et al., 2018, squeeze and excitation)."""

    def __init__(self, maps: int, groups: int, *, reduce: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv1d(maps, maps // reduce, 1, groups=groups, bias=False)
        self.excite = nn.Conv1d(maps // reduce, groups, 1, groups=groups, bias=False)

    def forward(self, x: Maps) -> Maps:
        """Open and close groups."""
        gate = self.excite(self.squeeze(x.mean(-1, keepdim=True)).relu()).sigmoid()          # (B, groups, 1)
        return x * (1 + gate.repeat_interleave(x.shape[1] // gate.shape[1], dim=1))


class GroupedQueryAttention(nn.Module):
    """Attention in which several heads share keys and values (Ainslie et al., 2023), with rotary positions."""

    def __init__(self, width: int, *, heads: int, kv_heads: int, drop: float) -> None:
        super().__init__()
        if width % (2 * heads) or heads % kv_heads:    # positions turn pairs of numbers
            raise ValueError(
                f"heads={heads} must be a multiple of kv_heads={kv_heads}, and width {width}, group x kernels, one of "
                f"2 x heads"
            )
        each = width // heads
        self.heads, self.kv_heads, self.scale = heads, kv_heads, each**-0.5
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * kv_heads * each, bias=False)
        self.mix = Softmax(heads, each, None, drop=drop)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tokens) -> Tokens:
        """Mix tokens."""
        q = rearrange(self.q(x), "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.kv(x), "b n (h two d) -> two b h n d", two=2, h=self.kv_heads)
        k, v = (repeat(each, "b h n d -> b (h r) n d", r=self.heads // self.kv_heads) for each in (k, v))
        return self.out(rearrange(self.mix(turn(q) * self.scale, turn(k), v), "b h n d -> b n (h d)"))


def turn(x: Float[Tensor, "batch head token width"]) -> Float[Tensor, "batch head token width"]:
    """Rotary positions as the authors' code has them: neighbours are a pair, but have angles of different speed.

    So a product of q and k does not know the distance alone, as it does with `eegdecode.models.positions.rotate`.
    """
    angle = angles(x.shape[2], x.shape[3], x).repeat(1, 2)                   # (N, W)
    a, b = x[..., 0::2], x[..., 1::2]
    return x * angle.cos() + torch.stack([-b, a], dim=-1).flatten(-2) * angle.sin()


class Block(nn.Module):
    """Attention and a feed-forward, each behind a norm and added to what was there."""

    def __init__(self, width: int, *, heads: int, kv_heads: int, expand: int, drop: float, skip: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = GroupedQueryAttention(width, heads=heads, kv_heads=kv_heads, drop=drop)
        self.feed = nn.Sequential(
            nn.Linear(width, expand * width), nn.GELU(), nn.Linear(expand * width, width), Dropout(drop)
        )
        self.skip = StochasticDepth(skip)

    def forward(self, x: Tokens) -> Tokens:
        """Two residual steps."""
        x = x + self.skip(self.attend(self.norm1(x)))
        return x + self.skip(self.feed(self.norm2(x)))


class TCFormer(nn.Module):
    """Temporal filters of three lengths, a Transformer, and causal convolutions over what both have found.

    77,820 parameters for (22, 1000, 4) at 250 Hz, the paper's 77.8 k, as in braindecode's ``TCFormer``, whose logits
    it gives. The authors' code was seen in copies alone.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples. A pool that is longer than its signal is cut to it.
    filters, expand : int
        Temporal filters of each length, and spatial filters for each of them.
    kernels : sequence of float
        Lengths of the temporal filters in s; the maps of each length are a group.
    pool : float
        First pool in s.
    size : int
        Samples of the second pool.
    group : int
        Maps that a group has after the first pool.
    heads, kv_heads, depth : int
        Heads of queries, of keys and values, and Transformer blocks.
    tcn_depth, tcn_kernel : int
        Blocks of the temporal convolutional network and tokens that a convolution sees.
    drop : float
        Dropout rate; three quarters of it in the causal convolutions. Blocks are left out of trials at a rate that
        grows with the square of their place to 5/8 of it.

    References
    ----------
    Altaheri, Karray, Karimi, Temporal convolutional transformer for EEG based motor imagery decoding, Sci. Rep. 15,
    32959, 2025, table 1; github.com/Altaheri/TCFormer.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 32, expand: int = 2, kernels: Sequence[float] = (0.08, 0.128, 0.256), pool: float = 0.032,
        size: int = 7, group: int = 16, heads: int = 4, kv_heads: int = 2, depth: int = 2, tcn_depth: int = 2,
        tcn_kernel: int = 4, drop: float = 0.4,
    ) -> None:    # fmt: skip
        super().__init__()
        if group % SHRINK:
            raise ValueError(f"group={group} must be a multiple of {SHRINK}")
        groups, maps = len(kernels), len(kernels) * filters * expand
        lengths = [samples("model.kernels", k, sfreq, n_times=n_times, least=2, cut=False) for k in kernels]
        width, fused = groups * group, (groups + 1) * group
        shrink = samples("model.pool", pool, sfreq, n_times=n_times)
        self.bank = MultiKernelBank(n_chans, filters, expand, lengths)
        self.squash = Squash(maps, shrink, drop=drop)
        self.narrow = nn.Sequential(
            nn.Conv1d(maps, width, 1, groups=groups, bias=False), nn.BatchNorm1d(width),
            SameConv(width, width, 16, groups=groups, bias=False), nn.BatchNorm1d(width), nn.ELU(inplace=True),
            GroupGate(width, groups, reduce=SHRINK), MeanPool(min(size, n_times // shrink)), Dropout(drop),
        )    # fmt: skip
        self.mix = _pointwise(width, width)
        rates = [0.625 * drop * (i / max(1, depth - 1)) ** 2 for i in range(depth)]
        self.blocks = nn.Sequential(*[
            Block(width, heads=heads, kv_heads=kv_heads, expand=2, drop=drop, skip=rate) for rate in rates
        ])
        self.reduce = _pointwise(width, group)
        self.tcn = TCN(fused, fused, depth=tcn_depth, kernel=tcn_kernel, drop=0.75 * drop, groups=groups + 1)
        self.head = nn.Conv1d(fused, (groups + 1) * n_classes, 1, groups=groups + 1)
        self.n_groups = groups + 1
        start_as_glorot(self)    # as the authors

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.bank.remember(x)

    def forward(self, x: Float[Tensor, "batch chan time"], memory: Memory = None) -> Float[Tensor, "batch class"]:
        """Logits of each trial, the mean of those of each group."""
        z = self.narrow(self.squash(self.bank(x, memory)))                   # (B, D, N)
        seen = self.blocks(rearrange(self.mix(z), "b d n -> b n d"))         # (B, N, D)
        seen = self.reduce(rearrange(seen, "b n d -> b d n"))                # (B, group, N)
        last = self.tcn(torch.cat([z, seen], dim=1))[..., -1:]               # (B, D + group, 1)
        weight = limit_norm(self.head.weight, 0.25)
        logits = F.conv1d(last, weight, self.head.bias, groups=self.n_groups)
        return rearrange(logits, "b (g k) 1 -> b g k", g=self.n_groups).mean(1)


def _pointwise(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(n_in, n_out, 1, bias=False), nn.BatchNorm1d(n_out), nn.SiLU())
