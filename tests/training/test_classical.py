
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from mne.decoding import Vectorizer
from omegaconf import OmegaConf
from sklearn import cross_decomposition
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from eegdecode.calibration import Calibration
from eegdecode.identity import describe
from eegdecode.protocols import CrossSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.augment import Recombination
from eegdecode.training.classical import ClassicalTrainer, pipeline
from eegdecode.training.classical_check import tell_bank
from eegdecode.training.classical_search import inner_folds
from eegdecode.training.classical_steps import CCA, FilterBank
from eegdecode.training.frontend import CSP
from eegdecode.trials import Signal, Trials, fingerprint

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
PIPELINES = [p.stem for p in sorted(CONFIGS.glob("*.yaml")) if "classical.pipeline" in p.read_text()]


def build(name):
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    return instantiate(cfg, _convert_="all")


def fit(trials, model, *, seeds=1, trainer_seeds=1, **settings):
    trainer = ClassicalTrainer(seeds=trainer_seeds, **settings)
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(seeds=seeds), seed=0, n_seeds=trainer.seeds)
    return list(trainer.fit(model, trials, [runs], frontend=None, on_epoch=lambda run, row: None))


def plant(name, *, n_classes=2, n_trials=24, n_chans=6, reference=False, seed=0):
    """Trials of two sessions in which each class has what the pipeline looks for, among noise of 1 µV."""
    rng, time = np.random.default_rng(seed), np.arange(128) / 128
    labels = np.tile(np.arange(n_classes), 2 * n_trials // n_classes)
    X = rng.normal(size=(len(labels), n_chans, 128))
    for x, label in zip(X, labels, strict=True):
        if name == "cca":    # flickers of 10, 14, 18 Hz, and in the last class none
            flicker = np.sin(2 * np.pi * (10 + 4 * label) * time + rng.uniform(0, 6.28))
            x += (label < n_classes - 1) * np.outer(np.linspace(0, 1, n_chans), flicker)
        elif name.startswith("xdawn"):    # a response at a time of its own
            x[:3] += 1.5 * np.exp(-0.5 * ((time - 0.2 - 0.15 * label) / 0.04) ** 2)
        else:    # a rhythm of 10 Hz in a channel of its own
            x[label] += 2 * np.sin(2 * np.pi * 10 * time + rng.uniform(0, 6.28))
    if reference:
        X -= X.mean(1, keepdims=True)
    session = np.repeat(["s0", "s1"], n_trials)
    names = [f"1/{i}" for i in range(len(X))]
    meta = pd.DataFrame({"trial": names, "subject": "1", "session": session, "run": "0", "label": labels})
    classes = (*("10", "14", "18")[: n_classes - 1], "rest") if name == "cca" else tuple("abcd"[:n_classes])
    X = X.astype(np.float32)
    signal = Signal(tuple(f"C{i}" for i in range(n_chans)), 128.0, 0.0, np.full((n_chans, 3), np.nan))
    return Trials(X, meta, signal, classes, "toy", {"1": fingerprint(X, meta)})


def score(trials, prediction):
    return (prediction.logits["test"].argmax(1) == trials.y[prediction.run.split.test]).mean()


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_learns_in_any_unit(name, n_classes):
    trials = plant(name, n_classes=n_classes, n_trials=48)
    (first,), (again,), (volts,) = (fit(trials, build(name), **more) for more in ({}, {}, {"scale": 1e-6}))
    assert first.status == "done"
    assert score(trials, first) > (0.85 if n_classes == 2 else 0.7)
    np.testing.assert_allclose(np.exp(first.logits["test"]).sum(1), 1, rtol=1e-9)
    np.testing.assert_array_equal(first.logits["test"], again.logits["test"])
    np.testing.assert_array_equal(first.logits["test"].argmax(1), volts.logits["test"].argmax(1))
    assert first.logits["val"].shape == (0, n_classes)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_takes_average_referenced_signals(name):
    trials = plant(name, n_trials=48, reference=True)
    (prediction,) = fit(trials, build(name))
    assert prediction.status == "done"
    assert score(trials, prediction) > 0.8


@pytest.mark.parametrize("name", PIPELINES)
def test_the_greatest_logit_is_what_scikit_learn_predicts(name):
    trials = plant(name, n_classes=4, n_trials=48)
    (prediction,) = fit(trials, build(name))
    split, model = prediction.run.split, build(name)
    X, y = trials.X.astype(float), trials.y
    fitted = clone(model(sfreq=128.0, classes=trials.classes))
    if prediction.chosen:
        chosen = dict(part.split("=") for part in prediction.chosen.split(", "))
        values = {key: float(v) if key.endswith("C") else int(v) for key, v in chosen.items()}
        fitted = clone(fitted.estimator).set_params(**values)
    fitted.fit(X[split.train], y[split.train])
    np.testing.assert_array_equal(prediction.logits["test"].argmax(1), fitted.predict(X[split.test]))
    if hasattr(fitted, "predict_proba"):
        np.testing.assert_allclose(np.exp(prediction.logits["test"]), fitted.predict_proba(X[split.test]), atol=1e-9)


@pytest.mark.parametrize("name", PIPELINES)
def test_test_trials_change_no_prediction_of_others(name):
    trials = plant(name, n_classes=4)
    model = build(name)
    (before,) = fit(trials, model)
    test = before.run.split.test
    X, meta = trials.X.copy(), trials.meta.copy()
    X[test[1:]] *= 100
    meta.loc[test, "label"] = (meta.loc[test, "label"] + 1) % 4
    (after,) = fit(Trials(X, meta, trials.signal, trials.classes, "toy", trials.fingerprints), model)
    np.testing.assert_allclose(before.logits["test"][0], after.logits["test"][0], rtol=1e-5)


def test_describe_sees_the_settings_of_a_step():
    one, other = build("ts_lr"), build("ts_lr")
    other.keywords["classify"].set_params(C=3.0)
    assert describe(one) == describe(build("ts_lr"))
    assert describe(one) != describe(other)


def test_describe_sees_what_stands_in_a_step_of_steps():
    one, other, third = build("fbcsp_svm"), build("fbcsp_svm"), build("fbcsp_svm")
    other.keywords["bank"].steps["csp"].set_params(nfilter=2)
    third.keywords["select"].score_func.keywords["random_state"] = 1
    assert describe(one) == describe(build("fbcsp_svm"))
    assert describe(one) != describe(other)
    assert describe(one) != describe(third)


def test_what_a_search_chose_is_noted_and_a_search_can_be_left_out():
    trials = plant("ts_svm")
    (prediction,) = fit(trials, build("ts_svm"))
    assert prediction.chosen in {f"classify__C={value}" for value in (0.1, 1.0, 10.0)}
    model = build("ts_svm")
    model.keywords["search"] = None
    assert fit(trials, model)[0].chosen == ""
    model.keywords["search"] = {"clasify__C": [1.0]}
    with pytest.raises(ValueError, match=r"model.search: clasify__C is no setting"):
        fit(trials, model)


def test_searches_keep_apart_what_the_run_keeps_apart(make_trials):
    meta = make_trials(n_subjects=3, n_sessions=2, n_trials=30).meta
    for rows, column, n_folds in ((meta, "subject", 3), (meta[meta["subject"] == "1"], "session", 2)):
        folds = inner_folds(rows, rows["label"].to_numpy())
        assert len(folds) == n_folds
        for train, test in folds:
            assert not set(rows[column].iloc[train]) & set(rows[column].iloc[test])
    one = meta[(meta["subject"] == "1") & (meta["session"] == "s0")]
    one = one.assign(group=np.repeat(np.arange(15), 2).astype(str))
    folds = inner_folds(one, one["label"].to_numpy())
    assert len(folds) == 5
    assert all(not set(one["group"].iloc[train]) & set(one["group"].iloc[test]) for train, test in folds)
    with pytest.raises(ValueError, match=r"3 training trials are too few to search in; take model.search=null"):
        inner_folds(one[:3], np.array([0, 1, 2]))


@pytest.mark.parametrize("classes", [("left", "right"), ("13", "rest", "other"), ("rest",)])
def test_cca_refuses_classes_without_frequencies(classes):
    with pytest.raises(ValueError, match="named by their stimulus frequency"):
        build("cca")(sfreq=128.0, classes=classes)


def test_cca_needs_no_training_where_every_class_has_a_frequency():
    rng, time = np.random.default_rng(0), np.arange(256) / 128
    X = np.stack([np.outer([1, 0.5, 0], np.sin(2 * np.pi * f * time + 1)) for f in (10, 14, 10)])
    X += 0.3 * rng.normal(size=X.shape)
    cca = CCA(sfreq=128.0, classes=("10", "14")).fit(rng.normal(size=(2, 3, 256)), np.array([0, 1]))
    np.testing.assert_array_equal(cca.predict(X), [0, 1, 0])
    own = [cross_decomposition.CCA(n_components=1).fit(X[0].T, basis.T) for basis in cca.bases_.values()]
    pairs = [each.transform(X[0].T, basis.T) for each, basis in zip(own, cca.bases_.values(), strict=True)]
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in pairs]
    np.testing.assert_allclose(cca.decision_function(X)[0], expected, atol=1e-4)
    with pytest.raises(ValueError, match="a flicker of 80 Hz cannot be seen at 128 Hz"):
        CCA(sfreq=128.0, classes=("80", "rest")).fit(X, np.array([0, 1, 0]))


