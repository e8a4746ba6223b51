"""The spatial-temporal Transformer: attention over channels, then over patches of time."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.block import Block
from eegdecode.models.layers import Dropout, TimeFilter


class SpatialAttention(nn.Module):
    """Channels attend to each other by the likeness of their time courses (Song et al., 2021, section 3.2).

    ``out = x + W (softmax(q kᵀ / √T) x)`` with q = Wq x, k = Wk x: every channel becomes a mixture of
    channels, weighted by what this very trial looks like. Here the score (m, c) is summed over c, the axis
    on which it was normalised *by the query m*. The authors' code sums over the queries instead and gets
    the input back, whatever q and k are.

    Unlike the paper, q and k are taken from the standardised time courses at the full rate: averaging 30
    samples first, as the paper does, leaves nothing of a rhythm above sfreq / 30.
    """

    def __init__(self, n_chans: int, *, drop: float) -> None:
        super().__init__()
        self.query = nn.Linear(n_chans, n_chans, bias=False)
        self.key = nn.Linear(n_chans, n_chans, bias=False)
        self.mix = nn.Linear(n_chans, n_chans, bias=False)
        self.drop = Dropout(drop)
        for layer in (self.query, self.key, self.mix):
            nn.init.xavier_normal_(layer.weight)

    @staticmethod
    def remember(x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch chan chan"]:
        """Likeness of the channels, z zᵀ / √T of standardised z: no parameter enters, so it serves every epoch."""
        z = F.layer_norm(x, x.shape[-1:])                                    # every channel: mean 0, deviation 1
        return z @ z.mT / math.sqrt(x.shape[-1])

    def weights(self, like: Float[Tensor, "batch chan chan"]) -> Float[Tensor, "batch chan chan"]:
        """How much each channel (row) takes from each (column); rows sum to one."""
        return (self.query.weight @ like @ self.key.weight.mT).softmax(dim=-1)   # = softmax(q kᵀ / √T)

    def forward(
        self, x: Float[Tensor, "batch chan time"], like: Float[Tensor, "batch chan chan"] | None = None
    ) -> Float[Tensor, "batch chan time"]:    # fmt: skip
        """Add to each channel its mixture of channels."""
        weights = self.weights(self.remember(x) if like is None else like)
        return x + (self.mix.weight @ self.drop(weights)) @ x


class PatchEmbedding(nn.Module):
    """Spatial filter, temporal filter, then the log power of patches of time: tokens (B, N, D).

    A filter over channels and one over time commute, so channels are mixed first: D maps instead of C are
    filtered. Squaring and averaging turns a map into its band power, what motor imagery and steady-state
    potentials are read from (Schirrmeister et al., 2017). The long kernel and the overlap of patches tell
    the tokens apart as a position code does (Song et al., 2021).
    """

    def __init__(self, n_chans: int, width: int, *, kernel: int, patch: int, stride: int, drop: float) -> None:
        super().__init__()
        self.spatial = nn.Conv1d(n_chans, width, 1, bias=False)
        self.temporal = TimeFilter(width, kernel)
        self.norm = nn.BatchNorm1d(width)
        self.pool = nn.AvgPool1d(patch, stride)
        self.drop = Dropout(drop)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch token width"]:
        """Log band power of each patch."""
        z = self.norm(self.temporal(self.spatial(x)))                        # (B, D, T)
        z = self.pool(z.square()).clamp(min=1e-6).log()                      # (B, D, N)
        return rearrange(self.drop(z), "b d n -> b n d")


class STTransformer(nn.Module):
    """Spatial attention, patches of time, temporal attention, classify.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    width, heads, depth, expand : int
        Width of a token, attention heads, number of blocks, width of the feed-forward as a multiple.
    kernel, patch, stride : float
        Temporal filter, patch, and distance between patches, in s. A shorter trial is one patch.
    drop : float
        Dropout rate everywhere.

    References
    ----------
    Song, Jia, Yang, Xie, Transformer-based spatial-temporal feature learning for EEG decoding,
    arXiv 2106.11170, 2021.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        width: int = 40, heads: int = 4, depth: int = 2, expand: int = 2,
        kernel: float = 0.25, patch: float = 1.0, stride: float = 0.25, drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        samples = {"kernel": kernel, "patch": patch, "stride": stride}
        samples = {name: max(1, round(length * sfreq)) for name, length in samples.items()}
        samples["patch"] = min(samples["patch"], n_times)
        self.spatial = SpatialAttention(n_chans, drop=drop)
        self.embed = PatchEmbedding(n_chans, width, **samples, drop=drop)
        self.blocks = nn.Sequential(*[Block(width, heads=heads, expand=expand, drop=drop) for _ in range(depth)])
        n_tokens = (n_times - samples["patch"]) // samples["stride"] + 1
        self.position = nn.Parameter(torch.randn(n_tokens, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch chan chan"]:
        """What `forward` takes as ``memory``: see `SpatialAttention.remember`."""
        return self.spatial.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch chan chan"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.embed(self.spatial(x, memory)) + self.position              # (B, N, D)
        return self.head(self.norm(self.blocks(z)).mean(dim=1))
