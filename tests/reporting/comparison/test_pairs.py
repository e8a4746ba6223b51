from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eegdecode.reporting.comparison import pairs
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.page import Table
from eegdecode.reporting.comparison.sections import _tests
from eegdecode.reporting.stats import of_mean, permutation, wilcoxon


def differences(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 1, n)


def test_nothing_is_nothing() -> None:
    zeros = np.zeros(6)
    assert wilcoxon(zeros) == permutation(zeros) == 1
    assert pairs.effect_size(zeros)[0] == 0
    assert np.isinf(pairs.effect_size(zeros + 0.5)[0])
    assert np.isnan(pairs.detectable(np.ones(1)))


def test_the_smallest_p_is_reached_when_all_subjects_agree() -> None:
    d = np.arange(1.0, 10)
    assert wilcoxon(d) == permutation(d) == pairs.smallest_p(9) == pytest.approx(0.0039, abs=1e-4)


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


@pytest.mark.parametrize(("n", "n_models"), [(6, 2), (9, 9), (11, 10), (16, 4), (30, 3)])
def test_the_detectable_difference_is_found_in_80_per_cent_of_studies_by_what_decides(n: int, n_models: int) -> None:
    d = differences(n)
    d = (d - d.mean()) / d.std(ddof=1)    # deviation 1
    alpha = 0.05 / (n_models - 1)
    studies = np.random.default_rng(1).normal(pairs.detectable(d, alpha=alpha), 1, (1000, n))
    assert np.mean([of_mean(study) < alpha for study in studies]) == pytest.approx(0.8, abs=0.03)


def test_nothing_is_detectable_where_all_subjects_together_establish_nothing() -> None:
    assert np.isnan(pairs.detectable(differences(5)))
    assert np.isnan(pairs.detectable(differences(9), alpha=0.05 / 13))


def test_pairs_of_a_table() -> None:
    d = np.linspace(0.02, 0.06, 8)
    base = np.linspace(0.5, 0.8, 8)
    table = pairs.compare_pairs(pd.DataFrame({"bad": base - d, "good": base, "same": base + 1e-15}))
    assert list(zip(table["a"], table["b"], strict=True)) == [("same", "good"), ("same", "bad"), ("good", "bad")]
    row = table.iloc[2]
    assert (row["wins"], row["losses"], row["n_subjects"]) == (8, 0, 8)
    assert row["difference"] == pytest.approx(d.mean())
    assert row["p_wilcoxon"] == pytest.approx(2 / 2**8)
    assert row["ranks_agree"]
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
    assert row["p_wilcoxon"] == row["holm_wilcoxon"] < 0.001 < row["p_best"] == 1
    assert not row["ranks_agree"]    # so that nobody takes a small two-sided p for the better mean's
    assert of_mean(np.abs(d)) == wilcoxon(d - 1) < 0.001


def test_differences_that_are_almost_alike_have_no_interval() -> None:
    """At once: the inversion of the distribution does not end there."""
    for n in (2, 5, 9):
        d = np.r_[0.1 + 1e-6, np.full(n - 1, 0.1)]
        size, low, high = pairs.effect_size(d)
        assert size > 1e3
        assert np.isnan([low, high]).all()
    assert np.isfinite(pairs.effect_size(np.array([0.1, 0.11, 0.1, 0.09]))).all()


def test_who_has_seen_test_trials_is_compared_and_no_rival() -> None:
    rng = np.random.default_rng(0)
    scores = pd.DataFrame({"seen": 0.9, "good": 0.7, "bad": 0.4}, index=range(9)) + rng.normal(0, 0.01, (9, 3))
    table = pairs.compare_pairs(scores, rivals=["good", "bad"]).set_index(["a", "b"])
    assert len(table) == 3
    assert table["p_best"].notna().to_dict() == {
        ("seen", "good"): False, ("seen", "bad"): False, ("good", "bad"): True,
    }    # fmt: skip
    assert table.loc[("good", "bad"), "p_best"] == table.loc[("good", "bad"), "p_wilcoxon"]    # of one rival


def test_a_report_tells_where_a_small_p_is_against_the_mean() -> None:
    d = np.r_[0.9, np.linspace(-0.03, -0.01, 19)]
    comparison = Comparison("toy", "cross_run", "accuracy", {})
    vars(comparison)["rivals"] = ["lucky", "steady", "low"]
    vars(comparison)["scores"] = pd.DataFrame({"lucky": 0.05 + d, "steady": 0.05, "low": 0.02 + d})
    (table, *_) = _tests(comparison).blocks
    assert isinstance(table, Table)
    caption = table.caption
    assert "p and Holm are two-sided: that the two differ" in caption
    assert "Against the mean Wilcoxon's speak for `steady`." in caption


def test_a_missing_score_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        pairs.compare_pairs(pd.DataFrame({"a": [0.5, np.nan], "b": [0.5, 0.6]}))
