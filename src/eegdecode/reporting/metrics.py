"""Scores of one run: pure functions of logits and labels. All scores are fractions, not percent.

The definitions are scikit-learn's (a test compares them), written out here because a confusion matrix and
ranks give all of them in under a millisecond, so that 10,000 runs can be scored anew from their logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

N_BINS = 15    # equal-width confidence bins of the calibration error, as in Guo et al. (2017)
ECE_OF_FEW = (    # a bin of one trial is off by what it is unsure of
    "ece is too high where a run has few test trials: answers whose confidence is earned have about 22 % on 16 of "
    "them, 17 % on 32 and 6 % on 288"
)
METRICS = ("accuracy", "balanced_accuracy", "kappa", "f1_macro", "auroc", "nll", "ece")
RISING = METRICS[:-2]    # the more, the better: what may choose a model
BOUNDS = dict.fromkeys(METRICS, (0.0, 1.0)) | {"kappa": (-1.0, 1.0), "nll": (0.0, np.inf)}    # of what is possible

Logits = Float[np.ndarray, "trial class"]
Labels = Int[np.ndarray, " trial"]


def probabilities(logits: Logits) -> Float[np.ndarray, "trial class"]:
    """Softmax; the logarithm of probabilities gives back these probabilities, 0 included."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def all_answered(logits: Logits) -> bool:
    """Whether each trial has an answer: no NaN and no infinite logit, but that of a class with probability 0."""
    return bool(np.isfinite(logits.max(axis=1)).all())


def confusion(logits: Logits, labels: Labels) -> Float[np.ndarray, "true predicted"]:
    """Number of trials of each true class (row) that were taken for each class (column)."""
    n_classes = logits.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"labels must lie in 0..{n_classes - 1}; got {labels.min()}..{labels.max()}")
    cells = labels * n_classes + logits.argmax(axis=1)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.float64)


def accuracy(logits: Logits, labels: Labels) -> float:
    """Share of trials whose greatest logit is that of the label."""
    counts = confusion(logits, labels)
    return _ratio(np.trace(counts), counts.sum())


def balanced_accuracy(logits: Logits, labels: Labels) -> float:
    """Mean recall of the classes that occur among the labels."""
    counts = confusion(logits, labels)
    present = counts.sum(axis=1) > 0
    return _mean(np.diag(counts)[present] / counts.sum(axis=1)[present])


def kappa(logits: Logits, labels: Labels) -> float:
    """Cohen's kappa: agreement beyond that of independent answers with the same class shares."""
    counts = confusion(logits, labels)
    by_accident = _ratio(counts.sum(axis=0) @ counts.sum(axis=1), counts.sum() ** 2)
    return _ratio(accuracy(logits, labels) - by_accident, 1 - by_accident)


def f1_macro(logits: Logits, labels: Labels) -> float:
    """Mean F1 of the classes that occur among labels or answers."""
    counts = confusion(logits, labels)
    either = counts.sum(axis=0) + counts.sum(axis=1)
    return _mean(2 * np.diag(counts)[either > 0] / either[either > 0])


def auroc(logits: Logits, labels: Labels) -> float:
    """Area under the ROC curve, mean over classes against the rest; NaN as `why_no_auroc` tells."""
    if why_no_auroc(labels, logits.shape[1]):
        return float("nan")
    p = probabilities(logits)
    areas = []
    for k in range(logits.shape[1]):
        own, rest = p[labels == k, k], np.sort(p[labels != k, k])
        below = np.searchsorted(rest, own, side="left") + np.searchsorted(rest, own, side="right")
        areas.append(below.mean() / (2 * len(rest)))    # share of pairs (own, rest) in order, ties count half
    return _mean(np.array(areas))


def why_no_auroc(labels: Labels, n_classes: int) -> str:
    """Why the area under the curve does not exist for these labels; empty where it does."""
    absent = [str(k) for k in range(n_classes) if not (labels == k).any()]
    return f"no trial of class {', '.join(absent)}" if absent else ""


def nll(logits: Logits, labels: Labels) -> float:
    """Mean negative log-likelihood of the label, in nats; ln K for a uniform answer.

    A probability of 0 counts as 2e-16, so that one sure mistake does not make the mean infinite.
    """
    of_label = probabilities(logits)[np.arange(len(labels)), labels]
    return _mean(-np.log(np.clip(of_label, np.finfo(np.float64).eps, None)))


def ece(logits: Logits, labels: Labels) -> float:
    """Expected calibration error: mean |accuracy - confidence| of bins of confidence, by trials; see `ECE_OF_FEW`."""
    p = probabilities(logits)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    which = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)    # bins ]a, b]
    gaps = np.bincount(which, weights=right - confidence, minlength=N_BINS)
    return _ratio(np.abs(gaps).sum(), float(len(labels)))


_FUNCTIONS: dict[str, Callable[..., float]] = {
    f.__name__: f for f in (accuracy, balanced_accuracy, kappa, f1_macro, auroc, nll, ece)
}


def score(logits: Logits, labels: Labels) -> dict[str, float]:
    """All of `METRICS`; all NaN without trials or where one has no answer (a failed run)."""
    if len(labels) == 0 or not all_answered(logits):
        return dict.fromkeys(METRICS, float("nan"))
    return {name: _FUNCTIONS[name](logits, labels) for name in METRICS}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
