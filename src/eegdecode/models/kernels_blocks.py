"""How tokens see a few others, block by block: neighbours, tokens that hash alike, or a block that is sorted to them.

Built and called as those of `eegdecode.models.kernels`. Sizes are in tokens and do not follow the length of the
batch, else padding would change what a token sees; a size above the length is the length, and then all is softmax.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.kernels import Heads, Valid, Values, keep_valid, softmax_shares
from eegdecode.models.layers import Dropout, at_least
from eegdecode.models.masks import softmax_seen, unseen

Blocks = Float[Tensor, "batch head block place width"]
Seen = Bool[Tensor, "batch #head token one"]


def cut(x: Tensor, size: int) -> Tensor:
    """(B, H, N, W) -> (B, H, n, size, W); the last block is filled up with zeros, or False."""
    x = F.pad(x, (0, 0, 0, -x.shape[2] % size))
    return x.unflatten(2, (-1, size))


def join(x: Blocks, n_tokens: int) -> Heads:
    """Undo `cut`."""
    return rearrange(x, "b h n s w -> b h (n s) w")[:, :, :n_tokens]


def with_neighbours(x: Tensor) -> Tensor:
    """(B, H, n, s, W) -> (B, H, n, 3 s, W): each block between the one before and the one after."""
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:, :, :-2], x, padded[:, :, 2:]], dim=3)


def there(x: Heads, valid: Valid) -> Seen:
    """Whether each token is there, as a column."""
    return torch.ones_like(x[:, :1, :, :1], dtype=torch.bool) if valid is None else valid[:, None, :, None]


class Local(nn.Module):
    """Each token sees those at most ``window`` tokens away (Beltagy et al., 2020, Longformer).

    Blocks of the window's size see themselves and both neighbours, less what is too far.

    Parameters
    ----------
    window : int
        Tokens to each side.
    """

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float, window: int = 16) -> None:
        super().__init__()
        self.window, self.tokens = at_least("window", window, 0), 0
        self.drop = Dropout(drop)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values of near tokens, and of the first ``tokens``, which are in every token's sight."""
        n_tokens, first = q.shape[2], min(self.tokens, q.shape[2])
        size = max(1, min(self.window, n_tokens))
        k, v, seen = keep_valid(k, valid), keep_valid(v, valid), there(k, valid)
        place = torch.arange(n_tokens, device=q.device)[:, None]
        near = torch.arange(size, device=q.device)[:, None] + size - torch.arange(3 * size, device=q.device)
        near = F.pad(near.abs() <= self.window, (0, first), value=True)                      # (s, 3 s + first)
        keys, values, others = (with_neighbours(cut(x, size)) for x in (k, v, seen & (place >= first)))
        if first:
            keys, values, others = (
                torch.cat([x, y[:, :, None, :first].expand(-1, -1, x.shape[2], -1, -1)], dim=3)
                for x, y in ((keys, k), (values, v), (others, seen))
            )
        weights = softmax_seen(cut(q, size) @ keys.mT, near & others.mT)                     # (B, H, n, s, 3 s + first)
        return join(self.drop(weights) @ values, n_tokens)


class Global(Local):
    """`Local`, but the first ``tokens`` see all and are seen by all (Beltagy et al., 2020; a class token is the first).

    Parameters
    ----------
    window : int
        Tokens to each side that the others see.
    tokens : int
        How many are global.
    """

    def __init__(
        self, heads: int, width: int, n_tokens: int | None, *, drop: float, window: int = 16, tokens: int = 1,
    ) -> None:    # fmt: skip
        super().__init__(heads, width, n_tokens, drop=drop, window=window)
        self.tokens = at_least("tokens", tokens, 0)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix all values for the first tokens, near and global ones for the others."""
        others = super().forward(q, k, v, valid)
        scores = q[:, :, : self.tokens] @ keep_valid(k, valid).mT
        weights = softmax_seen(scores, there(k, valid).mT)                                   # (B, H, tokens, N)
        return torch.cat([self.drop(weights) @ keep_valid(v, valid), others[:, :, self.tokens :]], dim=2)


class Reformer(nn.Module):
    """Tokens see those that point the same way, found by hashing (Kitaev et al., 2020).

    Queries and keys are each sorted by the nearest of some random directions, cut into blocks, and every block of
    queries sees the block of keys of the same rank and both its neighbours. Rounds with other directions are
    mixed by the sums of their exponentials. Unlike the paper, q and k are not the same map, and blocks are not
    a ring. The directions are drawn at construction and kept, so that results reproduce.

    Parameters
    ----------
    size : int
        Tokens of a block; a token sees three blocks.
    rounds : int
        How often all is done, each with directions of its own.
    buckets : int
        Directions, in opposite pairs.
    """

    def __init__(
        self, heads: int, width: int, n_tokens: int | None, *, drop: float,
        size: int = 16, rounds: int = 2, buckets: int = 16,
    ) -> None:    # fmt: skip
        super().__init__()
        self.size = at_least("size", size, 1)
        half, rounds = at_least("buckets", buckets, 2) // 2, at_least("rounds", rounds, 1)
        self.register_buffer("directions", torch.randn(rounds, heads, width, half))
        self.drop = Dropout(drop)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values of each round, then the rounds."""
        k, v = keep_valid(k, valid), keep_valid(v, valid)
        rounds = [self.once(q, k, v, there(k, valid), way) for way in self.get_buffer("directions")]
        outs, totals = (torch.stack(x) for x in zip(*rounds, strict=True))
        return (outs * totals.softmax(dim=0)).sum(0)

    def once(
        self, q: Heads, k: Heads, v: Values, seen: Seen, way: Float[Tensor, "head width half"]
    ) -> tuple[Values, Float[Tensor, "batch head token one"]]:    # fmt: skip
        """Mixed values, and the log of the sum of each query's exponentials."""
        n_tokens, size = q.shape[2], min(self.size, q.shape[2])
        by_query, by_key = hash_order(q, seen, way), hash_order(k, seen, way)
        sorted_keys = (cut(x.expand(-1, q.shape[1], -1, -1).take_along_dim(by_key, dim=2), size) for x in (k, v, seen))
        keys, values, others = (with_neighbours(x) for x in sorted_keys)
        scores = cut(q.take_along_dim(by_query, dim=2), size) @ keys.mT
        scores = scores.masked_fill(~others.mT, unseen(scores))                              # (B, H, n, s, 3 s)
        total, out = scores.logsumexp(-1, keepdim=True), self.drop(scores.softmax(-1)) @ values
        back = by_query.argsort(dim=2)
        return tuple(join(x, n_tokens).take_along_dim(back, dim=2) for x in (out, total))    # pyright: ignore[reportReturnType]


