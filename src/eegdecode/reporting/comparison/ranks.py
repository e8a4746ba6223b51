"""Many models on the same subjects: ranks, Friedman's test and Nemenyi's critical difference (Demšar, 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from eegdecode.reporting.comparison.pairs import ALPHA

FEWEST_MODELS, FEWEST_SUBJECTS = 3, 3


@dataclass(frozen=True, eq=False)
class Ranks:
    """Mean rank of each model (1 is best), best first, and how far apart two must be to be told apart.

    Attributes
    ----------
    ranks : Series
        Model -> mean rank over subjects; ties share their rank.
    p_friedman : float
        Of no difference between any of the models.
    difference : float
        Nemenyi's critical difference of two mean ranks.
    level : list of (int, int)
        First and last place (inclusive) of each largest group within which no two are told apart.
    """

    ranks: pd.Series
    p_friedman: float
    difference: float
    level: list[tuple[int, int]]


def rank_models(scores: pd.DataFrame) -> Ranks | None:
    """Rank the models of a table (n_subjects, n_models); None where there are too few models or subjects."""
    n, k = scores.shape
    if k < FEWEST_MODELS or n < FEWEST_SUBJECTS:
        return None
    each = scores.round(12).rank(axis=1, ascending=False)
    ranks = each.mean().sort_values(kind="stable")
    differs = each.nunique(axis=1).max() > 1
    p = float(stats.friedmanchisquare(*each.to_numpy().T).pvalue) if differs else 1.0
    difference = critical_difference(k, n)
    return Ranks(ranks, p, difference, _level(ranks.to_numpy(float), difference))


def critical_difference(n_models: int, n_subjects: int) -> float:
    """Nemenyi's critical difference of mean ranks: q sqrt(k (k + 1) / 6 n) (Demšar, 2006, section 3.2.2)."""
    q = stats.studentized_range.ppf(1 - ALPHA, n_models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_models * (n_models + 1) / (6 * n_subjects)))


def _level(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Groups of two and more neighbours within the critical difference, none inside another."""
    groups, reached = [], 0
    for first, rank in enumerate(ranks):
        last = int(np.flatnonzero(ranks - rank < difference)[-1])
        if last > max(first, reached):
            groups.append((first, last))
            reached = last
    return groups
