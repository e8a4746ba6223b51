"""Pipelines that take long are fitted by a process a core, and give what one process gives."""

import logging
import multiprocessing
import os
import signal
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from tests.training.few import some_runs
from tests.training.test_classical import build

from eegdecode.training import classical
from eegdecode.training.align import Align
from eegdecode.training.classical import ClassicalTrainer, pipeline


class Power(TransformerMixin, BaseEstimator):
    """Log-variance of each channel."""

    def __init__(self, fail=None):
        self.fail = fail

    def fit(self, X, y=None):
        if self.fail == "killed" and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fail == "broken" and multiprocessing.parent_process():
            raise RuntimeError("broken")
        return self

    def transform(self, X):
        return np.log(X.var(2))


@pytest.fixture(autouse=True)
def worth_it(monkeypatch, tmp_path):
    """However short a fit is; and what is left behind is seen."""
    monkeypatch.setattr(classical, "WORTH", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert multiprocessing.active_children() == []
    assert list(tmp_path.glob("eegdecode-*")) == []


def fit(trials, runs, *, model=None, workers=2, frontend=None, told=None, claim=list):
    model = model or partial(pipeline, power=Power(), classify=LogisticRegression())
    tell = lambda run, row: (told if told is not None else []).append((run, row))    # noqa: E731
    trainer = ClassicalTrainer(workers=workers)
    return trainer.fit(model, trials, [runs[:1], runs[1:]], frontend=frontend, on_epoch=tell, claim=claim)


@pytest.mark.parametrize(("name", "frontend"), [("ts_lr", None), ("acm_ts_svm", None), ("csp_lda", Align())])
def test_workers_give_what_one_process_gives(make_trials, name, frontend):
    trials = make_trials()
    runs, told = some_runs(trials, 3), []
    here = {p.run: p for p in fit(trials, runs, model=build(name), frontend=frontend, workers=1)}
    there = {p.run: p for p in fit(trials, runs, model=build(name), frontend=frontend, told=told)}
    assert set(here) == set(there) == set(runs)
    for run in runs:
        assert here[run].status == there[run].status == "done"
        assert here[run].chosen == there[run].chosen
        for part in ("val", "test"):
            np.testing.assert_array_equal(here[run].logits[part], there[run].logits[part])
    assert {(run, row["epoch"]) for run, row in told} == {(run, 1) for run in runs}


def test_short_fits_stay_here(make_trials, monkeypatch):
    monkeypatch.setattr(classical, "WORTH", 1e6)
    monkeypatch.setattr(classical, "fit_in_workers", lambda *_, **__: pytest.fail("workers for a moment's work"))
    trials = make_trials()
    assert len(list(fit(trials, some_runs(trials)))) == 4


def test_runs_that_others_have_in_work_are_left_out(make_trials):
    trials = make_trials()
    runs = some_runs(trials)
    fitted = fit(trials, runs, claim=lambda some: [run for run in some if run is not runs[2]])
    assert {p.run for p in fitted} == {runs[0], runs[1], runs[3]}


def test_what_cannot_be_sent_is_fitted_here(make_trials, caplog):
    trials = make_trials()

    class Local(Power):
        pass

    with caplog.at_level(logging.WARNING):
        assert len(list(fit(trials, some_runs(trials), model=partial(
            pipeline, power=Local(), classify=LogisticRegression())))) == 4    # fmt: skip
    assert "fitting in this process alone: the model cannot be sent" in caplog.text


@pytest.mark.parametrize(("fail", "error"), [
    ("killed", r"was killed.*finished runs are kept"), ("broken", "broken"),
])    # fmt: skip
def test_an_error_comes_after_what_is_finished(make_trials, fail, error):
    trials, seen = make_trials(), []
    model = partial(pipeline, power=Power(fail), classify=LogisticRegression())
    with pytest.raises(RuntimeError, match=error) as told:
        seen.extend(fit(trials, some_runs(trials), model=model))
    assert len(seen) == 1    # the first is fitted here
    assert fail == "killed" or "(in run sub-" in "".join(told.value.__notes__)


def test_leaving_half_way_ends_the_workers(make_trials):
    trials = make_trials()
    fitted = fit(trials, some_runs(trials))
    next(fitted), next(fitted)
    fitted.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, "many", True])
def test_bad_numbers_of_workers_are_named(workers):
    with pytest.raises(ValueError, match=f"trainer.workers must be auto or at least 1, got {workers!r}"):
        ClassicalTrainer(workers=workers)