def hash_order(
    x: Heads, seen: Seen, way: Float[Tensor, "head width half"]
) -> Int[Tensor, "batch head token one"]:    # fmt: skip
    """Tokens by bucket, within a bucket by place, and padding last."""
    along = x.detach() @ way
    bucket = torch.cat([along, -along], dim=-1).argmax(dim=-1, keepdim=True)
    bucket = bucket.masked_fill(~seen, 2 * way.shape[-1])
    place = torch.arange(x.shape[2], device=x.device)[:, None]
    return (bucket * x.shape[2] + place).argsort(dim=2)


class Sinkhorn(nn.Module):
    """Each block sees itself and the block that is sorted to it (Tay et al., 2020, Sparse Sinkhorn attention).

    Blocks are compared by their sums of queries and means of keys; scaling rows and columns in turn
    (Sinkhorn, 1964) makes a soft permutation of the scores, by which the blocks of keys and values are mixed.
    Unlike the paper, no noise is added and the scores have no weights of their own, so that any length will do.

    Parameters
    ----------
    size : int
        Tokens of a block.
    iterations : int
        Scalings of columns and rows.
    """

    def __init__(
        self, heads: int, width: int, n_tokens: int | None, *, drop: float, size: int = 16, iterations: int = 5,
    ) -> None:    # fmt: skip
        super().__init__()
        self.size, self.iterations = at_least("size", size, 1), at_least("iterations", iterations, 1)
        self.drop = Dropout(drop)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values of both blocks."""
        n_tokens, size = q.shape[2], min(self.size, q.shape[2])
        qs, ks, vs = (cut(keep_valid(x, valid), size) for x in (q, k, v))                    # (B, H, n, s, W)
        share = cut(there(k, valid).to(q.dtype), size)                                       # (B, 1, n, s, 1)
        count = share.sum(3)                                                                 # (B, 1, n, 1)
        means = ks.sum(3) / count.clamp(min=1)
        weights = soft_permutation(qs.sum(3) @ means.mT, (count > 0) & (count.mT > 0), self.iterations)
        sorted_share = torch.einsum("bhij,bhjsw->bhisw", weights, share.expand(-1, q.shape[1], -1, -1, -1))
        keys, values = (
            torch.cat([x, torch.einsum("bhij,bhjsw->bhisw", weights, x) / sorted_share.clamp(min=1e-6)], dim=3)
            for x in (ks, vs)
        )
        shares = torch.cat([share.expand_as(sorted_share), sorted_share], dim=3)             # (B, H, n, 2 s, 1)
        return join(self.drop(softmax_shares(cut(q, size) @ keys.mT, shares.mT)) @ values, n_tokens)


def soft_permutation(
    scores: Float[Tensor, "batch head block block"], seen: Bool[Tensor, "batch #head block block"], iterations: int
) -> Float[Tensor, "batch head block block"]:    # fmt: skip
    """Rows sum to one, and columns nearly; what is not seen is zero."""
    for _ in range(iterations):
        for dim in (-2, -1):
            scores = scores.masked_fill(~seen, unseen(scores))
            scores = scores - scores.logsumexp(dim, keepdim=True)
    return scores.masked_fill(~seen, unseen(scores)).exp()
