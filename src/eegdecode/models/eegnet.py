"""EEGNet (Lawhern et al., 2018)."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import Dropout, MaxNormConv2d, MaxNormLinear, MeanPool, filter_maps, limit_norm

MOMENTUM = 0.1    # of the running statistics, torch's default


class FilterBank(nn.Module):
    """Temporal filters, batch norm, spatial filters of each: EEGNet's first block, (B, C, T) -> (B, F D, T').

    `plain` is the definition. `forward` gives the same with a C/D-th of the arithmetic. All three steps are
    linear (the norm: ``a_f u + b_f``), so channels are mixed first and F D maps are filtered, not F C::

        z_fd = a_f w_f * (s_fd x) + b_f sum_c s_fdc

    The statistics of the norm need no map either. With m and R the mean and the second moment of K
    neighbouring samples over the batch, ``mean_f = w_f m`` and ``var_f = w_f R w_f - mean_f²``.
    """

    def __init__(self, n_chans: int, filters: int, depth: int, length: int) -> None:
        super().__init__()
        self.temporal = nn.Conv2d(1, filters, (1, length), padding=(0, length // 2), bias=False)
        self.norm = nn.BatchNorm2d(filters, momentum=MOMENTUM)
        self.spatial = MaxNormConv2d(
            filters, filters * depth, (n_chans, 1), groups=filters, bias=False, max_norm=1.0
        )    # fmt: skip

    def plain(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch map time2"]:
        """Step by step, as in the paper."""
        return self.spatial(self.norm(self.temporal(rearrange(x, "b c t -> b 1 c t")))).squeeze(2)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """R and m of each trial, (B, K, K + 1): no parameter enters, so that they serve every epoch."""
        length = self.temporal.weight.shape[-1]
        m, R = lag_moments(F.pad(x, (length // 2, length // 2)), length)
        return torch.cat([R, m[:, :, None]], dim=2)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch map time2"]:    # fmt: skip
        """Mix channels, filter in time, then scale as the norm would have done."""
        w = self.temporal.weight[:, 0, 0]                                                # (F, K)
        s = limit_norm(self.spatial.weight, self.spatial.max_norm)[:, 0, :, 0]           # (F D, C)
        depth = len(s) // len(w)
        mean, var = self._statistics(x, w, memory)
        scale = self.norm.weight * (var + self.norm.eps).rsqrt()                         # (F,)
        shift = self.norm.bias - scale * mean
        scale, shift = (v.repeat_interleave(depth, dim=0)[:, None] for v in (scale, shift))
        z = s.expand(len(x), -1, -1) @ x    # `s @ x` would copy x, to make one product of all trials
        half = w.shape[1] // 2
        z = filter_maps(z, scale * w.repeat_interleave(depth, dim=0), before=half, after=half)
        return z + shift * s.sum(1, keepdim=True)

    def _statistics(self, x: Tensor, w: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of each temporal filter's output, (F,): of the batch in training, else the running."""
        norm = self.norm
        if not norm.training:
            return norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        now = (self.remember(x) if memory is None else memory).mean(0)
        R, m = now[:, :-1], now[:, -1]
        mean = w @ m
        var = ((w @ R) * w).sum(1) - mean**2
        count = x.shape[0] * x.shape[1] * (x.shape[2] + 1 - w.shape[1] % 2)
        with torch.no_grad():    # as nn.BatchNorm2d does it, the running variance unbiased
            for name, now in (("running_mean", mean), ("running_var", var * (count / (count - 1)))):
                norm.get_buffer(name).mul_(1 - MOMENTUM).add_(MOMENTUM * now)
            norm.get_buffer("num_batches_tracked").add_(1)
        return mean, var


