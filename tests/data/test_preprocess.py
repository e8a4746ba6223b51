import mne
import numpy as np
import pytest
from tests.data.fakes import make_raw, make_recording

from eegdecode.data.continuous import preprocess_recording
from eegdecode.data.preprocess import Preprocess


def sine(raw, freq, amplitude=1e-5):
    return amplitude * np.sin(2 * np.pi * freq * raw.times)


def test_raw_signals_become_microvolts_and_nothing_else():
    raw = make_raw()
    out = preprocess_recording(make_recording(raw), Preprocess())
    np.testing.assert_allclose(out.data, raw.get_data() * 1e6)
    assert (out.sfreq, out.ch_names) == (100.0, ("C3", "Cz", "C4"))


@pytest.mark.parametrize("method", ["iir", "fir"])
def test_band_pass_keeps_its_band_without_delay_and_stops_the_rest(method):
    raw = make_raw(sfreq=250)
    raw._data[0], raw._data[1], raw._data[2] = sine(raw, 10), sine(raw, 1), sine(raw, 60)
    inside, below, above = preprocess_recording(
        make_recording(raw), Preprocess(l_freq=4, h_freq=40, method=method)
    ).data[:, 2500:-2500]
    np.testing.assert_allclose(inside, sine(raw, 10)[2500:-2500] * 1e6, atol=0.2)
    assert np.abs(below).max() < 0.5
    assert np.abs(above).max() < 2


def test_resampling_maps_cues_to_the_nearest_sample_in_time():
    raw = make_raw(sfreq=256, seconds=61.3)
    onsets = (1001, 7777, 15000)
    for i in onsets:    # a bump of 0.1 s around each cue
        raw._data[0] += 1e-3 * np.exp(-0.5 * ((np.arange(raw.n_times) - i) / 13) ** 2)
    out = preprocess_recording(make_recording(raw, onsets=onsets), Preprocess(sfreq=100))
    for onset in out.onsets:
        assert int(np.argmax(out.data[0, onset - 20 : onset + 20])) == 20
    assert out.sfreq == 100.0
    assert out.data.shape[1] == round(raw.n_times * 100 / 256)


def test_references():
    raw = make_raw()
    average = preprocess_recording(make_recording(raw), Preprocess(reference="average"))
    np.testing.assert_allclose(average.data.mean(axis=0), 0, atol=1e-9)
    single = preprocess_recording(make_recording(raw), Preprocess(reference="Cz"))
    assert single.ch_names == ("C3", "C4")
    np.testing.assert_allclose(single.data[1], (raw._data[2] - raw._data[1]) * 1e6)


def test_only_eeg_channels_stay_and_named_ones_come_in_the_order_of_the_names():
    raw = make_raw()
    raw.set_channel_types({"Cz": "eog"}, verbose="error")
    assert preprocess_recording(make_recording(raw), Preprocess()).ch_names == ("C3", "C4")
    named = preprocess_recording(make_recording(raw), Preprocess(channels=["C4", "Cz"]))
    assert named.ch_names == ("C4", "Cz")
    np.testing.assert_allclose(named.data, raw._data[[2, 1]] * 1e6)


@pytest.mark.parametrize("method", ["iir", "fir"])
def test_a_recording_is_filtered_piece_by_piece_as_mne_does(method):
    """A step where it was cut must not ring in the trials beside it."""
    raw = make_raw()
    raw._data[:, 2000:] += 1e-3
    raw.set_annotations(mne.Annotations(20.0, 0, "EDGE boundary"))
    out = preprocess_recording(make_recording(raw.copy()), Preprocess(l_freq=1, h_freq=40, method=method))
    expected = raw.copy().filter(1, 40, method=method, verbose="error").get_data() * 1e6
    np.testing.assert_allclose(out.data, expected, atol=1e-9)
    across = Preprocess(l_freq=1, h_freq=40, method=method, annotated="keep")
    assert np.abs(preprocess_recording(make_recording(raw.copy()), across).data - expected).max() > 100


@pytest.mark.parametrize("method", ["iir", "fir", "cheby2"])
def test_a_piece_between_cuts_may_be_shorter_than_its_filter(method):
    raw = make_raw().set_annotations(mne.Annotations([0, 0.01, 0.05, 40, 59.99, 60], 0, "boundary"))
    out = preprocess_recording(make_recording(raw), Preprocess(l_freq=1, h_freq=40, notch=25, method=method))
    assert np.isfinite(out.data).all()
    assert out.data.shape == (3, 6000)
    whole = preprocess_recording(make_recording(make_raw()), Preprocess(l_freq=1, h_freq=40, notch=25, method=method))
    np.testing.assert_allclose(out.data[:, 1000:3000], whole.data[:, 1000:3000], atol=0.1)


