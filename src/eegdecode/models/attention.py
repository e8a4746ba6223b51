"""Attention over tokens, and the Transformer block around it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.layers import Dropout, random_mask

CHUNK = 2**19    # scores that are held at a time on a processor: two megabytes, which its cache takes


def mix(
    q: Float[Tensor, "batch head token width"], k: Float[Tensor, "batch head token width"],
    v: Float[Tensor, "batch head token width"], mask: Bool[Tensor, "batch head token token"] | None = None,
) -> Float[Tensor, "batch head token width"]:    # fmt: skip
    """``(softmax(q kᵀ) * mask) v``; the scores never lie in memory as a whole.

    190 tokens in 5 heads have 180,000 scores a trial but only 10 numbers a token: a step that writes and reads
    the scores of a batch waits for the memory. So a few trials are taken at a time, and the way back makes the
    scores anew, with ``sum_j a_ij da_ij = g_i o_i`` (Dao et al., 2022, FlashAttention). Products with few
    columns are written as products with few rows, which are up to five times as fast.
    """
    return _Mix.apply(q, k, v, mask)


class _Mix(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        parts = []
        for qi, ki, vi, keep in _chunks(q, k, v, mask):
            a = (qi @ ki.mT).softmax(dim=-1)
            parts.append((vi.mT @ (a if keep is None else a * keep).mT).mT)
        return torch.cat(parts)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (g,), (q, k, v, mask, out) = grads, ctx.saved_tensors
        parts = []
        for (qi, ki, vi, keep), gi, oi in zip(
            _chunks(q, k, v, mask), g.split(_size(q)), out.split(_size(q)), strict=True
        ):
            a, da = (qi @ ki.mT).softmax(dim=-1), gi @ vi.mT
            dv = (gi.mT @ (a if keep is None else a * keep)).mT
            ds = ((da if keep is None else da * keep) - (gi * oi).sum(-1, keepdim=True)) * a
            parts.append(((ki.mT @ ds.mT).mT, (qi.mT @ ds).mT, dv))
        dq, dk, dv = (torch.cat(each) for each in zip(*parts, strict=True))
        return dq, dk, dv, None


def _size(q: Tensor) -> int:
    """Trials at a time; on a GPU all, since it has no time to lose between them."""
    return len(q) if q.is_cuda else max(1, CHUNK // (q.shape[1] * q.shape[2] ** 2))


def _chunks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Iterator[tuple]:
    n = _size(q)
    for i in range(0, len(q), n):
        part = slice(i, i + n)
        yield q[part], k[part], v[part], None if mask is None else mask[part].to(q.dtype)


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q kᵀ / √width) v (Vaswani et al., 2017).

    Parameters
    ----------
    scale : float or None
        What scores are multiplied by; None: 1 / √(width of a head).
    """

    def __init__(self, width: int, *, heads: int, drop: float, scale: float | None = None) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads, self.scale = heads, scale or (width / heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.drop = Dropout(drop)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Mix tokens."""
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mask = None
        if self.training:                                                       # dropout of the scores
            keep = 1 - self.drop.get_buffer("rate")
            mask, v = random_mask((*q.shape[:3], q.shape[2]), keep), v / keep
        return self.out(rearrange(mix(q * self.scale, k, v, mask), "b h n d -> b n (h d)"))


class Block(nn.Module):
    """Pre-norm Transformer block: mix the tokens, then each token's features (Xiong et al., 2020)."""

    def __init__(self, width: int, *, heads: int, expand: int, drop: float, scale: float | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = Attention(width, heads=heads, drop=drop, scale=scale)
        self.feed = nn.Sequential(
            nn.Linear(width, expand * width), nn.GELU(), Dropout(drop), nn.Linear(expand * width, width)
        )
        self.drop = Dropout(drop)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Two residual steps."""
        x = x + self.drop(self.attend(self.norm1(x)))
        return x + self.drop(self.feed(self.norm2(x)))
