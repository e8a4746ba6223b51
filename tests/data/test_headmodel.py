import numpy as np
import pytest

from eegdecode.data.headmodel import CHANNELS, background_mixing, leadfield, towards


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
