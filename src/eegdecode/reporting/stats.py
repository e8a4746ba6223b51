"""Chance, deviation, interval and test of scores: what a mean needs beside it before it can be read."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

CONFIDENCE = 0.95
EXACT = 15    # subjects: up to here all 2^n signs are tried
N_FLIPS = 20_000    # beyond: an error of .0015 at p = .05

Differences = Float[np.ndarray, " subject"]    # of two models; seeds, folds and sessions averaged first


def chance_level(labels: np.ndarray, n_classes: int) -> float:
    """Accuracy without knowledge: 1/K, or what the most frequent class gives where classes are unbalanced.

    Balanced means as equal as whole trials allow: the counts differ by one at most.
    """
    counts = np.bincount(labels, minlength=n_classes)
    if counts.max() - counts.min() <= 1:
        return 1 / n_classes
    return float(counts.max() / counts.sum())


def chance_bound(chance: float, n_trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Accuracy that guessing exceeds with a probability of at most 1 - `confidence`.

    The binomial bound of Combrisson & Jerbi (2015): with 40 trials of two classes it is 62.5 %, not 50 %.
    """
    if n_trials < 1 or np.isnan(chance):
        return float("nan")
    if not 0 < chance < 1:
        return float(chance)
    # scipy has the same, but takes half a second to import: too long for a look at a training (`LiveDiagnosis`)
    k = np.arange(n_trials + 1)
    ways = np.r_[0.0, np.log((n_trials + 1 - k[1:]) / k[1:]).cumsum()]
    reached = np.exp(ways + k * np.log(chance) + (n_trials - k) * np.log1p(-chance)).cumsum()
    return float(np.searchsorted(reached, confidence) / n_trials)


def subject_means(scores: pd.DataFrame, column: str) -> pd.Series:
    """Mean of each subject over its sessions, folds and seeds, in the order of the table."""
    return scores.groupby("subject", sort=False)[column].mean()


def deviation_over_subjects(scores: pd.DataFrame, column: str) -> float:
    """Standard deviation (n - 1) of the subjects' means; NaN with fewer than two subjects."""
    return float(subject_means(scores, column).std(ddof=1))


def deviation_over_seeds(scores: pd.DataFrame, column: str) -> float:
    """Standard deviation (n - 1) of the mean over subjects when only the seed changes.

    Only seeds with all of the table's subjects, sessions and folds enter, else the seeds would be compared on
    different data. NaN with fewer than two such seeds.
    """
    part = ["subject", "session", "fold"]
    wide = scores.pivot_table(index=part, columns="seed", values=column)
    whole = wide.loc[:, wide.notna().all()]
    return float(whole.groupby("subject").mean().mean().std(ddof=1)) if whole.shape[1] > 1 else float("nan")


def n_test_trials(scores: pd.DataFrame, *, cues: bool = False) -> pd.Series:
    """Number of different test trials of each subject: folds and sessions add up, seeds do not.

    With ``cues``, windows of one cue count as one: they share a label and much of the signal, so that they are not as
    many independent chances to guess as there are windows. For `chance_bound`.
    """
    parts = scores.drop_duplicates(["subject", "session", "fold"])
    column = "test_cues" if cues and "test_cues" in parts else "n_test"    # folders of before have no such column
    return parts.groupby("subject", sort=False)[column].sum()


def mean_interval(
    d: Float[np.ndarray, " subject"], *, within: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:    # fmt: skip
    """95 % interval of the mean by Student's t, cut to what is possible; NaN with fewer than two subjects.

    It says how the mean would move with other subjects, also where they are few: over four of them a percentile
    bootstrap covers the truth in four of five studies.
    """
    if len(d) < 2:
        return float("nan"), float("nan")
    from scipy.special import stdtrit  # scipy takes long to import

    half = float(stdtrit(len(d) - 1, (1 + CONFIDENCE) / 2) * d.std(ddof=1) / np.sqrt(len(d)))
    return max(float(d.mean()) - half, within[0]), min(float(d.mean()) + half, within[1])


def permutation(d: Differences) -> float:
    """Two-sided p of the mean difference when each subject's sign is a coin's: exact up to `EXACT` subjects."""
    if len(d) == 0 or not d.any():
        return 1.0
    observed, flipped = abs(d.sum()), np.abs(_signs(len(d)) @ d)
    as_large = flipped >= observed - 1e-9 * np.abs(d).sum()
    return float(as_large.mean() if len(d) <= EXACT else (as_large.sum() + 1) / (len(as_large) + 1))


def wilcoxon(d: Differences) -> float:
    """Two-sided p of Wilcoxon's signed-rank test: exact for few subjects, also with ties; zeros are left out.

    scipy's exact test, and its normal approximation for many subjects with ties.
    """
    from scipy import stats  # takes half a second to import

    d = d[d != 0]
    if len(d) <= EXACT:    # the permutation test of the signed ranks
        return permutation(np.sign(d) * stats.rankdata(np.abs(d)))
    result: Any = stats.wilcoxon(d)
    return float(result.pvalue)


def of_mean(d: Differences) -> float:
    """Wilcoxon's p for the direction of the mean: 1 where the ranks have the other one.

    One subject far ahead may make a mean against all others; a small two-sided p then speaks for the others.
    """
    return wilcoxon(d) if ranks_agree(d) else 1.0


def ranks_agree(d: Differences) -> bool:
    """Whether the signed ranks point where the mean does."""
    from scipy import stats  # takes half a second to import

    told = d[d != 0]
    ranks = np.sign(told) * stats.rankdata(np.abs(told))
    return bool(ranks.sum() * d.sum() > 0)


@functools.lru_cache(maxsize=4)
def _signs(n: int) -> Float[np.ndarray, "flip subject"]:
    """Signs: all of them (half is enough: |sum| does not change when all flip), or random ones with a fixed seed."""
    if n > EXACT:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(N_FLIPS, n))
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return 1.0 - 2.0 * (bits & 1)
