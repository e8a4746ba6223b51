"""Preprocess a continuous recording: channels, reference, band-pass, rate. Never looks at a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from eegdecode.data.channels import Channels, bipolar, laplacian, marked_bad, mend, pick, rereference
from eegdecode.data.filters import band_pass, moving_standardise, notch, resample
from eegdecode.data.quality import Note, inspect
from eegdecode.data.recording import Recording
from eegdecode.data.settings import channel_names, channel_pairs, check_choice, check_order, line_frequencies

MICROVOLT = 1e6


@dataclass(frozen=True)
class Preprocess:
    """What happens to each recording before and while its trials are cut.

    Parameters
    ----------
    channels : sequence of str, "common" or None
        Channels to keep, in this order. None: all of type EEG; ``"common"``: those that all recordings of
        all selected subjects have, in the order of the first. Nothing below sees any other channel.
    names : str or None
        ``"standard"`` spells channels as the 10-05 system does (T3 becomes T7, FP1 becomes Fp1), before
        they are chosen.
    bads : sequence of str, "auto", "marked" or None
        Channels to interpolate; ``"auto"``: those that are flat, missing, or five times as loud as the median;
        ``"marked"``: those that the file marks bad.
    reference : str or None
        ``"average"`` (of the channels that are kept), the name of a channel (which is dropped afterwards),
        or None for the reference of the recording.
    bipolar : sequence of (str, str) or None
        Differences ``[[C3, Cz], [C4, Cz]]`` in place of the channels.
    spatial : str or None
        ``"laplacian"``: each channel minus its four nearest, weighted by 1 / distance (Hjorth, 1975).
    notch : float, sequence of float or None
        Line frequency in Hz; its harmonics go, too.
    l_freq, h_freq : float or None
        Edges of the pass band in Hz; None leaves that side open.
    method : str
        ``"iir"``: Butterworth of order 4, forward and backward, as MOABB filters; ``"fir"``: MNE's windowed
        sinc; ``"cheby2"``: Chebyshev II of order 6 with 60 dB, forward and backward, as S3T (its edges are
        where the stop band begins). All have zero phase and see the whole recording, so that no trial has
        an edge.
    sfreq : float or None
        New sampling rate in Hz; None keeps the recording's.
    tmin, tmax : float or None
        Window relative to the cue in s, the end exclusive; None takes the data set's.
    reject : float or None
        Drop trials with a channel whose peak-to-peak amplitude is larger, µV.
    standardise : str or None
        ``"trial"`` divides each trial by its own deviation over all channels and samples, against amplitudes
        that differ by orders of magnitude between recordings. ``"moving"`` standardises each channel by an
        exponentially forgetting mean and deviation. Nothing is learned. None keeps µV.
    factor_new : float
        Of ``moving``: weight of a new sample.
    init_block : float
        Of ``moving``: s at the begin of a recording that are standardised as a whole.
    incomplete : str
        Trials that reach beyond their recording or hold missing samples (NaN): ``"raise"`` or ``"drop"``.
    annotated : str
        Trials that reach into a span that the file marks bad (annotations ``BAD_...``): ``"drop"``, as MNE
        does, or ``"keep"``.
    """

    channels: Sequence[str] | str | None = None
    names: str | None = None
    bads: Sequence[str] | str | None = None
    reference: str | None = None
    bipolar: Sequence[Sequence[str]] | None = None
    spatial: str | None = None
    notch: float | int | Sequence[float | int] | None = None
    l_freq: float | int | None = None
    h_freq: float | int | None = None
    method: str = "iir"
    sfreq: float | int | None = None
    tmin: float | int | None = None
    tmax: float | int | None = None
    reject: float | int | None = None
    standardise: str | None = None
    factor_new: float = 1e-3
    init_block: float | int = 4.0
    incomplete: str = "raise"
    annotated: str = "drop"

    def __post_init__(self) -> None:
        for name in ("l_freq", "h_freq", "sfreq", "tmin", "tmax", "reject", "factor_new", "init_block"):
            value = getattr(self, name)
            if value is not None and name not in ("tmin", "tmax") and not 0 < value < np.inf:
                raise ValueError(f"preprocess.{name}={value!r} must be a positive number, or null")
            object.__setattr__(self, name, None if value is None else float(value))
        if not all(0 < line < np.inf for line in line_frequencies(self.notch)):
            raise ValueError(f"preprocess.notch={self.notch!r} must be positive, in Hz, or null")
        if self.factor_new >= 1:
            raise ValueError(f"preprocess.factor_new={self.factor_new} must be below 1")
        check_order("l_freq", self.l_freq, "h_freq", self.h_freq)
        check_order("tmin", self.tmin, "tmax", self.tmax)
        check_choice("names", self.names, (None, "standard"))
        check_choice("spatial", self.spatial, (None, "laplacian"))
        check_choice("method", self.method, ("iir", "fir", "cheby2"))
        check_choice("standardise", self.standardise, (None, "trial", "moving"))
        check_choice("incomplete", self.incomplete, ("raise", "drop"))
        check_choice("annotated", self.annotated, ("drop", "keep"))
        for name, words in (("channels", ("common",)), ("bads", ("auto", "marked"))):
            value = getattr(self, name)
            named = channel_names(name, value, words[0]) if value is not None and value not in words else value
            object.__setattr__(self, name, named)
        if self.bipolar is not None:
            object.__setattr__(self, "bipolar", channel_pairs(self.bipolar))
            check_choice("spatial (with bipolar)", self.spatial, (None,))


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
    positions : ndarray, shape (C, 3)
        Of the electrodes in m, head coordinates; NaN where unknown.
    notes : list of Note
        What was seen before the filters.
    """

    data: np.ndarray
    ch_names: tuple[str, ...]
    sfreq: float
    onsets: np.ndarray
    gaps: list[Gap]
    positions: np.ndarray
    notes: list[Note]


