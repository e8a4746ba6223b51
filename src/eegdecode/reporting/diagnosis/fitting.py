"""Rules on how the training trials are learned: rate, steps, regularisation, gradients, output.

A rule takes a `Course` and gives a `Diagnosis` or None. Thresholds were set on one part of the suite of
``scripts/benchmarks/diagnosis.py`` and confirmed on the others.
"""

from __future__ import annotations

from eegdecode.reporting.diagnosis.measures import MEASURED, Answers, Course
from eegdecode.reporting.diagnosis.verdicts import Diagnosis
from eegdecode.reporting.stats import chance_bound

FLAT = 0.97         # of ln K: a loss above it has not left the uniform answer,
SURELY = 0.999      # and the network has, where its training accuracy is surely (one guess in a thousand) no guess
POOR = 0.5          # of the way from chance to 100 %: training accuracy below it is a poor fit
HELD = 0.3          # of ln K: a training loss above it may be held up by something
FAST = 0.02         # rate; twenty times Adam's usual one
WILD = 0.1          # rate; a hundred times: whatever else is wrong, it comes from there
SCALE = (1e-2, 1e3)    # root mean square of a sane input: 1 behind a z-score, about 10 in µV
SHORT = 0.03        # path of a weight below which nothing but a head can be learned; the default's is .25
FALLING = 0.05      # of ln K, over the second half of the epochs: a training loss that has not come to its end
FEW_STEPS = 500     # the default's: of fewer it is not known whether more would have helped
FEW_EPOCHS = 3      # a schedule ends at zero and the rate is noted at the end of an epoch: of so few it is not known
SLOW = 1e-4         # rate; a tenth of Adam's usual one
SHRUNK = 0.5        # of a weight, left by decay alone
MOST_DROP = 0.8
RARE = 0.8          # of an equal share of the trials
CONSTANT = 1e-3     # spread of probabilities
DEAD = 0.01         # of the weights
VANISHING = 1e-3    # AutoTrainer (Zhang et al., ICSE 2021),
EXPLODING = 70.0    # as this norm of the gradient; healthy trainings have up to 4, in one epoch up to 7
PEAK = 2.0          # of ln K: running loss after the first tenth of the epochs
SWING = 0.15        # of ln K, from one measured epoch to the next


def learned(course: Course) -> bool:
    """Whether the training trials are answered better than by chance."""
    return course.train_accuracy > course.train_bound and course.train < FLAT


def begun(course: Course) -> bool:
    """Whether the training trials are surely no longer guessed; the loss may still be that of a uniform answer."""
    bound = chance_bound(course.chance, min(course.n_train, MEASURED), confidence=SURELY)
    return learned(course) or course.train_accuracy > bound


def fit(course: Course) -> float:
    """How far the training accuracy is from chance (0) to 100 % (1)."""
    return (course.train_accuracy - course.chance) / (1 - course.chance)


def poor(course: Course) -> bool:
    """Whether the training trials are learned badly, or not at all."""
    return not learned(course) or fit(course) < POOR


def odd_scale(course: Course) -> bool:
    """Whether no usual start of a network is made for the size of its input."""
    return course.input_scale < SCALE[0] or course.input_scale > SCALE[1]


def diverged(course: Course, answers: Answers | None) -> Diagnosis | None:
    """NaN, a loss that was far above that of a uniform answer in training, or that is so at the end."""
    remedy = f"trainer.lr={_slower(course)} trainer.clip=1; look at the amplitudes behind preprocessing and front end"
    if course.status.startswith("failed"):
        return Diagnosis("diverged", course.status.removeprefix("failed: "), 0.99, remedy)
    other = course.dead_share >= DEAD or odd_scale(course)    # then so much in evaluation mode comes from there
    if not (course.peak > PEAK or (course.train > 1.3 and not other)):
        return None
    evidence = f"training loss up to {course.peak:.1f} and at the end {course.train:.2f} times ln {course.n_classes}"
    return Diagnosis("diverged", evidence, sure(max(course.peak, course.train * PEAK / 1.3), PEAK, 2 * PEAK), remedy)


