from functools import partial

import numpy as np
import pytest

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.s3t import S3T
from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, ZScore


def history(trials, model, *, frontend=None, n_runs=1, **settings):
    runs = expand(WithinSession(folds=4)(trials.meta, validation=0.25), Sweep(), seed=0)[:n_runs]
    trainer = DeepTrainer(epochs=2, batch_size=16, device="cpu", workers=1, preflight=False, **settings)
    parts = {"frontend": frontend or ZScore(), "on_epoch": lambda run, row: None}
    return [each.history for each in trainer.fit(model, trials, [runs], **parts)]


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_healthy_weights_all_have_a_gradient(make_trials, mode):
    for table in history(make_trials(), partial(EEGNet), n_runs=2, ensemble=mode):
        assert (table["dead_share"] == 0).all()
        assert (table["flow"] > 1e-3).all()
        np.testing.assert_allclose(table["input_scale"], 1, rtol=0.5)    # behind a z-score
        assert (np.diff(table["steps"]) == table["steps"][0]).all()


def test_the_attention_that_does_nothing_shows(make_trials):
    shares = [
        history(make_trials(), partial(S3T, kernel=0.1, official_noop=noop), frontend=CSP(n_filters=2))[0]["dead_share"]
        for noop in (False, True)
    ]
    assert (shares[0] == 0).all()
    assert (shares[1] > 0.01).all()


def test_a_decay_that_is_added_to_the_gradient_hides_it(make_trials):
    (table,) = history(make_trials(), partial(EEGNet), optimiser="adam", weight_decay=0.1)
    assert table["dead_share"].isna().all()
    (table,) = history(make_trials(), partial(EEGNet), optimiser="adam", weight_decay=0.0)
    assert (table["dead_share"] == 0).all()
