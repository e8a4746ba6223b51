"""From tokens (B, N, D) to one vector a trial (B, D).

========= =====================================================================
mean      mean of the tokens
token     a learned class token goes through the blocks too (Devlin et al., 2019)
attention mean with learned weights (Hassani et al., 2021, sequence pooling)
========= =====================================================================

Each has a method ``extend``, called before the blocks, and says by ``added`` how many tokens it puts in front.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.masks import softmax_seen, zero_padding

Tokens = Float[Tensor, "batch token width"]
Valid = Bool[Tensor, "batch token"] | None
Pooled = Float[Tensor, "batch width"]


class MeanPooling(nn.Module):
    """Mean of the tokens that are there."""

    added = 0

    def __init__(self, width: int) -> None:
        super().__init__()

    def extend(self, x: Tokens, valid: Valid = None) -> tuple[Tensor, Tensor | None]:
        """Return what the blocks shall see: the same."""
        return x, valid

    def forward(self, x: Tokens, valid: Valid = None) -> Pooled:
        """Average."""
        if valid is None:
            return x.mean(dim=1)
        return zero_padding(x, valid).sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1)


class TokenPooling(nn.Module):
    """A learned token in front of the others, which gathers what classes need."""

    added = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width) * 0.02)

    def extend(self, x: Tokens, valid: Valid = None) -> tuple[Tensor, Tensor | None]:
        """Put the token in front."""
        x = torch.cat([self.token.expand(len(x), 1, -1), x], dim=1)
        return x, None if valid is None else F.pad(valid, (1, 0), value=True)

    def forward(self, x: Tokens, valid: Valid = None) -> Pooled:
        """Take it out again."""
        return x[:, 0]


class AttentionPooling(nn.Module):
    """Mean of the tokens with weights that each token gives itself."""

    added = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)    # a bias would add the same to every score

    def extend(self, x: Tokens, valid: Valid = None) -> tuple[Tensor, Tensor | None]:
        """Return what the blocks shall see: the same."""
        return x, valid

    def forward(self, x: Tokens, valid: Valid = None) -> Pooled:
        """Average by the softmax of the scores."""
        x = zero_padding(x, valid)
        weights = softmax_seen(self.score(x).mT, None if valid is None else valid[:, None])      # (B, 1, N)
        return (weights @ x).squeeze(1)


POOLINGS = {"mean": MeanPooling, "token": TokenPooling, "attention": AttentionPooling}