@torch.no_grad()
def lag_moments(
    x: Float[Tensor, "batch chan padded"], length: int
) -> tuple[Float[Tensor, "batch lag"], Float[Tensor, "batch lag lag2"]]:    # fmt: skip
    """Mean m_i and second moment R_ij of x[t + i], x[t + j] over channels and t, for each trial.

    R_{i,i+l} is the autocorrelation at lag l less the products that begin before i or after the last t + i.
    The first comes from one Fourier transform, the others from the first and last 2 L samples.
    """
    n_times = x.shape[-1] - length + 1
    count = x.shape[1] * n_times
    sums = F.pad(x.sum(1).double().cumsum(1), (1, 0))
    m = (sums[:, n_times:][:, :length] - sums[:, :length]) / count
    n_fft = 1 << (x.shape[-1] + length - 1).bit_length()
    power = torch.view_as_real(torch.fft.rfft(x, n_fft)).square().sum((1, 3)).double()
    whole = torch.fft.irfft(power, n_fft)[:, :length]                                    # r(l)
    begin = _diagonal_sums(x[..., : 2 * length], length)
    end = _diagonal_sums(x.flip(-1)[..., : 2 * length], length)
    i = torch.arange(length, device=x.device)
    lag = (i[None, :] - i[:, None]).abs()                                                # l = |j - i|
    first = torch.minimum(i[:, None], i[None, :])
    last = length - 1 - torch.maximum(i[:, None], i[None, :])
    R = whole[:, lag] - begin[:, first, lag] - end[:, last, lag]
    return m.to(x.dtype), (R / count).to(x.dtype)


def _diagonal_sums(edge: Float[Tensor, "batch chan edge"], length: int) -> Float[Tensor, "batch begin lag"]:
    """Sum of x[s] x[s + l] over channels and s < n, for every n and lag l below ``length``."""
    edge = F.pad(edge, (0, max(0, 2 * length - edge.shape[-1]))).double()
    gram = edge.mT @ edge                                                                # (B, 2 L, 2 L)
    s = torch.arange(length, device=edge.device)
    products = gram[:, s[:, None], s[:, None] + s[None, :]]                              # (B, s, l)
    return F.pad(products.cumsum(1), (0, 0, 1, 0))[:, :length]


class Separable(nn.Sequential):
    """A filter over time for each map, then mixtures of maps: (B, D, T) -> (B, D, T')."""

    def __init__(self, maps: int, length: int) -> None:
        time = nn.Conv1d(maps, maps, length, padding=length // 2, groups=maps, bias=False)
        super().__init__(time, nn.Conv1d(maps, maps, 1, bias=False))

    def forward(self, input: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map time2"]:
        """Filter as matrix products, which takes half the time of a depthwise convolution."""
        weight = cast(nn.Conv1d, self[0]).weight[:, 0]
        half = weight.shape[1] // 2
        return self[1](filter_maps(input, weight, before=half, after=half))


class EEGNet(nn.Module):
    """Temporal filters, spatial filters of each, a separable convolution, classify.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; sets the length of the temporal kernel.
    filters, depth : int
        F1 temporal filters, and D spatial filters for each of them: EEGNet-F1,D.
    kernel : float
        Length of the temporal kernel in s; the paper takes half a second, so that 2 Hz can be seen.
    drop : float
        Dropout rate; the paper takes 0.5 within and 0.25 across subjects.

    References
    ----------
    Lawhern et al., EEGNet: a compact convolutional neural network for EEG-based brain-computer interfaces,
    J. Neural Eng. 15, 2018, table 2.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 8, depth: int = 2, kernel: float = 0.5, drop: float = 0.25,
    ) -> None:    # fmt: skip
        super().__init__()
        maps = filters * depth
        length = max(2, round(kernel * sfreq))
        if n_times < 32:
            raise ValueError(f"EEGNet pools time by 32: it needs at least 32 samples, got n_times={n_times}")
        self.bank = FilterBank(n_chans, filters, depth, length)
        self.squash1 = nn.Sequential(nn.BatchNorm1d(maps), nn.ELU(inplace=True), MeanPool(4), Dropout(drop))
        self.separable = Separable(maps, 16)
        self.squash2 = nn.Sequential(nn.BatchNorm1d(maps), nn.ELU(inplace=True), MeanPool(8), Dropout(drop))
        samples = n_times + 1 - length % 2                     # an even kernel adds one sample
        self.head = MaxNormLinear(maps * ((samples // 4 + 1) // 8), n_classes, max_norm=0.25)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.squash1(self.bank(x, memory))                 # (B, F D, T / 4)
        z = self.squash2(self.separable(z))                    # (B, F D, T / 32)
        return self.head(rearrange(z, "b d n -> b (d n)"))
