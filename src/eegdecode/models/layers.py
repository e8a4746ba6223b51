"""Layers that several networks share.

One legend for every file of this folder:

====== ===================================
``B``  trials of a batch
``C``  channels
``T``  samples
``N``  tokens (patches of time)
``D``  width of a token, or number of maps
``H``  attention heads
``K``  classes
====== ===================================

Every network is trained alone or as one of a stack through ``torch.func.vmap``. So nothing here calls
``.item()``, branches on a value, clips a weight in place or is lazy.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout whose rate is a buffer: the networks of a stack may differ in it (Srivastava et al., 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop must be in [0, 1), got {rate}")
        self.register_buffer("rate", torch.tensor(float(rate)))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zero a share ``rate`` of the entries in training, scale the others up."""
        if not self.training:
            return x
        keep = 1 - self.get_buffer("rate")
        return x * (torch.rand_like(x) < keep) / keep


def limit_norm(weight: Float[Tensor, "*weight"], max_norm: float) -> Float[Tensor, "*weight"]:
    """Scale each output's weights down to an L2 norm of at most ``max_norm``.

    Keras clips the weights after each update; a scaling in ``forward`` has the same fixed points, is
    differentiable and can be stacked.
    """
    norm = weight.flatten(1).norm(dim=1).clamp(min=1e-12)
    scale = (max_norm / norm).clamp(max=1.0)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))


class MaxNormConv2d(nn.Conv2d):
    """A convolution whose filters have a norm of at most ``max_norm``."""

    def __init__(self, *args, max_norm: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with the limited weights."""
        return self._conv_forward(input, limit_norm(self.weight, self.max_norm), self.bias)


class MaxNormLinear(nn.Linear):
    """A linear map whose rows have a norm of at most ``max_norm``."""

    def __init__(self, *args, max_norm: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def forward(self, input: Tensor) -> Tensor:
        """Map with the limited weights."""
        return F.linear(input, limit_norm(self.weight, self.max_norm), self.bias)


def filter_maps(
    x: Float[Tensor, "batch map padded"], weight: Float[Tensor, "map length"], *, block: int = 64
) -> Float[Tensor, "batch map time"]:    # fmt: skip
    """Filter each map with its own kernel: what ``conv1d(x, weight[:, None], groups=D)`` gives.

    Cut the signal into overlapping blocks x_n of b + L - 1 samples. Then every block of b outputs is a matrix
    product, ``y_n = W x_n`` with the banded Toeplitz matrix ``W[j, i] = w[i - j]``: the same sums, at a
    processor's matrix rate (forward and backward 4 times faster for (58, 40, 1000) and 63 taps on two cores).

    Parameters
    ----------
    block : int
        b in samples. The work grows with (b + L) / b, and matrices need some size to be fast.
    """
    maps, length = weight.shape
    n_times = x.shape[-1] - length + 1
    n_blocks = -(-n_times // block)
    blocks = F.pad(x, (0, n_blocks * block - n_times)).unfold(2, block + length - 1, block)    # (B, D, n, b + L - 1)
    # a row [w, 0 ... 0] of L + b entries, repeated and cut one short, moves by one from row to row
    rows = F.pad(weight, (0, block))[:, None].expand(maps, block, length + block).flatten(1)
    toeplitz = rows[:, : block * (block + length - 1)].unflatten(1, (block, block + length - 1))
    return torch.einsum("bdni,dji->bdnj", blocks, toeplitz).flatten(2)[..., :n_times]


class TimeFilter(nn.Module):
    """One long filter over time for each map: a depthwise 'same' convolution (B, D, T) -> (B, D, T)."""

    def __init__(self, maps: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps, length))
        nn.init.uniform_(self.weight, -(length**-0.5), length**-0.5)    # as nn.Conv1d

    def forward(self, x: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map time"]:
        """Filter every map with its own kernel."""
        length = self.weight.shape[1]
        return filter_maps(F.pad(x, (length // 2, (length - 1) // 2)), self.weight)


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q kᵀ / √width) v (Vaswani et al., 2017)."""

    def __init__(self, width: int, *, heads: int, drop: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.drop = Dropout(drop)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Mix tokens."""
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        score = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)             # (B, H, N, N)
        return self.out(rearrange(self.drop(score) @ v, "b h n d -> b n (h d)"))


class Block(nn.Module):
    """Pre-norm Transformer block: mix the tokens, then each token's features (Xiong et al., 2020)."""

    def __init__(self, width: int, *, heads: int, expand: int, drop: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = Attention(width, heads=heads, drop=drop)
        self.feed = nn.Sequential(
            nn.Linear(width, expand * width), nn.GELU(), Dropout(drop), nn.Linear(expand * width, width)
        )
        self.drop = Dropout(drop)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Two residual steps."""
        x = x + self.drop(self.attend(self.norm1(x)))
        return x + self.drop(self.feed(self.norm2(x)))
