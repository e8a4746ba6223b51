"""What is learned from training trials before the network: a linear map of channels for each run.

A front end is fitted on ``split.train`` alone and applied on the device as ``filters @ x + offset``. All of
them are functions of two moments of each trial, so that the moments of a data set are computed once,
however many splits there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int

from eegdecode.training.spd import signal_space

ROUND_OFF = 1e-12    # of a power: less is what rounding leaves, of a channel or trial that holds one value


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moment of each trial over time.

    Attributes
    ----------
    mean : ndarray, shape (n, C)
    second : ndarray, shape (n, C, C)
        ``X Xᵀ / T`` of each trial, not centred.
    """

    mean: Float[np.ndarray, "trial chan"]
    second: Float[np.ndarray, "trial chan chan"]

    @classmethod
    def of(cls, X: Float32[np.ndarray, "trial chan time"], chunk: int = 16) -> Moments:
        """Measure the moments of each trial, in float64, a chunk at a time that fits into the processor's cache."""
        n, c, t = X.shape
        mean, second = np.empty((n, c)), np.empty((n, c, c))
        for start in range(0, n, chunk):
            x = np.asarray(X[start : start + chunk], np.float64)
            mean[start : start + chunk] = x.mean(2)
            second[start : start + chunk] = x @ x.transpose(0, 2, 1) / t
        return cls(mean, second)

    def __getitem__(self, rows: np.ndarray) -> Moments:
        return Moments(self.mean[rows], self.second[rows])

    def scales(self) -> Float[np.ndarray, " trial"]:
        """Return what gives each trial deviation 1 over its channels. Learns nothing: a trial sees itself alone."""
        power = np.einsum("ncc->nc", self.second)
        return inverse_deviation((power - self.mean**2).mean(1), power.mean(1))

    def scaled(self, scales: Float[np.ndarray, " trial"]) -> Moments:
        """Return the moments of the trials times ``scales``."""
        return Moments(self.mean * scales[:, None], self.second * scales[:, None, None] ** 2)


def inverse_deviation(
    variance: Float[np.ndarray, " some"], power: Float[np.ndarray, " some"]
) -> Float[np.ndarray, " some"]:    # fmt: skip
    """Return what gives deviation 1, and 0 where no signal is: blown up, what rounding leaves would drown all others.

    So a channel that was off in training and is on under test is not heard: nothing is known of it.
    """
    there = variance > ROUND_OFF * power
    return np.where(there, 1 / np.sqrt(np.where(there, variance, 1)), 0)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A fitted front end: ``filters @ x + offset``.

    Attributes
    ----------
    filters : ndarray, shape (F, C) or (M, F, C)
        One map for all trials, or several, of which ``which`` gives each trial one.
    offset : ndarray, shape (F,)
    which : ndarray of int, shape (n,), or None
        Number of the map of each trial of the data set.
    electrodes : bool
        Whether each feature still stands for one electrode, so that its position says something.
    kept : mapping
        What new trials need where there are several maps: saved in place of ``filters``.
    groups : tuple of str
        Whose maps or references ``kept`` holds, in its order; after them comes that of everybody else.
    """

    filters: Float32[np.ndarray, "*map feature chan"]
    offset: Float32[np.ndarray, " feature"]
    which: Int[np.ndarray, " trial"] | None = None
    electrodes: bool = True
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def weights(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint holds of the front end."""
        filters = self.kept or {"frontend.filters": self.filters}
        return {**filters, "frontend.offset": self.offset}


@runtime_checkable
class FrontEnd(Protocol):
    """What the trainer needs of a front end: settings with a ``fit``."""

    @property
    def per_trial(self) -> bool:
        """Whether each trial is first divided by its own deviation."""
        ...

    def fit(self, moments: Moments, y: Int[np.ndarray, " trial"]) -> LinearMap:
        """Fit on the moments and labels of training trials."""
        ...


@dataclass(frozen=True)
class Identity:
    """Signals as they are."""

    per_trial: bool = False

    def fit(self, moments: Moments, y: Int[np.ndarray, " trial"]) -> LinearMap:
        """Return the identity."""
        c = moments.mean.shape[1]
        return LinearMap(np.eye(c, dtype=np.float32), np.zeros(c, np.float32))


