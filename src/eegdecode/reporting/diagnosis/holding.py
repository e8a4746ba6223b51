"""Rules on what holds for other trials: over-fitting, shift, leaks, over-confidence. They need validation trials.

Test accuracy enters where the test itself is judged (shift, leak), and where there are no validation trials
(memorising): then the only remedy is to hold some out, for any other would be chosen by the test.
"""

from __future__ import annotations

import numpy as np

from eegdecode.reporting.diagnosis.fitting import fit, learned, more_steps, poor, sure
from eegdecode.reporting.diagnosis.measures import Answers, Course
from eegdecode.reporting.diagnosis.verdicts import Diagnosis
from eegdecode.reporting.stats import chance_bound

FEW = 10               # training trials a class below which nothing else need be wrong
ENOUGH = 0.9           # kept: then few trials were enough
KEEPS = 0.4            # of the training's way from chance to 100 %, kept on validation trials: less is over-fitting
UNLIKELY = 0.1
FINE = 0.995           # confidence that an accuracy is no guess: as sure as Z_SHIFT is of a fall
FALLS = 2.5            # standard errors by which validation accuracy falls from its best,
FALLS_BY = 0.08        # and so much at least
Z_SHIFT = 2.6          # standard errors between validation and test: p = .005, one-sided
DROP = 0.12            # of accuracy, at least: sessions always differ a little
BIAS = 0.3             # of the test trials, wrong because too many answers are of other classes than the trials
RISE = 0.1             # of ln K: late rise of the validation loss
WHOLE = 0.8            # of the way from chance to 100 %: training trials that are learned to the end
UNLEARNED = "; the training trials are not learned to the end, so more steps may bring more"
LOOK = "; to see the course of other trials"
PERFECT = 0.98
SURE = 0.01            # of ln K: validation loss of answers that are right and sure,
SMOOTHED = 0.5         # and so much more of the loss that smoothed labels ask for: a leak was seen at 0.3 of it
ALIGN = (    # each session by itself: one reference of both would leave between them what differs
    "frontend=align frontend.by=[subject,session]; or compare spectra and amplitudes of the sessions "
    "(scripts/prepare.py); align is transductive"
)


