"""Two models on the same subjects: is the difference established, how large is it, and what could be seen at all.

Every function takes one number a subject (seeds, folds and sessions averaged first): subjects are what a claim
generalises over, trials and seeds of one subject are not independent.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import special, stats

ALPHA = 0.05
POWER = 0.8
EXACT = 15    # subjects: up to here all 2^n signs are tried
N_FLIPS = 20_000    # beyond: an error of .0015 at p = .05

Differences = Float[np.ndarray, " subject"]


def compare_pairs(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare every two models; ``a`` is the one with the better mean.

    Parameters
    ----------
    scores : DataFrame, shape (n_subjects, n_models)
        One score a subject and model, none missing.

    Returns
    -------
    DataFrame
        A row a pair: ``difference`` of the means with the 95 % interval ``low`` to ``high`` (Student's t), ``wins``
        and ``losses`` of `a` in subjects, ``p_wilcoxon``, ``p_permutation`` and both with Holm's correction over all
        pairs (``holm_...``), ``dz`` with its interval, ``detectable``, and for pairs with the best model ``p_best``:
        Wilcoxon's p times the number of the other models, 1 where the ranks are against the mean (`of_mean`).

    Notes
    -----
    ``p_best`` decides who is marked as worse than the best. If a model is truly the best, it is called worse only
    when one of the k - 1 others beats it by chance: so it keeps its mark in 95 % of studies, although the observed
    best was chosen by looking (multiple comparisons with the best; Hsu, 1981). Holm's correction over all pairs
    answers more (any claim on any pair) and asks for more: with 11 subjects and 11 models it can establish nothing.
    """
    if scores.isna().any(axis=None):
        raise ValueError("a score is missing: compare models on the same subjects only")
    order = scores.mean().sort_values(ascending=False, kind="stable").index
    others = max(1, len(order) - 1)
    rows = [_pair(scores, a, b, alpha=ALPHA / others) for a, b in itertools.combinations(order, 2)]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    for test in ("wilcoxon", "permutation"):
        table[f"holm_{test}"] = holm(table[f"p_{test}"].to_numpy(float))
    with_best = table["a"] == order[0] if len(order) else table["a"].isna()
    return table.assign(p_best=(table.pop("p_of_mean").astype(float) * others).clip(upper=1).where(with_best))


_COLUMNS = (
    "a", "b", "n_subjects", "difference", "low", "high", "wins", "losses", "p_wilcoxon", "p_permutation",
    "dz", "dz_low", "dz_high", "detectable", "p_of_mean",
)    # fmt: skip


def _pair(scores: pd.DataFrame, a: str, b: str, *, alpha: float) -> tuple:
    d = (scores[a] - scores[b]).to_numpy(float).round(12)    # so that equal differences are ties
    seen = len(d), float(d.mean()), *mean_interval(d), int((d > 0).sum()), int((d < 0).sum())
    return (a, b, *seen, wilcoxon(d), permutation(d), *effect_size(d), detectable(d, alpha=alpha), of_mean(d))


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
    d = d[d != 0]
    if len(d) <= EXACT:    # the permutation test of the signed ranks
        return permutation(np.sign(d) * stats.rankdata(np.abs(d)))
    result: Any = stats.wilcoxon(d)
    return float(result.pvalue)


def of_mean(d: Differences) -> float:
    """Wilcoxon's p for the direction of the mean: 1 where the ranks have the other one.

    One subject far ahead may make a mean against all others; a small two-sided p then speaks for the others.
    """
    told = d[d != 0]
    ranks = np.sign(told) * stats.rankdata(np.abs(told))
    return wilcoxon(d) if ranks.sum() * d.sum() > 0 else 1.0


def holm(p: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    """Holm's (1979) step-down correction: below .05 in at most 5 % of cases in which any null hypothesis is true."""
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1)
    return result


def mean_interval(d: Differences) -> tuple[float, float]:
    """95 % interval of the mean by Student's t; NaN with fewer than two subjects."""
    if len(d) < 2:
        return float("nan"), float("nan")
    half = float(stats.t.ppf(1 - ALPHA / 2, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
    return float(d.mean()) - half, float(d.mean()) + half


def effect_size(d: Differences) -> tuple[float, float, float]:
    """Standardised mean difference d_z = mean / deviation of the differences (MOABB's SMD), and its 95 % interval.

    The interval inverts the non-central t distribution (Cumming & Finch, 2001): exact for normal differences.
    """
    nan = float("nan")
    if len(d) < 2:
        return nan, nan, nan
    deviation = d.std(ddof=1)
    if deviation < 1e-12:
        return (float(np.copysign(np.inf, d.mean())) if d.any() else 0.0), nan, nan
    t, root = d.mean() / deviation * np.sqrt(len(d)), np.sqrt(len(d))
    low, high = (special.nctdtrinc(len(d) - 1, p, t) / root for p in (1 - ALPHA / 2, ALPHA / 2))
    return float(t / root), float(low), float(high)


def detectable(d: Differences, *, alpha: float = ALPHA) -> float:
    """True mean difference that a paired t-test of so many subjects would find in 80 % of studies.

    From the observed deviation of the differences; `compare_pairs` divides `alpha` by the number of other models.
    """
    n = len(d)
    if n < 2:
        return float("nan")
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    return float(special.nctdtrinc(n - 1, 1 - POWER, critical) * d.std(ddof=1) / np.sqrt(n))


def smallest_p(n_subjects: int) -> float:
    """Smallest p that a two-sided signed-rank or sign-flip test of so many subjects can give: all on one side."""
    return min(1.0, 2 / 2**n_subjects)


@functools.lru_cache(maxsize=4)
def _signs(n: int) -> Float[np.ndarray, "flip subject"]:
    """Signs: all of them (half is enough: |sum| does not change when all flip), or random ones with a fixed seed."""
    if n > EXACT:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(N_FLIPS, n))
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return 1.0 - 2.0 * (bits & 1)
