"""What a checkpoint has learned from: whatever came to it, by whichever way, is known again, and nothing else."""

from dataclasses import replace

import mne
import numpy as np
import pytest
from tests.data.fakes import make_raw
from tests.training.test_transfer import few, fit, learn

from eegdecode.data.files import FileDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.simulated import SimulatedDataset
from eegdecode.protocols import CrossSession
from eegdecode.reporting.checkpoints import read_checkpoint
from eegdecode.reporting.seen import known_by_name_alone, known_trials, learned_from, read_marks
from eegdecode.reporting.store import Store
from eegdecode.reporting.transfer import begin_from
from eegdecode.runs import Run, Split


@pytest.fixture
def tuned(make_trials, tmp_path):
    """Checkpoints of subject 1 that began with networks of subjects 2 and 3: zero-shot, and after 4 trials a class."""
    trials = make_trials(n_subjects=3)
    runs = begin_from(learn(tmp_path / "source", trials), few(trials)[:2], meta=trials.meta, dataset="toy")
    store = Store(
        tmp_path / "tuned", runs=runs, meta=trials.meta, classes=trials.classes, fingerprints=trials.fingerprints,
        context={}, facts={"dataset": "toy", "model": "eegnet"},
    )    # fmt: skip
    for prediction in fit(trials, runs):
        store.add(prediction)
    return trials, runs, [read_checkpoint(path)[1] for path in sorted((tmp_path / "tuned").glob("*/*.safetensors"))]


def test_a_fine_tuned_network_knows_what_its_source_has_learned(tuned):
    """Else its answers to those trials would be scored as a test."""
    trials, runs, told = tuned
    others = trials.meta["subject"].to_numpy() != "1"
    for run, about in zip(runs, told, strict=True):
        own = np.isin(np.arange(len(trials)), run.split.train)
        known = known_trials(read_marks(about, ""), trials.meta, dataset="toy")
        np.testing.assert_array_equal(known, others | own)


def test_trials_are_known_by_name_or_by_samples(make_trials):
    trials = make_trials(n_subjects=1)
    meta = trials.meta.assign(signal=[f"{i:016x}" for i in range(len(trials))])
    run = few(replace(trials, meta=meta), [4])[0]
    marks = read_marks({"learned_from": learned_from(run, meta, dataset="toy")}, "")
    expected = np.isin(np.arange(len(meta)), run.split.train)
    renamed, filtered = meta.assign(trial="other" + meta["trial"]), meta.drop(columns="signal")
    for table, dataset, known in (
        (meta, "toy", expected), (renamed, "toy", expected), (filtered, "toy", expected), (meta, "mine", expected),
        (filtered, "mine", expected & False), (renamed.drop(columns="signal"), "toy", expected & False),
    ):    # fmt: skip
        np.testing.assert_array_equal(known_trials(marks, table, dataset=dataset), known)


def test_windows_of_a_cue_are_known_however_they_are_cut(tmp_path):
    """Windows that overlap learned ones have other names and other samples; their answers were scored as a test."""
    raw = make_raw(seconds=45.0)
    raw.set_annotations(mne.Annotations([5.0, 15.0, 25.0, 35.0], 0, ["left", "right"] * 2))
    raw.save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    one = FileDataset(
        name="mine", folder=tmp_path, pattern="sub-{subject}_run-{run}_eeg.fif", interval=(0, 2),
        events={"left": "left", "right": "right"},
    )    # fmt: skip
    tables = {
        (until, overlap, sfreq): load_trials(
            replace(one, until=until, overlap=overlap), Preprocess(sfreq=sfreq), cache_dir=tmp_path / "cache"
        ).meta
        for until, overlap, sfreq in ((None, 0, None), (8, 0, None), (8, 0.5, None), (8, 0.5, 50))
    }
    for learned in tables.values():
        rows = np.flatnonzero(learned["cue"] == "15.000")
        others = np.flatnonzero(learned["cue"] == "35.000")
        split = Split(train=rows, val=rows[:0], test=others, subject="1", session="0", fold=0, protocol="any")
        marks = read_marks({"learned_from": learned_from(Run(split=split, seed=0), learned, dataset="mine")}, "")
        for table in tables.values():
            known = known_trials(marks, table, dataset="mine")
            assert table["cue"][known].unique().tolist() == ["15.000"]
            assert known.sum() == (table["cue"] == "15.000").sum()


def test_other_people_of_the_same_names_are_told_by_their_samples(make_trials):
    trials = make_trials(n_subjects=1)
    meta = trials.meta.assign(signal=[f"{i:016x}" for i in range(len(trials))])
    marks = read_marks({"learned_from": learned_from(few(trials, [4])[0], meta, dataset="toy")}, "")
    others = meta.assign(signal=[f"{i + 999:016x}" for i in range(len(trials))])
    assert known_by_name_alone(marks, others, dataset="toy")
    assert not known_by_name_alone(marks, meta, dataset="toy")
    assert not known_by_name_alone(marks, others, dataset="mine")
    assert SimulatedDataset(seed=1).name != SimulatedDataset().name == "simulated"


def test_trials_of_another_set_may_have_the_same_names(make_trials, tmp_path, caplog):
    """Subject 1 of another set is another person: a network that has learned from him may be tested on this one."""
    trials = make_trials(n_subjects=3)
    learn(tmp_path, trials, protocol=CrossSession())    # of the last sessions' trials none was learned
    meta = trials.meta.assign(session=trials.meta["session"].map({"s0": "s1", "s1": "s0"}))[::-1]
    meta = meta.reset_index(drop=True)    # its first sessions have the names of those that were learned
    with pytest.raises(ValueError, match="has learned from its test trials"):
        begin_from(tmp_path, few(replace(trials, meta=meta), [4])[:1], meta=meta, dataset="toy")
    (run,) = begin_from(tmp_path, few(replace(trials, meta=meta), [4])[:1], meta=meta, dataset="mine")
    assert run.source is not None
    assert "was trained on toy, here is mine: trials of the same name are taken for others" in caplog.text


def test_a_checkpoint_that_does_not_tell_is_refused(tuned):
    _, _, told = tuned
    for about in ({}, {"seen": {"names": "", "signals": ""}}, {**told[0], "learned_from": None}):
        with pytest.raises(ValueError, match=r"sub-1 does not say which trials it has learned from: .* train it again"):
            read_marks(about, "sub-1")
