"""What is noteworthy about a recording before any filter: amplitude, line noise, flat, clipped, missing, loud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eegdecode.data.recording import Recording

if TYPE_CHECKING:
    import mne

MAINS = (50.0, 60.0)    # Hz
LOUD = 10.0    # dB of the mains over what is beside it, as the card has it for runs
HELD = 3    # equal samples in a row at a channel's extreme are clipped; two happen by chance
LINE_WINDOWS = 30    # of 2 s each, spread over the recording: enough for a median over channels
BOUNDARY = re.compile("(edge.)?boundary$|new segment/|32766$", re.IGNORECASE)    # of MNE, EEGLAB, BrainVision, GDF
LEAST = 1e-3    # shares of flat, clipped and missing samples below it are not told


class Note(NamedTuple):
    """One observation: ``what`` of which channel, and how much of it.

    ``amplitude``: median deviation over seconds, µV. ``line``: power at the mains over that beside it, dB, median over
    channels, the channel being ``50 Hz``; ``mains``: that of a channel in which they are loud, ``C3 (50 Hz)``.
    ``flat``, ``clipped``, ``missing``: share of the recording. ``mended``: the channel was interpolated. ``bad``: the
    file marks the channel. ``overlap``: share of trials that have samples in common
    with the one before. Of dropped trials: ``rejected``: peak to peak, µV; ``marked``: s that the file marks bad;
    ``boundary``: where the recording was cut or paused, s after the cue; ``silent``: s; ``incomplete``.
    """

    what: str
    channel: str
    value: float
    cue: int = -1    # number of the trial; -1: the whole recording


def inspect_electrodes(data: np.ndarray, names: Sequence[str], sfreq: float) -> list[Note]:
    """Look at a whole recording before its reference, which spreads the faults of one channel; missing samples are NaN.

    Channel by channel, since one channel fits into the processor's cache and all of them do not.
    """
    second, notes = max(1, int(sfreq)), []
    for name, x in zip(names, data, strict=True):
        blocks = x[: len(x) // second * second].reshape(-1, second)
        flat = float((np.ptp(blocks, axis=1) == 0).mean()) if len(blocks) else 0.0    # NaN - NaN is not 0
        found = x[np.isfinite(x)]
        shares = {"flat": flat, "clipped": _clipped(found), "missing": 1 - len(found) / len(x)}
        notes += [Note(what, name, share) for what, share in shares.items() if share > LEAST]
    return notes


def inspect_signals(data: np.ndarray, names: Sequence[str], sfreq: float) -> list[Note]:
    """Look at a whole recording in µV, referenced, before any filter: amplitude and mains."""
    amplitude = _by_second(data, max(1, int(sfreq)))
    notes = [Note("amplitude", name, float(a)) for name, a in zip(names, amplitude, strict=True) if np.isfinite(a)]
    return notes + _line(data, names, sfreq)


def _by_second(data: np.ndarray, second: int) -> np.ndarray:
    """Median deviation of the whole seconds of each channel (NaN: there is none)."""
    n_whole = data.shape[1] // second
    amplitude = np.full(len(data), np.nan)
    for i, x in enumerate(data if n_whole else ()):
        amplitude[i] = np.median(x[: n_whole * second].reshape(n_whole, second).std(axis=1))
    return amplitude


def _clipped(x: np.ndarray) -> float:
    """Share of samples that a channel is held at its largest or smallest value.

    Some samples may lie beyond it, such as a pulse: then it is the value that fewer than `LEAST` lie beyond, if most of
    those at it or beyond are at it.
    """
    still = x[1:] == x[:-1]
    if still.all() or not (still[1:] & still[:-1]).any():    # as of most: what follows takes 20 times as long
        return 0.0
    few, share = int(LEAST * len(x)), 0.0
    for sign in (-1, 1):
        beyond = np.partition(sign * x, [len(x) - 1 - few, len(x) - 1])    # a fraction of a sort
        rails = dict.fromkeys([beyond[-1], beyond[len(x) - 1 - few]])
        for rail in rails:
            at = sign * x == rail
            if np.count_nonzero(at) > 0.5 * np.count_nonzero(sign * x >= rail):
                share += _held(at) / len(x)
    return share


def _held(equal: np.ndarray) -> int:
    """Samples in rows of at least `HELD`."""
    if np.count_nonzero(equal) < HELD:
        return 0
    edges = np.flatnonzero(np.diff(equal, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= HELD].sum())


def _line(data: np.ndarray, names: Sequence[str], sfreq: float) -> list[Note]:
    """Power within 1 Hz of the mains against that 2 to 5 Hz beside it: median over channels, and loud channels."""
    n = round(2 * sfreq)    # windows of 2 s: 0.5 Hz
    if data.shape[1] < n or min(MAINS) + 5 >= sfreq / 2:
        return []
    begins = np.unique(np.linspace(0, data.shape[1] - n, LINE_WINDOWS).astype(int))
    windows = np.stack([data[:, begin : begin + n] for begin in begins])
    windows = (windows - windows.mean(axis=2, keepdims=True)) * np.hanning(n)
    freqs, power = np.fft.rfftfreq(n, 1 / sfreq), (np.abs(np.fft.rfft(windows)) ** 2).mean(axis=0)
    notes = []
    for line in MAINS:
        away = np.abs(freqs - line)
        if line + 5 < sfreq / 2:
            peak, beside = (power[:, part].mean(axis=1) for part in (away <= 1, (away >= 2) & (away <= 5)))
            level = 10 * np.log10(np.maximum(peak / np.maximum(beside, 1e-30), 1e-30))
            notes.append(Note("line", f"{line:g} Hz", float(np.median(level))))
            notes += [Note("mains", f"{name} ({line:g} Hz)", float(dB)) for name, dB in zip(names, level, strict=True)
                      if dB > LOUD]    # fmt: skip
    return notes


def loud_trials(
    data: np.ndarray, names: Sequence[str], starts: np.ndarray, *, n_times: int, limit: float | None
) -> list[Note]:    # fmt: skip
    """Trials with a channel beyond ``limit`` µV peak to peak, each with its loudest channel."""
    notes = []
    for cue, start in enumerate(starts if limit is not None else ()):
        window = data[:, max(0, int(start)) : max(0, int(start) + n_times)]
        heights = np.ptp(window, axis=1) if window.shape[1] else np.zeros(len(data))
        if limit is not None and heights.max() > limit:
            notes.append(Note("rejected", names[int(heights.argmax())], float(heights.max()), cue))
    return notes


def silent_trials(recording: Recording, changes: np.ndarray, *, tmin: float, tmax: float) -> list[Note]:
    """Trials in which every channel holds one value throughout: an amplifier that was off tells nothing.

    ``changes`` are the samples of the recording, before any filter, that differ from the one before in some channel.
    """
    sfreq = recording.raw.info["sfreq"]
    notes, length = [], round((tmax - tmin) * sfreq)
    for cue, onset in enumerate(recording.onsets):
        begin = int(onset) + round(tmin * sfreq)
        first, last = np.searchsorted(changes, [begin + 1, begin + length])
        if first == last and begin >= 0 and begin + length <= len(recording.raw.times):
            notes.append(Note("silent", "", length / sfreq, cue))
    return notes


def marked_trials(recording: Recording, *, tmin: float, tmax: float) -> list[Note]:
    """Trials that reach into a span that an annotation of the file calls bad: MNE's own ``BAD_...``."""
    raw = recording.raw
    if not any(text.lower().startswith("bad") for text in raw.annotations.description):
        return []
    sfreq, bad = raw.info["sfreq"], np.ones(len(raw.times), bool)
    _, good = raw.get_data(picks=np.array([0]), reject_by_annotation="omit", return_times=True, verbose="error")
    bad[np.rint(good * sfreq).astype(np.int64)] = False    # by their times: what a channel lacks is marked by nobody
    begins, length = np.asarray(recording.onsets) + round(tmin * sfreq), round((tmax - tmin) * sfreq)
    shares = [bad[max(0, begin) : max(0, begin + length)].sum() / sfreq for begin in begins]
    return [Note("marked", "", float(share), cue) for cue, share in enumerate(shares) if share]


