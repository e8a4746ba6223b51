"""Attention over tokens: the exact form in little memory, and the layer around any form."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.kernels import Additive, Linear, Linformer, Performer
from eegdecode.models.kernels_blocks import Global, Local, Reformer, Sinkhorn
from eegdecode.models.layers import Dropout, at_least, check_settings, choose, exactly, random_mask
from eegdecode.models.masks import unseen
from eegdecode.models.positions import rotate

ROOM = 2**19    # scores that are held at a time on a processor: two megabytes, which its cache takes
ROOM_GPU = 2**28    # on a GPU, which has no time to lose between chunks: a gigabyte


def mix(
    q: Float[Tensor, "batch head token width"], k: Float[Tensor, "batch head token width"],
    v: Float[Tensor, "batch head token value"], mask: Bool[Tensor, "batch head token token"] | None = None,
) -> Float[Tensor, "batch head token value"]:    # fmt: skip
    """``(softmax(q kᵀ) * mask) v``; the scores never lie in memory as a whole.

    190 tokens in 5 heads have 180,000 scores a trial but only 10 numbers a token: a step that writes and reads
    the scores of a batch waits for the memory. So a few trials are taken at a time, of a long one some queries,
    and the way back makes the scores anew, with ``sum_j a_ij da_ij = g_i o_i`` (Dao et al., 2022, FlashAttention).
    Products with few columns are written as products with few rows, which are up to five times as fast.
    """
    q, k = q.to(v.dtype), k.to(v.dtype)    # in 16 bits some are, and some a position code has made wide
    with exactly(v):
        if q.shape[1] * q.shape[2] ** 2 <= _room(q):
            return _Mix.apply(q, k, v, mask)
        heads = [None if x is None else x.flatten(0, 1) for x in (q, k, v, mask)]
        return _MixLong.apply(*heads).unflatten(0, q.shape[:2])


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
    """Trials at a time."""
    return max(1, _room(q) // (q.shape[1] * q.shape[2] ** 2))


def _room(q: Tensor) -> int:
    return ROOM_GPU if q.is_cuda else ROOM


def _chunks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Iterator[tuple]:
    n = _size(q)
    for i in range(0, len(q), n):
        part = slice(i, i + n)
        yield q[part], k[part], v[part], None if mask is None else mask[part].to(q.dtype)


class _MixLong(torch.autograd.Function):
    """The same for (heads, N, W) of long trials, whose queries are taken some at a time.

    Results are written in their place: small pieces that are kept between large ones would split the heap.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = torch.zeros_like(q[..., :1] + k[..., :1] + v)    # all three: stacked by vmap if one of them is
        for head, rows in _rows(q):
            a = (q[head, rows] @ k[head].mT).softmax(dim=-1)
            out[head, rows] = (v[head].mT @ _kept(a, mask, head, rows).mT).mT
        return out

    setup_context = staticmethod(_Mix.setup_context)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (g,), (q, k, v, mask, out) = grads, ctx.saved_tensors
        dq, dk, dv = (torch.zeros_like(x + out[..., :1]) for x in (q, k, v))
        for head, rows in _rows(q):
            qi, ki, gi = q[head, rows], k[head], g[head, rows]
            a = (qi @ ki.mT).softmax(dim=-1)
            dv[head] += (gi.mT @ _kept(a, mask, head, rows)).mT
            ds = _kept(gi @ v[head].mT, mask, head, rows) - (gi * out[head, rows]).sum(-1, keepdim=True)
            ds = ds * a
            dq[head, rows] = (ki.mT @ ds.mT).mT
            dk[head] += (qi.mT @ ds).mT
        return dq, dk, dv, None


