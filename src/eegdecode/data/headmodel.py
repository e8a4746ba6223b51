"""A head: where the electrodes of a cap sit, and what a current dipole in the cortex does to them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import mne
import numpy as np
from jaxtyping import Float

# The 22 EEG electrodes of BCI Competition IV 2a (Tangermann et al., 2012), in the order of its files.
# fmt: off
CHANNELS = (
    "Fz", "FC3", "FC1", "FCz", "FC2", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6",
    "CP3", "CP1", "CPz", "CP2", "CP4", "P1", "Pz", "P2", "POz",
)
# fmt: on
REFERENCE = "TP9"  # over the left mastoid, the reference of 2a
MONTAGE = "easycap-M1"  # electrodes on a sphere of 95 mm, so that cap and head model agree
HEAD_RADIUS = 0.095  # m: of that sphere
BRAIN_RADIUS = 0.9 * HEAD_RADIUS  # m: the innermost of the model's shells; MNE drops sources outside it

# Places (shares of the radius) and sizes of the three dipoles that stand for one in four shells (Berg and Scherg,
# 1994), as MNE 1.13 with SciPy 1.17 fits them. They are written down because with other versions the fit ends
# elsewhere, by 2e-3, and a simulated person would be another one.
FIT = {
    "mu": (0.9448359874, 0.6677604222, -0.2913172935),
    "lambda": (0.4147141972, 2.0718017148, -0.0308504494),
}


@lru_cache(maxsize=1)
def _cap() -> mne.Info:
    """Every electrode of the montage, without those outside the recording."""
    montage = mne.channels.make_standard_montage(MONTAGE)
    info = mne.create_info(montage.ch_names, 250.0, "eeg")
    info.set_montage(montage)
    return info


@lru_cache(maxsize=1)
def _sphere() -> mne.bem.ConductorModel:
    """Brain, fluid, skull and scalp as four spheres with MNE's usual radii and conductivities."""
    centre = np.array([0.0, 0.0, _cap()["chs"][_cap().ch_names.index("Cz")]["loc"][2] - HEAD_RADIUS])
    sphere = mne.make_sphere_model(centre, HEAD_RADIUS, verbose="error")
    sphere.update({name: np.array(numbers) for name, numbers in FIT.items()})
    return sphere


def recording_info(sfreq: float) -> mne.Info:
    """Make the header of a recording: the 22 channels with their positions."""
    info = mne.create_info(list(CHANNELS), sfreq, "eeg")
    info.set_montage(mne.channels.make_standard_montage(MONTAGE))
    return info


def towards(electrodes: Sequence[str]) -> Float[np.ndarray, " 3"]:
    """Direction from the centre of the head to the middle of some electrodes of the cap."""
    info = _cap()
    places = [info["chs"][info.ch_names.index(name)]["loc"][:3] for name in electrodes]
    return unit(np.mean(places, axis=0) - _sphere()["r0"])


def unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Vectors of length one, along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def leadfield(
    positions: Float[np.ndarray, "source 3"], orientations: Float[np.ndarray, "source 3"]
) -> Float[np.ndarray, "chan source"]:
    """Potential of each dipole at the 22 electrodes against the left mastoid, in V per nAm.

    Parameters
    ----------
    positions : ndarray
        In m, from the centre of the head; within `BRAIN_RADIUS`.
    orientations : ndarray
        Of length one.
    """
    n, cap, sphere = len(positions), _cap(), _sphere()
    places = positions + sphere["r0"]
    dipoles = mne.Dipole(np.arange(n) / 1e3, places, np.ones(n), orientations, np.full(n, 100.0))
    info = mne.pick_info(cap, [cap.ch_names.index(name) for name in (*CHANNELS, REFERENCE)])
    forward: dict = mne.make_forward_dipole(dipoles, sphere, info, verbose="error")[0]  # pyright: ignore
    potential = 1e-9 * np.asarray(forward["sol"]["data"], np.float64)
    return potential[:-1] - potential[-1:]


@lru_cache(maxsize=1)
def background_mixing(n_dipoles: int = 500) -> Float[np.ndarray, "chan chan"]:
    """Matrix that turns independent signals into what a whole cortex of independent dipoles looks like.

    Many dipoles of equal spectrum make Gaussian signals with the covariance ``L @ L.T`` of their lead
    field, so 22 signals mixed by its root stand for all of them. Scaled to a mean power of one a channel.
    """
    rng = np.random.default_rng(500)  # every head shares this cortex; what differs is what it does
    directions = unit(rng.standard_normal((n_dipoles, 3)))
    depths = rng.uniform(0.6, 0.92, (n_dipoles, 1))  # of the brain's radius: sulci and gyri
    L = leadfield(BRAIN_RADIUS * depths * directions, unit(rng.standard_normal((n_dipoles, 3))))
    power, basis = np.linalg.eigh(L @ L.T)
    root = (basis * np.sqrt(power.clip(min=0))) @ basis.T
    return root / np.sqrt(power.sum() / len(L))
