"""Find the cues of a recording: samples and class names, from annotations or from a stim channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mne
import numpy as np

Cues = tuple[np.ndarray, np.ndarray]


def cues_from_annotations(raw: mne.io.BaseRaw, classes: Mapping[str, str]) -> Cues:
    """Onsets (samples from the first of ``raw``) and class names of the annotations that are named.

    Parameters
    ----------
    classes : mapping of str to str
        Description of the annotation -> class name.
    """
    present = [text for text in classes if text in set(raw.annotations.description)]
    if not present:
        return _no_cues()
    codes: Any = {text: code for code, text in enumerate(present, start=1)}
    events, _ = mne.events_from_annotations(raw, event_id=codes, verbose="error")
    return _cues(raw, events, {code: classes[text] for text, code in codes.items()})


def cues_from_stim(
    raw: mne.io.BaseRaw, classes: Mapping[int, str], *, stim_channel: str | None = None
) -> Cues:
    """Onsets and class names of the codes that are named, where the stim channel rises to them.

    Parameters
    ----------
    classes : mapping of int to str
        Code -> class name.
    stim_channel : str or None
        None: the stim channels that MNE finds.
    """
    events = mne.find_events(raw, stim_channel=stim_channel, shortest_event=0, verbose="error")
    return _cues(raw, events, classes)


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
