"""The decoder: tokens attend to each other, and by cross-attention to what the encoder has made of a trial."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.block import FeedForward
from eegdecode.models.layers import Dropout, at_least
from eegdecode.models.masks import softmax_seen

Tokens = Float[Tensor, "batch token width"]
Source = Float[Tensor, "batch source width"]
Seen = Bool[Tensor, "#batch #token source"] | None
Order = Bool[Tensor, "#batch token token"] | None


class CrossAttention(nn.Module):
    """Queries of one sequence, keys and values of another (Vaswani et al., 2017, section 3.2.3).

    With one sequence for both it is self-attention, and with a triangle as mask it is causal.
    """

    def __init__(self, width: int, *, heads: int, drop: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"model.width={width} must be a multiple of task.heads={heads}")
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query, self.key_value, self.out = (nn.Linear(width, n * width) for n in (1, 2, 1))
        self.drop = Dropout(drop)

    def forward(self, x: Tokens, source: Source, seen: Seen = None) -> Tokens:
        """Mix the source for each token, of what this token is allowed to see of it."""
        q = rearrange(self.query(x) * self.scale, "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.key_value(source), "b m (two h d) -> two b h m d", two=2, h=self.heads)
        weights = softmax_seen(q @ k.mT, None if seen is None else seen[:, None])            # (B, H, N, M)
        return self.out(rearrange(self.drop(weights) @ v, "b h n d -> b n (h d)"))


class DecoderBlock(nn.Module):
    """Attend to the tokens, attend to the encoder, then each token's features; normed before each step."""

    def __init__(self, width: int, *, heads: int, expand: int, drop: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attend, self.cross = (CrossAttention(width, heads=heads, drop=drop) for _ in range(2))
        self.feed = FeedForward(width, expand=expand, drop=drop)
        self.drop = Dropout(drop)

    def forward(self, x: Tokens, source: Source, seen: Seen, order: Order) -> Tokens:
        """Three residual steps."""
        z = self.norm1(x)
        x = x + self.drop(self.attend(z, z, order))
        x = x + self.drop(self.cross(self.norm2(x), source, seen))
        return x + self.drop(self.feed(self.norm3(x)))


class Decoder(nn.Module):
    """Blocks, and a linear map to what is told of each piece (Vaswani et al., 2017, section 3.1).

    Parameters
    ----------
    n_pieces, n_features : int
        Pieces of time, each with a learned place, and how many numbers are told of one.
    causal : bool
        Whether a piece sees those before it alone, and itself.
    """

    def __init__(
        self, width: int, *, n_pieces: int, n_features: int, depth: int, heads: int, drop: float, causal: bool
    ) -> None:    # fmt: skip
        super().__init__()
        at_least("task.depth", depth, 1)    # without a block nothing is told of the encoder
        at_least("task.heads", heads, 1)
        self.causal = causal
        self.place = nn.Parameter(torch.randn(n_pieces, width) * 0.02)
        self.blocks = nn.ModuleList([DecoderBlock(width, heads=heads, expand=2, drop=drop) for _ in range(depth)])
        self.norm, self.tell = nn.LayerNorm(width), nn.Linear(width, n_features)
        nn.init.zeros_(self.tell.weight)    # it begins with the mean, which what is told is centred on
        nn.init.zeros_(self.tell.bias)

    def forward(
        self, x: Tokens, source: Source, seen: Bool[Tensor, "batch source"]
    ) -> Float[Tensor, "batch token feature"]:    # fmt: skip
        """Tell each piece, given a token for each and those of the encoder that are there."""
        n = x.shape[1]
        order = torch.ones(1, n, n, dtype=torch.bool, device=x.device).tril() if self.causal else None
        x = x + self.place[:n]
        for block in self.blocks:
            x = block(x, source, seen[:, None], order)
        return self.tell(self.norm(x))
