import dataclasses
import hashlib
import json
from functools import lru_cache

import mne
import numpy as np
import pytest
from pyriemann.estimation import Covariances
from pyriemann.spatialfilters import CSP
from scipy.signal import butter, sosfiltfilt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from eegdecode.data.headmodel import CHANNELS
from eegdecode.data.simulated import SimulatedDataset
from eegdecode.data.simulation import SESSIONS
from eegdecode.data.truth import STEP

SMALL = SimulatedDataset(n_trials=4, n_runs=2)


@lru_cache(maxsize=1)
def runs(dataset, subject):
    return list(dataset.recordings(subject))


@lru_cache(maxsize=4)
def windows(dataset, subject, interval=(0.0, 4.0), band=(4.0, 40.0)):
    """Session -> signals in µV (trial, channel, time) and class names, filtered before they are cut."""
    sos = butter(4, band, "bandpass", fs=dataset.sfreq, output="sos")
    first, stop = (round(t * dataset.sfreq) for t in interval)
    parts = {session: ([], []) for session in SESSIONS}
    for recording in runs(dataset, subject):
        signal = sosfiltfilt(sos, 1e6 * recording.raw.get_data())
        X, y = parts[recording.session]
        X.extend(signal[:, onset + first : onset + stop] for onset in recording.onsets)
        y.extend(recording.labels)
    return {session: (np.array(X, np.float32), np.array(y)) for session, (X, y) in parts.items()}


def csp_lda():
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return make_pipeline(Covariances("oas"), CSP(nfilter=8), lda)


def transfer(dataset, **how):
    """Accuracy of each subject, first session -> second."""
    data = [windows(dataset, subject, **how) for subject in dataset.subject_names()]
    return np.array([csp_lda().fit(*d["0train"]).score(*d["1test"]) for d in data])


def bound_of_chance(n, p=0.25):
    return 3 * np.sqrt(p * (1 - p) / n)


def equal(one, other):
    return all(
        np.array_equal(a.raw.get_data(), b.raw.get_data()) and np.array_equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )


def test_layout_is_that_of_2a():
    recordings = list(SMALL.recordings("2"))
    assert [(r.session, r.run) for r in recordings] == [(s, r) for s in SESSIONS for r in "01"]
    for r in recordings:
        assert tuple(r.raw.ch_names) == CHANNELS
        assert r.raw.info["sfreq"] == 250
        assert np.isfinite([ch["loc"][:3] for ch in r.raw.info["chs"]]).all()
        assert (np.diff(r.onsets) > 5 * 250).all()
        assert r.onsets[0] >= 3 * 250
        assert r.onsets[-1] + 5 * 250 < r.raw.n_times
        assert sorted(r.labels) == sorted(SMALL.classes * 2)
        assert list(r.raw.annotations.description) == list(r.labels)
        assert "subject 2" in r.source


def test_same_seed_same_signals_and_another_seed_others():
    assert equal(SMALL.recordings("1"), SMALL.recordings("1"))
    assert not equal(SMALL.recordings("1"), dataclasses.replace(SMALL, seed=1).recordings("1"))
    assert not equal(SMALL.recordings("1"), SMALL.recordings("2"))


def test_a_subject_does_not_depend_on_the_others():
    alone = dataclasses.replace(SMALL, subjects=[2], n_subjects=9)
    assert alone.subject_names() == ("2",)
    assert equal(SMALL.recordings("2"), alone.recordings("2"))


def test_runs_and_sessions_are_drawn_anew():
    first, second, third, _ = SMALL.recordings("1")
    assert not equal([first], [second])
    assert not equal([first], [third])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_subjects": 0}, "n_subjects must be at least 1; got 0"),
        ({"n_trials": 5, "n_runs": 2}, "n_trials=5"),
        ({"difficulty": 0.0}, "difficulty must be positive and finite; got 0.0"),
        ({"difficulty": float("nan")}, "difficulty"),
        ({"seed": -1}, "seed must not be negative; got -1"),
        ({"sfreq": 50.0}, "sfreq"),
    ],
)
def test_wrong_values_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SimulatedDataset(**wrong)


@pytest.mark.parametrize("subjects", [[5], ["A01"], [], [1, "1"]])
def test_wrong_subjects_are_answered_by_those_that_exist(subjects):
    with pytest.raises(ValueError, match="1, 2, 3, 4"):
        SimulatedDataset(subjects=subjects).subject_names()


def test_unknown_subject_of_recordings():
    with pytest.raises(ValueError, match="no simulated subject '7'; there are 1, 2, 3, 4"):
        next(SMALL.recordings("7"))


def test_amplitudes_are_those_of_eeg():
    for subject in SMALL.subject_names():
        recording = next(SMALL.recordings(subject))
        signal = 1e6 * recording.raw.get_data()
        typical = np.median(np.abs(signal), axis=1) / 0.6745  # deviation that blinks do not move
        assert ((typical > 4) & (typical < 25)).all()
        assert 60 < np.abs(signal[0]).max() < 300  # blinks at Fz
        assert np.abs(signal[CHANNELS.index("Pz")]).max() < 100