def preprocess_recording(recording: Recording, preprocess: Preprocess) -> Continuous:
    """Apply the settings to one whole recording.

    Raises
    ------
    ValueError
        If a channel is absent, flat or missing throughout, or a rate does not fit the recording's; the
        message names the recording.
    """
    channels = _channels(recording, preprocess)
    data, source = channels.data, recording.source
    data *= MICROVOLT    # MNE's `get_data` has copied it
    gaps = _fill_gaps(data)
    _check_channels(data, gaps, channels.names, source)
    sfreq = float(recording.raw.info["sfreq"])
    notes = inspect(data, _missing(gaps, data.shape), channels.names, sfreq)
    notes += [Note("mended", name, 1.0) for name in channels.mended]
    marked = marked_bad(recording, channels, preprocess.names)
    notes += [Note("bad", name, 1.0) for name in marked if name not in channels.mended]
    data = notch(data, sfreq, line_frequencies(preprocess.notch), source=source)
    data = band_pass(data, sfreq, preprocess.l_freq, preprocess.h_freq, method=preprocess.method, source=source)
    onsets = np.asarray(recording.onsets)
    if preprocess.sfreq is not None and preprocess.sfreq != sfreq:
        n_old = data.shape[1]
        data = resample(data, sfreq, preprocess.sfreq, source=source)
        ratio = data.shape[1] / n_old    # not new / old: the new length is rounded
        onsets = np.round(onsets * ratio).astype(np.int64)    # the sample nearest to the time of the cue
        gaps = [Gap(gap.channel, int(gap.start * ratio), int(np.ceil(gap.stop * ratio))) for gap in gaps]
        sfreq = preprocess.sfreq
    return Continuous(data, channels.names, sfreq, onsets, gaps, channels.positions, notes)


def standardise(continuous: Continuous, preprocess: Preprocess) -> Continuous:
    """Apply what ``standardise: moving`` asks for; the signals have no unit afterwards."""
    if preprocess.standardise != "moving":
        return continuous
    n_init = round(preprocess.init_block * continuous.sfreq)
    return replace(continuous, data=moving_standardise(continuous.data, factor=preprocess.factor_new, n_init=n_init))


def _channels(recording: Recording, preprocess: Preprocess) -> Channels:
    """Signals of the wanted channels in V: mended, referenced, combined."""
    if isinstance(preprocess.channels, str):
        raise ValueError(f"preprocess.channels={preprocess.channels} is settled by load_trials, for all recordings")
    source, reference = recording.source, preprocess.reference
    channels = pick(recording, channels=preprocess.channels, reference=reference, names=preprocess.names)
    bads = marked_bad(recording, channels, preprocess.names) if preprocess.bads == "marked" else preprocess.bads
    channels = rereference(mend(channels, bads, source), reference)
    if preprocess.bipolar is not None:
        return bipolar(channels, preprocess.bipolar, source)
    return laplacian(channels, source) if preprocess.spatial == "laplacian" else channels


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


def _missing(gaps: list[Gap], shape: tuple[int, ...]) -> np.ndarray:
    """Share of missing samples of each channel."""
    count = np.zeros(shape[0])
    for gap in gaps:
        count[gap.channel] += gap.stop - gap.start
    return count / shape[1]


def _check_channels(data: np.ndarray, gaps: list[Gap], ch_names: Sequence[str], source: str) -> None:
    empty = [ch_names[gap.channel] for gap in gaps if gap.stop - gap.start == data.shape[1]]
    flat = [name for name, x in zip(ch_names, data, strict=True) if np.ptp(x) == 0]    # NaN - NaN is not 0
    for names, what in ((empty, "NaN throughout"), (flat, "flat: one value throughout")):
        if names:
            raise ValueError(
                f"{source}: channel {', '.join(names)} is {what}; "
                "name the channels to keep by preprocess.channels=[...], interpolate it (preprocess.bads=auto), "
                "or leave this recording out"
            )
