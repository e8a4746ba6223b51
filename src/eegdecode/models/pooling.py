"""From tokens (B, N, D) to one vector a trial, (B, D) or, of cosines, (B, 3 D).

========= =====================================================================
mean      mean of the tokens
cosine    their course over the trial: mean, slope and bow (Ahmed et al., 1974)
token     a learned class token goes through the blocks too (Devlin et al., 2019)
attention mean with learned weights (Hassani et al., 2021, sequence pooling)
========= =====================================================================

Each has a method ``extend``, called before the blocks, and says by ``added`` how many tokens it puts in front and by
``parts`` how many vectors it makes.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import choose
from eegdecode.models.masks import softmax_seen, zero_padding

Tokens = Float[Tensor, "batch token width"]
Valid = Bool[Tensor, "batch token"] | None
Pooled = Float[Tensor, "batch width"]


class MeanPooling(nn.Module):
    """Mean of the tokens that are there."""

    added, parts = 0, 1

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


class CosinePooling(nn.Module):
    """The first coefficients of the discrete cosine transform over the tokens (Ahmed, Natarajan, Rao, 1974, type II).

    A rhythm that desynchronises after the cue is seen against the begin of the same trial, whatever its power is in
    this head: across nine simulated people 64.4 % against 59.5 with the mean alone (two seeds; patches of 1 s).
    A weight for every token gained 9 points across four simulated people, but lost 4 to 7 on `mi_openbci` and from one
    session to the next.
    """

    added, parts = 0, 3

    def __init__(self, width: int) -> None:
        super().__init__()

    def extend(self, x: Tokens, valid: Valid = None) -> tuple[Tensor, Tensor | None]:
        """Return what the blocks shall see: the same."""
        return x, valid

    def forward(self, x: Tokens, valid: Valid = None) -> Float[Tensor, "batch parts_width"]:
        """Transform over the tokens that are there; scaled so that the first is the mean, and all are equally loud."""
        place = torch.arange(x.shape[1], device=x.device) + 0.5
        whole = x.new_full((1, 1), x.shape[1], dtype=torch.long)
        count = whole if valid is None else valid.sum(1, keepdim=True).clamp(min=1)
        wave = torch.arange(self.parts, device=x.device)[:, None]
        scale = (1 + (math.sqrt(2.0) - 1) * (wave > 0)) / count[..., None]
        waves = scale * torch.cos(math.pi * wave * (place / count)[:, None])                 # (B or 1, parts, N)
        return (waves.to(x.dtype) @ zero_padding(x, valid)).flatten(1)


class TokenPooling(nn.Module):
    """A learned token in front of the others, which gathers what classes need."""

    added, parts = 1, 1

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

    added, parts = 0, 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)    # a bias would add the same to every score

    def extend(self, x: Tokens, valid: Valid = None) -> tuple[Tensor, Tensor | None]:
        """Return what the blocks shall see: the same."""
        return x, valid

    def weights(self, x: Tokens, valid: Valid = None) -> Float[Tensor, "batch token"]:
        """Softmax of the scores of the tokens that are there."""
        return softmax_seen(self.score(zero_padding(x, valid)).squeeze(-1), valid)

    def forward(self, x: Tokens, valid: Valid = None) -> Pooled:
        """Average by the weights."""
        return (self.weights(x, valid)[:, None] @ zero_padding(x, valid)).squeeze(1)


POOLINGS = {"mean": MeanPooling, "cosine": CosinePooling, "token": TokenPooling, "attention": AttentionPooling}
Pooling = MeanPooling | CosinePooling | TokenPooling | AttentionPooling


def pooling(word: str, width: int, n_tokens: int) -> Pooling:
    """Return the pooling that a word of a config names.

    One token has all the weight: attention is the mean then, without scores that no gradient could reach.
    """
    word = "mean" if word == "attention" and n_tokens == 1 else word
    return choose("model.pool", word, POOLINGS)(width)
