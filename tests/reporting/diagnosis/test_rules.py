from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from scripts.benchmarks.diagnosis_curves import SHAPES, synthetic_suite
from scripts.benchmarks.diagnosis_suite import find

from eegdecode.reporting.diagnosis import fitting, holding, remedies
from eegdecode.reporting.diagnosis.diagnose import EXPLAINS, diagnose
from eegdecode.reporting.diagnosis.measures import Answers, measure, read_answers
from eegdecode.reporting.diagnosis.verdicts import MEANING, NOTES, WELL, ordered, to_type

ROOT = Path(__file__).parents[3]
SCORE = {"n_train": 200, "n_val": 50, "n_test": 100, "chance": 0.25, "val_accuracy": 0.7, "test_accuracy": 0.68}


def make_history(n: int = 40, **columns: Any) -> pd.DataFrame:
    """A healthy training of four classes; `columns` replace some of it."""
    t, k = np.arange(1, n + 1) / n, np.log(4)
    healthy = {
        "epoch": np.arange(1, n + 1), "lr": 1e-3 * (1 - t), "running_loss": k * np.exp(-2 * t),
        "train_loss": k * np.exp(-2.5 * t), "train_accuracy": 1 - 0.75 * np.exp(-4 * t),
        "val_loss": k * (0.6 + 0.4 * np.exp(-4 * t)), "val_accuracy": 0.7 - 0.45 * np.exp(-6 * t),
        "grad_norm": np.ones(n), "steps": 14.0 * np.arange(1, n + 1), "dead_share": np.zeros(n), "flow": np.ones(n),
        "input_scale": np.ones(n),
    }    # fmt: skip
    return pd.DataFrame({**healthy, **columns})


def verdicts(history: pd.DataFrame, **changed: Any) -> list[str]:
    options = {name: changed.pop(name) for name in ("answers", "settings") if name in changed}
    return [finding.verdict for finding in diagnose(history, {**SCORE, **changed}, n_classes=4, **options)]


def test_a_healthy_training_is_well() -> None:
    assert verdicts(make_history()) == ["learning"]


@pytest.mark.parametrize("n_classes", [2, 4, 40])
def test_losses_count_in_units_of_a_uniform_answer(n_classes: int) -> None:
    flat = np.full(40, np.log(n_classes))
    history = make_history(train_loss=flat, running_loss=flat, val_loss=flat, train_accuracy=np.full(40, 1 / n_classes))
    course = measure(history, {**SCORE, "chance": 1 / n_classes}, n_classes=n_classes)
    assert course.train == pytest.approx(1)
    assert not fitting.learned(course)


def test_the_bound_depends_on_the_number_of_validation_trials() -> None:
    learned, flat = np.full(40, 0.99), np.full(40, 0.34)
    few = verdicts(make_history(train_accuracy=learned, val_accuracy=flat), n_val=10, val_accuracy=0.34)
    small = verdicts(make_history(train_accuracy=learned, val_accuracy=flat), n_val=25, val_accuracy=0.34)
    large = verdicts(make_history(train_accuracy=learned, val_accuracy=flat), n_val=500, val_accuracy=0.34)
    assert few == ["undecided"]    # 34 % of 10 trials may be chance, and may be much more
    assert small[0] == "memorising"    # 34 % of 25 trials is within chance, of 500 it is not
    assert large[0] == "over-fitting"


def test_without_validation_trials_over_fitting_is_not_judged_and_that_is_said() -> None:
    gone = {"val_loss": np.nan, "val_accuracy": np.nan}
    findings = diagnose(make_history(**gone), {**SCORE, "n_val": 0, "val_accuracy": np.nan}, n_classes=4)
    assert [finding.verdict for finding in findings] == ["fits"]
    assert "no validation trials" in findings[0].evidence
    assert "trainer.validation=0.2" in findings[0].remedy
    score = {**SCORE, "n_val": 0, "val_accuracy": np.nan, "test_accuracy": 0.26}
    (told,) = diagnose(make_history(**gone), score, n_classes=4)
    assert told.verdict == "memorising"
    assert told.remedy == "trainer.validation=0.2; so that not the test tells"    # or the test would choose


