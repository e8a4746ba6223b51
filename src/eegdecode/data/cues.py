"""Find the cues of a recording: samples and class names, from annotations or from a stim channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import mne

PULSE = 0.1    # s: bits that are set for so short are of a button or a trigger, not of a state
Cues = tuple[np.ndarray, np.ndarray]


def named_marks(events: Mapping[Any, Any] | None) -> dict[str, str | None]:
    """Mark -> class name, or None for one that is left out, of ``dataset.events`` as it is typed."""
    for mark, label in (events or {}).items():
        if isinstance(label, Mapping | list | tuple):
            raise ValueError(
                f"dataset.events: the class of the mark {mark} must be one word, or null to leave it out, got {label}. "
                "Several marks may share a class: {1: left, 2: left}"
            )
    return {str(mark): None if label is None else str(label) for mark, label in (events or {}).items()}


def classes_of(marks: Mapping[str, str | None]) -> dict[str, str]:
    """Mark -> class name of the marks that are not left out."""
    return {mark: label for mark, label in marks.items() if label is not None}


def cues_from_annotations(raw: mne.io.BaseRaw, classes: Mapping[str, str]) -> Cues:
    """Onsets (samples from the first of ``raw``) and class names of the annotations that are named.

    Parameters
    ----------
    classes : mapping of str to str
        Description of the annotation -> class name.
    """
    import mne

    present = [text for text in classes if text in set(raw.annotations.description)]
    if not present:
        return _no_cues()
    codes: Any = {text: code for code, text in enumerate(present, start=1)}
    all_names: Any = None    # also those that begin with bad or edge, which MNE passes over
    events, _ = mne.events_from_annotations(raw, event_id=codes, regexp=all_names, verbose="error")
    return _cues(raw, events, {code: classes[text] for text, code in codes.items()})


def cues_from_stim(
    raw: mne.io.BaseRaw, classes: Mapping[int, str], *, stim_channel: str | None = None
) -> Cues:
    """Onsets and class names of the codes that are named, where the stim channel takes them.

    Parameters
    ----------
    classes : mapping of int to str
        Code -> class name.
    stim_channel : str or None
        None: the stim channels that MNE finds.
    """
    return _cues(raw, stim_events(raw, stim_channel=stim_channel), classes)


def stim_events(raw: mne.io.BaseRaw, *, stim_channel: str | None = None) -> np.ndarray:
    """Where the stim channel takes a code, and which: MNE's table of events.

    Also from a higher code to a lower one without zero between, as of a channel that holds its state: MNE by itself
    takes rising codes alone. And at the first sample, where a file was cut at a cue or holds a state from the start.
    """
    import mne

    falling: Any = True
    events = mne.find_events(
        raw, stim_channel=stim_channel, shortest_event=0, consecutive=falling, initial_event=True, verbose="error"
    )
    return events[~_back_from_pulse(events, shorter=PULSE * raw.info["sfreq"])]


def _back_from_pulse(events: np.ndarray, *, shorter: float) -> np.ndarray:
    """Events in which a held code comes back after a short pulse on another bit (1, 129, 1): no new cue."""
    back = np.zeros(len(events), bool)
    for i in range(1, len(events)):
        (begin, held, both), (end, before, after) = events[i - 1], events[i]
        back[i] = held and after == held and before == both and both & held == held and end - begin < shorter
    return back


def all_marks(raw: mne.io.BaseRaw, *, stim: bool = False, stim_channel: str | None = None) -> np.ndarray:
    """Samples of all annotations but bad spans and edges, or of all codes of a stim channel, whatever they mean."""
    import mne

    if stim:
        events = stim_events(raw, stim_channel=stim_channel)
    else:
        events, _ = mne.events_from_annotations(raw, verbose="error")
    return np.unique(events[:, 0]).astype(np.int64) - raw.first_samp


@dataclass(frozen=True)
class Sliding:
    """Several windows a cue, one after another, in place of one.

    No window reaches into those of the next cue: their labels differ, and so may their sides of a split.

    Parameters
    ----------
    until : float or "end"
        Time in s after the cue that no window exceeds; ``"end"``: the next mark, also one that is no cue of ours, for
        it may begin a trial of a class that is left out; or the end of the recording.
    overlap : float
        Share of a window that the next one repeats, from 0 to below 1.
    """

    until: float | int | str = "end"
    overlap: float | int = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.until, str) and self.until != "end":
            raise ValueError(f"dataset.until={self.until!r} must be a time in s, end, or null for one window a cue")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"dataset.overlap={self.overlap} must be a share of a window, from 0 to below 1")

    def __call__(
        self, raw: mne.io.BaseRaw, cues: Cues, interval: Sequence[float], source: str, *, marks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Onsets and labels of all windows, and to which one's cue each belongs; ``marks`` in samples, cues or not."""
        sfreq, (begin, end) = raw.info["sfreq"], interval
        length, step = end - begin, (end - begin) * (1 - self.overlap)
        ends = np.union1d(cues[0], marks if self.until == "end" else [])
        parts = []
        for onset in cues[0]:
            after = ends[ends > onset]
            # where a window begins before its cue, those of the next cue do so too
            last = (after[0] - onset) / sfreq + min(begin, 0.0) if len(after) else (len(raw.times) - onset) / sfreq
            last = last if self.until == "end" else min(last, float(self.until))
            count = int((last - begin - length) / step + 1e-6) + 1 if last - begin >= length - 1e-6 else 0
            parts.append(onset + np.round(np.arange(count) * step * sfreq).astype(np.int64))
        counts = [len(part) for part in parts]
        if not sum(counts):
            raise ValueError(
                f"{source}: no window of {length:g} s fits between {begin:g} s after a cue and "
                f"dataset.until={self.until} or the next {'mark' if self.until == 'end' else 'cue'}; shorten "
                f"dataset.interval{', or give a time in s, which the next cue alone ends' * (self.until == 'end')}"
            )
        first = np.cumsum([0, *counts[:-1]])
        return np.concatenate(parts), np.repeat(cues[1], counts), np.repeat(first, counts)


def window_of(interval: Sequence[float | int]) -> tuple[float, float]:
    """Begin and end of a window in s, as a data set is given them."""
    if len(interval) != 2 or not interval[0] < interval[1]:
        raise ValueError(
            f"dataset.interval={list(interval)} must be two times in s after the cue, begin before end, e.g. [0.5,2.5]"
        )
    return float(interval[0]), float(interval[1])


def check_windows(until: float | int | str | None, overlap: float | int, scale: float | int) -> None:
    """Refuse settings of windows, and of their unit, that say nothing or cannot be."""
    Sliding(until or "end", overlap)
    if overlap and until is None:
        raise ValueError(f"dataset.overlap={overlap} is of several windows a cue: give dataset.until too, or 0")
    if not scale > 0:
        raise ValueError(f"dataset.scale={scale} must be positive: what turns the signals into V")


def has_stim_channel(raw: mne.io.BaseRaw) -> bool:
    """Whether there is a channel of type stim."""
    return "stim" in raw.get_channel_types()


def _cues(raw: mne.io.BaseRaw, events: np.ndarray, classes: Mapping[int, str]) -> Cues:
    events = events[np.isin(events[:, 2], list(classes))]
    if not len(events):
        return _no_cues()
    events = events[np.argsort(events[:, 0], kind="stable")]
    onsets = events[:, 0].astype(np.int64) - raw.first_samp
    return onsets, np.array([classes[int(code)] for code in events[:, 2]])


def _no_cues() -> Cues:
    return np.zeros(0, np.int64), np.zeros(0, dtype=str)
