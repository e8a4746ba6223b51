import mne
import numpy as np
import pytest
from tests.data.fakes import make_raw, make_recording

from eegdecode.data.continuous import preprocess_recording
from eegdecode.data.positions import electrode_positions
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.windows import cut_windows


def cut(recording, interval, **settings):
    preprocess = Preprocess(**settings)
    return cut_windows(
        preprocess_recording(recording, preprocess), recording, preprocess=preprocess, interval=interval
    )


@pytest.mark.parametrize(
    ("sfreq", "interval", "n_times"),
    [(250.0, (0.0, 4.0), 1000), (256.0, (2.0, 4.0), 512), (160.0, (0.0, 3.0), 480), (125.0, (0.5, 3.5), 375)],
)
def test_the_end_is_exclusive(sfreq, interval, n_times):
    X, _ = cut(make_recording(make_raw(sfreq=sfreq)), interval)
    assert X.shape == (4, 3, n_times)
    assert X.dtype == np.float32


def test_windows_are_the_samples_after_the_cue():
    raw = make_raw()
    X, kept = cut(make_recording(raw), (-0.5, 1.0))
    np.testing.assert_allclose(X[1], raw._data[:, 1450:1600] * 1e6, rtol=1e-6)
    assert list(kept) == [0, 1, 2, 3]


@pytest.mark.parametrize(("onset", "words"), [(5900, "after the recording"), (20, "before the recording")])
def test_windows_beyond_the_recording(onset, words):
    recording = make_recording(onsets=sorted((onset, 1500, 2500)))
    with pytest.raises(ValueError) as caught:
        cut(recording, (-0.5, 2.0))
    for word in ("fake 1 run 0", "of cue", words, "1 of 3", "preprocess.tmax", "preprocess.incomplete=drop"):
        assert word in str(caught.value)
    X, kept = cut(recording, (-0.5, 2.0), incomplete="drop")
    assert len(X) == len(kept) == 2


def test_missing_samples_inside_a_window_only():
    raw = make_raw()
    raw._data[2, 1600] = np.nan
    recording = make_recording(raw)
    with pytest.raises(ValueError, match=r"fake 1 .* cue 2 \('right' at 15.00 s\) holds missing .* C4"):
        cut(recording, (0.0, 2.0), l_freq=4, h_freq=40)
    _, kept = cut(recording, (0.0, 2.0), l_freq=4, h_freq=40, incomplete="drop")
    assert list(kept) == [0, 2, 3]
    assert len(cut(recording, (0.0, 1.0))[0]) == 4


def test_standardised_trials_have_deviation_one_and_keep_their_relations():
    raw = make_raw()
    raw._data[0] *= 1000
    plain, _ = cut(make_recording(raw), (0.0, 2.0))
    scaled, _ = cut(make_recording(raw), (0.0, 2.0), standardise="trial")
    np.testing.assert_allclose(scaled.std(axis=(1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(scaled[0] * plain[0].std(), plain[0], rtol=1e-4)


def test_a_window_without_a_sample():
    with pytest.raises(ValueError, match="holds no sample at 100 Hz"):
        cut(make_recording(), (0.0, 0.001))


def positions(channels, montage=None):
    info = mne.create_info(list(channels), 100.0, "eeg")
    if montage:
        info.set_montage(montage)
    return electrode_positions(info, channels)


def test_positions_come_from_the_template_under_old_and_new_names():
    old, new = positions(("T3", "T4", "T5", "T6")), positions(("T7", "T8", "P7", "P8"))
    np.testing.assert_array_equal(old, new)
    assert (old[[0, 2], 0] < 0).all()    # left
    assert np.linalg.norm(old, axis=1).max() < 0.2


def test_positions_of_the_recording_win_and_unknown_ones_are_nan():
    own = mne.channels.make_dig_montage({"C3": (0.01, 0.02, 0.03)}, coord_frame="head")
    np.testing.assert_allclose(positions(("C3",), own), [[0.01, 0.02, 0.03]])
    assert np.isnan(positions(("EXG1",))).all()


def test_positions_in_millimetres_are_not_believed():
    own = mne.channels.make_dig_montage({"Oz": (0.1, -114.9, 14.7)}, coord_frame="head")
    np.testing.assert_array_equal(positions(("Oz",), own), positions(("Oz",)))