def _rows(q: Tensor) -> Iterator[tuple[int, slice]]:
    """Some queries of one head at a time."""
    size = max(1, _room(q) // q.shape[1])
    return ((head, slice(i, i + size)) for head in range(len(q)) for i in range(0, q.shape[1], size))


def _kept(x: Tensor, mask: Tensor | None, head: int, rows: slice) -> Tensor:
    return x if mask is None else x * mask[head, rows].to(x.dtype)


class Softmax(nn.Module):
    """Every token sees every token, softmax(q kᵀ) v (Vaswani et al., 2017), exactly and in little memory."""

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float) -> None:
        super().__init__()
        self.drop = Dropout(drop)

    def forward(
        self, q: Float[Tensor, "batch head token width"], k: Float[Tensor, "batch head token width"],
        v: Float[Tensor, "batch head token value"], valid: Bool[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch head token value"]:    # fmt: skip
        """Mix the values."""
        mask = None
        if self.training:                                                       # dropout of the scores
            keep = 1 - self.drop.get_buffer("rate")
            mask, v = random_mask((*q.shape[:3], q.shape[2]), keep), v / keep
        if valid is not None:
            q, k, v = hide_padding(q, k, v, valid)
        return mix(q, k, v, mask)


def hide_padding(
    q: Tensor, k: Tensor, v: Tensor, valid: Bool[Tensor, "batch token"]
) -> tuple[Tensor, Tensor, Tensor]:    # fmt: skip
    """Let no query see a padded key: one more feature, 1 in q, and in k 0 or a score of minus many."""
    gone = ~valid[:, None, :, None]
    k, v = k.masked_fill(gone, 0), v.masked_fill(gone, 0)
    column = torch.zeros_like(k[..., :1]).masked_fill(gone, unseen(k))
    return torch.cat([q, torch.ones_like(column)], dim=-1), torch.cat([k, column], dim=-1), v


KERNELS = {
    "softmax": Softmax, "additive": Additive, "local": Local, "global": Global, "linformer": Linformer,
    "linear": Linear, "performer": Performer, "reformer": Reformer, "sinkhorn": Sinkhorn,
}    # fmt: skip
UNORDERED = ("softmax", "additive", "linear", "performer")    # of tokens in any order and number; others know places


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017).

    Parameters
    ----------
    scale : float or None
        What scores are multiplied by; None: 1 / √(width of a head).
    kernel : str
        How tokens see each other, one of `KERNELS`.
    n_tokens : int or None
        The longest sequence to come; only ``linformer`` must know it.
    rotary : bool
        Turn q and k by their place: see `eegdecode.models.positions`.
    **settings
        Of the kernel.
    """

    def __init__(
        self, width: int, *, heads: int, drop: float, scale: float | None = None, kernel: str = "softmax",
        n_tokens: int | None = None, rotary: bool = False, **settings,
    ) -> None:    # fmt: skip
        super().__init__()
        if width % at_least("heads", heads, 1):
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        if rotary and width // heads % 2:
            raise ValueError(f"rotary positions need heads of an even width, got {width // heads}")
        self.heads, self.scale, self.rotary = heads, scale or (width / heads) ** -0.5, rotary
        self.qkv = nn.Linear(width, 3 * width)
        kind = choose("attention", kernel, KERNELS)
        check_settings(f"kernel={kernel}", kind, settings, beside=("heads", "width", "n_tokens", "drop"))
        self.kernel = kind(heads, width // heads, n_tokens, drop=drop, **settings)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch token width"], valid: Bool[Tensor, "batch token"] | None = None,
        return_attention: bool = False,
    ) -> Float[Tensor, "batch token width"] | tuple[Tensor, Float[Tensor, "batch head token token"]]:    # fmt: skip
        """Mix tokens.

        On request with the weights: every kernel is linear in v, so they are what it makes of the identity. In
        training they have the dropout in them.
        """
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        if not return_attention:
            return self.out(rearrange(self.kernel(q * self.scale, k, v, valid), "b h n d -> b n (h d)"))
        each = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(*q.shape[:2], -1, -1)
        weights = self.kernel(q * self.scale, k, each, valid)
        return self.out(rearrange(weights @ v, "b h n d -> b n (h d)")), weights
