from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from eegdecode.identity import describe, digest, pool_digest, run_key, split_digest, training_sources
from eegdecode.models.eegnet import EEGNet
from eegdecode.runs import Run, Split
from eegdecode.trials import Trials, concatenate


def split(train=(0, 1), val=(2,), test=(3,), subject="1"):
    return Split(np.array(train), np.array(val), np.array(test), subject, "s0", 0, "mine")


def test_digest_ignores_the_order_of_keys_and_nothing_else():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def test_a_split_is_known_by_the_names_of_its_trials(make_trials):
    meta = make_trials().meta
    moved = meta.iloc[[1, 0, *range(2, len(meta))]].reset_index(drop=True)
    assert split_digest([split()], meta=meta) == split_digest([split(train=(1, 0))], meta=moved)
    assert split_digest([split()], meta=meta) != split_digest([split(val=(4,))], meta=meta)


def test_only_the_subjects_of_a_split_enter_its_key(make_trials):
    trials = make_trials(n_subjects=2)
    run = Run(split(), seed=0)
    key = run_key(run, meta=trials.meta, fingerprints=trials.fingerprints, context={})
    other = {**trials.fingerprints, "2": "another"}
    assert run_key(run, meta=trials.meta, fingerprints=other, context={}) == key
    changed = {**trials.fingerprints, "1": "another"}
    assert run_key(run, meta=trials.meta, fingerprints=changed, context={}) != key
    assert run_key(run, meta=trials.meta, fingerprints=trials.fingerprints, context={"sources": 1}) != key


def test_describe_names_what_defines_a_part():
    said = describe(partial(EEGNet, filters=4))
    assert said["filters"] == 4
    assert said["call"]["name"] == "eegdecode.models.eegnet.EEGNet"
    assert len(said["call"]["source"]) == 16
    assert describe(LogisticRegression(C=2.0))["C"] == 2.0
    assert describe({"a": (1, np.float64(2.0), None)}) == {"a": [1, 2.0, None]}


def test_an_edited_network_is_another_network(tmp_path, monkeypatch):
    file = tmp_path / "mynet.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    file.write_text("class Net:\n    width = 1\n")
    import mynet

    before = describe(mynet.Net)
    file.write_text("class Net:\n    width = 2\n")
    assert describe(mynet.Net) != before
    assert len(training_sources()) == 32


def test_electrodes_of_several_subjects_stand_between_theirs(make_trials):
    """Which subject comes first must not say where those of the others are."""
    one, other = make_trials(n_subjects=1), make_trials(n_subjects=1)
    shifted = replace(other, signal=replace(other.signal, positions=np.full((6, 3), 0.02)))
    one = replace(one, signal=replace(one.signal, positions=np.zeros((6, 3))))
    meta = other.meta.assign(subject="2", trial="2" + other.meta["trial"])
    for pair in ((one, replace(shifted, meta=meta)), (replace(shifted, meta=meta), one)):
        np.testing.assert_allclose(concatenate(pair).signal.positions, 0.01)
    unknown = replace(one, signal=replace(one.signal, positions=np.full((6, 3), np.nan)))
    known = replace(shifted, meta=meta)
    for pair in ([unknown, known], [known, unknown]):    # what one subject lacks, another may know
        np.testing.assert_allclose(concatenate(pair).signal.positions, 0.02)


def test_trials_that_do_not_fit_are_named(make_trials):
    one, other = make_trials(n_subjects=1), make_trials(n_subjects=1, n_times=64)
    with pytest.raises(ValueError, match="do not fit together"):
        concatenate([one, other])
    with pytest.raises(ValueError, match="list of subjects is empty"):
        concatenate([])
    meta = one.meta.assign(trial="same")
    with pytest.raises(ValueError, match="'same' stands twice"):
        Trials(one.X, meta, one.signal, one.classes, "toy", {})
    with pytest.raises(ValueError, match="float32"):
        Trials(one.X.astype("f8"), one.meta, one.signal, one.classes, "toy", {})
    with pytest.raises(ValueError, match="lacks the columns"):
        Trials(one.X, one.meta.drop(columns="run"), one.signal, one.classes, "toy", {})


def test_scores_are_comparable_whatever_a_model_holds_out_of_the_same_pool(make_trials):
    meta = make_trials().meta
    whole, held = split(train=(0, 1, 2), val=()), split(train=(1, 0), val=(2,))
    assert pool_digest([whole], meta=meta) == pool_digest([held], meta=meta)
    assert pool_digest([whole], meta=meta) != pool_digest([split(train=(0, 1, 2), val=(), test=(4,))], meta=meta)
    assert pool_digest([whole, split(subject="2")], meta=meta) == pool_digest([split(subject="2"), whole], meta=meta)
    fewer = split(train=(0, 1), val=())
    assert pool_digest([whole], meta=meta) != pool_digest([fewer], meta=meta)
    of_test = {"meta": meta, "training": False}
    assert pool_digest([whole], **of_test) == pool_digest([fewer], **of_test)
