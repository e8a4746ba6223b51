"""Networks as their authors wrote them, layer by layer: what the fast forms are compared with.

The parameters have the names and shapes of the fast forms, so that one's ``state_dict`` is the other's.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class PlainEEGNet(nn.Module):
    """EEGNet (Lawhern et al., 2018) as a chain of convolutions."""

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 8, depth: int = 2, kernel: float = 0.5, drop: float = 0.25,
    ) -> None:    # fmt: skip
        super().__init__()
        maps, length = filters * depth, round(kernel * sfreq)
        self.bank = nn.ModuleDict({
            "temporal": nn.Conv2d(1, filters, (1, length), padding=(0, length // 2), bias=False),
            "norm": nn.BatchNorm2d(filters),
            "spatial": nn.Conv2d(filters, maps, (n_chans, 1), groups=filters, bias=False),
        })
        self.squash1 = nn.Sequential(nn.BatchNorm1d(maps), nn.ELU(), nn.AvgPool1d(4), nn.Dropout(drop))
        self.separable = nn.Sequential(
            nn.Conv1d(maps, maps, 16, padding=8, groups=maps, bias=False), nn.Conv1d(maps, maps, 1, bias=False)
        )
        self.squash2 = nn.Sequential(nn.BatchNorm1d(maps), nn.ELU(), nn.AvgPool1d(8), nn.Dropout(drop))
        samples = n_times + 1 - length % 2
        self.head = nn.Linear(maps * ((samples // 4 + 1) // 8), n_classes)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial; weights beyond the limits of their norms are scaled down."""
        z = self.bank["norm"](self.bank["temporal"](x[:, None]))                             # (B, F, C, T)
        w = self.bank["spatial"].get_parameter("weight")
        z = F.conv2d(z, _limited(w, 1.0), groups=z.shape[1]).squeeze(2)                      # (B, F D, T)
        z = self.squash2(self.separable(self.squash1(z)))
        return F.linear(z.flatten(1), _limited(self.head.weight, 0.25), self.head.bias)


def _limited(weight: Tensor, most: float) -> Tensor:
    norm = weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.ndim - 1))
    return weight * (most / norm).clamp(max=1.0)


class PlainS3T(nn.Module):
    """S3T (Song et al., 2021) as in the authors' code, its spatial attention repaired."""

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        width: int = 10, heads: int = 5, depth: int = 3, drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        kernel, stride, pool = (round(seconds * sfreq) for seconds in (0.204, 0.02, 0.12))

        def project() -> nn.Sequential:
            return nn.Sequential(nn.Linear(n_chans, n_chans), nn.LayerNorm(n_chans), nn.Dropout(0.6 * drop))

        self.norm0 = nn.LayerNorm(n_times)
        self.spatial = nn.ModuleDict({name: project() for name in ("query", "key", "project")})
        self.pool, self.drop = nn.AvgPool1d(pool), nn.Dropout(drop)
        self.embed = nn.ModuleDict({
            "temporal": nn.Conv2d(1, 2, (1, kernel)), "norm": nn.BatchNorm2d(2),
            "patch": nn.Conv2d(2, width, (n_chans, stride), stride=(1, stride)),
        })
        self.blocks = nn.ModuleList([_PlainBlock(width, heads, drop) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        x = x + self.drop(self._attend(self.norm0(x)))
        z = F.leaky_relu(self.embed["norm"](self.embed["temporal"](x[:, None])), 0.2)        # (B, 2, C, T')
        z = rearrange(self.embed["patch"](z), "b d 1 n -> b n d")
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z.mean(1)))

    def _attend(self, x: Tensor) -> Tensor:
        z = rearrange(x, "b c t -> b t c")
        q, k = (self.pool(rearrange(self.spatial[name](z), "b t c -> b c t")) for name in ("query", "key"))
        score = (torch.einsum("bcs,bms->bcm", q, k) / math.sqrt(q.shape[-1])).softmax(-1)
        out = torch.einsum("bms,bcm->bcs", x, score)
        return rearrange(self.spatial["project"](rearrange(out, "b c t -> b t c")), "b t c -> b c t")


class _PlainBlock(nn.Module):
    """Pre-norm encoder block, whose scores are divided by the root of the width, not of a head's."""

    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width)})
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * width, width)
        )
        self.drop_score, self.drop = nn.Dropout(drop), nn.Dropout(drop)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        q, k, v = rearrange(self.attend["qkv"](self.norm1(x)), "b n (s h d) -> s b h n d", s=3, h=self.heads)
        score = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(x.shape[-1])
        out = torch.einsum("bhqk,bhkd->bhqd", self.drop_score(score.softmax(-1)), v)
        x = x + self.drop(self.attend["out"](rearrange(out, "b h n d -> b n (h d)")))
        return x + self.drop(self.feed(self.norm2(x)))