def data_problem(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Validation is learned better than what was trained on."""
    error = _error(course.val_accuracy, course.n_val) + _error(course.train_accuracy, course.n_train)
    better = course.val_accuracy - course.train_accuracy
    if not (better > 2 * error and course.val < course.train - RISE):
        return None
    evidence = (
        f"training loss {course.train:.2f}, validation loss {course.val:.2f} ln {course.n_classes}; accuracies "
        f"{course.train_accuracy:.0%} and {course.val_accuracy:.0%}"
    )
    remedy = "augment=none; look at the labels and windows of the training trials"
    return Diagnosis("data problem", evidence, sure(better, 2 * error, 4 * error), remedy)


def shift(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Validation fine and the test far below, or a test that gets other answers than validation got."""
    right, (test, n_test) = course.kept_val_accuracy, _answered(course, answers)
    if _fine(course, right) and right - test > DROP and n_test:
        pooled = (right * course.n_val + test * n_test) / (course.n_val + n_test)
        z = (right - test) / max(1e-9, np.sqrt(pooled * (1 - pooled) * (1 / course.n_val + 1 / n_test)))
        if z > Z_SHIFT:
            of = f"{n_test} of answered classes" if n_test < course.n_test else f"{n_test}"
            errors = f"{z:.1f} standard errors"
            evidence = f"validation {right:.0%} ({course.n_val} trials), test {test:.0%} ({of}): {errors}"
            return Diagnosis("shift", evidence, sure(z, Z_SHIFT, 2 * Z_SHIFT), ALIGN)
    return _other_answers(answers) if learned(course) and right > course.test_accuracy else None


def _other_answers(answers: Answers | None) -> Diagnosis | None:
    """A shift that is seen in the answers alone, also of a network that knows little (Lipton et al., ICML 2018).

    Answers that miss the classes of the test by so much are wrong whatever the trials are, and those to validation
    trials are of other classes: chi-squared of both counts, as in Rabanser et al. (NeurIPS 2019).
    """
    if answers is None or not sum(answers.val_predicted) or not sum(answers.present):
        return None
    from scipy.stats import chi2_contingency  # takes half a second to import

    counts = np.array([answers.val_predicted, answers.predicted])
    counts = counts[:, counts.any(axis=0)]
    present = np.array(answers.present) / sum(answers.present)
    bias = float(np.abs(np.array(answers.predicted) / sum(answers.predicted) - present).sum() / 2)
    if counts.shape[1] < 2 or bias < BIAS:
        return None
    p = float(np.asarray(chi2_contingency(counts, correction=False)[1]))
    if p > 1 - FINE:
        return None
    evidence = (
        f"answers a class: {answers.val_predicted} to validation trials, {answers.predicted} to test trials, "
        f"of which there are {answers.present} (p = {p:.0e})"
    )
    return Diagnosis("shift", evidence, sure(bias, BIAS, 2 * BIAS), ALIGN)


def shift_costs_more(course: Course, answers: Answers | None) -> bool:
    """Whether more test trials are lost to a shift than to classes that are never the answer."""
    test, n_test = _answered(course, answers)
    return (course.kept_val_accuracy - test) * n_test > course.n_test - n_test


def memorised(course: Course, answers: Answers | None) -> Diagnosis | None:
    """The training trials are known, and others are not."""
    if not learned(course):
        return None
    few = course.n_train < FEW * course.n_classes and not poor(course)
    right, n, what = _others(course, answers)
    bound = chance_bound(course.chance, n)
    if not (right <= bound and _surely_less(course, right, n)) and not (few and _kept(course, right) < ENOUGH):
        return None
    verdict = "too few trials" if few else "memorising"
    evidence = (
        f"training accuracy {course.train_accuracy:.0%} of {course.n_train} trials, {what} {right:.0%} of {n}; "
        f"guessing reaches {bound:.0%}"
    )
    less = _less_to_learn(course)
    remedy = f"frontend=csp {less}; better more training trials" if few else f"{less}; first check labels and split"
    if "test" in what:
        remedy = f"trainer.validation={0.4 if course.n_val else 0.2}; so that not the test tells"
    return Diagnosis(verdict, evidence, 0.9 if course.n_val >= 20 else 0.6, remedy)


def over_fitting(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Others are known far less well than the training trials, or less and less."""
    if poor(course) or not course.val_accuracy > course.val_bound:
        return None
    error = _error(course.best_val_accuracy, course.n_val)
    less, kept = course.best_val_accuracy - course.val_accuracy, _kept(course, course.val_accuracy)
    fallen = less / error if less >= FALLS_BY else 0.0
    if fallen < FALLS and kept >= KEEPS:
        return None
    evidence = f"training accuracy {course.train_accuracy:.0%}; {_val_text(course)}"
    confidence = max(sure(fallen, FALLS, 2 * FALLS), sure(-kept, -KEEPS, 0))
    return Diagnosis("over-fitting", evidence, confidence, f"{_less_to_learn(course)} trainer.select=best_val")


def over_confident(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Validation loss rises late, and the answers are as often right as before."""
    rise = course.val - course.least_val
    if poor(course) or not rise > max(RISE, 0.15 * course.least_val) or not course.val_accuracy > course.val_bound:
        return None
    remedy = "trainer.label_smoothing=0.1; or trainer.select=best_val"
    return Diagnosis("over-confident", _val_text(course), sure(rise, RISE, 4 * RISE), remedy)


def too_good(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Trials that were not seen are known as surely as those that were.

    A leak makes the two losses one; on easy trials both are tiny, and were seen to be 3 to 16 times apart.
    """
    if not (course.val_accuracy >= PERFECT and course.test_accuracy >= PERFECT and course.n_val >= 20):
        return None
    if not course.val < min(SURE + SMOOTHED * course.floor, 1.5 * course.train):
        return None
    evidence = (
        f"validation {course.val_accuracy:.0%}, test {course.test_accuracy:.0%}, and the validation loss is that of "
        f"training ({course.val:.3f} and {course.train:.3f} ln {course.n_classes})"
    )
    remedy = "protocol=cross_session; look for equal trials, for windows that overlap, for the cue in the window"
    return Diagnosis("too good to be true", evidence, 0.6, remedy)


def well(course: Course) -> Diagnosis:
    """Nothing is wrong, or nothing that so few validation trials could show.

    A rate that ends at zero flattens every curve, so that the loss does not say whether the training was long enough;
    the training accuracy does: where it was below `WHOLE` (EEGNet, .67 and .60 of the way) four times the steps brought
    4.8 and 3.0 points on two sets, where it was above (`sttransformer`, .94 and .84) +2.3 and -1.9.
    """
    more = more_steps(course, 2000) + UNLEARNED if fit(course) < WHOLE else ""
    if course.n_val and not course.val_accuracy > course.val_bound:
        evidence = (
            f"validation accuracy {course.val_accuracy:.0%} of {course.n_val} trials, guessing reaches "
            f"{course.val_bound:.0%}; training {course.train_accuracy:.0%}"
        )
        return Diagnosis("undecided", evidence, 0.5, "trainer.validation=0.4; or protocol=within_session")
    if not course.n_val:
        evidence = (
            f"training accuracy {course.train_accuracy:.0%}, test {course.test_accuracy:.0%}; no validation trials, so "
            "that over-fitting and shift cannot be told apart"
        )
        return Diagnosis("fits", evidence, 0.6, "trainer.validation=0.2" + (f" {more}" if more else LOOK))
    evidence = (
        f"validation loss {course.val:.2f} ln {course.n_classes}, accuracy {course.val_accuracy:.0%} of {course.n_val} "
        f"trials (guessing reaches {course.val_bound:.0%}), training {course.train_accuracy:.0%}"
    )
    return Diagnosis("learning", evidence, sure(course.val_accuracy, course.val_bound, 1.5 * course.val_bound), more)


RULES = (data_problem, shift, memorised, over_fitting, over_confident, too_good)


def _less_to_learn(course: Course) -> str:
    """Overrides against over-fitting: more decay than there is, half of the features dropped where a network can.

    No more dropout than that: .7 made the gap between training and test smaller and the test no better, 0.1 and 0.3
    points down for `sttransformer`, 11.1 and 6.9 for EEGNet (notebooks/benchmarks/levers.md).
    """
    return f"augment=snr{' trainer.weight_decay=0.1' * (course.decay < 0.1)}{' model.drop=0.5' * (course.drop < 0.5)}"


def _val_text(course: Course) -> str:
    return (
        f"validation loss {course.val:.2f} ln {course.n_classes} (at best {course.least_val:.2f}), accuracy "
        f"{course.val_accuracy:.0%} (at best {course.best_val_accuracy:.0%})"
    )


def _fine(course: Course, right: float) -> bool:
    """Whether a validation accuracy is surely no guess."""
    return right > chance_bound(course.chance, course.n_val, confidence=FINE)


def _others(course: Course, answers: Answers | None) -> tuple[float, int, str]:
    """Accuracy, number and name of the trials that tell whether what is learned holds for others.

    One validation accuracy in twenty is above its bound by luck. One that is not far above it is pooled with the
    test, unless the test is known to differ.
    """
    right, n, test, n_test = course.val_accuracy, course.n_val, course.test_accuracy, course.n_test
    if not n:
        return test, n_test, "test"
    if right <= course.val_bound or _fine(course, right) or np.isnan(test) or _other_answers(answers):
        return right, n, "validation"
    return (right * n + test * n_test) / (n + n_test), n + n_test, "validation and test"


def _answered(course: Course, answers: Answers | None) -> tuple[float, int]:
    """Test accuracy on, and number of, the trials whose class is the answer now and then."""
    if answers is None:
        return course.test_accuracy, course.n_test
    counts = zip(answers.predicted, answers.val_predicted, answers.present, strict=True)
    n = sum(there for said, said_before, there in counts if said + said_before)
    return course.test_accuracy * course.n_test / max(1, n), n


def _surely_less(course: Course, right: float, n: int) -> bool:
    """Whether so low an accuracy is unlikely (p < `UNLIKELY`) if `KEEPS` of the training's way held for others."""
    from scipy.stats import binom  # takes half a second to import

    expected = course.chance + KEEPS * (course.train_accuracy - course.chance)
    return bool(binom.cdf(round(right * n), n, expected) < UNLIKELY)


def _kept(course: Course, right: float) -> float:
    """What of the training's distance from chance is kept on other trials."""
    return (right - course.chance) / max(1e-9, course.train_accuracy - course.chance)


def _error(accuracy: float, n: int) -> float:
    """Standard error of an accuracy over n trials, that of a half-right trial at least."""
    return float(np.sqrt(max(accuracy * (1 - accuracy), 0.25 / max(n, 1)) / max(n, 1)))
