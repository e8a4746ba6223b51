"""Runs are claimed shortly before they are trained, so that several processes share what is left."""

import pickle
from concurrent.futures import Future
from functools import partial
from multiprocessing import SimpleQueue

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from tests.training.few import some_runs

from eegdecode.models.eegnet import EEGNet
from eegdecode.training.classical import ClassicalTrainer, pipeline
from eegdecode.training.collecting import collect
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.training.room import train_as_fits


def flatten(X):
    return X.reshape(len(X), -1)


@pytest.mark.parametrize("kind", ["loop", "vectorise", "classical"])
def test_what_others_have_in_work_is_left_out(make_trials, kind):
    trials = make_trials(n_subjects=1, n_times=64)
    runs, asked = some_runs(trials), []

    def claim(some):
        asked.append(len(some))
        return [run for run in some if run is not runs[1]]

    if kind == "classical":
        trainer, frontend = ClassicalTrainer(), None
        model = partial(pipeline, flat=FunctionTransformer(flatten), classify=LogisticRegression())
    else:
        trainer = DeepTrainer(epochs=1, batch_size=16, device="cpu", workers=1, ensemble=kind, preflight=False)
        model, frontend = partial(EEGNet), ZScore()
    fitted = trainer.fit(model, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None, claim=claim)
    first = next(fitted)
    assert asked == ([4] if kind == "vectorise" else [1])    # not before its turn comes
    assert [p.run for p in (first, *fitted)] == [runs[0], runs[2], runs[3]]


def test_a_stack_that_does_not_fit_is_claimed_again_in_parts(make_trials):
    runs, asked, trained = some_runs(make_trials(n_subjects=1)), [], []
    a, b, c, d = runs

    def train(stack):
        if len(stack) > 2:
            raise RuntimeError("out of memory")
        trained.append(stack)
        return []

    def claim(stack):
        asked.append(list(stack))
        return [run for run in stack if run is not b]

    assert list(train_as_fits(train, [runs], size=4, claim=claim)) == []
    assert trained == [[a, c], [d]]
    assert asked == [[a, b, c, d], [a, c], [d]]


def test_workers_get_few_stacks_ahead(make_trials, tmp_path):
    trials = make_trials(n_subjects=1)
    runs, sent, claimed = some_runs(trials), [], []
    told = SimpleQueue()

    def begin(number, stack):
        sent.append(number)
        (tmp_path / f"{number}").write_bytes(pickle.dumps([]))
        future = Future()
        future.set_result(tmp_path / f"{number}")
        return future

    def claim(stack):
        claimed.append(stack[0])
        return [] if stack[0] is runs[0] else stack

    stacks = [[run] for run in [*runs, *runs]]
    with pytest.raises(ValueError, match="zip"):    # the empty answer of the first, when two are ahead of eight
        next(collect(begin, stacks, told, lambda run, row: None, claim=claim, ahead=2))
    assert claimed == runs[:3]
    assert sent == [0, 1]
    told.close()


def test_a_claimed_run_gives_what_it_gives_without_claims(make_trials):
    trials = make_trials(n_subjects=1, n_times=64)
    runs = some_runs(trials, 2)
    trainer = DeepTrainer(epochs=1, batch_size=16, device="cpu", workers=1, preflight=False)
    logits = [
        [p.logits["test"] for p in trainer.fit(
            partial(EEGNet), trials, [runs], frontend=ZScore(), on_epoch=lambda run, row: None, **claims)]
        for claims in ({}, {"claim": list})
    ]    # fmt: skip
    np.testing.assert_array_equal(*logits)
