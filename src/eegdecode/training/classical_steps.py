"""Steps of classical pipelines that no library has: banks of filters, and canonical correlation with a flicker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.pipeline import Pipeline

Band = Sequence[float]    # lower and upper edge in Hz
FLICKERS = (3.0, 100.0)    # Hz, that are looked at in experiments (Herrmann, 2001, has 1 to 100)


class FilterBank(TransformerMixin, BaseEstimator):
    """Band-pass each trial into several bands and stack them as channels: (n, C, T) -> (n, bands * C, T).

    The covariance of the stack holds the power in each band and how the bands go together: what a
    steady-state response is read from (Congedo et al., 2013; MOABB's ``FilterBankSSVEP``).

    Parameters
    ----------
    bands : "stimulus" or list of (float, float)
        Edges in Hz. ``"stimulus"``: ``width`` around each class whose name is a number, as data sets of
        steady-state potentials name their classes. Without such classes the trials are left as they are, and so
        they are where a number is no flicker that is looked at (`FLICKERS`): classes 1 and 2, or 769 and 770, are
        named by the codes of their events.
    width : float
        Width of a stimulus band in Hz; MOABB takes 1.
    sfreq, classes
        Given by the data.
    """

    def __init__(
        self, bands: str | Sequence[Band] = "stimulus", width: float = 1.0,
        sfreq: float | None = None, classes: Sequence[str] = (),
    ) -> None:    # fmt: skip
        self.bands = bands
        self.width = width
        self.sfreq = sfreq
        self.classes = classes

    def check(self) -> list[Band]:
        """The bands, each within what the sampling rate can hold."""
        if not isinstance(self.bands, str):
            return _checked(self.bands, self.sfreq)
        if self.bands != "stimulus":
            raise ValueError(f"bands={self.bands} is neither stimulus nor a list of pairs in Hz, such as [[8,12]]")
        if not 0 < self.width < np.inf:
            raise ValueError(f"width={self.width} Hz of a stimulus band must be above 0")
        rates = frequencies(self.classes).values()
        if not all(FLICKERS[0] <= rate <= FLICKERS[1] for rate in rates):
            return []
        return _checked([(rate - self.width / 2, rate + self.width / 2) for rate in rates], self.sfreq)

    def fit(self, X, y=None):
        """Work out the bands."""
        self.bands_ = self.check()
        return self

    def transform(self, X):
        """Filter the trials (see `band_pass`)."""
        if not self.bands_:
            return X
        return np.concatenate([band_pass(X, band, self.sfreq) for band in self.bands_], axis=1)


class EachBand(TransformerMixin, BaseEstimator):
    """Fit steps on the trials of each band by itself and join the features: (n, C, T) -> (n, bands * features).

    With covariances and CSP this is the filter bank CSP of Ang et al. (2008), "Filter bank common spatial pattern
    (FBCSP) in brain-computer interface".

    Parameters
    ----------
    bands : list of (float, float)
        Edges in Hz.
    steps : mapping of str to estimator
        Applied one after the other, anew in each band; the last gives features (n, features).
    sfreq
        Given by the data.
    """

    def __init__(
        self, bands: Sequence[Band], steps: Mapping[str, BaseEstimator], sfreq: float | None = None
    ) -> None:    # fmt: skip
        self.bands = bands
        self.steps = steps
        self.sfreq = sfreq

    def check(self) -> list[Band]:
        """The bands, each within what the sampling rate can hold."""
        return _checked(self.bands, self.sfreq)

    def fit(self, X, y=None):
        """Fit the steps of each band."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and give the features of these trials: each band is filtered once."""
        self.pipelines_, features = [], []
        for band in self.check():
            steps = Pipeline([(name, clone(step)) for name, step in self.steps.items()])
            features.append(steps.fit_transform(band_pass(X, band, self.sfreq), y))
            self.pipelines_.append(steps)
        return np.concatenate(features, axis=1)

    def transform(self, X):
        """Features of each trial, band by band."""
        pairs = zip(self.pipelines_, self.bands, strict=True)
        return np.concatenate([steps.transform(band_pass(X, band, self.sfreq)) for steps, band in pairs], axis=1)


class CCA(ClassifierMixin, BaseEstimator):
    """The flicker with which a trial has the largest canonical correlation (Lin et al., 2006; Bin et al., 2009).

    The reference of a stimulus frequency f is sin and cos of f, 2f, ... Nothing is learned of a class whose name is
    its frequency. One class may have none (``rest``): it is taken where no correlation reaches a threshold, the one
    with which most training trials are right. MOABB's ``SSVEP_CCA`` refuses such a class unless a frequency is made
    up for it.

    Parameters
    ----------
    n_harmonics : int
        The fundamental is the first; those above half of the sampling rate are left out.
    sfreq, classes
        Given by the data: labels are positions in ``classes``.
    """

    def __init__(self, n_harmonics: int = 2, sfreq: float = 0.0, classes: Sequence[str] = ()) -> None:
        self.n_harmonics = n_harmonics
        self.sfreq = sfreq
        self.classes = classes

    def check(self) -> dict[int, float]:
        """Frequency in Hz of each class that has one."""
        if self.n_harmonics < 1:
            raise ValueError(f"n_harmonics must be at least 1, the flicker itself, got {self.n_harmonics}")
        rates = frequencies(self.classes)
        if len(rates) < max(1, len(self.classes) - 1):
            raise ValueError(
                "cca needs classes that are named by their stimulus frequency in Hz (such as 13), and one other class "
                f"at most; these are {', '.join(self.classes)}. Take another model"
            )
        return rates

    def fit(self, X, y):
        """Make the references, and find the threshold if a class has no frequency."""
        rates = self.check()
        time = np.arange(X.shape[2]) / self.sfreq
        self.classes_ = np.union1d(np.unique(y), list(rates))    # one without training trials can be answered, too
        self.bases_ = {k: _flicker(rate, time, self.n_harmonics, self.sfreq) for k, rate in rates.items()}
        self.threshold_ = np.nan
        if len(self.bases_) < len(self.classes_):
            scores = self.decision_function(X)
            right = self.classes_[np.nanargmax(scores, axis=1)] == y
            self.threshold_ = _threshold(np.nanmax(scores, axis=1), right, np.isin(y, [*self.bases_]))
        return self

    def decision_function(self, X):
        """Canonical correlations, (n, K); the threshold stands for the class without a frequency."""
        signals = _basis(X - X.mean(axis=2, keepdims=True))
        scores = [
            np.linalg.norm(signals @ self.bases_[k].T, 2, axis=(1, 2)) if k in self.bases_
            else np.full(len(X), self.threshold_) for k in self.classes_
        ]    # fmt: skip
        return np.stack(scores, axis=1)

    def predict(self, X):
        """The class of the largest one."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]


def frequencies(classes: Sequence[str]) -> dict[int, float]:
    """Position of each class whose name is a number -> that number, its stimulus frequency in Hz."""
    return {k: float(name) for k, name in enumerate(classes) if name.replace(".", "", 1).isdigit()}


def band_pass(X: np.ndarray, band: Band, sfreq: float | None) -> np.ndarray:
    """Filter forward and backward (Butterworth, order 4, as MOABB), padded by as much as a trial has.

    A trial of 2 s is short for a band of 1 Hz: scipy's own padding costs 2 points on `ssvep_exo`.
    """
    return sosfiltfilt(butter(4, band, "bandpass", fs=sfreq, output="sos"), X, axis=2, padlen=X.shape[2] - 1)


def _checked(bands: Sequence[Band], sfreq: float | None) -> list[Band]:
    for band in bands:
        if len(band) != 2:
            raise ValueError(f"the band {list(band)} is not a pair of edges in Hz, such as [8,12]")
        low, high = band
        if not 0 < low < high < (sfreq or np.inf) / 2:
            raise ValueError(
                f"the band {low:g}-{high:g} Hz does not lie between 0 and half of the sampling rate ({sfreq} Hz): "
                "give other bands, or take preprocess.sfreq higher"
            )
    return list(bands)


def _flicker(rate: float, time: np.ndarray, n_harmonics: int, sfreq: float) -> np.ndarray:
    """Orthonormal rows that span sin and cos of a frequency and its harmonics, (2 * harmonics, T)."""
    harmonics = [h * rate for h in range(1, n_harmonics + 1) if h * rate < sfreq / 2]
    if not harmonics:
        raise ValueError(f"a flicker of {rate:g} Hz cannot be seen at {sfreq:g} Hz; take preprocess.sfreq higher")
    phases = 2 * np.pi * np.outer(harmonics, time)
    waves = np.concatenate([np.sin(phases), np.cos(phases)])
    return _basis(waves - waves.mean(axis=1, keepdims=True))


def _basis(X: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the channels, (..., C, T); zeros in place of what they lack in rank."""
    _, sizes, rows = np.linalg.svd(X, full_matrices=False)
    return rows * (sizes > 1e-6 * sizes[..., :1])[..., None]


def _threshold(best: np.ndarray, right: np.ndarray, looked: np.ndarray) -> float:
    """The threshold with which most trials are right: those at rest below it, those that looked, rightly, above.

    Parameters
    ----------
    best : ndarray, shape (n,)
        Largest correlation of each trial.
    right, looked : ndarray of bool, shape (n,)
        Whether it is with the flicker that was looked at; whether one was looked at.
    """
    order = np.argsort(best)
    edges = np.concatenate([[0.0], (best[order][1:] + best[order][:-1]) / 2, [1.0]])
    below = np.concatenate([[0], np.cumsum(~looked[order])])
    above = np.concatenate([np.cumsum((right & looked)[order][::-1])[::-1], [0]])
    return float(edges[np.argmax(below + above)])