def over_regularised(course: Course, answers: Answers | None) -> Diagnosis | None:
    """A training loss that stays high, and a decay or a dropout that explains it."""
    decayed = course.shrink < SHRUNK
    if not course.train > HELD or not (decayed or course.drop >= MOST_DROP):
        return None
    cause = (
        f"the decay alone leaves {course.shrink:.1%} of a weight" if decayed
        else f"dropout takes {course.drop:.0%} of the features"
    )    # fmt: skip
    remedy = "trainer.weight_decay=0.01" if decayed else "model.drop=0.25"
    return Diagnosis("over-regularised", f"{cause}, and {_fit_text(course)}", 0.9, remedy)


def too_fast(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Nothing is learned, at a rate at which weights jump; or little, or nothing that holds, at a wild one."""
    wild = course.lr > WILD and (course.train > HELD or course.val > HELD)
    if not wild and (learned(course) or not course.lr > FAST):
        return None
    evidence = f"{course.steps} updates at a rate of up to {course.lr:.1g} may move a weight by {course.path:.2g}"
    confidence = sure(course.lr, FAST, 5 * FAST)
    return Diagnosis("rate too high", f"{evidence}; {_fit_text(course)}", confidence, "trainer.lr=1e-3")


def wrong_scale(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Signals that no usual start of a network is made for, and a training loss that stays high or swings."""
    if not (course.train > HELD or course.swing > SWING) or not odd_scale(course):
        return None
    evidence = f"the input has a root mean square of {course.input_scale:.1g}; {_fit_text(course)}"
    return Diagnosis("input scale", evidence, 0.95, "frontend=zscore; look at the unit of the signals (µV)")


def too_short(course: Course, answers: Answers | None) -> Diagnosis | None:
    """A poor fit of weights that cannot have moved far, or hardly any epochs."""
    few = course.epochs <= FEW_EPOCHS and course.train > HELD
    if not few and (not poor(course) or not course.path < SHORT):
        return None
    moved = f"{course.steps} updates at a rate of at most {course.lr:.1g} move a weight by {course.path:.1g}"
    evidence = f"{moved}; {_fit_text(course)}"
    confidence = sure(-course.path, -SHORT, 0)
    if course.lr > SLOW or course.epochs <= FEW_EPOCHS:
        return Diagnosis("too few steps", evidence, confidence, more_steps(course, 500))
    return Diagnosis("rate too low", evidence, confidence, "trainer.lr=1e-3")


def constant_output(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Every trial gets the same answer."""
    if answers is None or not answers.spread < CONSTANT:
        return None
    evidence = f"the probabilities of all trials lie within {answers.spread:.1g} of each other (root mean square)"
    remedy = "frontend=zscore; look at the unit of the signals (µV) and at the last layer"
    return Diagnosis("constant output", evidence, sure(-answers.spread, -CONSTANT, 0), remedy)


def dead_parameters(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Weights without a gradient."""
    if not course.dead_share >= DEAD:
        return None
    evidence = f"{course.dead_share:.1%} of the weights get no gradient"
    remedy = "trainer.preflight=true; the preflight names them: a detach, a sum that cancels, an unused layer"
    return Diagnosis("dead parameters", evidence, 0.95, remedy)


def vanishing(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Gradients that are lost on the way to the first layer."""
    if not course.flow < VANISHING:
        return None
    evidence = f"the gradient of the first weight is {course.flow:.1g} times that of the last"
    remedy = "frontend=zscore; or a norm between the layers, fewer layers"
    return Diagnosis("vanishing gradients", evidence, sure(-course.flow, -VANISHING, -VANISHING / 10), remedy)


def exploding(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Gradients, before they are clipped, of a size that no step is made for."""
    if not course.grad_norm > EXPLODING:
        return None
    evidence = f"the gradient has a norm of {course.grad_norm:.2g} in half of the epochs; {_fit_text(course)}"
    remedy = f"trainer.clip=1 trainer.lr={_slower(course)}; or a norm between the layers"
    return Diagnosis("exploding gradients", evidence, sure(course.grad_norm, EXPLODING, 10 * EXPLODING), remedy)


def stuck(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Loss at ln K, accuracy within the binomial bound of chance."""
    if begun(course):
        return None
    evidence = f"{_fit_text(course)}; guessing reaches {course.train_bound:.0%}"
    remedy = f"trainer.lr={course.lr / 10:.1g}; or trainer.lr={course.lr * 3:.1g}, and check labels and windows"
    return Diagnosis("stuck", evidence, 0.9 if course.train > FLAT else 0.6, remedy)


def oscillating(course: Course, answers: Answers | None) -> Diagnosis | None:
    """A loss that swings, with dropout off."""
    if not course.swing > SWING:
        return None
    evidence = f"the training loss changes by {course.swing:.2f} ln K from one measured epoch to the next"
    remedy = f"trainer.lr={_slower(course)} trainer.batch_size=64"
    return Diagnosis("oscillating", evidence, sure(course.swing, SWING, 3 * SWING), remedy)


def under_fitting(course: Course, answers: Answers | None) -> Diagnosis | None:
    """Better than chance on training trials, and not by much."""
    if not begun(course) or not poor(course):
        return None
    less = "model.drop=0.1 " * (course.drop > 0.1) + "trainer.weight_decay=0; or a larger network"
    remedy = more_steps(course, 2000) if _unfinished(course) else less
    return Diagnosis("under-fitting", _fit_text(course), sure(-fit(course), -POOR, 0), remedy)


def never_predicted(course: Course, answers: Answers | None) -> Diagnosis | None:
    """A class that occurs among the test trials and is never the answer, nor among validation trials."""
    if answers is None:
        return None
    counts = zip(answers.predicted, answers.val_predicted, answers.present, strict=True)
    missing = [k for k, (said, said_before, there) in enumerate(counts) if said + said_before == 0 and there >= 5]
    if not missing:
        return None
    names = answers.classes or tuple(map(str, range(course.n_classes)))
    counts = ", ".join(f"{names[k]} ({answers.present[k]} test trials)" for k in missing)
    by_luck = (1 - 1 / course.n_classes) ** sum(answers.present)
    rare = max(answers.present[k] for k in missing) < RARE * sum(answers.present) / course.n_classes
    more = more_steps(course, 2000) + "; " if _unfinished(course) else ""
    remedy = "trainer.class_weights=balanced; " if rare else more    # equal classes have equal weights as it is
    remedy += "look at the labels of that class (dataset.events) and at its trials"
    evidence, confidence = f"never the answer: class {counts}", 0.95 if by_luck < 1e-3 else 0.6
    return Diagnosis("class never predicted", evidence, confidence, remedy)


RULES = (
    diverged, too_fast, wrong_scale, over_regularised, too_short, constant_output, dead_parameters, vanishing,
    exploding, stuck, oscillating, under_fitting, never_predicted,
)    # fmt: skip


def sure(value: float, threshold: float, certain: float) -> float:
    """Confidence: .5 at the threshold, .99 from ``certain`` on."""
    return float(min(0.99, max(0.5, 0.5 + 0.49 * (value - threshold) / (certain - threshold))))


def more_steps(course: Course, least: int) -> str:
    """Four times the steps, epochs that were typed would go before them; or the patience, where it ended the run."""
    if _ended(course):
        ended = f"it was ended {course.since_best} epochs after its least validation loss"
        return f"trainer.patience={4 * course.patience}; or null: {ended}"
    return f"trainer.epochs=null trainer.updates={max(least, 4 * course.steps)}"


def _slower(course: Course) -> str:
    """A tenth of the rate, or Adam's usual one where that is less."""
    return f"{min(course.lr / 10, 1e-3):.1g}"


def _unfinished(course: Course) -> bool:
    """Whether more steps are the first thing to try."""
    return course.train_late > FALLING or course.steps < FEW_STEPS or _ended(course)


def _ended(course: Course) -> bool:
    """Whether its patience ended the run."""
    return 0 < course.patience <= course.since_best


def _fit_text(course: Course) -> str:
    return f"training loss {course.train:.2f} ln {course.n_classes}, training accuracy {course.train_accuracy:.0%}"
