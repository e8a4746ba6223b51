"""What a prepared data set holds, in numbers; and what of it differs from its paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import welch
from scipy.signal.windows import hann

from eegdecode.reporting.stats import chance_bound, chance_level

PLAUSIBLE = (0.5, 500.0)    # µV: deviations of a trial that an EEG has
LINE = 10.0    # dB of the mains over what is beside it
PSD_TRIALS = 2000    # that a spectrum is averaged of, at most


@dataclass(frozen=True, eq=False)
class Facts:
    """Measurements of a data set.

    Attributes
    ----------
    counts : DataFrame
        Trials by subject and session (rows) and class (columns).
    amplitude : DataFrame
        ``subject``, ``session``, ``deviation``: median deviation over time of trials and channels.
    by_channel : ndarray, shape (C,)
        Median deviation of each channel.
    spectra : ndarray, shape (K, F)
        Mean power density of each class, geometric mean over channels.
    flat, missing : int
        Trials with a channel that is flat, or with NaN.
    duplicates : list of list of str
        Names of trials with the same signal.
    notes : DataFrame
        See `eegdecode.trials.Trials.notes`.
    """

    counts: pd.DataFrame
    runs: pd.DataFrame
    ch_names: tuple[str, ...]
    positions: np.ndarray
    sfreq: float
    window: tuple[float, float]
    n_times: int
    amplitude: pd.DataFrame
    by_channel: np.ndarray
    freqs: np.ndarray
    spectra: np.ndarray
    flat: int
    missing: int
    duplicates: list[list[str]]
    notes: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Score:
    """A quick score: accuracy of each subject, cross-validated within sessions."""

    folds: int
    accuracy: Mapping[str, float]
    labels: np.ndarray
    n_classes: int
    failed: str = ""    # what went wrong in a fold: then there is no score

    def sentence(self) -> str:
        """Whether it is above chance."""
        if self.failed:
            return f"none: {self.failed}"
        mean = float(np.mean(list(self.accuracy.values())))
        chance = chance_level(self.labels, self.n_classes)
        bound = chance_bound(chance, len(self.labels))
        verdict = "above chance" if mean > bound else "NOT above chance"
        return (
            f"{100 * mean:.1f} % ({verdict}: guessing gives {100 * chance:.1f} %, up to {100 * bound:.1f} % by luck; "
            f"{self.folds}-fold within sessions, {len(self.accuracy)} subjects, "
            f"{100 * min(self.accuracy.values()):.0f} to {100 * max(self.accuracy.values()):.0f} %)"
        )


def measure(
    X: np.ndarray, meta: pd.DataFrame, notes: pd.DataFrame, *, ch_names: Sequence[str], positions: np.ndarray,
    sfreq: float, tmin: float, classes: Sequence[str],
) -> Facts:    # fmt: skip
    """Measure prepared trials (n, C, T)."""
    deviation, flat, missing = np.empty(X.shape[:2]), 0, 0
    for i, x in enumerate(X):
        deviation[i] = x.std(axis=1, dtype=np.float64)
        flat += bool((np.ptp(x, axis=1) == 0).any())
        missing += bool(np.isnan(deviation[i]).any())
    amplitude = meta[["subject", "session"]].assign(deviation=np.median(deviation, axis=1))
    freqs, spectra = _spectra(X, meta["label"].to_numpy(), sfreq, len(classes))
    of_class = pd.DataFrame({name: (meta["label"] == k).astype(int) for k, name in enumerate(classes)})
    counts = of_class.groupby([meta["subject"], meta["session"]], sort=False).sum()
    same = meta.groupby("signal", sort=False)["trial"].agg(list) if "signal" in meta else pd.Series(dtype=object)
    return Facts(
        counts=counts, runs=meta.groupby(["subject", "session", "run"], sort=False).size().reset_index(name="trials"),
        ch_names=tuple(ch_names), positions=positions, sfreq=sfreq, n_times=X.shape[2],
        window=(tmin, tmin + X.shape[2] / sfreq), by_channel=np.median(deviation, axis=0),
        amplitude=amplitude.groupby(["subject", "session"], sort=False)["deviation"].median().reset_index(),
        freqs=freqs, spectra=spectra, flat=flat, missing=missing,
        duplicates=[names for names in same if len(names) > 1], notes=notes,
    )    # fmt: skip


def _spectra(X: np.ndarray, labels: np.ndarray, sfreq: float, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    n = min(X.shape[2], round(2 * sfreq))
    power, freqs = [], np.zeros(0)
    detrend: Any = _without_mean    # scipy takes a function
    for k in range(n_classes):
        rows = np.flatnonzero(labels == k)
        rows = rows[:: max(1, len(rows) * n_classes // PSD_TRIALS)]
        total = np.zeros((X.shape[1], n // 2 + 1))
        for row in rows:
            freqs, density = welch(np.asarray(X[row], np.float64), sfreq, nperseg=n, axis=1, detrend=detrend)
            total += density / len(rows)
        power.append(np.exp(np.log(np.maximum(total, 1e-20)).mean(axis=0)))
    return freqs, np.array(power)


def _without_mean(windows: np.ndarray) -> np.ndarray:
    """Take off the mean as the Hann window weighs it: nothing of an offset is left, and no slow power is made.

    The plain mean of a window that is no whole number of periods is not 0, and would stand in the lowest bins as
    power: 30 dB of it at 0.5 Hz behind a high-pass of 4 Hz.
    """
    weights = hann(windows.shape[-1], sym=False)
    return windows - (windows @ weights / weights.sum())[..., None]


def broken_promises(facts: Facts, meta: pd.DataFrame, promises: Mapping[str, float]) -> list[str]:
    """Say in which way a data set differs from what its paper promises; see ``configs/promises``."""
    groups = {
        "sessions": meta.groupby("subject", sort=False)["session"].nunique(),
        "runs": meta.groupby(["subject", "session"], sort=False)["run"].nunique(),
        "trials_session": meta.groupby(["subject", "session"], sort=False).size(),
        "trials_run": meta.groupby(["subject", "session", "run"], sort=False).size(),
        "class_session": meta.groupby(["subject", "session", "label"], sort=False).size(),
        "class_run": meta.groupby(["subject", "session", "run", "label"], sort=False).size(),
    }
    whole = {"subjects": meta["subject"].nunique(), "channels": len(facts.ch_names), "sfreq": facts.sfreq}
    unknown = sorted(set(promises) - set(groups) - set(whole))
    if unknown:
        raise ValueError(f"promises: {', '.join(unknown)} are not among {', '.join([*groups, *whole])}")
    lines = []
    for what, promised in promises.items():
        if what in whole and whole[what] != promised:
            lines.append(f"{what}: {whole[what]:g}, promised {promised:g}")
        elif what in groups:
            wrong = groups[what][groups[what] != promised]
            shown = ", ".join(f"{'/'.join(map(str, np.atleast_1d(np.array(at, object))))}: {n}"
                              for at, n in wrong.head(5).items())    # fmt: skip
            if len(wrong):
                lines.append(f"{what}: {len(wrong)} of {len(groups[what])} have not {promised:g} ({shown})")
    return lines
