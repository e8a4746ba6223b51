"""Filters over a whole recording: band-pass, notch and resampling with zero phase, moving standardisation."""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import mne
import numpy as np
from scipy.signal import cheby2, filtfilt, iirnotch, lfilter, sosfiltfilt

NOTCH_WIDTH = 2.0    # Hz between the points of -3 dB (-6 dB after both passes)
NOTCH_PAD = 9    # samples, SciPy's own for three coefficients
ORDER, STOP = 6, 60.0    # of Chebyshev II; dB; as S3T
PAD = 100    # samples at each end, at least, before resampling; as MNE
SAME_RATE = 1e-6    # of a rate: what a header rounds, such as FIF, which keeps rates in 32 bits
LEAST_DEVIATION = 1e-4    # of the moving standardisation, against division by zero


def band_pass(
    data: np.ndarray, sfreq: float, l_freq: float | None, h_freq: float | None, *, method: str, source: str,
    piece: bool = False,
) -> np.ndarray:    # fmt: skip
    """Keep a band; see `eegdecode.data.preprocess.Preprocess` for the methods.

    A ``piece`` of a recording that was cut may be shorter than its filter, as in MNE; a whole recording may not.
    """
    if l_freq is None and h_freq is None:
        return data
    for name, edge in (("l_freq", l_freq), ("h_freq", h_freq)):
        if edge is not None and edge >= sfreq / 2:
            raise ValueError(
                f"{source}: preprocess.{name}={edge:g} Hz is not below half its rate ({sfreq / 2:g} Hz); "
                f"choose a lower edge, or {name}=null"
            )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore" if piece else "error", message="filter_length .* is longer than the signal")
        try:
            if method == "cheby2":
                sos = _chebyshev(sfreq, l_freq, h_freq)
                return _back_and_forth(data, sos, 3 * (2 * len(sos) + 1) if piece else None)
            if method == "iir":
                return _back_and_forth(data, *_butterworth(sfreq, l_freq, h_freq))
            return mne.filter.filter_data(data, sfreq, l_freq, h_freq, method=method, copy=False, verbose="warning")
        except (RuntimeWarning, ValueError) as error:
            raise ValueError(
                f"{source}: {data.shape[1] / sfreq:g} s are too short for this {method} filter "
                f"({l_freq}-{h_freq} Hz): {error}"
            ) from error


@functools.cache
def _butterworth(sfreq: float, l_freq: float | None, h_freq: float | None) -> tuple[np.ndarray, int]:
    """MNE's own design, sections and padding: designing takes as long as filtering a short recording."""
    design = mne.filter.create_filter(None, sfreq, l_freq, h_freq, method="iir", verbose="error")
    return design["sos"], int(design["padlen"])


@functools.cache
def _chebyshev(sfreq: float, l_freq: float | None, h_freq: float | None) -> np.ndarray:
    edges = [edge for edge in (l_freq, h_freq) if edge is not None]
    kind = "bandpass" if len(edges) == 2 else "highpass" if h_freq is None else "lowpass"
    return np.asarray(cheby2(ORDER, STOP, edges if len(edges) == 2 else edges[0], btype=kind, fs=sfreq, output="sos"))


def _back_and_forth(data: np.ndarray, sos: np.ndarray, padlen: int | None = None) -> np.ndarray:
    """Filter in place; channels side by side, since SciPy lets go of the interpreter's lock.

    The results are those of ``mne.filter.filter_data``, bit for bit; half of its time went elsewhere.
    """
    n_pad = None if padlen is None else min(padlen, data.shape[1] - 1)

    def one(channel: np.ndarray) -> None:
        channel[:] = sosfiltfilt(sos, channel, padlen=n_pad)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(data))) as pool:
        list(pool.map(one, data))
    return data


def notch(
    data: np.ndarray, sfreq: float, lines: Sequence[float], *, source: str, piece: bool = False
) -> np.ndarray:    # fmt: skip
    """Remove line frequencies, 2 Hz wide, and their harmonics below half the rate; ``piece`` as in `band_pass`."""
    for line in lines:
        if line >= sfreq / 2:
            raise ValueError(
                f"{source}: preprocess.notch={line:g} Hz is not below half its rate ({sfreq / 2:g} Hz), where no "
                "line noise can be; set preprocess.notch=null"
            )
    every = {k * line for line in lines for k in range(1, int(sfreq / line) + 1) if k * line < sfreq / 2}
    for frequency in sorted(every):
        b, a = iirnotch(frequency, frequency / NOTCH_WIDTH, fs=sfreq)
        try:
            data = filtfilt(b, a, data, axis=1, padlen=min(NOTCH_PAD, data.shape[1] - 1) if piece else NOTCH_PAD)
        except ValueError as error:
            raise ValueError(f"{source}: {data.shape[1] / sfreq:g} s are too short for a notch: {error}") from error
    return data


def resample(data: np.ndarray, old: float, new: float, *, source: str) -> np.ndarray:
    """Bring the whole recording to a lower rate."""
    if new > old:
        raise ValueError(
            f"{source}: preprocess.sfreq={new:g} Hz is above its rate of {old:g} Hz, which adds "
            "samples but no signal; choose a rate that all recordings reach"
        )
    n, every = data.shape[1], _period(old, new)
    whole = np.pad(data, ((0, 0), (0, -n % every)), mode="edge")    # else the ends are moved by up to half a sample
    out = mne.filter.resample(whole, up=new, down=old, npad=-(-PAD // every) * every, method="fft", verbose="error")
    return out[:, : round(n * new / old)]


def _period(old: float, new: float) -> int:
    """After how many old samples a new one falls on one again; 1 where the rates are no whole numbers."""
    whole = [round(rate) for rate in (old, new)]
    return whole[0] // math.gcd(*whole) if np.allclose([old, new], whole, rtol=SAME_RATE, atol=0) else 1


def moving_standardise(data: np.ndarray, *, factor: float, n_init: int) -> np.ndarray:
    """Subtract a moving mean and divide by a moving deviation (Schirrmeister et al., 2017).

    Both forget exponentially: a sample enters with the weight ``factor``. The first ``n_init`` samples, for
    which there is no past yet, are standardised by their own mean and deviation. After them a sample
    depends on the past alone. The results are those of braindecode's ``exponential_moving_standardize``.
    """
    weight = _remember(np.ones((1, data.shape[1])), factor)    # grows to 1 / factor
    centred = data - _remember(data, factor) / weight
    power = _remember(centred**2, factor) / weight
    out = centred / np.maximum(np.sqrt(power), LEAST_DEVIATION)
    first = data[:, :n_init]
    mean, deviation = first.mean(axis=1, keepdims=True), first.std(axis=1, keepdims=True)
    out[:, :n_init] = (first - mean) / np.maximum(deviation, LEAST_DEVIATION)
    return out


def _remember(x: np.ndarray, factor: float) -> np.ndarray:
    """Sum of all samples so far, each faded by ``1 - factor`` a step."""
    return np.asarray(lfilter([1.0], [1.0, factor - 1], x, axis=1))
