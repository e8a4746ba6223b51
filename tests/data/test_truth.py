from functools import lru_cache

import numpy as np
import pytest

from eegdecode.data.simulated import SimulatedDataset


@lru_cache(maxsize=1)
def runs(dataset, subject):
    return list(dataset.recordings(subject))


def band_powers(dataset, subject, interval):
    """Class -> mean power spectrum in an interval about the cue, (channel, frequency), with 0.5 Hz steps."""
    first, n = (round(t * dataset.sfreq) for t in (interval[0], interval[1] - interval[0]))
    parts = {name: [] for name in dataset.classes}
    for recording in runs(dataset, subject):
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
        assert between_classes(late[..., inside]) < 0.35, band
    assert between_classes(measured[..., (f >= 32) & (f <= 45)]) < 0.2


def between_classes(changes):
    """Mean distance in dB of a class from all classes, over the channels."""
    changes = changes.mean(axis=2)
    return np.abs(changes - changes.mean(axis=0)).mean()


def test_channels_of_the_truth_lie_over_their_area():
    for seed in range(3):
        truth = SimulatedDataset(seed=seed).truth("1")["classes"]
        assert {"C4", "CP4", "C2", "C6", "FC4", "CP2"} & set(truth["left_hand"]["channels"][:4])
        assert {"C3", "CP3", "C1", "C5", "FC3", "CP1"} & set(truth["right_hand"]["channels"][:4])
        assert {"Cz", "CPz", "FCz", "C1", "C2"} & set(truth["feet"]["channels"][:4])
