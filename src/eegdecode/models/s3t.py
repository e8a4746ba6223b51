"""S3T, as published and with a spatial attention that works (Song et al., 2021)."""

from __future__ import annotations

import math
from typing import ClassVar

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.block import Block
from eegdecode.models.filters import filter_maps
from eegdecode.models.layers import Dropout, at_least, more_than_zero


class ChannelAttention(nn.Module):
    """Feature channels attend to each other (section 3.2 of the paper): (B, C, T) -> (B, C, T).

    q and k are maps of the channels at each sample, normalised over channels and averaged over ``pool``
    samples; the score is ``softmax(q kᵀ / √(T / pool))``, and the output a map of ``score @ x``.

    Parameters
    ----------
    official_noop : bool
        Sum as the authors' code does: ``einsum('b c s, b c m -> b c s', x, score)``. The score is summed over
        the axis on which it was normalised, so that it is one, and q and k have no effect and no gradient.
    """

    def __init__(self, n_chans: int, *, pool: int, drop: float, official_noop: bool) -> None:
        super().__init__()

        def project() -> nn.Sequential:
            return nn.Sequential(nn.Linear(n_chans, n_chans), nn.LayerNorm(n_chans), Dropout(drop))

        self.query, self.key, self.project = project(), project(), project()
        self.pool = nn.AvgPool1d(pool)
        self.official_noop = official_noop
        for layer in (self.query, self.key, self.project):
            nn.init.xavier_normal_(layer.get_submodule("0").get_parameter("weight"))
            nn.init.zeros_(layer.get_submodule("0").get_parameter("bias"))    # both as in the authors' code

    def weights(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch chan chan"]:
        """How much each channel (row) takes from each (column); rows sum to one."""
        z = rearrange(x, "b c t -> b t c")
        q, k = (self.pool(rearrange(part(z), "b t c -> b c t")) for part in (self.query, self.key))
        return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch chan time"]:
        """Mix the channels and map the mixture."""
        score = self.weights(x)
        mixed = x * score.sum(-1, keepdim=True) if self.official_noop else score @ x
        return rearrange(self.project(rearrange(mixed, "b c t -> b t c")), "b t c -> b c t")


class Patches(nn.Module):
    """A long filter over time, then patches of time over all channels: (B, C, T) -> (B, N, D).

    Both convolutions are matrix products here: the first in blocks of time (`filter_maps`), the second since
    its patches do not overlap.
    """

    def __init__(self, n_chans: int, width: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.temporal = nn.Conv2d(1, 2, (1, kernel))
        self.norm = nn.BatchNorm2d(2)
        self.patch = nn.Conv2d(2, width, (n_chans, stride), stride=(1, stride))

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch token width"]:
        """Filter, norm, LeakyReLU, patches."""
        n_chans, stride = self.patch.kernel_size[0], self.patch.kernel_size[1]
        w = self.temporal.weight[:, 0, 0]                                    # (2, kernel)
        signals = rearrange(x, "b c t -> (b c) 1 t").expand(-1, len(w), -1)
        z = rearrange(filter_maps(signals, w), "(b c) f t -> b f c t", c=n_chans)
        z = z + self.temporal.bias[:, None, None]    # pyright: ignore[reportOptionalSubscript]  (it has one)
        z = F.leaky_relu(self.norm(z), 0.2)
        n_tokens = z.shape[-1] // stride
        patches = rearrange(z[..., : n_tokens * stride], "b f c (n s) -> b n (f c s)", s=stride)
        return F.linear(patches, self.patch.weight.flatten(1), self.patch.bias)


class S3T(nn.Module):
    """Spatial attention over feature channels, tokens of 20 ms, temporal attention, classify.

    It expects the signals of its front end, 16 features of CSP for four classes. With 1000 samples at 250 Hz it
    has 8,684 parameters for (16 features, 4 classes) and 6,504 for (3, 2), as published; the authors' code has ten
    more, a class token that nothing uses.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    width, heads, depth : int
        Width of a token, attention heads, number of encoder blocks.
    kernel, stride, pool : float
        Temporal filter, patch, and the mean of the spatial attention, in s: 51, 5 and 30 samples at 250 Hz.
    drop : float
        Dropout rate of the encoder and the residual; the spatial attention has three fifths of it (0.3 of 0.5).
    official_noop : bool
        See `ChannelAttention`.

    References
    ----------
    Song, Jia, Yang, Xie, Transformer-based spatial-temporal feature learning for EEG decoding,
    arXiv 2106.11170, 2021; code: eeyhsong/EEG-Transformer. The scores are divided by the root of the width, as in
    the code; the paper divides by that of a head's.
    """

    least: ClassVar = {"depth": 0}    # without its temporal part, as an ablation of the paper

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        width: int = 10, heads: int = 5, depth: int = 3, kernel: float = 0.204, stride: float = 0.02,
        pool: float = 0.12, drop: float = 0.5, official_noop: bool = False,
    ) -> None:    # fmt: skip
        super().__init__()
        samples = {"kernel": kernel, "stride": stride, "pool": pool}
        samples = {
            name: max(1, round(more_than_zero(f"model.{name}", length) * sfreq)) for name, length in samples.items()
        }
        for name, number, least in (("width", width, 1), ("heads", heads, 1), ("depth", depth, 0)):
            at_least(f"model.{name}", number, least)
        needed = max(samples["kernel"] + samples["stride"], samples["pool"])
        if n_times < needed:
            raise ValueError(f"S3T needs at least {needed} samples, got {n_times}")
        self.norm0 = nn.LayerNorm(n_times)
        self.spatial = ChannelAttention(
            n_chans, pool=samples["pool"], drop=0.6 * drop, official_noop=official_noop
        )    # fmt: skip
        self.drop = Dropout(drop)
        self.embed = Patches(n_chans, width, kernel=samples["kernel"], stride=samples["stride"])
        self.blocks = nn.Sequential(
            *[Block(width, heads=heads, expand=4, drop=drop, scale=width**-0.5) for _ in range(depth)]
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        z = self.embed(x + self.drop(self.spatial(self.norm0(x))))           # (B, N, D)
        return self.head(self.norm(self.blocks(z).mean(dim=1)))