@dataclass(frozen=True)
class ZScore:
    """Mean 0 and deviation 1 over the training trials.

    Parameters
    ----------
    over : {"channel", "all"}
        A mean and a deviation for each channel, or one of both for all (as S3T does).
    per_trial : bool
        Divide each trial by its own deviation first. Takes away what differs between subjects and amplifiers, which is
        why ``frontend=zscore`` does; by default it is the plain z-score.
    """

    over: str = "channel"
    per_trial: bool = False

    def __post_init__(self) -> None:
        if self.over not in ("channel", "all"):
            raise ValueError(f"frontend.over must be 'channel' or 'all', got {self.over!r}")

    def fit(self, moments: Moments, y: Int[np.ndarray, " trial"]) -> LinearMap:
        """Measure mean and deviation; labels are not used."""
        mean = moments.mean.mean(0)
        power = np.einsum("ncc->c", moments.second) / len(moments.second)
        if self.over == "all":
            mean, power = np.full_like(mean, mean.mean()), np.full_like(power, power.mean())
        variance = power - mean**2
        scale = inverse_deviation(variance, np.maximum(power, variance.max()))
        return LinearMap(np.diag(scale).astype(np.float32), (-scale * mean).astype(np.float32))


@dataclass(frozen=True)
class CSP:
    """Common spatial patterns, one class against the rest (Ramoser et al., 2000; Song et al., 2021).

    Trace-normalised covariances are averaged for the class and for the rest. The generalised eigenvectors
    of (rest, class + rest) with the least eigenvalues are filters under which the class has the largest
    share of the variance. With two classes both sides are the same problem, so each class gives its half, or both
    together one set of all there are: three on the three channels of BCI IV-2b, as S3T took them.
    Directions without power (average reference, interpolated channels) are left out: their share would be 0 / 0.

    Parameters
    ----------
    n_filters : int
        Filters a class, of two classes at most as many as there are; S3T takes 4.
    per_trial : bool
        Divide each trial by its own deviation first, as ``frontend=csp`` does; by default it is the CSP of the papers.
    """

    n_filters: int = 4
    per_trial: bool = False

    def __post_init__(self) -> None:
        if self.n_filters < 1:
            raise ValueError(f"frontend.n_filters must be at least 1, got {self.n_filters}")

    def fit(self, moments: Moments, y: Int[np.ndarray, " trial"]) -> LinearMap:
        """Fit the filters of every class and scale all features by one number to deviation 1."""
        there = np.einsum("ncc->n", moments.second) > 0    # silent trials have no share of a variance
        moments, y = moments[there], y[there]
        cov = moments.second / np.einsum("ncc->n", moments.second)[:, None, None]
        n_chans, classes = cov.shape[1], np.unique(y)
        if len(classes) < 2:
            raise ValueError(f"CSP needs training trials of two classes, got class {classes} only")
        basis = signal_space(cov.mean(0))
        taken, n_filters = self._sets(classes, n_there=basis.shape[1], n_chans=n_chans)
        cov = basis.T @ cov @ basis
        filters = np.concatenate([self._fit_class(cov, y == k)[:n_filters] @ basis.T for k in taken])
        variance = np.einsum("fc,ncd,fd->", filters, moments.second, filters) / (len(y) * len(filters))
        filters /= np.sqrt(max(variance, 1e-12))
        return LinearMap(filters.astype(np.float32), np.zeros(len(filters), np.float32), electrodes=False)

    def _sets(self, classes: np.ndarray, *, n_there: int, n_chans: int) -> tuple[np.ndarray, int]:
        """Classes whose filters are taken, and how many of each."""
        if len(classes) == 2 and 2 * self.n_filters > n_there:    # the other's are the same ones in the other order
            return classes[:1], n_there
        if self.n_filters > n_there:
            there = f"{n_there} directions of the {n_chans} channels that hold a signal of their own"
            why = "average reference, interpolated or flat channels"
            there = f"{n_chans} channels" if n_there == n_chans else f"{there} ({why})"
            raise ValueError(f"frontend.n_filters={self.n_filters} is more than the {there}")
        return classes, self.n_filters

    def _fit_class(self, cov: np.ndarray, mine: np.ndarray) -> np.ndarray:
        from scipy.linalg import eigh  # 0.1 s, which other front ends do not need

        one, rest = cov[mine].mean(0), cov[~mine].mean(0)
        _, vectors = eigh(rest, one + rest)
        return vectors.T