def test_missing_samples_do_not_spread_through_the_filter():
    raw = make_raw()
    clean = preprocess_recording(make_recording(raw.copy()), Preprocess(l_freq=4, h_freq=40))
    raw._data[1, -100:] = np.nan
    out = preprocess_recording(make_recording(raw), Preprocess(l_freq=4, h_freq=40))
    assert np.isfinite(out.data).all()
    np.testing.assert_allclose(out.data[:, :5500], clean.data[:, :5500], atol=0.1)
    assert [tuple(gap) for gap in out.gaps] == [(1, 5900, 6000)]


def flat(raw):
    raw._data[1] = 3e-6


def nan(raw):
    raw._data[1] = np.nan


def half(raw):
    raw._data[:] = raw._data[:] * 0


@pytest.mark.parametrize(
    ("damage", "settings", "words"),
    [
        (flat, {}, ["fake 1 run 0", "Cz", "flat", "preprocess.channels"]),
        (nan, {}, ["fake 1 run 0", "Cz", "NaN throughout", "preprocess.channels"]),
        (None, {"channels": ["C3", "T9"]}, ["no channel T9", "C3, Cz, C4"]),
        (None, {"reference": "M1"}, ["no channel M1"]),
        (None, {"h_freq": 50}, ["h_freq=50", "50 Hz"]),
        (None, {"l_freq": 70.0}, ["l_freq=70", "50 Hz"]),
        (None, {"sfreq": 200}, ["sfreq=200", "100 Hz"]),
        (None, {"notch": 50}, ["fake 1 run 0", "notch=50", "50 Hz", "notch=null"]),
        (None, {"notch": [20, 60]}, ["notch=60", "50 Hz"]),
        (None, {"l_freq": 4, "h_freq": 50, "method": "cheby2"}, ["h_freq=50", "50 Hz"]),
        (None, {"bads": ["T9"]}, ["no channel T9", "preprocess.bads"]),
        (None, {"bads": ["C3"]}, ["C3 cannot be interpolated", "fewer than four"]),
        (None, {"bipolar": [["C3", "A1"]]}, ["no channel A1", "C3, Cz, C4"]),
        (None, {"spatial": "laplacian"}, ["laplacian", "3 channels"]),
        (None, {"l_freq": 0.02, "method": "fir"}, ["60 s are too short", "fake 1 run 0"]),
    ],
)
def test_what_does_not_fit_the_recording_is_named(damage, settings, words):
    raw = make_raw()
    if damage:
        damage(raw)
    with pytest.raises(ValueError) as caught:
        preprocess_recording(make_recording(raw), Preprocess(**settings))
    assert all(word in str(caught.value) for word in words), caught.value


def test_recordings_without_eeg_channels_say_so():
    raw = make_raw().set_channel_types(dict.fromkeys(("C3", "Cz", "C4"), "misc"), verbose="error")
    with pytest.raises(ValueError, match=r"no channel of type EEG \(types: misc\).*preprocess.channels"):
        preprocess_recording(make_recording(raw), Preprocess())


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"l_freq": -1}, "-1"),
        ({"h_freq": 0}, "0"),
        ({"l_freq": 40, "h_freq": 4}, "40"),
        ({"sfreq": float("nan")}, "nan"),
        ({"tmin": 2, "tmax": 1}, "2"),
        ({"method": "butter"}, "butter"),
        ({"standardise": "session"}, "session"),
        ({"incomplete": "keep"}, "keep"),
        ({"channels": "C3"}, "C3"),
        ({"channels": []}, "[]"),
        ({"channels": ["C3", "C3"]}, "C3"),
        ({"bads": "C3"}, "C3"),
        ({"names": "old"}, "old"),
        ({"bipolar": ["C3-Cz"]}, "C3-Cz"),
        ({"bipolar": [["C3", "C3"]]}, "C3"),
        ({"bipolar": [["C3", "Cz"], ["Cz", "C3"]]}, "turned around"),
        ({"bipolar": [["C3", "Cz"]], "spatial": "laplacian"}, "laplacian"),
        ({"spatial": "csd"}, "csd"),
        ({"notch": -50}, "-50"),
        ({"reject": 0}, "0"),
        ({"factor_new": 1.5}, "1.5"),
        ({"h_freq": 40, "sfreq": 64}, "preprocess.sfreq=80 or more"),
    ],
)
def test_bad_settings_are_named_at_once(settings, value):
    with pytest.raises(ValueError) as caught:
        Preprocess(**settings)
    assert value in str(caught.value)
    assert "preprocess." in str(caught.value)
