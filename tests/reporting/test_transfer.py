import json
import logging

import pytest
from tests.training.test_transfer import few, fit, learn

from eegdecode.identity import run_key
from eegdecode.protocols import CrossSession, CrossSubject
from eegdecode.reporting.store import Store
from eegdecode.reporting.transfer import begin_from


def test_each_run_gets_the_checkpoint_of_its_subject_and_seed(make_trials, tmp_path, caplog):
    trials = make_trials(n_subjects=3)
    learn(tmp_path, trials, seeds=2)
    with caplog.at_level(logging.INFO):
        runs = begin_from(tmp_path, few(trials, seeds=3), meta=trials.meta, dataset="toy")
    assert len(runs) == 3 * 2 * 3
    for run in runs:
        assert (run.source.about["subject"], run.source.about["seed"]) == (run.split.subject, run.seed % 2)
    assert len({run.source.digest for run in runs}) == 6
    assert "has no seed 2: its seeds 0, 1 are taken in turn" in caplog.text


def test_the_source_is_part_of_the_key_and_without_one_the_key_stays(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    learn(tmp_path, trials, seeds=2)
    identity = {"meta": trials.meta, "fingerprints": trials.fingerprints, "context": {}}
    plain, begun = few(trials, [4]), begin_from(tmp_path, few(trials, [4]), meta=trials.meta, dataset="toy")
    keys = [run_key(run, **identity) for run in (*plain, *begun)]
    assert len(set(keys)) == len(keys)


def test_a_checkpoint_that_has_seen_a_test_trial_is_refused(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    learn(tmp_path / "later", trials, protocol=CrossSession(test=["s0"]))    # has learned from the last sessions
    with pytest.raises(ValueError, match=r"every checkpoint for run sub-1_.* its test trials, such as 1/1/0"):
        begin_from(tmp_path / "later", [few(trials)[0]], meta=trials.meta, dataset="toy")
    # the same signals under other names
    meta = trials.meta.assign(signal=[f"{i:016x}" for i in range(len(trials))])
    learn(tmp_path / "twins", type(trials)(**{**vars(trials), "meta": meta}), protocol=CrossSession(test=["s0"]))
    renamed = meta.assign(trial="other" + meta["trial"])
    with pytest.raises(ValueError, match="such as other1/1/0"):
        begin_from(tmp_path / "twins", [few(trials)[0]], meta=renamed, dataset="toy")


def test_what_a_source_has_seen_is_inherited(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    learn(tmp_path / "source", trials)
    (run, *_) = begin_from(tmp_path / "source", few(trials, [4]), meta=trials.meta, dataset="toy")
    store = Store(
        tmp_path / "tuned", runs=[run], meta=trials.meta, classes=trials.classes, fingerprints=trials.fingerprints,
        context={}, facts={"dataset": "toy", "model": "eegnet"},
    )    # fmt: skip
    for prediction in fit(trials, [run]):
        store.add(prediction)
    assert store.score().complete
    other = next(run for run in few(trials) if run.split.subject == "2")
    with pytest.raises(ValueError, match="every checkpoint for run sub-2_"):
        begin_from(tmp_path / "tuned", [other], meta=trials.meta, dataset="toy")


def test_other_preprocessing_than_the_source_had_is_said(make_trials, tmp_path, caplog):
    trials = make_trials(n_subjects=3)
    learn(tmp_path, trials)
    prepared = {"h_freq": 40.0}
    for about in (tmp_path / "checkpoints").glob("*.json"):
        about.write_text(json.dumps({**json.loads(about.read_text()), "preprocess": {"h_freq": 30.0}}))
    told = {"prepared": prepared, "tmin": trials.signal.tmin + 1}
    begin_from(tmp_path, few(trials, [4]), meta=trials.meta, dataset="toy", **told)
    assert "preprocess.h_freq was 30.0 in training and is 40.0 here" in caplog.text
    assert f"begin at {trials.signal.tmin + 1:g} s here" in caplog.text


def test_folders_that_hold_nothing_to_begin_from(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    with pytest.raises(ValueError, match=r"model.init_from=.*nowhere holds no checkpoints"):
        begin_from(tmp_path / "nowhere", few(trials), meta=trials.meta, dataset="toy")
    learn(tmp_path, trials, protocol=CrossSubject(), leave=1)
    with pytest.raises(ValueError, match="2 of its 3 runs are done; finish it first"):
        begin_from(tmp_path, few(trials), meta=trials.meta, dataset="toy")
