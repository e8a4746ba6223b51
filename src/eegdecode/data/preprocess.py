"""Preprocess a continuous recording: channels, reference, band-pass, rate. Never looks at a label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import mne
import numpy as np

from eegdecode.data.recording import Recording

MICROVOLT = 1e6


@dataclass(frozen=True)
class Preprocess:
    """What happens to each recording before and while its trials are cut.

    Parameters
    ----------
    channels : sequence of str or None
        Channels to keep, in this order. None: all of type EEG.
    reference : str or None
        ``"average"`` (of the channels that are kept), the name of a channel (which is dropped afterwards),
        or None for the reference of the recording.
    l_freq, h_freq : float or None
        Edges of the pass band in Hz; None leaves that side open.
    method : str
        ``"iir"``: Butterworth of order 4, forward and backward, as MOABB filters; ``"fir"``: MNE's windowed
        sinc. Both have zero phase and see the whole recording, so that no trial has an edge.
    sfreq : float or None
        New sampling rate in Hz; None keeps the recording's.
    tmin, tmax : float or None
        Window relative to the cue in s, the end exclusive; None takes the data set's.
    standardise : str or None
        ``"trial"`` divides each trial by its own deviation over all channels and samples, against amplitudes
        that differ by orders of magnitude between recordings; nothing is learned. None keeps µV.
    incomplete : str
        Trials that reach beyond their recording or hold missing samples (NaN): ``"raise"`` or ``"drop"``.
    """

    channels: Sequence[str] | None = None
    reference: str | None = None
    l_freq: float | int | None = None
    h_freq: float | int | None = None
    method: str = "iir"
    sfreq: float | int | None = None
    tmin: float | int | None = None
    tmax: float | int | None = None
    standardise: str | None = None
    incomplete: str = "raise"

    def __post_init__(self) -> None:
        for name in ("l_freq", "h_freq", "sfreq"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"preprocess.{name}={value!r} must be a positive rate in Hz, or null")
        for name in ("l_freq", "h_freq", "sfreq", "tmin", "tmax"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        if self.channels is not None:
            object.__setattr__(self, "channels", _names(self.channels))
        if self.l_freq is not None and self.h_freq is not None and self.l_freq >= self.h_freq:
            raise ValueError(f"preprocess.l_freq={self.l_freq} must be below preprocess.h_freq={self.h_freq}")
        if self.tmin is not None and self.tmax is not None and self.tmin >= self.tmax:
            raise ValueError(f"preprocess.tmin={self.tmin} must be before preprocess.tmax={self.tmax}")
        _check_choice("method", self.method, ("iir", "fir"))
        _check_choice("standardise", self.standardise, (None, "trial"))
        _check_choice("incomplete", self.incomplete, ("raise", "drop"))


class Gap(NamedTuple):
    """Samples of one channel that are missing (NaN) in the recording; the end is exclusive."""

    channel: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Continuous:
    """A preprocessed recording.

    Attributes
    ----------
    data : ndarray, shape (C, n_samples)
        Signals in µV. Where samples were missing stands a straight line, see ``gaps``.
    onsets : ndarray of int, shape (n_trials,)
        Sample of each cue at the rate of ``data``.
    gaps : list of Gap
        Where the line is no signal.
    """

    data: np.ndarray
    ch_names: tuple[str, ...]
    sfreq: float
    onsets: np.ndarray
    gaps: list[Gap]


def preprocess_recording(recording: Recording, preprocess: Preprocess) -> Continuous:
    """Apply the settings to one whole recording.

    Raises
    ------
    ValueError
        If a channel is absent, flat or missing throughout, or a rate does not fit the recording's; the
        message names the recording.
    """
    data, ch_names = _pick(recording, preprocess)
    data *= MICROVOLT
    gaps = _fill_gaps(data)
    _check_channels(data, gaps, ch_names, recording.source)
    sfreq = float(recording.raw.info["sfreq"])
    data = _band_pass(data, sfreq, preprocess, recording.source)
    if preprocess.sfreq is None or preprocess.sfreq == sfreq:
        return Continuous(data, ch_names, sfreq, np.asarray(recording.onsets), gaps)
    return _resample(data, ch_names, sfreq, preprocess.sfreq, gaps, recording)


def _pick(recording: Recording, preprocess: Preprocess) -> tuple[np.ndarray, tuple[str, ...]]:
    """Signals of the wanted channels in V, referenced, and their names."""
    raw, reference = recording.raw, preprocess.reference
    eeg = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"]
    names = list(preprocess.channels) if preprocess.channels else [name for name in eeg if name != reference]
    extra = [reference] if reference not in (None, "average") else []
    absent = [name for name in [*names, *extra] if name not in raw.ch_names]
    if absent:
        known = ", ".join(raw.ch_names)
        raise ValueError(f"{recording.source}: no channel {', '.join(absent)}; it has {known}")
    if not names:
        types = sorted(set(raw.get_channel_types()))
        raise ValueError(
            f"{recording.source}: no channel of type EEG (types: {', '.join(types)}); "
            "name them by preprocess.channels"
        )
    picks = np.array([raw.ch_names.index(name) for name in [*names, *extra]])
    data = np.asarray(raw.get_data(picks=picks), dtype=np.float64)
    if reference == "average":
        data = data - data.mean(axis=0)
    elif extra:
        data = data[:-1] - data[-1]
    return data, tuple(names)


def _fill_gaps(data: np.ndarray) -> list[Gap]:
    """Draw a straight line over missing samples, in place: one NaN would fill the filtered recording."""
    missing = ~np.isfinite(data)
    gaps = []
    for channel in np.flatnonzero(missing.any(axis=1)):
        edges = np.flatnonzero(np.diff(missing[channel], prepend=False, append=False))
        gaps += [Gap(int(channel), int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        known = np.flatnonzero(~missing[channel])
        if len(known):
            data[channel] = np.interp(np.arange(data.shape[1]), known, data[channel, known])
    return gaps


def _check_channels(data: np.ndarray, gaps: list[Gap], ch_names: Sequence[str], source: str) -> None:
    empty = [ch_names[gap.channel] for gap in gaps if gap.stop - gap.start == data.shape[1]]
    flat = [name for name, x in zip(ch_names, data, strict=True) if np.ptp(x) == 0]    # NaN - NaN is not 0
    for names, what in ((empty, "NaN throughout"), (flat, "flat: one value throughout")):
        if names:
            raise ValueError(
                f"{source}: channel {', '.join(names)} is {what}; "
                "name the channels to keep by preprocess.channels=[...], or leave this recording out"
            )


def _band_pass(data: np.ndarray, sfreq: float, preprocess: Preprocess, source: str) -> np.ndarray:
    l_freq, h_freq, method = preprocess.l_freq, preprocess.h_freq, preprocess.method
    if l_freq is None and h_freq is None:
        return data
    for name, edge in (("l_freq", l_freq), ("h_freq", h_freq)):
        if edge is not None and edge >= sfreq / 2:
            raise ValueError(
                f"{source}: preprocess.{name}={edge:g} Hz is not below half its rate ({sfreq / 2:g} Hz); "
                f"choose a lower edge, or {name}=null"
            )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="filter_length .* is longer than the signal")
        try:
            return mne.filter.filter_data(
                data, sfreq, l_freq, h_freq, method=method, copy=False, verbose="warning"
            )
        except (RuntimeWarning, ValueError) as error:
            raise ValueError(
                f"{source}: {data.shape[1] / sfreq:g} s are too short for this {method} filter "
                f"({l_freq}-{h_freq} Hz): {error}"
            ) from error


def _resample(
    data: np.ndarray, ch_names: tuple[str, ...], old: float, new: float, gaps: list[Gap], recording: Recording
) -> Continuous:
    """Resample the whole recording; a cue goes to the sample nearest to its time."""
    if new > old:
        raise ValueError(
            f"{recording.source}: preprocess.sfreq={new:g} Hz is above its rate of {old:g} Hz, which adds "
            "samples but no signal; choose a rate that all recordings reach"
        )
    n_old = data.shape[1]
    data = mne.filter.resample(data, up=new, down=old, method="fft", verbose="error")
    ratio = data.shape[1] / n_old    # not new / old: the new length is rounded
    onsets = np.round(np.asarray(recording.onsets) * ratio).astype(np.int64)
    gaps = [Gap(gap.channel, int(gap.start * ratio), int(np.ceil(gap.stop * ratio))) for gap in gaps]
    return Continuous(data, ch_names, new, onsets, gaps)


def _names(channels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(channels, str) or not channels:
        raise ValueError(f"preprocess.channels={channels!r} must be a list of names, or null for all EEG")
    names = tuple(str(name) for name in channels)
    if len(set(names)) < len(names):
        raise ValueError(f"preprocess.channels={list(names)} names a channel twice")
    return names


def _check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        known = ", ".join("null" if choice is None else choice for choice in choices)
        raise ValueError(f"preprocess.{name}={value!r} is not one of: {known}")
