import dataclasses
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

from eegdecode.data.headmodel import CHANNELS, background_mixing, leadfield, towards
from eegdecode.data.rhythms import Clock, coloured, one_over_f, peak, trapezium
from eegdecode.data.simulated import SESSIONS, SimulatedDataset

SMALL = SimulatedDataset(n_trials=4, n_runs=2)


@lru_cache(maxsize=4)
def windows(dataset, subject, interval=(0.0, 4.0), band=(4.0, 40.0)):
    """Session -> signals in µV (trial, channel, time) and class names, filtered before they are cut."""
    sos = butter(4, band, "bandpass", fs=dataset.sfreq, output="sos")
    first, stop = (round(t * dataset.sfreq) for t in interval)
    parts = {session: ([], []) for session in SESSIONS}
    for recording in dataset.recordings(subject):
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


def band_powers(dataset, subject, interval):
    """Class -> mean power spectrum in an interval about the cue, (channel, frequency), with 0.5 Hz steps."""
    first, n = (round(t * dataset.sfreq) for t in (interval[0], interval[1] - interval[0]))
    parts = {name: [] for name in dataset.classes}
    for recording in dataset.recordings(subject):
        signal = 1e6 * recording.raw.get_data()
        for onset, label in zip(recording.onsets, recording.labels, strict=True):
            piece = signal[:, onset + first : onset + first + n]
            parts[label].append(np.abs(np.fft.rfft(piece * np.hanning(n), n=500)) ** 2)
    return {name: np.mean(pieces, axis=0) for name, pieces in parts.items()}


def change_db(dataset, subject, interval):
    """Change of power against the second before the cue, in dB, (class, channel, frequency)."""
    during = band_powers(dataset, subject, interval)
    before = np.mean(list(band_powers(dataset, subject, (-2.0, 0.0)).values()), axis=0)
    return np.array([10 * np.log10(during[name] / before) for name in dataset.classes])


@pytest.mark.parametrize("subject", ["1", "2", "3", "4"])
def test_truth_matches_the_signals(subject):
    dataset = SimulatedDataset(difficulty=0.5)
    truth = dataset.truth(subject)
    start = truth["time_s"]["onset"] + truth["time_s"]["ramp"]
    f = np.arange(251) / 2
    measured = change_db(dataset, subject, (start, start + 2.0))
    late = change_db(dataset, subject, (3.8, 5.8))
    for band, (low, high) in truth["bands_hz"].items():
        inside = (f >= low) & (f <= high)
        seen = measured[..., inside].mean(axis=2)
        known = np.array([list(c["channel_change_db"][band].values()) for c in truth["classes"].values()])
        assert np.corrcoef(seen.ravel(), known.ravel())[0, 1] > 0.8, band
        assert np.abs(seen - known).mean() < 0.6, band  # dB
        assert between_classes(late[..., inside]) < 0.6, band
    assert between_classes(measured[..., (f >= 32) & (f <= 45)]) < 0.5


def between_classes(changes):
    """Largest distance in dB of a class from the mean over classes, over the channels."""
    changes = changes.mean(axis=2)
    return np.abs(changes - changes.mean(axis=0)).max()


def test_channels_of_the_truth_lie_over_their_area():
    for seed in range(3):
        truth = SimulatedDataset(seed=seed).truth("1")["classes"]
        assert {"C4", "CP4", "C2", "C6", "FC4", "CP2"} & set(truth["left_hand"]["channels"][:4])
        assert {"C3", "CP3", "C1", "C5", "FC3", "CP1"} & set(truth["right_hand"]["channels"][:4])
        assert {"Cz", "CPz", "FCz", "C1", "C2"} & set(truth["feet"]["channels"][:4])


def test_no_class_information_before_the_cue_nor_in_the_mean():
    dataset = SimulatedDataset(difficulty=0.5, subjects=[2, 3])
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
        transfer(SimulatedDataset(subjects=[2, 3], difficulty=difficulty)).mean()
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
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_other_seeds_are_as_hard_and_subjects_hard_to_transfer(seed):
    """Print with ``-s``: the calibration, seed by seed."""
    dataset = SimulatedDataset(seed=seed)
    within = transfer(dataset)
    data = {s: windows(dataset, s) for s in dataset.subject_names()}
    across = []
    for subject in data:
        rest = [part for other in data if other != subject for part in data[other].values()]
        model = csp_lda().fit(*(np.concatenate(parts) for parts in zip(*rest, strict=True)))
        across.append(np.mean([model.score(*part) for part in data[subject].values()]))
    print(
        f"seed {seed}: cross-session {within.round(2)}, mean {within.mean():.3f}; "
        f"leave-one-subject-out {np.round(across, 2)}, mean {np.mean(across):.3f}"
    )
    assert 0.58 < within.mean() < 0.8
    assert np.ptp(within) > 0.1
    assert 0.25 + bound_of_chance(8 * 144) < np.mean(across) < within.mean()


def test_a_radial_dipole_is_largest_above_itself():
    direction = towards(["C3"])[None]
    potential = leadfield(0.08 * direction, direction)[:, 0]
    assert CHANNELS[np.argmax(potential)] == "C3"
    assert 1e-7 < potential.max() < 1e-6  # V per nAm


def test_background_has_unit_power_and_neighbours_agree():
    covariance = background_mixing() @ background_mixing().T
    assert np.trace(covariance) == pytest.approx(len(CHANNELS))
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    c3, c1, c4 = (CHANNELS.index(name) for name in ("C3", "C1", "C4"))
    assert correlation[c3, c1] > 0.85 > 0.7 > correlation[c3, c4]


def test_noise_has_the_spectrum_and_power_asked_for():
    clock = Clock(50_000, 250.0)
    noise = coloured(np.random.default_rng(0), clock, [one_over_f(clock, 1.0), peak(clock, 10.0, 1.0)])
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.var(axis=1), 1, rtol=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    f = clock.frequencies()
    ratio = power[0, (f > 4) & (f < 5)].mean() / power[0, (f > 40) & (f < 50)].mean()
    assert ratio == pytest.approx(10, rel=0.15)
    assert power[1, abs(f - 10) < 3].sum() > 0.99 * power[1].sum()


def test_trapezium_starts_and_ends_on_time():
    course = trapezium(Clock(1000, 250.0), 0.5, 3.5, 0.5)
    t = np.arange(1000) / 250
    assert (course[(t <= 0.5) | (t >= 3.5)] == 0).all()
    assert (course[(t >= 1) & (t <= 3)] == 1).all()
