"""EEGNet's blocks, which many networks begin with, and the pair of convolutions that ShallowConvNet begins with."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.filters import fast_length, filter_maps
from eegdecode.models.layers import Dropout, MeanPool, exactly, limit_norm, samples, wide

MOMENTUM = 0.1    # of the running statistics, torch's default


class FilterBank(nn.Module):
    """Temporal filters, batch norm, spatial filters of each: EEGNet's first block, (B, C, T) -> (B, F D, T').

    `plain` is the definition. `forward` gives the same with a C/D-th of the arithmetic. All three steps are
    linear (the norm: ``a_f u + b_f``), so channels are mixed first and F D maps are filtered, not F C::

        z_fd = a_f w_f * (s_fd x) + b_f sum_c s_fdc

    The statistics of the norm need no map either. With m and R the mean and the second moment of K
    neighbouring samples over the batch, ``mean_f = w_f m`` and ``var_f = w_f R w_f - mean_f²``.

    Parameters
    ----------
    filters, depth, length : int
        F temporal filters of so many samples, and D spatial filters for each.
    same : bool
        Whether T' is T, as Keras pads; else half the length is padded on both sides, so that an even one adds a sample.
    max_norm : float or None
        Limit of the norm of a spatial filter.
    """

    def __init__(
        self, n_chans: int, filters: int, depth: int, length: int, *, same: bool = False, max_norm: float | None = 1.0
    ) -> None:    # fmt: skip
        super().__init__()
        self.temporal: nn.Module = nn.Conv2d(1, filters, (1, length), bias=False)
        self.norm = nn.BatchNorm2d(filters, momentum=MOMENTUM)
        self.spatial = nn.Conv2d(filters, filters * depth, (n_chans, 1), groups=filters, bias=False)
        self.max_norm, self.length = max_norm, length
        self.pads = ((length - 1) // 2 if same else length // 2, length // 2)

    def temporal_filters(self) -> Float[Tensor, "filter lag"]:
        """Weights over time, (F, K)."""
        return cast(nn.Conv2d, self.temporal).weight[:, 0, 0]

    def spatial_filters(self) -> Float[Tensor, "map 1 chan 1"]:
        """Weights over channels, their norms limited."""
        weight = self.spatial.weight
        return weight if self.max_norm is None else limit_norm(weight, self.max_norm)

    def plain(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch map time2"]:
        """Step by step, as in the papers."""
        z = F.conv2d(F.pad(rearrange(x, "b c t -> b 1 c t"), self.pads), self.temporal_filters()[:, None, None])
        return F.conv2d(self.norm(z), self.spatial_filters(), groups=z.shape[1]).squeeze(2)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """R and m of each trial, (B, K, K + 1): no parameter enters, so that they serve every epoch."""
        m, R = lag_moments(F.pad(wide(x), self.pads), self.length)
        return torch.cat([R, m[:, :, None]], dim=2)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch map time2"]:    # fmt: skip
        """Mix channels, filter in time, then scale as the norm would have done."""
        w = self.temporal_filters()                                                      # (F, K)
        s = self.spatial_filters()[:, 0, :, 0]                                           # (F D, C)
        depth = len(s) // len(w)
        with exactly(x):
            mean, var = self._statistics(x, w, memory)
        scale = self.norm.weight * (var + self.norm.eps).rsqrt()                         # (F,)
        shift = self.norm.bias - scale * mean
        scale, shift = (v.repeat_interleave(depth, dim=0)[:, None] for v in (scale, shift))
        z = s.expand(len(x), -1, -1) @ x    # `s @ x` would copy x, to make one product of all trials
        z = filter_maps(z, scale * w.repeat_interleave(depth, dim=0), before=self.pads[0], after=self.pads[1])
        return z + shift * s.sum(1, keepdim=True)

    def _statistics(self, x: Tensor, w: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of each temporal filter's output, (F,): of the batch in training, else the running."""
        norm = self.norm
        if not norm.training:
            return norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        # of a batch that nobody remembers one R, as if its trials were channels: one of each would cost ten times that
        now = self.remember(rearrange(x, "b c t -> 1 (b c) t"))[0] if memory is None else memory.mean(0)
        R, m = now[:, :-1], now[:, -1]
        mean = w @ m
        var = ((w @ R) * w).sum(1) - mean**2
        count = x.shape[0] * x.shape[1] * (x.shape[2] + sum(self.pads) + 1 - self.length)
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
    n_fft = fast_length(x.shape[-1] + length - 1)
    spectrum = torch.fft.rfft(x, n_fft)
    power = (spectrum.real.square() + spectrum.imag.square()).sum(1).double()
    whole = torch.fft.irfft(power, n_fft)[:, :length]                                    # r(l)
    begin = _diagonal_sums(x[..., : 2 * length], length)
    end = _diagonal_sums(x[..., -2 * length :].flip(-1), length)
    i = torch.arange(length, device=x.device)
    lag = (i[None, :] - i[:, None]).abs()                                                # l = |j - i|
    first = torch.minimum(i[:, None], i[None, :])
    last = length - 1 - torch.maximum(i[:, None], i[None, :])
    R = whole[:, lag] - begin[:, first, lag] - end[:, last, lag]
    return m.to(x.dtype), (R / count).to(x.dtype)


