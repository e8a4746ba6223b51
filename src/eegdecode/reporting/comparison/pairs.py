"""Two models on the same subjects: is the difference established, how large is it, and what could be seen at all.

Every function takes one number a subject (seeds, folds and sessions averaged first): subjects are what a claim
generalises over, trials and seeds of one subject are not independent.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import special, stats

from eegdecode.reporting.stats import Differences, mean_interval, of_mean, permutation, ranks_agree, wilcoxon

ALPHA = 0.05
POWER = 0.8
N_STUDIES = 4000
ALIKE = 1e-3    # deviation of differences by their mean below which their effect size has no interval


def compare_pairs(scores: pd.DataFrame, *, rivals: Collection[str] | None = None) -> pd.DataFrame:
    """Compare every two models; ``a`` is the one with the better mean.

    Parameters
    ----------
    scores : DataFrame, shape (n_subjects, n_models)
        One score a subject and model, none missing.
    rivals : collection of str, optional
        Models of which the best is looked for; all if not given. The others, which have seen test trials, are compared
        in pairs alone.

    Returns
    -------
    DataFrame
        A row a pair: ``difference`` of the means with the 95 % interval ``low`` to ``high`` (Student's t), ``wins``
        and ``losses`` of `a` in subjects, ``p_wilcoxon``, ``p_permutation`` and both with Holm's correction over all
        pairs (``holm_...``), all two-sided: that the two differ; ``ranks_agree``, whether Wilcoxon's ranks are for `a`
        as well; ``dz`` with its interval, `detectable`, and for rivals with the best of them ``p_best``: Wilcoxon's
        p times the number of the other rivals, 1 where the ranks are against the mean (`of_mean`).

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
    fair = [model for model in order if rivals is None or model in rivals]
    others = max(1, len(fair) - 1)
    rows = [_pair(scores, a, b, alpha=ALPHA / others) for a, b in itertools.combinations(order, 2)]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    for test in ("wilcoxon", "permutation"):
        table[f"holm_{test}"] = holm(table[f"p_{test}"].to_numpy(float))
    with_best = (table["a"] == fair[0]) & table["b"].isin(fair) if fair else table["a"].isna()
    return table.assign(p_best=(table.pop("p_of_mean").astype(float) * others).clip(upper=1).where(with_best))


_COLUMNS = (
    "a", "b", "n_subjects", "difference", "low", "high", "wins", "losses", "p_wilcoxon", "ranks_agree", "p_permutation",
    "dz", "dz_low", "dz_high", "detectable", "p_of_mean",
)    # fmt: skip


def _pair(scores: pd.DataFrame, a: str, b: str, *, alpha: float) -> tuple:
    d = (scores[a] - scores[b]).to_numpy(float).round(12)    # so that equal differences are ties
    seen = len(d), float(d.mean()), *mean_interval(d), int((d > 0).sum()), int((d < 0).sum())
    tests = wilcoxon(d), ranks_agree(d), permutation(d)
    return (a, b, *seen, *tests, *effect_size(d), detectable(d, alpha=alpha), of_mean(d))


def holm(p: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    """Holm's (1979) step-down correction: below .05 in at most 5 % of cases in which any null hypothesis is true."""
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1)
    return result


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
    if deviation < ALIKE * abs(d.mean()):    # the inversion below takes for ever, and tells nothing
        return float(d.mean() / deviation), nan, nan
    t, root = d.mean() / deviation * np.sqrt(len(d)), np.sqrt(len(d))
    low, high = (special.nctdtrinc(len(d) - 1, p, t) / root for p in (1 - ALPHA / 2, ALPHA / 2))
    return float(t / root), float(low), float(high)


def detectable(d: Differences, *, alpha: float = ALPHA) -> float:
    """True mean difference that Wilcoxon's test of so many subjects would find in 80 % of studies.

    From the observed deviation of the differences; `compare_pairs` divides `alpha` by the number of other models.
    NaN with fewer than two subjects, or so few that all of them agreeing is not enough.
    """
    return float(_found_effect(len(d), alpha) * d.std(ddof=1)) if len(d) > 1 else float("nan")


@functools.lru_cache(maxsize=256)
def _found_effect(n: int, alpha: float) -> float:
    """Mean of normal differences of deviation 1 with which Wilcoxon's p is below `alpha` in 80 % of studies.

    Tried on the same simulated studies (an error of one in a hundred), since no formula holds for few subjects, where
    p comes in coarse steps: with nine subjects and eight rivals it takes 2.0 deviations. A t-test's formula says 1.6,
    with which this test finds no more than 59 % of such differences.
    """
    if smallest_p(n) >= alpha:
        return float("nan")
    studies = np.random.default_rng(0).standard_normal((N_STUDIES, n))

    def power(effect: float) -> float:
        tested: Any = stats.wilcoxon(studies + effect, axis=1)
        return float((tested.pvalue < alpha).mean())

    low, high = 0.0, 1.0
    while power(high) < POWER:
        low, high = high, 2 * high
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return (low + high) / 2


def smallest_p(n_subjects: int) -> float:
    """Smallest p that a two-sided signed-rank or sign-flip test of so many subjects can give: all on one side."""
    return min(1.0, 2 / 2**n_subjects)
