"""What changes a training trial: functions of signals (R, B, C, T) and of numbers for each trial, (R, B).

Definitions after Rommel, Paillard, Moreau, Gramfort, Data augmentation for learning predictive models on EEG: a
systematic comparison, J. Neural Eng. 19, 2022, where no other source is named. Nothing here draws a random number.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Signals = Float[Tensor, "run batch chan time"]
Each = Float[Tensor, "run batch"]
EachInt = Int[Tensor, "run batch"]

FLANK = 0.02    # s: a mask closes from 88 to 12 % within four of these; no edge that a filter would ring at


def shift_time(x: Signals, samples: EachInt) -> Signals:
    """Move each trial to later samples; what comes in at an edge is the signal mirrored there."""
    return _take(x, torch.arange(x.shape[-1], device=x.device) - samples[..., None], x.shape[-1])


def crop_time(x: Signals, start: EachInt, length: int) -> Signals:
    """Begin each trial at a sample of its own and keep ``length``; the rest is these samples mirrored.

    Networks take trials of one length, so that a crop (Schirrmeister et al., 2017) must be filled up.
    """
    places = torch.arange(x.shape[-1], device=x.device).expand(*start.shape, -1)
    return _take(x, _fold(places, length) + start[..., None], x.shape[-1])


def _take(x: Signals, places: Int[Tensor, "run batch time"], n_times: int) -> Signals:
    return x.gather(-1, _fold(places, n_times)[:, :, None].expand_as(x))


def _fold(places: Tensor, n_times: int) -> Tensor:
    """Places on an endless signal that is mirrored at its first and last sample."""
    period = max(1, 2 * (n_times - 1))
    places = places % period
    return torch.minimum(places, period - places)


def add_noise(x: Signals, noise: Signals, share: float) -> Signals:
    """Add noise of deviation 1, scaled to a share of the deviation of each trial's channel (Wang et al., 2018)."""
    return x + share * x.std(-1, keepdim=True, correction=0) * noise


def scale(x: Signals, factor: Each) -> Signals:
    """Multiply each trial."""
    return x * factor[..., None, None]


def drop_channels(x: Signals, kept: Bool[Tensor, "run batch chan"], rate: float) -> Signals:
    """Zero whole channels (Saeed et al., 2021) and scale the others up, as dropout does: their sum stays the same.

    All trials that a network sees later have all channels.
    """
    return x * kept[..., None] / (1 - rate)


def shift_frequency(x: Signals, hertz: Each, sfreq: float) -> Signals:
    """Move the spectrum of each trial: Re(a(t) exp(2 pi i f t)) of the analytic signal a."""
    n_times = x.shape[-1]
    once = torch.zeros(n_times, device=x.device)    # negative frequencies
    once[: n_times // 2 + 1] = 2                    # positive ones; the two that have no sign stay
    once[0] = 1
    if n_times % 2 == 0:
        once[n_times // 2] = 1
    analytic = torch.fft.ifft(torch.fft.fft(x) * once)
    phase = 2 * math.pi * hertz[..., None] * torch.arange(n_times, device=x.device) / sfreq
    return (analytic * torch.polar(torch.ones_like(phase), phase)[:, :, None]).real


def turn_phases(x: Signals, phases: Float[Tensor, "run batch frequency"]) -> Signals:
    """Add a phase to each frequency, the same in all channels: a Fourier surrogate (Schwabedal et al., 2018).

    The spectrum and the coherence of channels stay; when something happened is lost. ``phases`` has T // 2 + 1
    frequencies, of which the mean, and for even T the last one, have no phase to turn.
    """
    n_times = x.shape[-1]
    free = torch.ones(phases.shape[-1], device=x.device)
    free[0] = 0
    if n_times % 2 == 0:
        free[-1] = 0
    turn = torch.polar(torch.ones_like(phases), phases * free)
    return torch.fft.irfft(torch.fft.rfft(x) * turn[:, :, None], n=n_times)


def mask_time(x: Signals, start: Each, length: float, sfreq: float) -> Signals:
    """Fade each trial out at ``start`` s and in again ``length`` s later (Mohsenvand et al., 2020), by two sigmoids."""
    time = torch.arange(x.shape[-1], device=x.device) / sfreq - start[..., None]
    open_ = torch.sigmoid(-time / FLANK) + torch.sigmoid((time - length) / FLANK)
    return x * open_[:, :, None]