def test_truth_is_stored_and_survives_a_file(tmp_path):
    recording = next(SMALL.recordings("3"))
    truth = SMALL.truth("3")
    assert json.loads(json.dumps(truth)) == truth
    recording.raw.save(tmp_path / "sim_raw.fif", verbose="error")
    again = mne.io.read_raw_fif(tmp_path / "sim_raw.fif", verbose="error")
    assert json.loads(again.info["description"]) == truth
    assert list(again.annotations.description) == list(recording.labels)


def test_truth_of_harder_data_is_shallower():
    hard = dataclasses.replace(SMALL, difficulty=4.0).truth("1")["classes"]["feet"]
    easy = SMALL.truth("1")["classes"]["feet"]
    assert hard["area_change_db"]["foot"] == pytest.approx(easy["area_change_db"]["foot"] / 4, abs=1e-3)
    assert hard["topography_uv"] == easy["topography_uv"]


def test_no_class_information_before_the_cue_nor_in_the_mean():
    dataset = SimulatedDataset(difficulty=0.5, subjects=(2, 3))
    n = 2 * 144
    assert abs(transfer(dataset, interval=(-2.0, 0.0)).mean() - 0.25) < bound_of_chance(n)
    scores = []
    for subject in dataset.subject_names():
        data = windows(dataset, subject, (0.0, 4.0), (0.5, 8.0))
        evoked = {k: (X[:, :, ::50].reshape(len(X), -1), y) for k, (X, y) in data.items()}
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*evoked["0train"])
        scores.append(lda.score(*evoked["1test"]))
    assert abs(np.mean(scores) - 0.25) < bound_of_chance(n)


def test_trial_order_tells_nothing():
    labels = [r.labels for seed in range(8) for r in dataclasses.replace(SMALL, seed=seed).recordings("1")]
    assert len({tuple(order) for order in labels}) == len(labels)


def test_difficulty_is_one_monotone_knob():
    easy, usual, hopeless = (
        transfer(SimulatedDataset(subjects=(2, 3), difficulty=difficulty)).mean()
        for difficulty in (0.5, 1.0, 100.0)
    )
    assert easy > usual + 0.05
    assert usual > hopeless + 0.2
    assert abs(hopeless - 0.25) < bound_of_chance(2 * 144)


@pytest.mark.slow
def test_default_subjects_are_as_hard_as_those_of_2a():
    """Print with ``-s``: the calibration over difficulties."""
    scores = {d: transfer(SimulatedDataset(difficulty=d)) for d in (0.5, 1.0, 2.0, 100.0)}
    for difficulty, each in scores.items():
        print(f"difficulty {difficulty}: {each.round(2)}, mean {each.mean():.3f}")
    means = [each.mean() for each in scores.values()]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.8
    assert 0.6 <= means[1] <= 0.75
    assert abs(means[3] - 0.25) < bound_of_chance(4 * 144)


@pytest.mark.slow
def test_other_seeds_are_as_hard_and_subjects_hard_to_transfer():
    """Print with ``-s``: the calibration, seed by seed."""
    scores = []
    for seed in range(1, 6):
        dataset = SimulatedDataset(seed=seed)
        data = {subject: windows(dataset, subject) for subject in dataset.subject_names()}
        within = np.array([csp_lda().fit(*d["0train"]).score(*d["1test"]) for d in data.values()])
        across = np.array([leave_out(data, subject) for subject in data])
        print(
            f"seed {seed}: cross-session {within.round(2)}, mean {within.mean():.3f}; leave one subject out"
        )
        print(f"    {across.round(2)}, mean {across.mean():.3f}")
        assert np.ptp(within) > 0.1
        assert 0.25 + bound_of_chance(8 * 144) < across.mean() < within.mean()
        scores.append(within.mean())
    assert 0.6 <= np.mean(scores) <= 0.75
    assert min(scores) > 0.55
    assert max(scores) < 0.85


def leave_out(data, subject):
    """Accuracy on a subject, trained on both sessions of the others."""
    rest = [part for other in data if other != subject for part in data[other].values()]
    model = csp_lda().fit(*(np.concatenate(parts) for parts in zip(*rest, strict=True)))
    return np.mean([model.score(*part) for part in data[subject].values()])


def test_recordings_are_equal_to_the_bit_on_every_machine():
    """Made with numpy 2.4 and 2.5, scipy 1.17 and 1.18, one thread and two, with and without AVX: all the same."""
    [recording, *_] = SMALL.recordings("1")
    steps = recording.raw.get_data() / (1e-6 * STEP)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
    assert hashlib.md5(np.rint(steps).astype("<i4").tobytes()).hexdigest() == "d660e2d1ca83c13ecd03f8e503f4353a"
