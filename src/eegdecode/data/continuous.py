"""Preprocess a continuous recording: channels, reference, band-pass, rate. Never looks at a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from eegdecode.data.channels import Channels, bipolar, laplacian, marked_bad, mend, pick, rereference
from eegdecode.data.filters import SAME_RATE, band_pass, moving_standardise, notch, resample
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.quality import Note, cuts, inspect_electrodes, inspect_signals
from eegdecode.data.recording import Recording
from eegdecode.data.settings import line_frequencies

MICROVOLT = 1e6


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
    changes : ndarray of int
        Samples of the recording itself that differ from the one before in some channel.
    """

    data: np.ndarray
    ch_names: tuple[str, ...]
    sfreq: float
    onsets: np.ndarray
    gaps: list[Gap]
    positions: np.ndarray
    notes: list[Note]
    changes: np.ndarray


def preprocess_recording(recording: Recording, preprocess: Preprocess) -> Continuous:
    """Apply the settings to one whole recording.

    Raises
    ------
    ValueError
        If a channel is absent, flat or missing throughout, or a rate does not fit the recording's; the
        message names the recording.
    """
    sfreq, source = float(recording.raw.info["sfreq"]), recording.source
    electrodes = _electrodes(recording, preprocess)
    notes = inspect_electrodes(electrodes.data, electrodes.names, sfreq)
    notes = [note for note in notes if note.channel != preprocess.reference]    # flat by nature
    channels = _combined(electrodes, preprocess, source)
    data = channels.data
    data *= MICROVOLT    # MNE's `get_data` has copied it
    changes = _changes(data)
    gaps = _fill_gaps(data)
    _check_channels(channels, source)
    notes += inspect_signals(data, channels.names, sfreq)
    notes += [Note("mended", name, 1.0) for name in channels.mended]
    marked = marked_bad(recording, channels, preprocess.names)
    notes += [Note("bad", name, 1.0) for name in marked if name not in channels.mended]
    data = _filter(data, preprocess, sfreq, source, at=cuts(recording.raw) if preprocess.annotated == "drop" else ())
    onsets, rate = np.asarray(recording.onsets), sfreq if preprocess.sfreq is None else preprocess.sfreq
    if not math.isclose(rate, sfreq, rel_tol=SAME_RATE):
        data, ratio = resample(data, sfreq, rate, source=source), rate / sfreq
        onsets = np.round(onsets * ratio).astype(np.int64)    # the sample nearest to the time of the cue
        gaps = [Gap(gap.channel, int(gap.start * ratio), int(np.ceil(gap.stop * ratio))) for gap in gaps]
    return Continuous(data, channels.names, rate, onsets, gaps, channels.positions, notes, changes)


def _filter(
    data: np.ndarray, preprocess: Preprocess, sfreq: float, source: str, *, at: Sequence[int] | np.ndarray
) -> np.ndarray:    # fmt: skip
    """Filter each piece between the cuts ``at`` by itself, as MNE does: a step at a cut would ring in what is near."""
    lines, low, high = line_frequencies(preprocess.notch), preprocess.l_freq, preprocess.h_freq
    pieces, several = [], len(at) > 0
    for x in np.split(data, at, axis=1) if several else [data]:
        x = notch(x, sfreq, lines, source=source, piece=several)
        pieces.append(band_pass(x, sfreq, low, high, method=preprocess.method, source=source, piece=several))
    return np.concatenate(pieces, axis=1) if several else pieces[0]


def standardise(continuous: Continuous, preprocess: Preprocess) -> Continuous:
    """Apply what ``standardise: moving`` asks for; the signals have no unit afterwards."""
    if preprocess.standardise != "moving":
        return continuous
    n_init = round(preprocess.init_block * continuous.sfreq)
    return replace(continuous, data=moving_standardise(continuous.data, factor=preprocess.factor_new, n_init=n_init))


def _electrodes(recording: Recording, preprocess: Preprocess) -> Channels:
    """Signals of the wanted channels in V, mended."""
    if isinstance(preprocess.channels, str):
        raise ValueError(f"preprocess.channels={preprocess.channels} is settled by load_trials, for all recordings")
    source, reference = recording.source, preprocess.reference
    channels = pick(recording, channels=preprocess.channels, reference=reference, names=preprocess.names)
    bads = marked_bad(recording, channels, preprocess.names) if preprocess.bads == "marked" else preprocess.bads
    channels = mend(channels, bads, source, reference=reference)
    _check_channels(channels, source, but=reference)    # a mean or a difference would hide a dead one
    return channels


def _combined(channels: Channels, preprocess: Preprocess, source: str) -> Channels:
    """Signals of the wanted channels, referenced and combined."""
    channels = rereference(channels, preprocess.reference)
    if preprocess.bipolar is not None:
        return bipolar(channels, preprocess.bipolar, source)
    return laplacian(channels, source) if preprocess.spatial == "laplacian" else channels


def _changes(data: np.ndarray) -> np.ndarray:
    """Samples that differ from the one before in some channel; missing ones (NaN) do."""
    moves = np.zeros(data.shape[1] - 1, bool)
    for x in data:    # channel by channel, which fits into the processor's cache
        moves |= x[1:] != x[:-1]
    return np.flatnonzero(moves) + 1


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


def _check_channels(channels: Channels, source: str, *, but: str | None = None) -> None:
    """Refuse channels without a signal; the reference, ``but``, is flat by nature."""
    whole = [(name, x) for name, x in zip(channels.names, channels.data, strict=True) if name != but]
    empty = [name for name, x in whole if not np.isfinite(x).any()]
    flat = [name for name, x in whole if np.ptp(x) == 0]    # NaN - NaN is not 0
    for names, what in ((empty, "NaN throughout"), (flat, "flat: one value throughout")):
        if names:
            raise ValueError(
                f"{source}: channel {', '.join(names)} is {what}; "
                "name the channels to keep by preprocess.channels=[...], interpolate it (preprocess.bads=auto), "
                "or leave this recording out"
            )