def test_bands_beyond_the_sampling_rate_are_named():
    with pytest.raises(ValueError, match=r"the band 28-32 Hz does not lie.*\(64.0 Hz\)"):
        build("fbcsp_svm")(sfreq=64.0, classes=("left", "right"))


@pytest.mark.parametrize("classes", [("1", "2"), ("769", "770", "rest"), ("left", "right"), ("2", "13")])
def test_numbers_that_are_no_flicker_are_codes_of_events(classes, caplog):
    """Imagery of files whose events are called 1 and 2 was read in bands around 1 and 2 Hz, at chance."""
    X = np.random.default_rng(0).normal(size=(6, 3, 128))
    bank = FilterBank(sfreq=128, classes=classes).fit(X)
    assert bank.transform(X) is X
    with caplog.at_level("INFO"):
        tell_bank(build("ts_lr")(sfreq=128, classes=classes), classes)
    assert not caplog.text


def test_which_bands_the_names_of_classes_stand_for_is_told(caplog):
    with caplog.at_level("INFO"):
        tell_bank(build("ts_svm")(sfreq=128, classes=("13", "17", "rest")), ("13", "17", "rest"))
    assert "the classes 13, 17 are read as frequencies of a flicker" in caplog.text
    assert "the bands 12.5-13.5, 16.5-17.5 Hz" in caplog.text
    assert "~model.bank" in caplog.text


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [("ts_lr", {"bank": {"bands": "stimuli"}}, "bands=stimuli is neither"),
     ("ts_lr", {"bank": {"width": -1.0}}, "width=-1.0 Hz"),
     ("ts_lr", {"bank": {"bands": [[8, 12, 14]]}}, r"\[8, 12, 14\] is not a pair"),
     ("ts_lr", {"covariance": {"estimator": "foo"}}, "cannot be fitted .*'foo'"),
     ("ts_svm", {"classify": {"C": -1}, "search": None}, "channels and 128 samples: The 'C' parameter"),
     ("ts_svm", {"search": {"classify__C": [1, -1]}}, "with classify__C=-1: The 'C' parameter"),
     ("ts_svm", {"search": {"classify__C": []}}, r"model.search.classify__C must be a list .*got \[\]"),
     ("acm_ts_svm", {"search": [{"delays__order": [2, 9], "delays__lag": [2, 60]}]}, "delays__order=9, delays__lag=60"),
     ("csp_lda", {"csp": {"nfilter": -2}}, "model.csp.nfilter must be a whole number of at least 1, got -2"),
     ("fbcsp_svm", {"bank": {"steps": {"csp": {"nfilter": 0}}}}, "model.bank.steps.csp.nfilter must be"),
     ("fbcsp_svm", {"bank": {"bands": []}}, "cannot be fitted"),
     ("cca", {"classify": {"n_harmonics": 0}}, "n_harmonics must be at least 1")],
)  # fmt: skip
def test_what_no_run_can_be_fitted_with_is_refused_before_any(name, changes, words):
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    for group, settings in changes.items():
        if isinstance(settings, dict) and group != "search":
            cfg[group] = OmegaConf.merge(cfg[group], settings)
        else:
            cfg[group] = settings
    trials = plant(name)
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    with pytest.raises(ValueError, match=words):
        ClassicalTrainer().check(instantiate(cfg, _convert_="all"), trials, runs, frontend=None, augment=None)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_of_ours_passes_its_check(name):
    trials = plant(name, n_classes=3)
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    ClassicalTrainer().check(build(name), trials, runs, frontend=None, augment=None)
    assert [prediction.status for prediction in fit(trials, build(name))] == ["done"]