@pytest.mark.parametrize(("right", "more"), [(0.95, False), (0.75, True)])
def test_training_trials_that_are_not_learned_to_the_end_want_more_steps(right: float, more: bool) -> None:
    """Half of the way from chance is no poor fit, and a rate that ends at zero leaves a flat curve."""
    course = {"train_accuracy": np.full(40, right), "val_accuracy": np.full(40, 0.7)}
    gone = {**course, "val_loss": np.nan, "val_accuracy": np.nan}
    (learning,) = diagnose(make_history(**course), {**SCORE, "val_accuracy": 0.7}, n_classes=4)
    (fits,) = diagnose(make_history(**gone), {**SCORE, "n_val": 0, "val_accuracy": np.nan}, n_classes=4)
    assert (learning.verdict, fits.verdict) == ("learning", "fits")
    assert learning.remedy.startswith("trainer.epochs=null trainer.updates=") is more
    assert fits.remedy.startswith("trainer.validation=0.2 trainer.epochs=null trainer.updates=") is more
    assert fits.remedy.startswith("trainer.validation=0.2")    # so that not the test tells whether they help


def test_a_leak_shows_under_smoothed_labels_too() -> None:
    """They keep the loss up: of trials known perfectly a network came to 0.027 ln 2 and to 0.014 ln 4."""
    known, loss = np.full(40, 1.0), np.full(40, 0.014 * np.log(4))
    history = make_history(train_accuracy=known, val_accuracy=known, train_loss=loss, val_loss=loss)
    score = {"val_accuracy": 1.0, "test_accuracy": 1.0}
    assert "too good to be true" not in verdicts(history, **score)
    assert verdicts(history, **score, settings={"label_smoothing": 0.1}) == ["too good to be true"]
    easy = history.assign(val_loss=3 * loss)
    assert verdicts(easy, **score, settings={"label_smoothing": 0.1}) == ["learning"]


def test_with_class_weights_a_frequent_class_is_no_chance() -> None:
    """Plain accuracy is lower then, and rightly so: of a P300 it was 81 % where the frequent class makes 83."""
    right, k = np.linspace(0.5, 0.81, 40), np.log(2)
    loss = {f"{name}_loss": np.linspace(1, end, 40) * k for name, end in (("train", 0.59), ("val", 0.62))}
    history = make_history(train_accuracy=right, val_accuracy=right - 0.01, running_loss=loss["train_loss"], **loss)
    score = {**SCORE, "chance": 5 / 6, "n_train": 900, "n_val": 300, "val_accuracy": 0.8, "test_accuracy": 0.79}
    plain, weighted = (diagnose(history, score, n_classes=2, settings=each) for each in ({}, {"class_weights": 1.0}))
    assert plain[0].verdict == "stuck"
    assert [finding.verdict for finding in weighted] == ["learning"]


TYPED = {
    "trainer.lr": 1e-3, "trainer.label_smoothing": 0.1, "trainer.epochs": None, "frontend": "csp",
    "sweep.lr": [1e-3, 1e-4], "sweep.drop": None, "model.init_from": None, "trainer.batch_size": 128,
    "trainer.clip": 0.5,
}    # fmt: skip


@pytest.mark.parametrize(("remedy", "fits"), [
    ("trainer.lr=1e-04 trainer.sam=0; look at the data", "sweep.lr=1e-04 trainer.sam=0; look at the data"),
    ("trainer.lr=1e-4; or trainer.lr=3e-3, and check labels", "sweep.lr=1e-4; or sweep.lr=3e-3, and check labels"),
    ("trainer.label_smoothing=0.1; or trainer.select=best_val", "trainer.select=best_val"),
    ("trainer.epochs=null trainer.updates=500", "trainer.updates=500"),
    ("frontend=csp augment=snr model.drop=0.7; better more trials", "augment=snr model.drop=0.7; better more trials"),
    ("trainer.lr=1e-4 trainer.batch_size=64", "sweep.lr=1e-4"), ("trainer.clip=1; or less", "less"),
    ("look at the labels", "look at the labels"), ("", ""),
])    # fmt: skip
def test_a_remedy_changes_something(remedy: str, fits: str) -> None:
    assert remedies.fitting(remedy, TYPED) == fits