def _diagonal_sums(edge: Float[Tensor, "batch chan edge"], length: int) -> Float[Tensor, "batch begin lag"]:
    """Sum of x[s] x[s + l] over channels and s < n, for every n and lag l below ``length``."""
    edge = F.pad(edge, (0, max(0, 2 * length - edge.shape[-1]))).double()
    gram = edge[..., :length].mT @ edge                                                  # (B, L, 2 L)
    s = torch.arange(length, device=edge.device)
    products = gram[:, s[:, None], s[:, None] + s[None, :]]                              # (B, s, l)
    return F.pad(products.cumsum(1), (0, 0, 1, 0))[:, :length]


class Squash(nn.Sequential):
    """Norm, ELU, mean of neighbouring samples, dropout: (B, D, T) -> (B, D, T / size)."""

    def __init__(self, maps: int, size: int, *, drop: float) -> None:
        super().__init__(nn.BatchNorm1d(maps), nn.ELU(inplace=True), MeanPool(size), Dropout(drop))


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


class SameConv(nn.Conv1d):
    """A convolution over time that leaves as many samples as there were, padded as Keras does."""

    def forward(self, input: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map2 time"]:
        """Pad, one more after than before if the kernel is even, and convolve."""
        length = self.kernel_size[0]
        return super().forward(F.pad(input, ((length - 1) // 2, length // 2)))


class ConvBlock(nn.Module):
    """EEGNet without its head, (B, C, T) -> (B, F D, N): what EEG-TCNet, ATCNet and CTNet begin with.

    The first pool brings signals to a rate in which the second kernel and the second pool are counted (31 Hz, where
    8 samples at 250 Hz are averaged). A pool that is longer than its signal is cut to it.

    Parameters
    ----------
    filters, depth : int
        F temporal filters, and D spatial filters for each.
    kernel, pool1 : float
        Length of the temporal filters and of the first pool in s.
    pool2 : int
        Samples of the second pool.
    separable : bool
        A second convolution over each map and then over maps, as in EEGNet, or over all at once.
    max_norm : float or None
        Limit of the norm of a spatial filter.
    """

    def __init__(
        self, n_chans: int, n_times: int, sfreq: float, *, filters: int, depth: int, kernel: float, pool1: float,
        pool2: int, drop: float, separable: bool, max_norm: float | None,
    ) -> None:    # fmt: skip
        super().__init__()
        maps, length = filters * depth, samples("model.kernel", kernel, sfreq, n_times=n_times, least=2, cut=False)
        self.bank = FilterBank(n_chans, filters, depth, length, same=not separable, max_norm=max_norm)
        n = n_times + sum(self.bank.pads) + 1 - length
        size = samples("model.pool", pool1, sfreq, n_times=n)
        self.squash1 = Squash(maps, size, drop=drop)
        self.conv = Separable(maps, 16) if separable else SameConv(maps, maps, 16, bias=False)
        n = n // size + separable                                            # an even kernel adds one sample
        self.squash2 = Squash(maps, min(pool2, n), drop=drop)
        self.n_tokens = n // min(pool2, n)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch map token"]:    # fmt: skip
        """Filter in time and space, then in time again."""
        return self.squash2(self.conv(self.squash1(self.bank(x, memory))))


class TimeSpaceConv(nn.Module):
    """Convolve over time, then over all channels and filters: (B, C, T) -> (B, D, T - K + 1).

    Nothing stands between the two, so that they are one convolution, with ``W_dck = sum_f s_dfc w_fk``: two fifths of
    the arithmetic for 40 filters of 25 samples and 22 channels. A batch norm follows, to which the biases mean nothing;
    they are there as in the papers' code.

    Parameters
    ----------
    length : int
        Samples of a temporal filter.
    bias : bool
        Whether the second convolution has a bias too.
    """

    def __init__(self, n_chans: int, filters: int, length: int, *, bias: bool) -> None:
        super().__init__()
        self.temporal = nn.Conv2d(1, filters, (1, length))
        self.spatial = nn.Conv2d(filters, filters, (n_chans, 1), bias=bias)

    def plain(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch map time2"]:
        """One after the other, as in the papers."""
        return self.spatial(self.temporal(rearrange(x, "b c t -> b 1 c t"))).squeeze(2)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch map time2"]:
        """Both at once."""
        s, w = self.spatial.weight[..., 0], self.temporal.weight[:, 0, 0]    # (D, F, C), (F, K)
        bias = s.sum(2) @ cast(Tensor, self.temporal.bias)
        bias = bias if self.spatial.bias is None else bias + self.spatial.bias
        return F.conv1d(x, torch.einsum("dfc,fk->dck", s, w).to(x.dtype), bias.to(x.dtype))
