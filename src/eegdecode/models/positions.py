"""How tokens (B, N, D) come to know where they are.

=============== ======================================================================================
none            not at all: attention then sees a set
sinusoidal      waves of many periods, added (Vaswani et al., 2017); any length
learned         a vector for each place, added (Gehring et al., 2017); up to ``n_tokens``
convolutional   a filter over neighbouring tokens, added (Chu et al., 2021); any length
rotary          nothing is added: `Attention` turns q and k by their place (Su et al., 2021); any length
=============== ======================================================================================
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.filters import TimeFilter
from eegdecode.models.masks import zero_padding

Tokens = Float[Tensor, "batch token width"]
Valid = Bool[Tensor, "batch token"] | None

LONGEST = 10_000    # tokens a radian of the slowest wave, as in both papers


class NoPosition(nn.Module):
    """Leave the tokens as they are."""

    def __init__(self, width: int, n_tokens: int) -> None:
        super().__init__()

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Return the tokens."""
        return x


class Sinusoidal(nn.Module):
    """Sines and cosines of the place, from a period of 2 pi tokens to ten thousand times that."""

    def __init__(self, width: int, n_tokens: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Add the waves."""
        angle = angles(x.shape[1], self.width + self.width % 2, x)           # (N, D / 2)
        return x + torch.cat([angle.sin(), angle.cos()], dim=1)[:, : self.width]


class Learned(nn.Module):
    """A vector for each place."""

    def __init__(self, width: int, n_tokens: int) -> None:
        super().__init__()
        self.code = nn.Parameter(torch.randn(n_tokens, width) * 0.02)

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Add the vectors of the first N places."""
        if x.shape[1] > len(self.code):
            raise ValueError(f"learned positions were built for {len(self.code)} tokens, got {x.shape[1]}")
        return x + self.code[: x.shape[1]]


class Convolutional(nn.Module):
    """A filter of 7 tokens for each feature: it tells order apart, and the zeros at the ends tell the place."""

    def __init__(self, width: int, n_tokens: int) -> None:
        super().__init__()
        self.filter = TimeFilter(width, 7)

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Add what the filter makes of the tokens; padding is zero, as what is beyond the ends."""
        return x + rearrange(self.filter(rearrange(zero_padding(x, valid), "b n d -> b d n")), "b d n -> b n d")


def rotate(x: Float[Tensor, "batch head token width"]) -> Float[Tensor, "batch head token width"]:
    """Turn pairs of features by angles that grow with the place: products of q and k then know their distance.

    The width of a head must be even.
    """
    angle = angles(x.shape[2], x.shape[3], x)                                # (N, W / 2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)


def angles(n_tokens: int, width: int, like: Tensor) -> Float[Tensor, "token half"]:
    """Place times frequency, the frequencies falling geometrically from 1 to nearly 1 / 10,000."""
    frequency = LONGEST ** -(torch.arange(0, width, 2, device=like.device) / width)
    return (torch.arange(n_tokens, device=like.device)[:, None] * frequency).to(like.dtype)


POSITIONS = {
    "none": NoPosition, "sinusoidal": Sinusoidal, "learned": Learned, "convolutional": Convolutional,
    "rotary": NoPosition,
}    # fmt: skip