def test_a_network_that_starts_from_others_keeps_their_front_end() -> None:
    typed = {**TYPED, "model.init_from": "data/runs/others"}
    assert remedies.fitting("frontend=align; that is transductive", typed) == "that is transductive"
    assert remedies.fitting("frontend=align frontend.by=[subject,session]; or look", typed) == "look"


@pytest.mark.parametrize(("typed", "remedy", "fits"), [
    ({"trainer.average": "swa"}, "trainer.weight_decay=0.1 trainer.select=best_val", "trainer.weight_decay=0.1"),
    ({"augment.symmetry": 0.5, "frontend": "zscore"}, "frontend=csp model.drop=0.7", "model.drop=0.7"),
    ({"n_channels": 3, "frontend": "zscore"}, "frontend=csp model.drop=0.7", "model.drop=0.7"),
    ({"n_channels": 22, "frontend": "zscore"}, "frontend=csp model.drop=0.7", "frontend=csp model.drop=0.7"),
    ({"trainer.validation": 0.4}, "trainer.validation=0.4; or protocol=within_session", "protocol=within_session"),
    ({"trainer.validation": 0.4, "protocol": "cross_run"}, "trainer.validation=0.4; or protocol=cross_run", ""),
])    # fmt: skip
def test_what_the_command_would_refuse_or_has_is_no_remedy(typed: dict[str, Any], remedy: str, fits: str) -> None:
    assert remedies.fitting(remedy, {**TYPED, **typed}) == fits


def test_what_is_frozen_drops_nothing_out() -> None:
    assert remedies.explaining({"model.drop": 0.9})["drop"] == 0.9
    assert "drop" not in remedies.explaining({"model.drop": 0.9, "trainer.fine_tune": "head"})


def test_pieces_of_other_trials_are_no_remedy_for_a_flicker() -> None:
    """SSVEP loses 0.4 to 3.5 points by them."""
    remedy = "augment=snr model.drop=0.7; first check labels and split"
    assert remedies.fitting(remedy, {**TYPED, "preprocess": "bandpass_4_40"}) == remedy
    told = "model.drop=0.7; first check labels and split"
    assert remedies.fitting(remedy, {**TYPED, "preprocess": "ssvep"}) == told
    assert remedies.fitting(remedy, {**TYPED, "preprocess": "ssvep", "augment.segments": 0}) == told
    assert remedies.fitting("augment=none; look", {**TYPED, "preprocess": "ssvep", "augment": "snr"}) == (
        "augment=none; look"
    )


def test_pieces_of_other_trials_come_beside_the_changes_that_are_on() -> None:
    """``augment=noise augment.noise=0.2 augment=snr`` would be refused."""
    chain = {**TYPED, "augment": "noise", "augment.segments": 0}
    assert remedies.fitting("augment=snr model.drop=0.7", chain) == "augment.segments=8 model.drop=0.7"
    assert remedies.fitting("augment=snr model.drop=0.7", {**chain, "augment.segments": 8}) == "model.drop=0.7"


def test_old_histories_lack_columns_and_are_judged_all_the_same() -> None:
    assert verdicts(make_history().drop(columns=["steps", "dead_share", "flow"])) == ["learning"]


def test_a_failed_run_and_an_empty_history() -> None:
    status = "failed: loss is nan in epoch 3; lower trainer.lr"
    broken = make_history(3, running_loss=[1.0, 2.0, np.nan], train_loss=np.nan, val_loss=np.nan)
    assert verdicts(broken, status=status)[0] == "diverged"
    assert verdicts(pd.DataFrame(), status="done") == []    # a classical pipeline has no curves


def test_an_evaluation_that_lags_behind_is_no_divergence() -> None:
    """One batch an epoch: batch norm's running statistics are late, and its weights learn meanwhile."""
    late = np.r_[np.linspace(0.7, 0.3, 5), np.full(4, 3 * np.log(4)), np.linspace(0.5, 0.01, 31)]
    history = make_history(train_loss=late, running_loss=np.linspace(1.4, 0.01, 40))
    assert "diverged" not in verdicts(history)
    risen = history.assign(running_loss=late)
    assert verdicts(risen)[0] == "diverged"
    assert verdicts(history.assign(train_loss=late[::-1] + 1.5))[0] == "diverged"    # and stays


