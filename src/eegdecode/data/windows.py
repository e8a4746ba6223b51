"""Cut a preprocessed recording into trials."""

from __future__ import annotations

import logging

import numpy as np

from eegdecode.data.continuous import Continuous
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Recording

log = logging.getLogger(__name__)


def cut_windows(
    continuous: Continuous, recording: Recording, *, preprocess: Preprocess, interval: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one window a cue.

    Parameters
    ----------
    interval : (float, float)
        Window relative to the cue in s; the end is exclusive.

    Returns
    -------
    X : ndarray, shape (n_trials, C, T), float32
        ``T = round((tmax - tmin) * sfreq)`` samples a trial, µV unless the settings standardise.
    kept : ndarray of int
        The cues that have a window: all, unless ``preprocess.incomplete`` is ``"drop"``.
    """
    (tmin, tmax), sfreq = interval, continuous.sfreq
    n_times = round((tmax - tmin) * sfreq)
    if n_times < 1:
        raise ValueError(f"the window {tmin:g} to {tmax:g} s holds no sample at {sfreq:g} Hz")
    starts = continuous.onsets + round(tmin * sfreq)
    reasons = [_trouble(continuous, int(start), n_times) for start in starts]
    troubles = {i: reason for i, reason in enumerate(reasons) if reason}
    if troubles and preprocess.incomplete == "raise":
        raise ValueError(_complaint(troubles, recording, interval))
    if troubles:
        log.warning("%s: dropped %d of %d trials, not whole", recording.source, len(troubles), len(starts))
    kept = np.array([i for i in range(len(starts)) if i not in troubles], dtype=np.int64)
    X = np.empty((len(kept), len(continuous.ch_names), n_times), np.float32)
    for x, start in zip(X, starts[kept], strict=True):
        x[:] = continuous.data[:, start : start + n_times]
    if preprocess.standardise == "trial":
        return _standardise(X), kept
    _check_unit(X, recording.source)
    return X, kept


def _trouble(continuous: Continuous, start: int, n_times: int) -> str | None:
    """Why there is no whole window, if so."""
    n_samples, sfreq = continuous.data.shape[1], continuous.sfreq
    if start < 0:
        return f"begins {-start / sfreq:g} s before the recording"
    if start + n_times > n_samples:
        return f"ends {(start + n_times - n_samples) / sfreq:g} s after the recording"
    for gap in continuous.gaps:
        if gap.start < start + n_times and gap.stop > start:
            return f"holds missing samples (NaN) in channel {continuous.ch_names[gap.channel]}"
    return None


def _complaint(troubles: dict[int, str], recording: Recording, interval: tuple[float, float]) -> str:
    first = min(troubles)
    cue = recording.onsets[first] / recording.raw.info["sfreq"]
    return (
        f"{recording.source}: the window {interval[0]:g} to {interval[1]:g} s of cue {first + 1} "
        f"({str(recording.labels[first])!r} at {cue:.2f} s) {troubles[first]}; "
        f"{len(troubles)} of {len(recording.onsets)} cues are concerned. Change preprocess.tmin or "
        "preprocess.tmax, choose other channels (preprocess.channels), or leave such trials out: "
        "preprocess.incomplete=drop"
    )


def _standardise(X: np.ndarray) -> np.ndarray:
    """Divide each trial by its own deviation over all channels and samples."""
    deviation = X.std(axis=(1, 2), keepdims=True, dtype=np.float64)
    return (X / np.where(deviation == 0, 1, deviation)).astype(np.float32)    # 0: silent, and dropped for that


LEAST, MOST = 1e-3, 1e5    # µV: deviations beyond which the unit is wrong, however small or noisy the signal


def _check_unit(X: np.ndarray, source: str) -> None:
    """EEG deviates by 1 to 1000 µV; a file that holds µV and says volts, or the reverse, is a million off."""
    typical = float(np.median(X.std(axis=2))) if len(X) else 1.0
    if typical == 0 or LEAST <= typical <= MOST:
        return
    scale = "1e-6" if typical > MOST else "1e6"
    raise ValueError(
        f"{source}: its trials deviate by {typical:.2g} µV, where EEG has 1 to 1000: its unit is not the one that it "
        f"says. Of recordings in files set dataset.scale={scale}, times what is set (+dataset.scale where your YAML "
        "file has none), or divide each trial by its own deviation: preprocess.standardise=trial"
    )
