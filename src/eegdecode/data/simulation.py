"""Simulate the recordings of a subject: sources in the head, seen by the electrodes, with noise on top."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mne
import numpy as np

from eegdecode.data.headmodel import CHANNELS, background_mixing, recording_info
from eegdecode.data.recording import Recording
from eegdecode.data.rhythms import Clock, blinks, coloured, from_db, one_over_f, trapezium, waxing
from eegdecode.data.simulated import CLASSES, SimulatedDataset
from eegdecode.data.subject import AREAS, OCCIPITAL, Person, another_day, draw_person
from eegdecode.data.truth import AMPLIFIER, JITTER, OFFSET, ONSET, RAMP, STEP, describe

SESSIONS = ("0train", "1test")
LEAD, SPACING = 4.0, 6.0  # s: before the first cue, and from cue to cue
GOLDEN = 0.6180339887  # multiples of it, modulo one, fill a range evenly however few they are


@dataclass(frozen=True)
class Simulation:
    """One subject of a simulated data set."""

    design: SimulatedDataset
    subject: str

    def __post_init__(self) -> None:
        if self.subject not in self.design.known():
            raise ValueError(f"no simulated subject {self.subject!r}; there are {', '.join(self.design.known())}")

    def recordings(self) -> Iterator[Recording]:
        """Yield the runs of both sessions; the truth stands in ``raw.info["description"]`` as JSON."""
        truth = json.dumps(self.truth())
        person, seed = self._person(), self.design.seed
        for day, session in enumerate(SESSIONS):
            today = another_day(person, self._rng(day + 1))
            for run in range(self.design.n_runs):
                raw, onsets, labels = self._record(today, self._rng(day + 1, run + 1))
                raw.info["description"] = truth
                source = f"simulated subject {self.subject}, session {session}, run {run} (seed {seed})"
                yield Recording(raw, self.subject, session, str(run), onsets, labels, source)

    def truth(self) -> dict[str, Any]:
        """Say where, in which bands and when signals differ between classes; see `describe`."""
        return {"subject": self.subject, **describe(self._person(), self.design.difficulty, self.design.sfreq)}

    def _rng(self, session: int = 0, run: int = 0) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.design.seed, int(self.subject), session, run]))

    def _person(self) -> Person:
        start = np.random.default_rng(np.random.SeedSequence([self.design.seed])).uniform()
        return draw_person(self._rng(), ability=(start + int(self.subject) * GOLDEN) % 1)

    def _record(
        self, person: Person, rng: np.random.Generator
    ) -> tuple[mne.io.RawArray, np.ndarray, np.ndarray]:
        """Simulate one run: signals, cue samples, class names."""
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), self.design.n_trials // self.design.n_runs))
        cues = LEAD + SPACING * np.arange(len(labels)) + rng.uniform(0, 0.5, len(labels))
        onsets = np.round(cues * self.design.sfreq).astype(np.int64)
        clock = Clock(round((LEAD + SPACING * (len(labels) + 1)) * self.design.sfreq), self.design.sfreq)
        sources = _sources(person, self._imagery(person, rng, clock, onsets, labels), rng, clock)
        volts = person.gains() @ sources
        volts += _background(person, rng, clock)
        raw = mne.io.RawArray(digitised(volts, 1e-6 * STEP), recording_info(self.design.sfreq), verbose="error")
        names = np.array(CLASSES)[labels]
        raw.set_annotations(mne.Annotations(onsets / self.design.sfreq, self.design.interval[1], names))
        return raw, onsets, names

    def _imagery(
        self,
        person: Person,
        rng: np.random.Generator,
        clock: Clock,
        onsets: np.ndarray,
        labels: np.ndarray,
    ) -> np.ndarray:
        """Change of each area's power over a run, in dB, (area, time)."""
        change = np.zeros((len(AREAS), clock.n_times))
        window = Clock(round(SPACING * self.design.sfreq), self.design.sfreq)
        vigour = rng.uniform(0.5, 1.5, len(onsets))  # no two attempts are equal
        shifts = rng.normal(0, JITTER, len(onsets)).clip(-2 * JITTER, 2 * JITTER)
        for onset, label, size, shift in zip(onsets, labels, vigour, shifts, strict=True):
            course = size * trapezium(window, ONSET + shift, OFFSET + shift, RAMP)
            change[:, onset : onset + window.n_times] += person.depths[label][:, None] * course
        return change / self.design.difficulty


def _sources(person: Person, change: np.ndarray, rng: np.random.Generator, clock: Clock) -> np.ndarray:
    """Rhythms, alpha and blinks of one run relative to their size at rest, (source, time).

    Areas wax and wane by 1.5 dB, alpha by 3 dB; 12 blinks a minute of 0.35 s.
    """
    rhythms = coloured(rng, clock, person.spectra(clock))
    moods = waxing(rng, clock, len(AREAS), 1.5) * from_db(change)  # mu and beta of an area go together
    rhythms *= np.concatenate([moods, moods, waxing(rng, clock, len(OCCIPITAL), 3.0)])
    return np.concatenate([rhythms, blinks(rng, clock, rate=0.2, length=0.35)])


def _background(person: Person, rng: np.random.Generator, clock: Clock) -> np.ndarray:
    """The rest of the cortex, and the amplifier, in V."""
    n = len(CHANNELS)
    cortex = coloured(rng, clock, [one_over_f(clock, person.exponent)] * n)
    amplifier = rng.standard_normal((n, clock.n_times), dtype=np.float32)
    return 1e-6 * (person.noise * background_mixing() @ cortex + AMPLIFIER * amplifier)


def digitised(volts: np.ndarray, step: float) -> np.ndarray:
    """Round to an amplifier's steps of ``step``, in V, in place.

    It also makes the recordings equal to the bit wherever they are simulated: processors and versions of libraries
    differ in the last bits of an exponential or a matrix product, which in float64 are 1e-10 of a step.
    """
    np.rint(volts / step, out=volts)
    volts *= step
    return volts
