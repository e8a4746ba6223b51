
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from eegdecode.protocols import CrossSession
from eegdecode.runs import describe
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.augment import Recombination
from eegdecode.training.classical import ClassicalTrainer, FilterBank
from eegdecode.training.frontend import CSP
from eegdecode.trials import Trials

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
PIPELINES = [p.stem for p in sorted(CONFIGS.glob("*.yaml")) if "classical.pipeline" in p.read_text()]


def build(name):
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    return instantiate(cfg, _convert_="all")


def fit(trials, model):
    runs = expand(CrossSession()(trials.meta, validation=0.0), Sweep(), seed=0)
    return list(ClassicalTrainer().fit(model, trials, [runs], frontend=None, on_epoch=lambda run, row: None))


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_learns(make_trials, name):
    trials = make_trials(n_trials=60)
    for prediction in fit(trials, build(name)):
        y = trials.y[prediction.run.split.test]
        assert (prediction.logits["test"].argmax(1) == y).mean() > 0.8
        np.testing.assert_allclose(np.exp(prediction.logits["test"]).sum(1), 1, rtol=1e-4)
        assert prediction.logits["val"].shape == (0, 3)


@pytest.mark.parametrize("name", PIPELINES)
def test_test_trials_change_no_prediction_of_others(make_trials, name):
    trials = make_trials(n_trials=30)
    model = build(name)
    before = fit(trials, model)[0]
    test = before.run.split.test
    X, meta = trials.X.copy(), trials.meta.copy()
    X[test[1:]] *= 100
    meta.loc[test, "label"] = (meta.loc[test, "label"] + 1) % 3
    after = fit(Trials(X, meta, trials.signal, trials.classes, "toy", trials.fingerprints), model)[0]
    np.testing.assert_allclose(before.logits["test"][0], after.logits["test"][0], rtol=1e-5)


def test_describe_sees_the_settings_of_a_step():
    one, other = build("ts_lr"), build("ts_lr")
    other.keywords["classify"].set_params(C=3.0)
    assert describe(one) == describe(build("ts_lr"))
    assert describe(one) != describe(other)


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
