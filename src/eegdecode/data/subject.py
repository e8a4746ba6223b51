"""A simulated person: where the sources lie, how they oscillate, and how far imagery quietens them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from eegdecode.data.headmodel import BRAIN_RADIUS, leadfield, towards, unit
from eegdecode.data.rhythms import Clock, peak

# Cortical areas by hemisphere, each with the electrodes that it lies below.
AREAS = {
    "hand_left": ("C3", "CP3"),
    "hand_right": ("C4", "CP4"),
    "foot": ("Cz", "CPz"),
    "tongue_left": ("C5", "FC5"),
    "tongue_right": ("C6", "FC6"),
}
OCCIPITAL = (("PO3", "O1"), ("PO4", "O2"), ("POz", "Oz"))

# How imagery of a class changes the power of each area, as a share of the person's depth in dB: the area
# itself desynchronises (hands: the opposite side more), and hand areas synchronise while feet or tongue are
# imagined (Pfurtscheller & Lopes da Silva, 1999).
RESPONSE = np.array(
    [  # hand_left hand_right foot tongue_left tongue_right
        [-0.25, -1.00, 0.20, 0.00, 0.00],
        [-1.00, -0.25, 0.20, 0.00, 0.00],
        [0.30, 0.30, -1.00, 0.00, 0.00],
        [0.25, 0.25, 0.00, -1.00, -1.00],
    ]
)

# From the least to the most able subject.
MU_RANGE = (12.0, 30.0)  # nAm: moment of a mu source at rest, 3 to 10 µV on the scalp
DEPTH_RANGE = (2.7, 7.0)  # dB: 2.7 leaves half of the power, 7 a fifth

MU_WIDTH, BETA_WIDTH, ALPHA_WIDTH = 1.0, 2.0, 0.8  # Hz: deviation of each rhythm's peak


@dataclass(frozen=True, eq=False)
class Person:
    """Traits of a subject in one session.

    Attributes
    ----------
    places, directions : ndarray, shape (n_sources, 3)
        Dipoles in m from the centre of the head, and their orientations: the areas' mu sources, their beta
        sources, three occipital alpha sources, one source for both eyes.
    moments : ndarray, shape (n_sources,)
        Deviation of each dipole's moment at rest in nAm; for the eyes the height of a blink.
    depths : ndarray, shape (n_classes, n_areas)
        Change of power in dB under imagery, before the difficulty.
    mu, beta, alpha : float
        Peak frequencies in Hz.
    exponent : float
        Of the 1/f background.
    noise : float
        Background in µV, root mean square.
    """

    places: Float[np.ndarray, "source 3"]
    directions: Float[np.ndarray, "source 3"]
    moments: Float[np.ndarray, " source"]
    depths: Float[np.ndarray, "label area"]
    mu: float
    beta: float
    alpha: float
    exponent: float
    noise: float

    def gains(self) -> Float[np.ndarray, "chan source"]:
        """What each source at rest adds to each channel, in V."""
        return leadfield(self.places, self.directions) * self.moments

    def spectra(self, clock: Clock) -> list[Float[np.ndarray, " freq"]]:
        """Power density of every source but the eyes."""
        n, n_alpha = len(AREAS), len(OCCIPITAL)
        mu, beta = peak(clock, self.mu, MU_WIDTH), peak(clock, self.beta, BETA_WIDTH)
        return [mu] * n + [beta] * n + [peak(clock, self.alpha, ALPHA_WIDTH)] * n_alpha

    def topography(self, label: int) -> Float[np.ndarray, " chan"]:
        """Amplitude at rest, in µV, of the sources that a class desynchronises most."""
        n = len(AREAS)
        own = np.flatnonzero(RESPONSE[label] == RESPONSE[label].min())
        sources = np.concatenate([own, own + n])
        return np.linalg.norm(1e6 * self.gains()[:, sources], axis=1)


def draw_person(rng: np.random.Generator, ability: float) -> Person:
    """Draw a subject; ``ability``, between 0 and 1, sets how strong and how modulated the rhythms are.

    The strength of the sensorimotor rhythm at rest predicts who can steer a BCI (Blankertz et al., 2010,
    Neurophysiological predictor of SMR-based BCI performance, NeuroImage 51, 1303-1309).
    """
    n = len(AREAS)
    sites = [towards(names) for names in AREAS.values()] * 2 + [towards(names) for names in OCCIPITAL]
    radial = np.stack(sites)
    depth = np.full((len(radial), 1), 0.92)  # of the brain's radius: the crown of a gyrus
    depth[[2, n + 2]] = 0.85  # the foot area lies in the fissure between the hemispheres
    places = BRAIN_RADIUS * depth * radial + rng.normal(0, 0.004, radial.shape)  # m
    places *= np.minimum(1, 0.95 * BRAIN_RADIUS / np.linalg.norm(places, axis=1, keepdims=True))
    directions = unit(radial + rng.normal(0, 0.5, radial.shape))  # gyri point outwards, sulci sidewards
    eyes = 0.9 * BRAIN_RADIUS * unit(np.array([[0.0, 1.0, -0.3]]))
    strength = MU_RANGE[0] + (MU_RANGE[1] - MU_RANGE[0]) * ability
    moments = np.concatenate(
        [
            strength * rng.lognormal(0, 0.15, n),
            0.5 * strength * rng.lognormal(0, 0.15, n),  # beta is half of mu
            rng.uniform(8, 25) * rng.lognormal(0, 0.2, len(OCCIPITAL)),  # nAm: hardly any to plain alpha
            [rng.uniform(1200, 2000)],  # nAm: 60 to 150 µV at Fz
        ]
    )
    deepest = DEPTH_RANGE[0] + (DEPTH_RANGE[1] - DEPTH_RANGE[0]) * ability
    return Person(
        places=np.concatenate([places, eyes]),
        directions=np.concatenate([directions, [[0.0, 1.0, 0.0]]]),
        moments=moments,
        depths=deepest * RESPONSE * rng.lognormal(0, 0.15, RESPONSE.shape),
        mu=rng.uniform(9.5, 12.5),
        beta=rng.uniform(18.0, 24.0),
        alpha=rng.uniform(8.5, 11.5),
        exponent=rng.uniform(1.1, 1.6),
        noise=rng.uniform(8.0, 11.0),
    )


def another_day(person: Person, rng: np.random.Generator) -> Person:
    """Return the same subject in a session: the cap sits elsewhere, rhythms and impedances have changed."""
    turn = rng.normal(0, 0.02, 3)  # rad about each axis: 2 mm on the scalp
    places = person.places + np.cross(turn, person.places)
    places *= np.linalg.norm(person.places, axis=1, keepdims=True) / np.linalg.norm(
        places, axis=1, keepdims=True
    )
    n_motor, n_alpha = 2 * len(AREAS), len(OCCIPITAL)
    scale = np.concatenate(
        [rng.lognormal(0, 0.06, n_motor), np.full(n_alpha, rng.lognormal(0, 0.3)), rng.lognormal(0, 0.1, 1)]
    )
    return replace(
        person,
        places=places,
        directions=unit(person.directions + np.cross(turn, person.directions)),
        moments=person.moments * scale,
        noise=person.noise * rng.lognormal(0, 0.1),
    )