def test_causes_in_the_settings_are_named() -> None:
    flat = dict.fromkeys(("train_loss", "running_loss", "val_loss"), np.full(40, np.log(4)))
    history = make_history(**flat, train_accuracy=np.full(40, 0.25), val_accuracy=np.full(40, 0.25))
    assert verdicts(history)[0] == "stuck"
    assert verdicts(history, settings={"weight_decay": 10.0}) == ["over-regularised"]
    assert verdicts(history, settings={"drop": 0.95}) == ["over-regularised"]
    assert verdicts(make_history(), settings={"drop": 0.95}) == ["learning"]    # it does no harm


def test_a_wild_rate_explains_what_else_is_wrong() -> None:
    rates, poor = np.full(40, 0.3), np.full(40, 0.7 * np.log(4))
    high = make_history(lr=rates, train_loss=poor, running_loss=poor, train_accuracy=np.full(40, 0.5))
    assert verdicts(high, settings={"weight_decay": 0.02}) == ["rate too high"]    # the decay counts by the rate
    assert verdicts(make_history(lr=rates, val_loss=np.full(40, 0.3))) == ["learning"]    # it does no harm


def test_a_run_that_its_patience_has_ended_is_not_sent_for_more_steps() -> None:
    loss = np.linspace(1, 0.95, 5) * np.log(4)
    short = make_history(
        5, train_loss=loss, running_loss=loss, train_accuracy=np.full(5, 0.35), lr=np.full(5, 1e-3),
        val_loss=[1.3, 1.2, 1.3, 1.4, 1.4], val_accuracy=np.full(5, 0.3), steps=5.0 * np.arange(1, 6),
    )    # fmt: skip
    (ended, *_), (whole, *_) = (diagnose(short, SCORE, n_classes=4, settings={"patience": n}) for n in (3, 4))
    assert ended.verdict == whole.verdict == "too few steps"
    assert ended.remedy.startswith("trainer.patience=12; or null: it was ended 3 epochs after its least validation")
    assert "trainer.updates=" in whole.remedy


def test_exploding_gradients_are_told() -> None:
    (found,) = diagnose(make_history(grad_norm=np.full(40, 500.0)), SCORE, n_classes=4)
    assert found.verdict == "exploding gradients"
    assert "norm of 5e+02" in found.evidence
    assert verdicts(make_history(grad_norm=np.r_[np.full(5, 500.0), np.ones(35)])) == ["learning"]    # they pass


def test_windows_of_one_cue_count_as_one_trial() -> None:
    """40 windows of 10 cues: 34 % right may be chance; of 40 cues less so."""
    history = make_history(train_accuracy=np.full(40, 0.99), val_accuracy=np.full(40, 0.34))
    score = {**SCORE, "n_val": 40, "val_accuracy": 0.34, "n_test": 400}
    course = measure(history, {**score, "test_cues": 100}, n_classes=4)
    assert (course.n_train, course.n_val, course.n_test) == (50, 10, 100)
    assert verdicts(history, **score)[0] == "memorising"
    assert verdicts(history, **score, test_cues=100) == ["undecided"]


def test_answers_are_read_off_the_logits() -> None:
    labels = np.arange(100) % 4
    sure = {"val": np.zeros((0, 4)), "test": 9.0 * np.eye(4)[np.where(labels == 3, 0, labels)]}
    answers = read_answers(sure, labels)
    assert answers is not None
    assert answers.predicted == (50, 25, 25, 0)
    assert verdicts(make_history(), answers=answers)[0] == "class never predicted"
    named = read_answers(sure, labels, ["left", "right", "feet", "tongue"])
    (found, *_) = diagnose(make_history(), SCORE, n_classes=4, answers=named)
    assert found.evidence == "never the answer: class tongue (25 test trials)"
    constant = read_answers({"val": np.zeros((5, 4)), "test": np.tile([0.001, 0, 0, 0], (100, 1))}, labels)
    assert constant is not None
    assert constant.spread == pytest.approx(0, abs=0.01)
    assert verdicts(make_history(), answers=constant)[0] == "constant output"
    assert read_answers({"val": np.zeros((0, 4)), "test": np.full((100, 4), np.nan)}, labels) is None


