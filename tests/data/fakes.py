"""Small recordings with a known content, and a data set of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mne
import numpy as np

from eegdecode.data.recording import Recording

CHANNELS = ("C3", "Cz", "C4")


def make_raw(*, sfreq=100.0, seconds=60.0, channels=CHANNELS, seed=0) -> mne.io.RawArray:
    """Noise of 10 µV."""
    data = np.random.default_rng(seed).standard_normal((len(channels), round(seconds * sfreq))) * 1e-5
    info = mne.create_info(list(channels), float(sfreq), "eeg")
    return mne.io.RawArray(data, info, verbose="error")


def make_recording(raw=None, *, onsets=(500, 1500, 2500, 3500), subject="1", run="0") -> Recording:
    """Cues of two classes in turn."""
    labels = np.array([("left", "right")[i % 2] for i in range(len(onsets))])
    raw = make_raw() if raw is None else raw
    at = np.array(onsets, dtype=np.int64)
    return Recording(raw, subject, "0", run, at, labels, f"fake {subject} run {run}")


@dataclass(frozen=True)
class FakeDataset:
    """Subjects of two runs each; says when it is read."""

    subjects: tuple[str, ...] | None = ("1", "2")
    name: str = "fake"
    classes: tuple[str, ...] = ("left", "right")
    interval: tuple[float, float] = (0.0, 2.0)
    seed: int = 0

    def subject_names(self) -> tuple[str, ...]:
        return self.subjects or ("1", "2", "3")

    def recordings(self, subject: str) -> Iterator[Recording]:
        for run in range(2):
            raw = make_raw(seed=100 * self.seed + 10 * int(subject) + run)
            yield make_recording(raw, subject=subject, run=str(run))
