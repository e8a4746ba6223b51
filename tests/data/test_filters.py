import mne
import numpy as np
import pandas as pd
import pytest

from eegdecode.data.filters import band_pass, moving_standardise, notch, resample

SFREQ = 250.0
TIME = np.arange(60 * 250) / SFREQ
INSIDE = slice(2500, -2500)


def sines(*freqs):
    return np.array([np.sin(2 * np.pi * freq * TIME) for freq in freqs])


@pytest.mark.parametrize("method", ["iir", "fir", "cheby2"])
def test_all_band_passes_have_zero_phase(method):
    out = band_pass(sines(10, 20), SFREQ, 4, 40, method=method, source="x")
    np.testing.assert_allclose(out[:, INSIDE], sines(10, 20)[:, INSIDE], atol=0.02)


def test_the_filter_of_s3t_is_120_db_down_at_its_edges_and_beyond():
    out = band_pass(sines(2, 4, 40, 45, 60), SFREQ, 4, 40, method="cheby2", source="x")
    assert np.abs(out[:, INSIDE]).max() < 1.01e-6    # 60 dB, twice
    half = band_pass(sines(6.68, 25.27), SFREQ, 4, 40, method="cheby2", source="x")
    np.testing.assert_allclose(np.abs(half[:, INSIDE]).max(1), 10 ** (-3 / 20), rtol=0.01)    # the band that passes


@pytest.mark.parametrize(("l_freq", "h_freq"), [(4, None), (None, 40)])
def test_a_side_of_chebyshev_may_be_open(l_freq, h_freq):
    out = band_pass(sines(1, 20, 60), SFREQ, l_freq, h_freq, method="cheby2", source="x")
    assert (np.abs(out[:, INSIDE]).max(1) > 0.5).tolist() == [l_freq is None, True, h_freq is None]


def test_a_notch_takes_the_line_and_its_harmonics_and_nothing_else():
    out = notch(sines(50, 100, 10, 46, 54), SFREQ, [50.0], source="x")
    assert np.abs(out[:2, INSIDE]).max() < 1e-3
    np.testing.assert_allclose(out[2, INSIDE], sines(10)[0, INSIDE], atol=0.02)
    assert np.abs(out[3:, INSIDE]).max(1).min() > 0.9


@pytest.mark.parametrize(
    "call",
    [
        lambda x: notch(x[:, :5], SFREQ, [50.0], source="rec"),
        lambda x: band_pass(x[:, :20], SFREQ, 4, 40, method="cheby2", source="rec"),
    ],
)
def test_too_short(call):
    with pytest.raises(ValueError, match=r"rec: .* too short"):
        call(sines(10))


@pytest.mark.parametrize(("old", "new"), [(500, 250), (512, 128), (500, 128), (256, 100), (1000.0001, 250)])
def test_resampling_moves_nothing_in_time_wherever_the_recording_ends(old, new):
    for n in (20 * int(old), 20 * int(old) + 1, 20 * int(old) + 77):
        wave = np.sin(2 * np.pi * 9 * np.arange(n) / old)[None]
        out = resample(wave, old, new, source="x")
        assert out.shape[1] == round(n * new / old)
        expected = np.sin(2 * np.pi * 9 * np.arange(out.shape[1]) / new)[None]
        np.testing.assert_allclose(out[:, new:-new], expected[:, new:-new], atol=2e-3)


def test_resampling_up_is_an_error_and_down_keeps_the_wave():
    with pytest.raises(ValueError, match=r"sfreq=500 Hz is above its rate of 250 Hz"):
        resample(sines(10), SFREQ, 500, source="x")
    down = resample(sines(10), SFREQ, 125, source="x")
    np.testing.assert_allclose(down[:, 500:-500], sines(10)[:, ::2][:, 500:-500], atol=1e-3)


def test_moving_standardisation_is_that_of_the_paper():
    x = np.random.default_rng(0).normal(5, 3, (2, 5000)).cumsum(1)
    table = pd.DataFrame(x.T)
    centred = table - table.ewm(alpha=0.001).mean()
    expected = (centred / np.sqrt((centred**2).ewm(alpha=0.001).mean()).clip(lower=1e-4)).to_numpy().T
    out = moving_standardise(x, factor=0.001, n_init=1000)
    np.testing.assert_allclose(out[:, 1000:], expected[:, 1000:], rtol=1e-6)
    np.testing.assert_allclose(out[:, :1000].mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(out[:, :1000].std(1), 1)


def test_moving_standardisation_sees_the_past_alone():
    x = np.random.default_rng(0).normal(size=(2, 5000))
    changed = x.copy()
    changed[:, 3000:] *= 100
    first, other = (moving_standardise(each, factor=0.001, n_init=1000) for each in (x, changed))
    np.testing.assert_array_equal(first[:, :3000], other[:, :3000])


def test_moving_standardisation_undoes_scale_and_drift():
    x = np.random.default_rng(0).normal(size=(1, 20000)) * np.linspace(1, 50, 20000) + np.linspace(0, 50, 20000)
    late = moving_standardise(x, factor=0.001, n_init=1000)[:, 5000:]
    assert abs(late.mean()) < 0.5
    assert 0.8 < late.std() < 1.3


@pytest.mark.parametrize(("l_freq", "h_freq"), [(4.0, 40.0), (None, 30.0), (1.0, None)])
@pytest.mark.parametrize("n_times", [60, 1000])
def test_butterworth_is_that_of_mne_to_the_last_bit(l_freq, h_freq, n_times):
    data = np.random.default_rng(0).normal(size=(3, n_times))
    expected = mne.filter.filter_data(data.copy(), 128.0, l_freq, h_freq, method="iir", verbose="error")
    np.testing.assert_array_equal(band_pass(data, 128.0, l_freq, h_freq, method="iir", source="x"), expected)