def test_a_step_that_needs_more_trials_than_a_few_passes(make_trials):
    """48 training trials are enough for 20 components, the 8 of noise are not."""
    trials = plant("ts_lr")
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    steps = {"flatten": Vectorizer(), "reduce": PCA(20), "classify": LogisticRegression()}
    model = partial(pipeline, **steps)
    ClassicalTrainer().check(model, trials, runs, frontend=None, augment=None)
    steps["reduce"] = PCA(200)
    with pytest.raises(ValueError, match="n_components=200"):
        ClassicalTrainer().check(partial(pipeline, **steps), trials, runs, frontend=None, augment=None)


def test_cca_answers_a_flicker_that_it_was_not_trained_on():
    trials = plant("cca", n_classes=3)
    seen = np.flatnonzero(trials.y != 0)
    cca = CCA(sfreq=128.0, classes=trials.classes).fit(trials.X[seen], trials.y[seen])
    assert (cca.predict(trials.X[trials.y == 0]) == 0).mean() > 0.8
    rest = np.flatnonzero(trials.y == 2)
    assert set(CCA(sfreq=128.0, classes=trials.classes).fit(trials.X[rest], trials.y[rest]).classes_) == {0, 1, 2}


def test_one_seed_is_enough_for_a_pipeline_that_draws_nothing():
    trials = plant("mdm")
    assert [p.run.seed for p in fit(trials, build("mdm"), seeds=3)] == [0]
    assert [p.run.seed for p in fit(trials, build("mdm"), seeds=3, trainer_seeds=None)] == [0, 1, 2]