def test_weights_of_classes_are_a_remedy_for_rare_classes_alone() -> None:
    """Equal classes have equal weights: of one that was taken out of the training trials they change nothing."""
    ended = make_history(train_loss=np.full(40, 0.1), train_accuracy=BY_HEART)
    equal = replace(ANSWERED, predicted=(33, 33, 34, 0), val_predicted=(17, 17, 16, 0))
    rare = replace(equal, present=(30, 30, 30, 10))
    look = "look at the labels of that class (dataset.events) and at its trials"
    found = [diagnose(ended, SCORE, n_classes=4, answers=answers)[0] for answers in (equal, rare)]
    assert [each.verdict for each in found] == ["class never predicted"] * 2
    assert [each.remedy for each in found] == [look, f"trainer.class_weights=balanced; {look}"]
    early = ended.assign(steps=np.arange(1.0, 41))    # 40 updates: it may still come
    (found, *_) = diagnose(early, SCORE, n_classes=4, answers=equal)
    assert found.remedy == f"trainer.epochs=null trainer.updates=2000; {look}"


def test_a_network_that_no_longer_guesses_is_not_stuck() -> None:
    """30 updates of EEGNet: 52 % of 64 training trials right, at a loss of .98 ln 4."""
    loss = dict.fromkeys(("train_loss", "running_loss", "val_loss"), np.full(40, 0.98 * np.log(4)))
    early = make_history(**loss, train_accuracy=np.full(40, 0.52), val_accuracy=np.full(40, 0.45),
                         steps=np.arange(1.0, 41), lr=np.full(40, 4e-3))    # fmt: skip
    score = {**SCORE, "n_train": 64, "val_accuracy": 0.45, "test_accuracy": 0.45}
    (found,) = diagnose(early, score, n_classes=4)
    assert (found.verdict, found.remedy) == ("under-fitting", "trainer.epochs=null trainer.updates=2000")
    lucky = early.assign(train_accuracy=0.35, val_accuracy=0.3)    # above the bound of 34 %, as one guess in twenty
    assert verdicts(lucky, **{**score, "val_accuracy": 0.3, "test_accuracy": 0.3}) == ["stuck"]


def test_a_run_that_its_patience_has_ended_is_told_to_be_patient_where_it_fits_badly() -> None:
    """Not to take less dropout: nobody knows whether it is too much."""
    flat = make_history(train_loss=np.full(40, 1.1), train_accuracy=np.full(40, 0.5), val_accuracy=np.full(40, 0.5),
                        val_loss=np.r_[np.full(37, 1.2), 1.3, 1.3, 1.3])    # fmt: skip
    score = {**SCORE, "val_accuracy": 0.5, "test_accuracy": 0.5}
    (whole,) = diagnose(flat, score, n_classes=4, settings={"drop": 0.5})
    (ended,) = diagnose(flat, score, n_classes=4, settings={"drop": 0.5, "patience": 3})
    assert whole.verdict == ended.verdict == "under-fitting"
    assert whole.remedy.startswith("model.drop=0.1")
    assert ended.remedy.startswith("trainer.patience=12")


def test_memorising_explains_a_class_that_is_not_the_answer() -> None:
    missing = replace(ANSWERED, predicted=(33, 33, 34, 0), val_predicted=(17, 17, 16, 0))
    none = {"n_val": 50, "val_accuracy": 0.25, "test_accuracy": 0.26}
    history = make_history(train_accuracy=BY_HEART, val_accuracy=np.full(40, 0.25))
    assert verdicts(history, answers=missing, **none) == ["memorising"]


def test_several_findings_come_in_order_and_what_follows_is_not_repeated() -> None:
    found = verdicts(make_history(dead_share=np.full(40, 0.2)), test_accuracy=0.3)
    assert found == ["dead parameters", "shift"]
    findings = diagnose(make_history(dead_share=np.full(40, 0.2)), {**SCORE, "test_accuracy": 0.3}, n_classes=4)
    assert ordered(findings[::-1]) == findings
    assert all(0.5 <= finding.confidence <= 0.99 for finding in findings)
    assert "20.0%" in findings[0].sentence()
    assert verdicts(make_history(dead_share=np.full(40, 0.4), flow=np.zeros(40))) == ["dead parameters"]    # the first