def cuts(raw: mne.io.BaseRaw) -> np.ndarray:
    """Samples behind the places where a recording was cut or paused, which annotations of the file mark.

    The begin of a mark is the place: the duration of EEGLAB's ``boundary`` is that of what was taken out. One of MNE's
    ``BAD_...`` without a duration is such a place, too, and both ends of a ``BAD_ACQ_SKIP`` are.
    """
    marks = raw.annotations
    found = [
        bool(BOUNDARY.match(text)) or (text.lower().startswith("bad") and not seconds)
        for text, seconds in zip(marks.description, marks.duration, strict=True)
    ]
    skipped = np.array([text.lower().startswith("bad_acq_skip") for text in marks.description], bool)
    ends = (marks.onset + marks.duration)[skipped]    # nothing was recorded in between
    times = np.r_[marks.onset[np.array(found, bool) | skipped], ends] - raw.first_time
    behind = np.ceil(times * raw.info["sfreq"] - 0.25).astype(np.int64)    # EEGLAB cuts half-way between two samples
    return np.unique(behind[(behind > 0) & (behind < len(raw.times))])


def crossing_trials(recording: Recording, *, tmin: float, tmax: float) -> list[Note]:
    """Trials across a place where the recording was cut or paused, see `cuts`."""
    sfreq, behind = recording.raw.info["sfreq"], cuts(recording.raw)
    notes = []
    for cue, onset in enumerate(recording.onsets):
        begin = onset + round(tmin * sfreq)
        inside = behind[(behind > begin) & (behind < begin + round((tmax - tmin) * sfreq))]
        notes += [Note("boundary", "", float(inside[0] - onset) / sfreq, cue)] if len(inside) else []
    return notes


def overlaps(starts: np.ndarray, *, n_times: int) -> list[Note]:
    """Share of the trials that have samples in common with the one before."""
    share = float(np.mean(np.diff(np.sort(starts)) < n_times)) if len(starts) > 1 else 0.0
    return [Note("overlap", "", share)] if share else []


def rows(notes: Sequence[Note], recording: Recording, *, names: Sequence[str]) -> list[dict[str, object]]:
    """Notes as rows of `eegdecode.trials.Trials.notes`; ``names`` are those of the recording's trials."""
    place = {"subject": recording.subject, "session": recording.session, "run": recording.run}
    return [
        {**place, "trial": "" if note.cue < 0 else names[note.cue],
         "what": note.what, "channel": note.channel, "value": note.value}
        for note in notes
    ]    # fmt: skip
