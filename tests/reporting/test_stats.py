from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from eegdecode.reporting import stats


def make_scores(values: dict[tuple[str, int, int], float]) -> pd.DataFrame:
    rows = [
        {"subject": subject, "session": "0", "fold": fold, "seed": seed, "n_test": 10, "score": value}
        for (subject, fold, seed), value in values.items()
    ]
    return pd.DataFrame(rows)


def test_bound_of_combrisson_and_jerbi() -> None:
    assert stats.chance_bound(0.5, 40) == pytest.approx(0.625)
    assert stats.chance_bound(0.25, 40) == pytest.approx(0.375)
    assert stats.chance_bound(0.5, 100_000) == pytest.approx(0.5, abs=0.003)
    assert np.isnan(stats.chance_bound(0.5, 0))
    for chance, n in itertools.product((0.0, 1e-9, 1 / 12, 0.25, 1 / 3, 0.5, 0.9, 1.0), (1, 2, 7, 40, 288, 5001)):
        assert stats.chance_bound(chance, n) == scipy.stats.binom.ppf(0.95, n, chance) / n


def test_guessing_exceeds_the_bound_in_at_most_five_per_cent() -> None:
    guesses = np.random.default_rng(0).binomial(72, 0.25, size=20_000) / 72
    assert (guesses > stats.chance_bound(0.25, 72)).mean() <= 0.05


@pytest.mark.parametrize(
    ("labels", "chance"),
    [([0, 1, 2, 3], 0.25), ([0, 0, 1], 0.5), ([0, 0, 0, 1], 0.75), ([0, 0], 1.0)],
)
def test_chance(labels: list[int], chance: float) -> None:
    assert stats.chance_level(np.array(labels), max(2, max(labels) + 1)) == chance


@pytest.mark.parametrize("n", [3, 9])
def test_the_interval_covers_the_truth_as_often_as_it_says_however_few_subjects_there_are(n: int) -> None:
    samples = np.random.default_rng(1).normal(0.7, 0.1, (4000, n))
    ends = np.array([stats.mean_interval(sample) for sample in samples])
    assert ((ends[:, 0] < 0.7) & (ends[:, 1] > 0.7)).mean() == pytest.approx(0.95, abs=0.012)


def test_an_interval_ends_at_what_is_possible_and_one_subject_has_none() -> None:
    assert stats.mean_interval(np.array([0.5, 1.0]), within=(0, 1)) == (0, 1)
    assert np.isnan(stats.mean_interval(np.array([0.5]), within=(0, 1))).all()
    assert np.isnan(stats.mean_interval(np.array([0.5, np.nan]), within=(0, 1))).all()


def test_a_subject_counts_once_however_many_runs_it_has() -> None:
    scores = make_scores({("1", 0, 0): 0.2, ("1", 1, 0): 0.4, ("1", 2, 0): 0.6, ("2", 0, 0): 0.8})
    assert stats.subject_means(scores, "score").mean() == pytest.approx(0.6)
    assert stats.deviation_over_subjects(scores, "score") == pytest.approx(np.std([0.4, 0.8], ddof=1))


def test_deviation_over_seeds_compares_seeds_on_the_same_data() -> None:
    whole = {("1", 0, 0): 0.5, ("2", 0, 0): 0.7, ("1", 0, 1): 0.6, ("2", 0, 1): 0.8}
    expected = np.std([0.6, 0.7], ddof=1)
    assert stats.deviation_over_seeds(make_scores(whole), "score") == pytest.approx(expected)
    unfinished_seed = make_scores({**whole, ("1", 0, 2): 0.0})
    assert stats.deviation_over_seeds(unfinished_seed, "score") == pytest.approx(expected)
    assert np.isnan(stats.deviation_over_seeds(make_scores({("1", 0, 0): 0.5}), "score"))


def test_test_trials_of_folds_add_up_and_those_of_seeds_do_not() -> None:
    scores = make_scores({("1", 0, 0): 0, ("1", 1, 0): 0, ("1", 0, 1): 0, ("1", 1, 1): 0})
    assert stats.n_test_trials(scores).to_dict() == {"1": 20}
    assert stats.n_test_trials(scores, cues=True).to_dict() == {"1": 20}    # of a folder of before
    assert stats.n_test_trials(scores.assign(test_cues=2), cues=True).to_dict() == {"1": 4}


def differences(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 1, n)


@pytest.mark.parametrize("n", [5, 9, 15, 16, 40])
def test_wilcoxon_is_scipys_where_scipy_is_exact(n: int) -> None:
    d = differences(n)
    assert stats.wilcoxon(d) == pytest.approx(scipy.stats.wilcoxon(d, method="exact").pvalue)


def test_wilcoxon_with_ties_is_exact_and_leaves_zeros_out() -> None:
    d = np.array([1.0, 1, 1, -1, 2, 0])
    ranks = np.array([2.5, 2.5, 2.5, -2.5, 5])
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product([1, -1], repeat=5)]
    assert stats.wilcoxon(d) == pytest.approx(np.mean(np.array(sums) >= 10))


@pytest.mark.parametrize("n", [4, 11])
def test_permutation_is_scipys(n: int) -> None:
    d = differences(n)
    expected = scipy.stats.permutation_test(
        (d, np.zeros(n)), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert stats.permutation(d) == pytest.approx(expected.pvalue)


def test_random_signs_come_close_to_the_exact_test_and_are_the_same_each_time() -> None:
    d = differences(stats.EXACT + 1)
    signs = np.array(list(itertools.product([1, -1], repeat=len(d))))
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()
    assert stats.permutation(d) == pytest.approx(exact, abs=0.006)
    assert stats.permutation(d) == stats.permutation(d) > 0


def test_interval_of_the_mean_is_students() -> None:
    d = differences(7)
    expected = scipy.stats.ttest_1samp(d, 0).confidence_interval()
    assert stats.mean_interval(d) == pytest.approx((expected.low, expected.high))
