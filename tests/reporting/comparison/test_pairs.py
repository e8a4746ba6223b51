from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eegdecode.reporting.comparison import pairs


def differences(n: int, *, shift: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, n)


@pytest.mark.parametrize("n", [5, 9, 15, 16, 40])
def test_wilcoxon_is_scipys_where_scipy_is_exact(n: int) -> None:
    d = differences(n)
    assert pairs.wilcoxon(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)


def test_wilcoxon_with_ties_is_exact_and_leaves_zeros_out() -> None:
    d = np.array([1.0, 1, 1, -1, 2, 0])
    ranks = np.array([2.5, 2.5, 2.5, -2.5, 5])
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product([1, -1], repeat=5)]
    assert pairs.wilcoxon(d) == pytest.approx(np.mean(np.array(sums) >= 10))


@pytest.mark.parametrize("n", [4, 11])
def test_permutation_is_scipys(n: int) -> None:
    d = differences(n)
    expected = stats.permutation_test(
        (d, np.zeros(n)), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert pairs.permutation(d) == pytest.approx(expected.pvalue)


def test_random_signs_come_close_to_the_exact_test_and_are_the_same_each_time() -> None:
    d = differences(pairs.EXACT + 1)
    signs = np.array(list(itertools.product([1, -1], repeat=len(d))))
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()
    assert pairs.permutation(d) == pytest.approx(exact, abs=0.006)
    assert pairs.permutation(d) == pairs.permutation(d) > 0


def test_nothing_is_nothing() -> None:
    zeros = np.zeros(6)
    assert pairs.wilcoxon(zeros) == pairs.permutation(zeros) == 1
    assert pairs.effect_size(zeros)[0] == 0
    assert np.isinf(pairs.effect_size(zeros + 0.5)[0])
    assert np.isnan(pairs.detectable(np.ones(1)))


def test_the_smallest_p_is_reached_when_all_subjects_agree() -> None:
    d = np.arange(1.0, 10)
    assert pairs.wilcoxon(d) == pairs.permutation(d) == pairs.smallest_p(9) == pytest.approx(0.0039, abs=1e-4)


def test_holm_by_hand() -> None:
    corrected = pairs.holm(np.array([0.01, 0.04, 0.03, 0.5]))
    assert corrected == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert len(pairs.holm(np.zeros(0))) == 0


def test_holm_errs_in_at_most_five_per_cent_of_families() -> None:
    p = np.random.default_rng(0).random((4000, 6))
    assert np.mean([pairs.holm(row).min() < 0.05 for row in p]) < 0.06


def test_effect_size_has_an_interval_that_covers() -> None:
    rng = np.random.default_rng(0)
    covered = [low <= 0.8 <= high for _, low, high in (pairs.effect_size(rng.normal(0.8, 1, 9)) for _ in range(2000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
    d = differences(9)
    dz, low, high = pairs.effect_size(d)
    assert dz == pytest.approx(d.mean() / d.std(ddof=1))
    assert stats.nct.cdf(dz * 3, 8, low * 3) == pytest.approx(0.975, abs=1e-4)
    assert stats.nct.cdf(dz * 3, 8, high * 3) == pytest.approx(0.025, abs=1e-4)


def test_interval_of_the_mean_is_students() -> None:
    d = differences(7)
    expected = stats.ttest_1samp(d, 0).confidence_interval()
    assert pairs.mean_interval(d) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [6, 11, 30])
def test_the_detectable_difference_is_found_in_80_per_cent_of_studies(n: int) -> None:
    d = differences(n)
    d = (d - d.mean()) / d.std(ddof=1)    # deviation 1
    studies = np.random.default_rng(1).normal(pairs.detectable(d), 1, (4000, n))
    found = stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.025)


def test_pairs_of_a_table() -> None:
    d = np.linspace(0.02, 0.06, 8)
    base = np.linspace(0.5, 0.8, 8)
    table = pairs.compare_pairs(pd.DataFrame({"bad": base - d, "good": base, "same": base + 1e-15}))
    assert list(zip(table["a"], table["b"], strict=True)) == [("same", "good"), ("same", "bad"), ("good", "bad")]
    row = table.iloc[2]
    assert (row["wins"], row["losses"], row["n_subjects"]) == (8, 0, 8)
    assert row["difference"] == pytest.approx(d.mean())
    assert row["p_wilcoxon"] == pytest.approx(2 / 2**8)
    assert row["holm_wilcoxon"] == pytest.approx(3 * 2 / 2**8)
    assert table["p_best"].tolist()[:2] == pytest.approx([1, 2 * 2 / 2**8])
    assert np.isnan(table["p_best"][2])
    assert row["detectable"] == pytest.approx(pairs.detectable(d, alpha=0.025))
    assert row["detectable"] > pairs.detectable(d)


def test_the_truly_best_model_is_called_worse_in_at_most_five_per_cent_of_studies() -> None:
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(300):    # all models are equal: the hardest case
        table = pairs.compare_pairs(pd.DataFrame(rng.normal(size=(9, 5)), columns=list("abcde")))
        lost += ((table["p_best"] < 0.05) & (table["b"] == "a")).any()
    assert lost / 300 < 0.05


def test_a_mean_that_one_subject_makes_establishes_nothing_against_the_ranks_of_all_others() -> None:
    d = np.r_[0.9, np.linspace(-0.03, -0.01, 19)]
    row = pairs.compare_pairs(pd.DataFrame({"lucky": 0.05 + d, "steady": 0.05})).iloc[0]
    assert (row["a"], row["wins"], row["losses"]) == ("lucky", 1, 19)
    assert row["p_wilcoxon"] < 0.001 < row["p_best"] == 1
    assert pairs.of_mean(np.abs(d)) == pairs.wilcoxon(d - 1) < 0.001


def test_a_missing_score_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        pairs.compare_pairs(pd.DataFrame({"a": [0.5, np.nan], "b": [0.5, 0.6]}))