def test_filter_bank_separates_stimulus_frequencies():
    time = np.arange(512) / 256
    X = np.stack([np.sin(2 * np.pi * f * time)[None] for f in (13.0, 17.0)])
    bank = FilterBank(sfreq=256.0, classes=("13", "17", "rest")).fit(X)
    assert bank.bands_ == [(12.5, 13.5), (16.5, 17.5)]
    power = bank.transform(X).var(2)
    assert power.shape == (2, 2)
    assert power[0, 0] > 5 * power[0, 1]
    assert power[1, 1] > 5 * power[1, 0]
    assert FilterBank(sfreq=256.0, classes=("left", "right")).fit(X).transform(X) is X


def test_what_a_pipeline_would_ignore_is_refused(make_trials):
    trials, model = make_trials(), build("csp_lda")
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(lr=[0.1]), seed=0)
    with pytest.raises(ValueError, match="has no lr"):
        list(ClassicalTrainer().fit(model, trials, [runs], frontend=None, on_epoch=lambda run, row: None))
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    with pytest.raises(ValueError, match="not CSP"):
        list(ClassicalTrainer().fit(model, trials, [runs], frontend=CSP(), on_epoch=lambda run, row: None))
    with pytest.raises(ValueError, match="take augment=none"):
        list(ClassicalTrainer().fit(
            model, trials, [runs], frontend=None, on_epoch=lambda run, row: None, augment=Recombination(),
        ))    # fmt: skip
    with pytest.raises(ValueError, match="device=cuda"):
        ClassicalTrainer(device="cuda")


def test_few_trials_of_a_subject_are_learned_from(make_trials):
    trials = make_trials()
    runs = expand(Calibration(trials=[2, 4])(trials.meta, validation=0.0), Sweep(), seed=0)
    done = list(ClassicalTrainer().fit(build("mdm"), trials, [runs], frontend=None, on_epoch=lambda run, row: None))
    assert [p.status for p in done] == ["done"] * len(runs)
    assert {p.run.numbers["trials"] for p in done} == {2, 4}


def test_a_fit_that_fails_is_a_failed_run_and_the_others_go_on(make_trials):
    trials = make_trials()
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    X = trials.X.copy()
    X[runs[0].split.train] = np.nan
    sick = Trials(X, trials.meta, trials.signal, trials.classes, "toy", trials.fingerprints)
    first, second = ClassicalTrainer().fit(build("csp_lda"), sick, [runs], frontend=None, on_epoch=lambda r, row: None)
    assert first.status.startswith("failed: ")
    assert np.isnan(first.logits["test"]).all()
    assert second.status == "done"
