"""Normalisations of tokens (B, N, D): what is brought to mean 0 and deviation 1, and over what.

====== =================================================================
layer  the features of each token (Ba et al., 2016)
rms    the same without taking the mean off (Zhang and Sennrich, 2019)
group  groups of features of each token (Wu and He, 2018)
batch  each feature over all tokens of the batch (Ioffe and Szegedy, 2015)
====== =================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.layers import at_least, choose
from eegdecode.models.masks import zero_padding

Tokens = Float[Tensor, "batch token width"]
Valid = Bool[Tensor, "batch token"] | None

MOMENTUM = 0.1    # of the running statistics, torch's default
EPS = 1e-5    # added to variances, torch's default


class LayerNorm(nn.LayerNorm):
    """The features of each token: neither other tokens nor padding matter."""

    def forward(self, input: Tokens, valid: Valid = None) -> Tokens:
        """Normalise."""
        return super().forward(input)


class RMSNorm(nn.RMSNorm):
    """Features over the root of their mean square; the mean stays."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=EPS)

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Normalise."""
        return super().forward(x)


class GroupNorm(nn.Module):
    """Each token's features by groups: spatial filters of one region, say, so that a loud region drowns no other.

    Parameters
    ----------
    groups : int or sequence of int
        Number of groups of neighbouring features, or the group of each feature. One group is the layer norm.
    """

    def __init__(self, width: int, groups: int | Sequence[int] = 4) -> None:
        super().__init__()
        if isinstance(groups, Sequence):
            each = groups
        else:
            each = [feature * at_least("groups", groups, 1) // width for feature in range(width)]
        if len(each) != width or min(each.count(g) for g in each) < 2:
            of = f"group norm needs two features or more in each group, {width} in all"
            raise ValueError(f"{of}, got groups={groups}")
        group = torch.tensor(each)
        same = (group[:, None] == group).float()
        self.register_buffer("average", same / same.sum(1), persistent=False)    # (D, D): x @ average has means
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Normalise."""
        average = self.get_buffer("average")
        z = x - x @ average
        return z * (z.square() @ average + EPS).rsqrt() * self.weight + self.bias


class BatchNorm(nn.Module):
    """Each feature over the valid tokens of the batch in training; by running statistics in evaluation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tokens, valid: Valid = None) -> Tokens:
        """Normalise."""
        mean, var = self._statistics(x, valid)
        return (x - mean) * (var + EPS).rsqrt() * self.weight + self.bias

    def _statistics(self, x: Tokens, valid: Valid) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        running = self.get_buffer("running_mean"), self.get_buffer("running_var")
        if not self.training:
            return running
        count = x.new_full((), x.shape[0] * x.shape[1], dtype=torch.long) if valid is None else valid.sum().clamp(min=1)
        mean = zero_padding(x, valid).sum((0, 1)) / count
        var = zero_padding(x - mean, valid).square().sum((0, 1)) / count
        unbiased = var * (count / (count - 1).clamp(min=1))
        with torch.no_grad():
            for kept, now in zip(running, (mean, unbiased), strict=True):
                kept.mul_(1 - MOMENTUM).add_(MOMENTUM * now)
        return mean, var


NORMS = {"layer": LayerNorm, "batch": BatchNorm, "group": GroupNorm, "rms": RMSNorm}


def normalisation(word: str, width: int, groups: int | Sequence[int] | None = None) -> nn.Module:
    """One of `NORMS` by its word; ``groups`` are of ``"group"`` alone."""
    if groups is None:
        return choose("norm", word, NORMS)(width)
    if word != "group":
        raise ValueError(f"groups={groups} is of norm=group, and this is norm={word}: take norm=group, or leave it out")
    return GroupNorm(width, groups)
