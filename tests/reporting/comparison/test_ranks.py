from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eegdecode.reporting.comparison.ranks import critical_difference, rank_models


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(k: int, q: float) -> None:
    assert critical_difference(k, 1) == pytest.approx(q * np.sqrt(k * (k + 1) / 6), rel=1e-3)


def test_demsars_example() -> None:
    """Four classifiers, 14 data sets: CD = 1.25 (p. 12)."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_ranks_friedman_and_groups() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(10)
    scores = pd.DataFrame({"low": base - 1, "a": base + rng.normal(0, 0.1, 10), "b": base, "tie": base})
    ranks = rank_models(scores)
    assert ranks is not None
    assert ranks.ranks["low"] == 4
    assert ranks.ranks["b"] == ranks.ranks["tie"]
    assert ranks.p_friedman == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    assert ranks.level == [(0, 2)]


def test_too_few_are_not_ranked_and_equal_ones_are_level() -> None:
    assert rank_models(pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 2, 3]})) is None
    ranks = rank_models(pd.DataFrame(np.ones((5, 3)), columns=list("abc")))
    assert ranks is not None
    assert ranks.p_friedman == 1
    assert ranks.level == [(0, 2)]
