"""The Transformer block: mix the tokens, then each token's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.attention import KERNELS, Attention
from eegdecode.models.layers import Dropout, at_least, choose, random_mask
from eegdecode.models.norms import normalisation

Tokens = Float[Tensor, "batch token width"]
Valid = Bool[Tensor, "batch token"] | None
Weights = Float[Tensor, "batch head token token"]

ORDERS = ("pre", "post")
OFF = "off"    # the word for blocks whose tokens do not see each other


class FeedForward(nn.Sequential):
    """Widen, GELU, narrow (Hendrycks and Gimpel, 2016)."""

    def __init__(self, width: int, *, expand: int, drop: float) -> None:
        hidden = expand * width
        super().__init__(nn.Linear(width, hidden), nn.GELU(), Dropout(drop), nn.Linear(hidden, width))


class GatedFeedForward(nn.Module):
    """Half of the features open and close the others (Shazeer, 2020, GEGLU).

    Two thirds as wide as `FeedForward`, so that it has as many weights.
    """

    def __init__(self, width: int, *, expand: int, drop: float) -> None:
        super().__init__()
        hidden = max(1, 2 * expand * width // 3)
        self.widen, self.drop, self.narrow = nn.Linear(width, 2 * hidden), Dropout(drop), nn.Linear(hidden, width)

    def forward(self, x: Tokens) -> Tokens:
        """Widen, gate, narrow."""
        value, gate = self.widen(x).chunk(2, dim=-1)
        return self.narrow(self.drop(value * F.gelu(gate)))


FEEDS = {"gelu": FeedForward, "gated": GatedFeedForward}


class StochasticDepth(Dropout):
    """Leave a step out of a share ``rate`` of the trials in training (Huang et al., 2016)."""

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"skip must be in [0, 1), got {rate}; 0 skips none")
        super().__init__(rate)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Zero whole trials and scale the others up."""
        if not self.training:
            return x
        keep = 1 - self.get_buffer("rate")
        return x * (random_mask((len(x), 1, 1), keep).to(x.dtype) / keep)


class TokenDropout(Dropout):
    """Zero a share ``rate`` of the tokens in training, whole patches of time (Liu et al., 2023, PatchDropout).

    The others are scaled up. They leave such patches out; here one that is zeroed still has a place, so that the
    number of tokens stays.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"model.drop_tokens must be in [0, 1), got {rate}; 0 zeroes none")
        super().__init__(rate)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """Zero whole tokens."""
        if not self.training:
            return x
        keep = 1 - self.get_buffer("rate")
        return x * (random_mask((*x.shape[:2], 1), keep).to(x.dtype) / keep)


class Block(nn.Module):
    """Mix the tokens, then each token's features, each added to what was there.

    Parameters
    ----------
    expand : int
        Width of the feed-forward as a multiple of a token's.
    norm, groups : str, int or sequence of int
        Word of `normalisation`, and of ``"group"`` how many groups, or the group of each feature (`GroupNorm`).
    order : {"pre", "post"}
        Normalise what goes into a step (Xiong et al., 2020), or the sum after it (Vaswani et al., 2017).
    feed : str
        One of `FEEDS`.
    skip : float
        Rate at which trials leave out a step in training.
    kernel : str
        How tokens see each other, one of `KERNELS`; ``"off"``: not at all, the feed-forward alone.
    **attention
        More of `Attention`: ``scale``, ``n_tokens``, ``rotary``, and the settings of the kernel.
    """

    def __init__(
        self, width: int, *, heads: int, expand: int, drop: float,
        norm: str = "layer", groups: int | Sequence[int] | None = None, order: str = "pre", feed: str = "gelu",
        skip: float = 0.0, kernel: str = "softmax", **attention,
    ) -> None:    # fmt: skip
        super().__init__()
        self.order = choose("order", order, {word: word for word in ORDERS})
        self.mixes = choose("kernel", kernel, {**KERNELS, OFF: None}) is not None
        unused = {name for name, value in attention.items() if value} - {"scale", "n_tokens"}
        if self.mixes:
            self.norm1 = normalisation(norm, width, groups)
            self.attend = Attention(width, heads=heads, drop=drop, kernel=kernel, **attention)
        elif unused:
            what = ", ".join(sorted(unused))
            raise ValueError(f"kernel=off has no attention that {what} could set; take kernel=softmax")
        self.norm2 = normalisation(norm, width, groups)
        self.feed = choose("feed", feed, FEEDS)(width, expand=at_least("expand", expand, 1), drop=drop)
        self.drop = Dropout(drop)
        self.skip = StochasticDepth(skip) if skip else nn.Identity()    # without it, no random number is drawn

    def forward(
        self, x: Tokens, valid: Valid = None, return_attention: bool = False
    ) -> Tokens | tuple[Tokens, Weights | None]:    # fmt: skip
        """Two residual steps; on request with the weights of the attention, (B, H, N, N), None where there is none."""
        pre, weights = self.order == "pre", None
        if self.mixes:
            mixed = self.attend(self.norm1(x, valid) if pre else x, valid, return_attention)
            mixed, weights = mixed if return_attention else (mixed, None)
            x = x + self.skip(self.drop(mixed))
            x = x if pre else self.norm1(x, valid)
        x = x + self.skip(self.drop(self.feed(self.norm2(x, valid) if pre else x)))
        x = x if pre else self.norm2(x, valid)
        return (x, weights) if return_attention else x


class Encoder(nn.Sequential):
    """Blocks one after the other; ``skip`` grows from block to block up to its value, as Huang et al. found best."""

    def __init__(self, width: int, *, depth: int, skip: float = 0.0, **block) -> None:
        super().__init__(*[Block(width, skip=skip * (i + 1) / depth, **block) for i in range(depth)])

    def forward(
        self, input: Tokens, valid: Valid = None, return_attention: bool = False
    ) -> Tokens | tuple[Tokens, Float[Tensor, "depth batch head token token"] | None]:    # fmt: skip
        """Tokens after the last block; on request with the weights of every block's attention, None without one."""
        x, weights = input, []
        for block in self:
            if return_attention:
                x, mixed = block(x, valid, return_attention=True)
                weights += [] if mixed is None else [mixed]
            else:
                x = block(x, valid)
        return (x, torch.stack(weights) if weights else None) if return_attention else x
