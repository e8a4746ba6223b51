"""What sources do in time: coloured noise, rhythms that come and go, desynchronisation, blinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

Signals = Float[np.ndarray, "series time"]


@dataclass(frozen=True)
class Clock:
    """A stretch of time: how many samples, at which rate in Hz."""

    n_times: int
    sfreq: float

    def frequencies(self) -> Float[np.ndarray, " freq"]:
        """Frequencies of the stretch's Fourier transform, in Hz."""
        return fft.rfftfreq(self.n_times, 1 / self.sfreq)


def coloured(
    rng: np.random.Generator, clock: Clock, densities: Sequence[Float[np.ndarray, " freq"]]
) -> Signals:
    """Gaussian noise with one power spectrum a series, each with an expected power of one.

    The numbers drawn are of float32, which is faster; what is computed with them is float64, see `digitised` in
    ``simulation.py``.
    """
    amplitude = np.sqrt(np.asarray(densities))
    amplitude /= np.linalg.norm(amplitude, axis=1, keepdims=True)
    parts = rng.standard_normal((2, *amplitude.shape), dtype=np.float32) / 2
    return np.asarray(fft.irfft((parts[0] + 1j * parts[1]) * amplitude, n=clock.n_times, norm="forward"))


def one_over_f(clock: Clock, exponent: float, *, lowest: float = 0.5) -> Float[np.ndarray, " freq"]:
    """Power density ``1 / f ** exponent`` above the amplifier's high-pass at ``lowest`` Hz, none below."""
    f = clock.frequencies()
    return np.where(f < lowest, 0.0, np.maximum(f, lowest) ** -exponent)


def peak(clock: Clock, centre: float, width: float) -> Float[np.ndarray, " freq"]:
    """Power density of a rhythm: a bell around ``centre`` with a deviation of ``width``, both in Hz."""
    return np.exp(-0.5 * ((clock.frequencies() - centre) / width) ** 2)


def waxing(rng: np.random.Generator, clock: Clock, n_series: int, spread_db: float) -> Signals:
    """Amplitudes that wax and wane over seconds, whatever the task, by a deviation of ``spread_db``."""
    slow = clock.frequencies() < 0.3
    slow[0] = False
    return from_db(spread_db * coloured(rng, clock, [slow.astype(float)] * n_series))


def from_db(power: np.ndarray) -> np.ndarray:
    """Amplitude factor of a change of power in dB."""
    return 10 ** (power / 20)


def trapezium(clock: Clock, start: float, stop: float, ramp: float) -> Float[np.ndarray, " time"]:
    """Rise from 0 at ``start`` to 1 within ``ramp``, and be back at 0 at ``stop``; smooth, all in s."""
    t = np.arange(clock.n_times) / clock.sfreq
    edge = np.minimum(t - start, stop - t) / ramp
    return 0.5 - 0.5 * np.cos(np.pi * edge.clip(0, 1))


def blinks(
    rng: np.random.Generator, clock: Clock, *, rate: float, length: float
) -> Float[np.ndarray, "1 time"]:
    """Eyelid closures of about ``length`` s at ``rate`` a second: bumps of about one, at random times."""
    signal = np.zeros((1, clock.n_times))
    n_bump = round(length * clock.sfreq)
    count = rng.poisson(rate * clock.n_times / clock.sfreq)
    starts: Int[np.ndarray, " blink"] = rng.integers(0, clock.n_times - n_bump, count)
    for start, size in zip(starts, rng.normal(1.0, 0.2, count), strict=True):
        signal[0, start : start + n_bump] += size * np.hanning(n_bump)
    return signal