def test_a_remedy_that_is_tried_already_leaves_words_that_stand_alone() -> None:
    """The preflight is on: nobody knows who "it" is."""
    (found,) = diagnose(make_history(dead_share=np.full(40, 0.2)), SCORE, n_classes=4)
    told = remedies.fitting(found.remedy, {**TYPED, "trainer.preflight": True})
    assert told == "the preflight names them: a detach, a sum that cancels, an unused layer"
    (found,) = diagnose(make_history(), {**SCORE, "test_accuracy": 0.3}, n_classes=4)
    told = remedies.fitting(found.remedy, {**TYPED, "frontend": "align", "frontend.by": ["subject"]})
    assert told.startswith("frontend.by=[subject,session]; or compare spectra")
    told = remedies.fitting(found.remedy, {**TYPED, "frontend": "align", "frontend.by": ["subject", "session"]})
    assert told == "compare spectra and amplitudes of the sessions (scripts/prepare.py); align is transductive"


ANSWERED = Answers(predicted=(25, 25, 25, 25), present=(25, 25, 25, 25), val_predicted=(12, 13, 12, 13), spread=0.2)
BY_HEART = np.full(40, 0.95)


def test_a_shift_is_seen_in_the_answers_where_accuracies_cannot_tell() -> None:
    """Validation at chance by so few trials; the test's answers are nearly all of one class."""
    few = {"n_val": 25, "val_accuracy": 0.4, "test_accuracy": 0.3}
    history = make_history(train_accuracy=np.full(40, 0.8), val_accuracy=np.full(40, 0.4))
    assert verdicts(history, answers=ANSWERED, **few) == ["undecided"]
    turned = replace(ANSWERED, predicted=(90, 5, 3, 2), val_predicted=(7, 6, 6, 6))
    (found,) = diagnose(history, {**SCORE, **few}, n_classes=4, answers=turned)
    assert found.verdict == "shift"
    assert "(7, 6, 6, 6) to validation trials, (90, 5, 3, 2) to test trials" in found.evidence
    alike = replace(ANSWERED, predicted=(90, 5, 3, 2), val_predicted=(22, 1, 1, 1))    # always leans to that class
    assert verdicts(history, answers=alike, **few) == ["undecided"]
    other_mix = replace(turned, present=(88, 6, 3, 3))    # the test holds other trials, and is answered so
    assert verdicts(history, answers=other_mix, **few) == ["undecided"]
    flat = dict.fromkeys(("train_loss", "running_loss"), np.full(40, np.log(4)))
    stuck = make_history(**flat, train_accuracy=np.full(40, 0.25), val_accuracy=np.full(40, 0.4))
    assert verdicts(stuck, answers=turned, **few) == ["stuck"]    # nearly constant answers swing with anything
    assert "shift" not in verdicts(history, answers=turned, **{**few, "test_accuracy": 0.6})    # and no harm is done


def test_a_lucky_validation_accuracy_is_no_shift() -> None:
    """13 of 30 is above the bound (40 %), as one guess in twenty is; with the test it is within chance."""
    history = make_history(train_accuracy=BY_HEART, val_accuracy=np.full(40, 13 / 30))
    lucky = {"n_val": 30, "val_accuracy": 13 / 30, "test_accuracy": 0.19}
    (found,) = diagnose(history, {**SCORE, **lucky}, n_classes=4, answers=ANSWERED)
    assert found.verdict == "memorising"
    assert "validation and test" in found.evidence
    sure = {**lucky, "val_accuracy": 0.6}
    history = make_history(train_accuracy=BY_HEART, val_accuracy=np.full(40, 0.6))
    assert verdicts(history, answers=ANSWERED, **sure) == ["shift"]


