"""Stems: signals (B, C, T) become patches of time as tokens (B, N, D).

========= ====================================================================================
fourier   log power of spatial filters in each patch, a weight for every frequency
conv      log power after temporal filters of several lengths (Schirrmeister et al., 2017)
linear    a linear map of each patch's samples after spatial filters (Dosovitskiy et al., 2021)
========= ====================================================================================

Each first mixes channels by filters (D, C), which the network may bend for each trial to (B, D, C).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.filters import TimeFilter
from eegdecode.models.layers import Dropout, check_settings, choose, more_than_zero, samples
from eegdecode.models.norms import BatchNorm

Signals = Float[Tensor, "batch chan time"]
Tokens = Float[Tensor, "batch token width"]
Coefficients = Float[Tensor, "batch token part freq chan"]
Bend = Callable[[Tensor], Tensor] | None    # filters (D, C) -> those of each trial (B, D, C)
Seen = Bool[Tensor, "batch time"] | None    # samples that are no padding, which holds zeros

SPATIAL_PACE, SPECTRAL_PACE = 10.0, 30.0    # see `Stem.filters`; of 1-10 and 1-30 the fastest was the best
LEAST = 1e-6    # power of a patch, in units of the front end's variance, below which all is silence


class Stem(nn.Module):
    """What stems share: their patches, and spatial filters.

    Adam moves every number by about the rate, however small it is. So what shall learn fast is stored
    divided by a pace and multiplied by it where it is used (Karras et al., 2018, equalised learning rate).

    Parameters
    ----------
    n_chans, n_times, width : int
        C, T and D.
    sfreq : float
        Sampling rate in Hz.
    patch, stride : float
        Length of a patch and distance between patches in s. A shorter trial is one patch.
    drop : float
        Dropout rate of the tokens.
    """

    def __init__(
        self, n_chans: int, n_times: int, width: int, sfreq: float, *, patch: float, stride: float, drop: float
    ) -> None:    # fmt: skip
        super().__init__()
        self.patch = samples("model.patch", patch, sfreq, n_times=n_times, least=2)
        self.stride = samples("model.stride", stride, sfreq, n_times=n_times, cut=False)
        self.n_tokens = (n_times - self.patch) // self.stride + 1
        self.spatial = nn.Parameter(torch.randn(width, n_chans) / math.sqrt(n_chans) / SPATIAL_PACE)
        self.drop = Dropout(drop)

    def coefficients(self, x: Signals) -> Tensor:
        """What `forward` takes: the signals, or what can be made of them without a parameter."""
        return x

    def filters(self, bend: Bend) -> Float[Tensor, "*batch width chan"]:
        """Spatial filters; of trials whose channels attend to each other, those of the mixture."""
        filters = SPATIAL_PACE * self.spatial
        return filters if bend is None else bend(filters)


class FourierStem(Stem):
    """Log of the power that a spatial filter u and a response h pass in each patch, ``log sum_f |h_f|^2 |u X_f|^2``.

    X_f are the Fourier coefficients under a Hann window around the middle of the patch. A temporal filter as long as
    the window is a factor h_f for each frequency, and the coefficients have no parameter, so that training computes
    them once. h_f is complex: power knows nothing of its phase, but a real factor cannot leave zero, where its
    gradient is zero. A training step on (22, 1000) takes an eighth of the time that it takes with `ConvStem` (one
    thread).

    A window of two patches tells frequencies half as far apart, and the first and the last see the ends of a trial,
    through which a window of one patch fades. On all subjects, five seeds: `ssvep_exo` across subjects 69.7 % against
    66.4, `mi_openbci` 72.5 against 73.7, simulated imagery 63.7 against 66.2: what helps a flicker costs a rhythm that
    comes and goes (without position code). So it is an option, ``+model.stem_options.windows=2``.

    Parameters
    ----------
    fmax : float
        Highest frequency in Hz.
    windows : float or sequence of float
        Length of the windows as a multiple of the patch; with several lengths each serves its share of the maps.
    """

    def __init__(
        self, n_chans: int, n_times: int, width: int, sfreq: float, *, fmax: float = 45.0,
        windows: float | Sequence[float] = 1.0, **patches,
    ) -> None:    # fmt: skip
        super().__init__(n_chans, n_times, width, sfreq, **patches)
        several = [windows] if isinstance(windows, int | float | str) else list(windows)
        if not several or not all(isinstance(of, int | float) and of >= 1 for of in several):
            raise ValueError(f"model.stem_options.windows must be one or several numbers of at least 1, got {windows}")
        margins = [round((of - 1) / 2 * self.patch) for of in several]
        self.margin, self.lengths = max(margins), [self.patch + 2 * margin for margin in margins]
        if self.margin > n_times:
            raise ValueError(
                f"model.stem_options.windows={max(several):g}: from {2 * n_times / self.patch + 1:.3g} patches on, a "
                f"window around any patch sees the whole trial of {n_times / sfreq:.3g} s; take less"
            )
        more_than_zero("model.stem_options.fmax", fmax)
        limit = min(fmax, 0.45 * sfreq)                     # an anti-aliasing filter ends before the Nyquist rate
        self.bins = [int(limit * length / sfreq) for length in self.lengths]
        if min(self.bins) < 1:
            first = f"a patch of {self.patch / sfreq:.3g} s tells {sfreq / self.patch:.3g} Hz at first"
            ways = ["raise it"] * (self.patch * 0.45 >= 1)    # else the first is above all that may be taken
            ways += ["lengthen model.patch" if self.patch < n_times else "take longer trials (preprocess.tmax)"]
            raise ValueError(f"model.stem_options.fmax={fmax} Hz leaves no frequency: what is taken ends at "
                             f"{limit:.3g} Hz, and {first}; {' or '.join(ways)}")    # fmt: skip
        self.shares = [len(part) for part in torch.arange(width).tensor_split(len(several))]
        self.shape = (self.n_tokens, 2, sum(self.bins), n_chans)
        self.response = nn.ParameterList(
            torch.randn(2, last, share) / math.sqrt(2 * last) / SPECTRAL_PACE
            for last, share in zip(self.bins, self.shares, strict=True)
        )

    def coefficients(self, x: Signals) -> Coefficients:
        """Fourier coefficients of each window, real and imaginary part; squared and added they are its variance."""
        padded, parts = F.pad(x, (self.margin, self.margin)), []
        for length, last in zip(self.lengths, self.bins, strict=True):
            begin = self.margin - (length - self.patch) // 2
            window = torch.hann_window(length, device=x.device)
            window = window * math.sqrt(2 / length) / window.norm()
            pieces = padded[..., begin : padded.shape[-1] - begin].unfold(2, length, self.stride)
            parts.append(torch.view_as_real(torch.fft.rfft(pieces * window)[..., 1 : last + 1]))
        return rearrange(torch.cat(parts, dim=3), "b c n f p -> b n p f c").contiguous()

    def forward(self, X: Coefficients, bend: Bend = None, seen: Seen = None) -> Tokens:
        """Log power of each patch and map."""
        filters, powers = self.filters(bend).split(self.shares, dim=-2), []
        for part, u, response in zip(X.split(self.bins, dim=3), filters, self.response, strict=True):
            Z = part.flatten(1, 3) @ u.mT                                    # (B, N 2 F, D)
            power = Z.unflatten(1, part.shape[1:4]).square().sum(2)          # (B, N, F, D)
            weights = (SPECTRAL_PACE * response).square().sum(0)             # (F, D)
            powers.append((power * weights).sum(2))
        return self.drop(torch.cat(powers, dim=-1).clamp(min=LEAST).log())


class ConvStem(Stem):
    """Log power after temporal filters of several lengths, each for its share of the maps.

    A filter over channels and one over time commute, so channels are mixed first: D maps instead of C are
    filtered. Squaring and averaging turns a map into its band power, what motor imagery and steady-state
    potentials are read from (Schirrmeister et al., 2017).

    Parameters
    ----------
    kernels : float or sequence of float
        Lengths of the temporal filters in s.
    """

    def __init__(
        self, n_chans: int, n_times: int, width: int, sfreq: float, *,
        kernels: float | Sequence[float] = (0.25, 1.0), **patches,
    ) -> None:    # fmt: skip
        super().__init__(n_chans, n_times, width, sfreq, **patches)
        several = [kernels] if isinstance(kernels, int | float | str) else list(kernels)
        if not several:
            raise ValueError(f"model.stem_options.kernels must be one or several lengths in s, got {kernels}")
        several = [more_than_zero("model.stem_options.kernels", seconds) for seconds in several]
        self.shares = [len(part) for part in torch.arange(width).tensor_split(len(several))]
        lengths = [min(n_times, max(1, round(seconds * sfreq))) for seconds in several]
        self.temporal = nn.ModuleList(map(TimeFilter, self.shares, lengths))
        self.norm = BatchNorm(width)
        self.pool = nn.AvgPool1d(self.patch, self.stride)

    def forward(self, x: Signals, bend: Bend = None, seen: Seen = None) -> Tokens:
        """Log band power of each patch."""
        z = (self.filters(bend) @ x).split(self.shares, dim=1)
        z = torch.cat([filtered(part) for filtered, part in zip(self.temporal, z, strict=True)], dim=1)
        z = self.norm(z.mT, seen).mT                                         # (B, D, T)
        z = self.pool(z.square()).clamp(min=LEAST).log()                     # (B, D, N)
        return self.drop(rearrange(z, "b d n -> b n d"))


class LinearStem(Stem):
    """A linear map of the samples of each patch after spatial filters: waveforms, such as of evoked potentials."""

    def __init__(self, n_chans: int, n_times: int, width: int, sfreq: float, **patches) -> None:
        super().__init__(n_chans, n_times, width, sfreq, **patches)
        self.temporal = nn.Parameter(torch.randn(width, self.patch) / math.sqrt(self.patch))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Signals, bend: Bend = None, seen: Seen = None) -> Tokens:
        """One number of each patch and map."""
        patches = (self.filters(bend) @ x).unfold(2, self.patch, self.stride)              # (B, D, N, P)
        return self.drop(torch.einsum("bdnp,dp->bnd", patches, self.temporal) + self.bias)


STEMS = {"fourier": FourierStem, "conv": ConvStem, "linear": LinearStem}


def make_stem(stem: str, options: Mapping[str, Any] | None, **ours: Any) -> Stem:
    """Build the stem that a word of a config names (``model.stem``), with more settings of its own or none."""
    kind, options = choose("model.stem", stem, STEMS), options or {}
    check_settings(f"model.stem={stem}", kind, options, beside=tuple(ours))
    return kind(**ours, **options)
