"""Settings of what happens to each recording. The doing is in `eegdecode.data.continuous`: it needs mne and scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eegdecode.data.settings import channel_names, channel_pairs, check_choice, check_order, line_frequencies


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
        where the stop band begins). All have zero phase and see the whole recording, or the piece between two cuts
        (see ``annotated``), so that no trial has an edge.
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
        Trials that reach into a span that the file marks bad (annotations ``BAD_...``), or across a place where it
        was cut or paused (``boundary`` of EEGLAB and MNE, ``New Segment`` of BrainVision, 32766 of GDF): ``"drop"``, or
        ``"keep"``, which filters across such places, too.
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
        if self.sfreq and self.h_freq and self.h_freq > self.sfreq / 2:
            raise ValueError(
                f"preprocess.sfreq={self.sfreq:g} keeps what is below {self.sfreq / 2:g} Hz, and preprocess.h_freq="
                f"{self.h_freq:g} wants more: take preprocess.sfreq={2 * self.h_freq:g} or more, or a lower h_freq"
            )
        check_choice("names", self.names, (None, "standard"))
        check_choice("spatial", self.spatial, (None, "laplacian"))
        check_choice("method", self.method, ("iir", "fir", "cheby2"))
        check_choice("standardise", self.standardise, (None, "trial", "moving"))
        check_choice("incomplete", self.incomplete, ("raise", "drop"))
        check_choice("annotated", self.annotated, ("drop", "keep"))
        for name, words in (("channels", ("common",)), ("bads", ("auto", "marked"))):
            value = getattr(self, name)
            named = channel_names(name, value, ", ".join(words)) if value is not None and value not in words else value
            object.__setattr__(self, name, named)
        if self.bipolar is not None:
            object.__setattr__(self, "bipolar", channel_pairs(self.bipolar))
            check_choice("spatial (with bipolar)", self.spatial, (None,))