def test_memorising_is_told_before_it_is_complete() -> None:
    """Half of the training trials are known, and of 100 others as many as by guessing."""
    half = make_history(train_loss=np.full(40, 1.1), train_accuracy=np.full(40, 0.55), val_accuracy=np.full(40, 0.25))
    none = {"n_val": 100, "val_accuracy": 0.25, "test_accuracy": 0.25}
    assert verdicts(half, **none) == ["memorising"]
    alike = half.assign(val_accuracy=0.5)
    assert verdicts(alike, **{**none, "val_accuracy": 0.5, "test_accuracy": 0.5}) == ["under-fitting"]


def test_a_missing_class_and_a_shift_are_told_apart_and_the_dearer_comes_first() -> None:
    """A class that is never answered costs its own trials; what is lost of the others is a shift."""
    missing = replace(ANSWERED, predicted=(33, 33, 34, 0), val_predicted=(17, 17, 16, 0))
    assert verdicts(make_history(), answers=missing, test_accuracy=0.53) == ["class never predicted"]    # 53 of 75
    assert verdicts(make_history(), answers=missing, test_accuracy=0.25) == ["shift", "class never predicted"]
    score = {"n_val": 200, "val_accuracy": 0.8, "test_accuracy": 0.45}    # 60 % of the others, 25 trials of that class
    assert verdicts(make_history(), answers=missing, **score) == ["class never predicted", "shift"]


def test_every_verdict_has_a_meaning_and_a_curve() -> None:
    assert set(EXPLAINS) <= set(MEANING)
    assert {name.partition(":")[0] for name in SHAPES} | set(WELL) == set(MEANING) | {"healthy"}
    assert set(NOTES) < set(MEANING)


def test_remedies_can_be_typed() -> None:
    findings = [finding for row in synthetic_suite(seed=2, n=2) for finding in find(row)]
    typed = {to_type(finding.remedy)[0] for finding in findings} - {""}
    assert {"trainer.lr=1e-3", "frontend=zscore", "trainer.epochs=null trainer.updates=500"} <= typed
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        for overrides in sorted(typed):
            compose("train", overrides.split(" "))    # as a shell takes them apart
    assert to_type("look at the labels") == ("", "look at the labels")


def test_remedies_suit_what_was_typed() -> None:
    """Steps beyond those that were tried, no dropout of networks that have none, no rate that is still too high."""
    rising = make_history(train_accuracy=np.full(40, 0.45), train_loss=np.linspace(1.4, 1.1, 40))
    half = {"val_accuracy": 0.45, "test_accuracy": 0.45}
    (found,) = diagnose(rising.assign(val_accuracy=0.45), {**SCORE, **half}, n_classes=4)
    assert found.verdict == "under-fitting"
    assert found.remedy == "trainer.epochs=null trainer.updates=2240"    # 560 were too few
    learned = make_history(train_accuracy=BY_HEART, val_accuracy=np.full(40, 0.25))
    for drop, said in ((0.25, "model.drop=0.5"), (0.5, ""), (0.8, ""), (None, "")):
        (found,) = diagnose(learned, {**SCORE, "val_accuracy": 0.25, "test_accuracy": 0.25}, n_classes=4,
                            settings={} if drop is None else {"drop": drop})    # fmt: skip
        assert to_type(found.remedy)[0] == f"augment=snr trainer.weight_decay=0.1 {said}".strip()
    (found,) = diagnose(learned, {**SCORE, "val_accuracy": 0.25, "test_accuracy": 0.25}, n_classes=4,
                        settings={"drop": 0.75, "weight_decay": 0.3})    # fmt: skip
    assert to_type(found.remedy)[0] == "augment=snr"    # no weaker decay than there is
    burst = make_history(train_loss=np.full(40, 9.0), lr=np.full(40, 0.3))
    (found, *_) = diagnose(burst, SCORE, n_classes=4)
    assert to_type(found.remedy)[0] == "trainer.lr=0.001 trainer.clip=1"


def test_rules_say_nothing_about_what_was_not_measured() -> None:
    course = measure(make_history(1).assign(train_loss=np.nan, train_accuracy=np.nan), SCORE, n_classes=4)
    quiet = [*fitting.RULES, *holding.RULES]
    said = [finding.verdict for rule in quiet if (finding := rule(course, None))]
    assert "shift" not in said
