from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn import metrics as sk

from eegdecode.reporting import metrics as ours

CASES = [(2, 40, 0), (3, 31, 1), (4, 288, 2), (4, 12, 3), (5, 60, 4)]


def make_case(n_classes: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    return rng.normal(2 * rng.random() * np.eye(n_classes)[labels], 1.0).astype(np.float32), labels


@pytest.mark.parametrize("case", CASES)
def test_equal_to_sklearn(case: tuple[int, int, int]) -> None:
    logits, y = make_case(*case)
    p, answer = ours.probabilities(logits), logits.argmax(axis=1)
    auroc = sk.roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else sk.roc_auc_score(y, p, multi_class="ovr")
    expected = {
        "accuracy": sk.accuracy_score(y, answer),
        "balanced_accuracy": sk.balanced_accuracy_score(y, answer),
        "kappa": sk.cohen_kappa_score(y, answer),
        "f1_macro": sk.f1_score(y, answer, average="macro"),
        "auroc": auroc,
        "nll": sk.log_loss(y, p),
    }
    scores = ours.score(logits, y)
    assert list(scores) == list(ours.METRICS)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-12), name


def test_ece_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])    # bins of 0.9 (half right), 0.6 (right) and 0.55 (right)
    expected = (2 * abs(0.5 - 0.9) + (1 - 0.6) + (1 - 0.55)) / 4
    assert ours.ece(np.log(p), labels) == pytest.approx(expected)


def test_a_calibrated_answer_has_little_ece_and_a_sure_one_its_error_rate() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1.0, 1.0, 1.0], size=20_000)
    labels = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    assert ours.ece(np.log(p), labels) < 0.02
    sure = 50 * np.eye(3)[p.argmax(axis=1)]
    assert ours.ece(sure, labels) == pytest.approx(1 - ours.accuracy(sure, labels))


@pytest.mark.parametrize("spread", [0.5, 1.5])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_ece_of_few_trials_is_as_high_as_it_is_said(n_classes: int, spread: float) -> None:
    rng = np.random.default_rng(0)
    for n, said in {16: 0.22, 32: 0.17, 288: 0.06}.items():
        found = []
        for _ in range(4000 // n):
            logits = rng.normal(0, spread, (n, n_classes))
            p = ours.probabilities(logits)
            found.append(ours.ece(logits, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)))
        assert np.mean(found) == pytest.approx(said, rel=0.25)
        assert re.search(f"{100 * said:.0f} % on {n}\\b", ours.ECE_OF_FEW)


def test_log_probabilities_give_back_probabilities() -> None:
    p = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(ours.probabilities(np.log(p)), p, atol=1e-15)


def test_scores_do_not_depend_on_order_or_on_a_shift_of_logits() -> None:
    logits, labels = make_case(4, 100, 7)
    order = np.random.default_rng(0).permutation(100)
    changed = ours.score((logits + 3.0)[order], labels[order])
    assert changed == pytest.approx(ours.score(logits, labels), abs=1e-6)


def test_uniform_answer() -> None:
    scores = ours.score(np.zeros((40, 4)), np.arange(40) % 4)
    assert scores["nll"] == pytest.approx(np.log(4))
    assert (scores["auroc"], scores["kappa"], scores["accuracy"]) == (0.5, 0.0, 0.25)


def test_missing_class_has_no_auroc_but_a_reason() -> None:
    logits, labels = np.eye(3)[[0, 1, 0]], np.array([0, 1, 0])
    scores = ours.score(logits, labels)
    assert np.isnan(scores["auroc"])
    assert "class 2" in ours.why_no_auroc(labels, 3)
    assert scores["balanced_accuracy"] == scores["f1_macro"] == 1.0


def test_nothing_to_score_is_nan() -> None:
    assert np.isnan(list(ours.score(np.zeros((0, 3)), np.zeros(0, int)).values())).all()
    assert np.isnan(list(ours.score(np.full((2, 3), np.nan), np.array([0, 1])).values())).all()


def test_an_infinite_logit_is_no_answer_and_that_of_an_impossible_class_is_one() -> None:
    labels = np.array([0, 1])
    assert np.isnan(list(ours.score(np.array([[np.inf, 0], [0, 1]]), labels).values())).all()
    scores = ours.score(np.array([[0, -np.inf], [0, 1]]), labels)
    assert scores["accuracy"] == 1
    assert np.isfinite(list(scores.values())).all()


def test_one_sure_mistake_stays_finite() -> None:
    assert np.isfinite(ours.nll(np.array([[0.0, -np.inf]]), np.array([1])))


def test_label_outside_the_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1; got 0\.\.2"):
        ours.accuracy(np.zeros((2, 2)), np.array([0, 2]))
