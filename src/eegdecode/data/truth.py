"""What is known of simulated signals before anyone looks: where, in which bands and when classes differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from eegdecode.data.headmodel import CHANNELS, REFERENCE, background_mixing
from eegdecode.data.rhythms import Clock, one_over_f
from eegdecode.data.simulated import CLASSES
from eegdecode.data.subject import AREAS, BETA_WIDTH, MU_WIDTH, Person

ONSET, OFFSET, RAMP = 0.5, 3.5, 0.5  # s after the cue: imagery begins and ends, and how fast
JITTER = 0.1  # s: deviation of both from trial to trial
AMPLIFIER = 0.7  # µV, root mean square: white noise of a good amplifier and electrode
STEP = 0.05  # µV: of the amplifier's converter, a tenth of its noise and less

Band = tuple[float, float]


def describe(person: Person, difficulty: float, sfreq: float) -> dict[str, Any]:
    """State the truth about a subject in plain numbers (JSON-able).

    Returns
    -------
    dict
        ``bands_hz``: the mu and beta bands, two deviations about the peak. ``time_s``: after the cue, when
        imagery begins and ends, how long it takes to deepen, its jitter. ``classes``: for each,
        ``area_change_db`` of power in each cortical area; ``topography_uv``, the amplitude at rest of the
        sources that it desynchronises most; ``channel_change_db``, the change of power to expect at each
        channel, for each band; and ``channels``, ordered by how far the class lies below the others there.
        All of it is at full depth, for the average trial and before the cap moved between sessions.
    """
    bands = {
        "mu": (person.mu - 2 * MU_WIDTH, person.mu + 2 * MU_WIDTH),
        "beta": (person.beta - 2 * BETA_WIDTH, person.beta + 2 * BETA_WIDTH),
    }
    areas = person.depths / difficulty
    changes = {name: _channel_changes(person, areas, band, sfreq) for name, band in bands.items()}
    both = changes["mu"] + changes["beta"]
    contrast = both - both.mean(axis=0)
    return {
        "reference": REFERENCE,
        "bands_hz": {name: [round(edge, 2) for edge in band] for name, band in bands.items()},
        "time_s": {"onset": ONSET, "offset": OFFSET, "ramp": RAMP, "jitter": JITTER},
        "classes": {
            name: {
                "channels": [CHANNELS[i] for i in np.argsort(contrast[k])],
                "topography_uv": _named(CHANNELS, person.topography(k)),
                "area_change_db": _named(AREAS, areas[k]),
                "channel_change_db": {band: _named(CHANNELS, changes[band][k]) for band in bands},
            }
            for k, name in enumerate(CLASSES)
        },
    }


def _channel_changes(
    person: Person, areas: Float[np.ndarray, "label area"], band: Band, sfreq: float
) -> Float[np.ndarray, "label chan"]:
    """Change of power in a band, in dB, that each class brings to each channel."""
    clock = Clock(round(20 * sfreq), sfreq)  # steps of 0.05 Hz
    f = clock.frequencies()
    inside = (f >= band[0]) & (f <= band[1])
    shares = [density[inside].sum() / density.sum() for density in person.spectra(clock)]
    sources = (1e6 * person.gains()[:, : len(shares)]) ** 2 * shares  # (C, source), µV²
    ground = one_over_f(clock, person.exponent)
    noise = (background_mixing() ** 2).sum(axis=1) * person.noise**2 * ground[inside].sum() / ground.sum()
    noise += AMPLIFIER**2 * inside.mean()
    factors = np.ones((len(areas), len(shares)))
    factors[:, : 2 * len(AREAS)] = 10 ** (np.tile(areas, 2) / 10)
    return 10 * np.log10((factors @ sources.T + noise) / (sources.sum(axis=1) + noise))


def _named(names: Iterable[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.round(4).tolist(), strict=True))
