"""Trials of different length in one batch: which tokens are there, and softmax over these alone.

A mask ``valid`` (B, N) is true where a token belongs to the trial. The padding comes last. Every part that lets
tokens see each other takes the mask, so that padding changes no logit: a trial gives what it gives when cut.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def valid_tokens(lengths: Int[Tensor, " batch"], n_tokens: int) -> Bool[Tensor, "batch token"]:
    """Mask of trials that have the first ``lengths`` of ``n_tokens`` tokens."""
    return torch.arange(n_tokens, device=lengths.device) < lengths[:, None]


def zero_padding(
    x: Float[Tensor, "batch token width"], valid: Bool[Tensor, "batch token"] | None
) -> Float[Tensor, "batch token width"]:    # fmt: skip
    """Zeros where there is no token: what lies there may be anything, so that a product with 0 would not do."""
    return x if valid is None else x.masked_fill(~valid[..., None], 0)


def softmax_seen(
    scores: Float[Tensor, "*rows key"], seen: Bool[Tensor, "*#rows key"] | None
) -> Float[Tensor, "*rows key"]:    # fmt: skip
    """Softmax over the keys that are seen; a row that sees none is finite, its values being zero."""
    return (scores if seen is None else scores.masked_fill(~seen, unseen(scores))).softmax(dim=-1)


def unseen(scores: Tensor) -> float:
    """Score of a key that must not be seen: its weight underflows to zero, and a row of such scores has no NaN."""
    return torch.finfo(scores.dtype).min / 2
