"""Symmetric positive definite matrices, as covariances are: inverse roots and the Riemannian mean."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LEAST = 1e-6    # of the largest eigenvalue: directions with less power hold no signal (average reference)


def inverse_root(cov: Float[np.ndarray, "*some chan chan"]) -> Float[np.ndarray, "*some chan chan"]:
    """Return R^(-1/2) of each; directions without power stay without."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > LEAST * values[..., -1:]
    scale = np.where(kept, np.where(kept, values, 1) ** -0.5, 0)
    return (vectors * scale[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def signal_space(
    cov: Float[np.ndarray, "chan chan"], *, least: float = LEAST
) -> Float[np.ndarray, "chan direction"]:    # fmt: skip
    """Return orthonormal directions that hold the power; the channels themselves where each has some of its own."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > least * values[-1]
    return np.eye(len(cov)) if kept.all() else vectors[:, kept]


def part_way_root(
    roots: Float[np.ndarray, "*some chan chan"], second: Float[np.ndarray, "*some chan chan"], share: float
) -> Float[np.ndarray, "*some chan chan"]:    # fmt: skip
    """Return ``M^(-share / 2) R^(-1/2)`` with ``M = R^(-1/2) C R^(-1/2)``, given R^(-1/2) and C of each.

    Under it the point that lies ``share`` of the way along the geodesic from R to C, ``R^(1/2) M^share R^(1/2)``,
    becomes the identity (Bhatia, 2007, Positive definite matrices, section 6.1).
    """
    values, vectors = np.linalg.eigh(roots @ second @ roots)
    there = values[..., -1:] > 0    # a silent trial stays silent
    scale = np.where(there, np.maximum(values, LEAST * values[..., -1:]), 1) ** (-share / 2) * there
    return (vectors * scale[..., None, :]) @ np.swapaxes(vectors, -1, -2) @ roots


def riemannian_mean(
    cov: Float[np.ndarray, "trial chan chan"], tolerance: float = 1e-8, most: int = 50
) -> Float[np.ndarray, "chan chan"]:    # fmt: skip
    """Return the affine-invariant mean: the matrix seen from which the logarithms of all add up to nothing.

    It is taken in the directions that hold power (all but one with an average reference): elsewhere there are no
    logarithms. Where a step leads further away, as with an electrode that is loose in some trials, steps are halved.
    """
    basis = signal_space(cov.mean(0))
    cov = basis.T @ cov @ basis
    mean, pace, before = cov.mean(0), 1.0, np.inf
    for _ in range(most):
        values, vectors = np.linalg.eigh(mean)
        root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
        values, vectors = np.linalg.eigh(inverse @ cov @ inverse)
        step = ((vectors * np.log(np.maximum(values, LEAST))[:, None]) @ vectors.transpose(0, 2, 1)).mean(0)
        away = float(np.linalg.norm(step))
        pace, before = pace if away < before else pace / 2, away
        values, vectors = np.linalg.eigh(pace * step)
        mean = root @ (vectors * np.exp(values)) @ vectors.T @ root
        if away < tolerance:
            break
    return basis @ mean @ basis.T
