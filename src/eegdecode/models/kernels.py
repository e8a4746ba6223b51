"""How every token sees every token: in scores of another kind, or through a narrow door, in linear time.

Each is built as ``Kernel(heads, width of a head, n_tokens, drop=, its settings)`` and maps q (scaled), k, v
(B, H, N, W) and a mask to (B, H, N, W). All are linear in v. Those that form weights drop some of them in training.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import Dropout, at_least
from eegdecode.models.masks import softmax_seen, unseen

Heads = Float[Tensor, "batch head token width"]
Values = Float[Tensor, "batch head token value"]
Valid = Bool[Tensor, "batch token"] | None


def keep_valid(x: Values, valid: Valid) -> Values:
    """Zeros at tokens that are padding."""
    return x if valid is None else x.masked_fill(~valid[:, None, :, None], 0)


class Additive(nn.Module):
    """softmax(w · tanh(q_i + k_j)) v, a small network as score (Bahdanau et al., 2015).

    Time and memory grow with N² W: the dearest of all.
    """

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.randn(heads, width) * width**-0.5)
        self.drop = Dropout(drop)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values."""
        pairs = (q[:, :, :, None] + keep_valid(k, valid)[:, :, None]).tanh()                 # (B, H, N, N, W)
        scores = (pairs @ self.score[:, None, :, None]).squeeze(-1)
        weights = softmax_seen(scores, None if valid is None else valid[:, None, None])
        return self.drop(weights) @ keep_valid(v, valid)


class Linear(nn.Module):
    """φ(q) (φ(k)ᵀ v) / φ(q) Σ φ(k) with φ = elu + 1 (Katharopoulos et al., 2020).

    The sums over keys are made once, for all queries.
    """

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float) -> None:
        super().__init__()

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values."""
        return mix_features(F.elu(q) + 1, keep_valid(F.elu(k) + 1, valid), keep_valid(v, valid))


def mix_features(q: Heads, k: Heads, v: Values) -> Values:
    """Values weighted by the products of positive features, ``(q kᵀ) v`` over its row sums, in linear time."""
    total = q @ k.sum(dim=2)[..., None]                                                      # (B, H, N, 1)
    return q @ (k.mT @ v) / total.clamp(min=torch.finfo(q.dtype).tiny)    # nothing but padding: 0 / tiny


class Performer(nn.Module):
    """Softmax attention by random features: exp(q · k) = E exp(ω · q - |q|²/2) exp(ω · k - |k|²/2).

    FAVOR+ (Choromanski et al., 2021): features are positive, and the ω of a head orthogonal in blocks. The error
    falls with the root of their number. They are drawn at construction and kept, so that results reproduce.

    Parameters
    ----------
    features : int
        Random features of each head.
    """

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float, features: int = 64) -> None:
        super().__init__()
        n_blocks = -(-at_least("features", features, 1) // width)
        basis, upper = torch.linalg.qr(torch.randn(heads, n_blocks, width, width))
        basis = basis * upper.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]    # else some directions are preferred
        directions = basis.flatten(1, 2)[:, :features]
        lengths = torch.randn(heads, features, width).norm(dim=2, keepdim=True)    # those of normal vectors
        self.register_buffer("directions", directions * lengths)
        self.balance = width**0.25    # q comes with 1 / √W: shared between both, the variance is least

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the values."""
        q, k = self.exponents(q * self.balance), self.exponents(keep_valid(k, valid) / self.balance)
        if valid is not None:    # the zero of a padded key may be far above all others, which would underflow
            k = k.masked_fill(~valid[:, None, :, None], unseen(k))
        q = (q - q.detach().amax(dim=3, keepdim=True)).exp()    # what is taken off is taken off above and below
        k = (k - k.detach().amax(dim=(2, 3), keepdim=True)).exp()
        return mix_features(q, keep_valid(k, valid), keep_valid(v, valid))

    def exponents(self, x: Heads) -> Float[Tensor, "batch head token feature"]:
        """ω · x - |x|²/2."""
        return x @ self.get_buffer("directions").mT - x.square().sum(-1, keepdim=True) / 2


class Linformer(nn.Module):
    """Queries see ``slots`` learned mixtures of the tokens, softmax(q (E k)ᵀ) E v (Wang et al., 2020).

    E is shared by k, v and the heads, and begins as the means of equal segments: with as many slots as tokens it
    is the identity, and the result that of softmax. Where tokens are missing, a slot is made of the others and
    counts by their share, ``Σ |E| there / Σ |E|``.

    Parameters
    ----------
    n_tokens : int
        The longest sequence to come: E has a column for each place.
    slots : int
        How many mixtures; at most ``n_tokens`` are made.
    """

    def __init__(self, heads: int, width: int, n_tokens: int | None, *, drop: float, slots: int = 32) -> None:
        super().__init__()
        if n_tokens is None:
            raise ValueError("attention linformer must know n_tokens, the longest sequence to come; got None")
        slots = min(at_least("slots", slots, 1), n_tokens)
        slot = torch.arange(n_tokens) * slots // n_tokens
        member = (torch.arange(slots)[:, None] == slot).float()
        self.project = nn.Parameter(member / member.sum(1, keepdim=True))
        self.drop = Dropout(drop)

    def forward(self, q: Heads, k: Heads, v: Values, valid: Valid = None) -> Values:
        """Mix the mixtures."""
        n_tokens = k.shape[2]
        if n_tokens > self.project.shape[1]:
            raise ValueError(f"attention linformer was built for {self.project.shape[1]} tokens, got {n_tokens}")
        e = self.project[:, :n_tokens]
        there = keep_valid(torch.ones_like(k[:, :1, :, :1]), valid)                          # (B, 1, N, 1)
        share = e.abs() @ there / self.project.abs().sum(1, keepdim=True).clamp(min=1e-6)    # (B, 1, slots, 1)
        k, v = (e @ keep_valid(x, valid) / share.clamp(min=1e-6) for x in (k, v))
        return self.drop(softmax_shares(q @ k.mT, share.mT)) @ v


def softmax_shares(
    scores: Float[Tensor, "*rows key"], share: Float[Tensor, "*#rows key"]
) -> Float[Tensor, "*rows key"]:    # fmt: skip
    """Softmax over keys that count by a share between 0 and 1."""
    return softmax_seen(scores + share.clamp(min=torch.finfo(scores.dtype).tiny).log(), share > 0)
