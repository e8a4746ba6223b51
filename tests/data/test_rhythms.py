import numpy as np
import pytest

from eegdecode.data.rhythms import Clock, coloured, one_over_f, peak, trapezium


def test_noise_has_the_spectrum_and_power_asked_for():
    clock = Clock(50_000, 250.0)
    noise = coloured(np.random.default_rng(0), clock, [one_over_f(clock, 1.0), peak(clock, 10.0, 1.0)])
    assert noise.dtype == np.float64
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
