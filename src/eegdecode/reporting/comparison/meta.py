"""Two models on several data sets: Stouffer's combination of one-sided p values, as MOABB's meta-analysis does it.

But for one thing: MOABB halves a two-sided Wilcoxon p and gives it the direction of the mean, also where ranks say the
opposite. Here the one-sided test itself is taken, which is the same wherever both agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from eegdecode.reporting.comparison.pairs import effect_size, holm
from eegdecode.reporting.stats import EXACT, N_FLIPS, Differences

FEW = 20    # subjects: a permutation test below, Wilcoxon from here on (MOABB's perm_cutoff)
_COLUMNS = ("a", "b", "sets", "n_subjects", "smd", "p")


def combine_sets(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare every two models over all sets that have both.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Data set -> scores (n_subjects, n_models). The sets must not share subjects, else they are no independent
        evidence.

    Returns
    -------
    DataFrame
        A row a pair with at least two sets: ``smd``, mean of the sets' standardised differences weighted by the root
        of their numbers of subjects (positive: ``a`` is better), ``p``, two-sided, and ``holm``, corrected over the
        rows.
    """
    models = list(dict.fromkeys(model for table in tables.values() for model in table.columns))
    rows = []
    for pair in itertools.combinations(models, 2):
        found = [table[pair[0]] - table[pair[1]] for table in tables.values() if set(pair) <= set(table.columns)]
        if len(found) > 1:
            rows.append(_combined(*pair, [d.to_numpy(float).round(12) for d in found]))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.assign(holm=holm(table["p"].to_numpy(float))).sort_values("p", ignore_index=True)


def _combined(a: str, b: str, differences: list[np.ndarray]) -> tuple:
    counts = np.array([len(d) for d in differences])
    smd = float(np.average([effect_size(d)[0] for d in differences], weights=np.sqrt(counts)))
    if smd < 0:
        a, b, smd, differences = b, a, -smd, [-d for d in differences]
    # Of this direction alone: discrete p values of the two directions do not add up to one, and a mean that a few
    # subjects make against the ranks of all others is no evidence for either.
    above = stouffer(np.array([one_sided(d) for d in differences]), counts)
    return a, b, len(differences), int(counts.sum()), smd, min(1.0, 2 * above)


def stouffer(p: Float[np.ndarray, " set"], n_subjects: np.ndarray) -> float:
    """One p of independent one-sided ones, weighted by the root of the numbers of subjects."""
    result: Any = stats.combine_pvalues(p, method="stouffer", weights=np.sqrt(n_subjects))
    return float(result.pvalue)


def one_sided(d: Differences) -> float:
    """One-sided p of "the mean is not above zero", inside (0, 1): permutation of the signs, or Wilcoxon's."""
    if not d.any():
        return 0.5
    if len(d) >= FEW:
        result: Any = stats.wilcoxon(d, alternative="greater")
        return float(np.clip(result.pvalue, np.nextafter(0, 1), np.nextafter(1, 0)))
    n = len(d)
    exact = n <= EXACT
    signs = _all_signs(n) if exact else np.random.default_rng(0).choice([-1.0, 1.0], size=(N_FLIPS, n))
    above = int((signs @ d >= d.sum() - 1e-9 * np.abs(d).sum()).sum()) + (not exact)
    tried = len(signs) + (not exact)
    return min(above, tried - 1) / tried


def _all_signs(n: int) -> Float[np.ndarray, "flip subject"]:
    return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
