"""Simulated motor imagery in a physical head model: offline, seeded, and with a known truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mne
import numpy as np

from eegdecode.data.headmodel import CHANNELS, background_mixing, recording_info
from eegdecode.data.recording import Recording
from eegdecode.data.rhythms import Clock, blinks, coloured, from_db, one_over_f, trapezium, waxing
from eegdecode.data.subject import AREAS, CLASSES, OCCIPITAL, Person, another_day, draw_person
from eegdecode.data.truth import AMPLIFIER, JITTER, OFFSET, ONSET, RAMP, describe

SESSIONS = ("0train", "1test")
LEAD, SPACING = 4.0, 6.0  # s: before the first cue, and from cue to cue
GOLDEN = 0.6180339887  # multiples of it, modulo one, fill a range evenly however few they are


@dataclass(frozen=True)
class SimulatedDataset:
    """Four-class motor imagery of people who do not exist, laid out as BCI Competition IV 2a.

    Dipoles in the hand, foot and tongue areas of the motor cortex oscillate at rest and desynchronise during
    imagery [1]_; they are seen through a spherical head by the electrodes and reference of 2a [2]_, on top of
    a 1/f background from the whole cortex, occipital alpha, blinks and amplifier noise. The classes differ in
    rhythm power alone: in no evoked potential, and not before the cue. A subject's signals depend on
    ``seed``, its name and the design, never on which other subjects there are.

    Parameters
    ----------
    n_subjects : int
        Subjects that exist, named "1", "2", ...
    n_trials : int
        Trials per class and session; a multiple of ``n_runs``.
    n_runs : int
        Runs per session.
    difficulty : float
        All desynchronisation in dB is divided by it. At 1, CSP + LDA is as good as on the real 2a; at 100 all
        is chance.
    seed : int
        Another seed, other subjects.
    subjects : sequence of int or str, optional
        The selected ones; None for all.
    sfreq : float
        Sampling rate in Hz.

    References
    ----------
    .. [1] Pfurtscheller & Lopes da Silva (1999), Event-related EEG/MEG synchronization and desynchronization:
       basic principles, Clinical Neurophysiology 110, 1842-1857.
    .. [2] Tangermann et al. (2012), Review of the BCI Competition IV, Frontiers in Neuroscience 6, 55.
    """

    n_subjects: int = 4
    n_trials: int = 36
    n_runs: int = 3
    difficulty: float = 1.0
    seed: int = 0
    subjects: Sequence[int | str] | None = None
    sfreq: float = 250.0

    def __post_init__(self) -> None:
        for field in ("n_subjects", "n_trials", "n_runs"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1; got {getattr(self, field)}")
        if self.n_trials % self.n_runs:
            raise ValueError(
                f"n_trials={self.n_trials} a class do not divide among n_runs={self.n_runs} runs"
            )
        if not 0 < self.difficulty < np.inf:
            raise ValueError(f"difficulty must be positive and finite; got {self.difficulty}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative; got {self.seed}")
        if not 100 <= self.sfreq <= 2000:
            raise ValueError(
                f"sfreq must lie within 100 and 2000 Hz, to hold the beta band; got {self.sfreq}"
            )

    @property
    def name(self) -> str:
        return "simulated"

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def interval(self) -> tuple[float, float]:
        return (0.0, 4.0)

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects, after a check that each exists."""
        known = [str(number) for number in range(1, self.n_subjects + 1)]
        chosen = known if self.subjects is None else [str(subject) for subject in self.subjects]
        unknown = [subject for subject in chosen if subject not in known]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"dataset.subjects={chosen}: name each subject once, out of {', '.join(known)} "
                f"(more with dataset.n_subjects)"
            )
        return tuple(chosen)

    def recordings(self, subject: str) -> Iterator[Recording]:
        """Yield the runs of both sessions; the truth stands in ``raw.info["description"]`` as JSON."""
        truth = json.dumps(self.truth(subject))
        person = self._person(subject)
        for day, session in enumerate(SESSIONS):
            today = another_day(person, self._rng(subject, day + 1))
            for run in range(self.n_runs):
                rng = self._rng(subject, day + 1, run + 1)
                raw, onsets, labels = self._record(today, rng)
                raw.info["description"] = truth
                source = f"simulated subject {subject}, session {session}, run {run} (seed {self.seed})"
                yield Recording(raw, subject, session, str(run), onsets, labels, source)

    def truth(self, subject: str) -> dict[str, Any]:
        """Say where, in which bands and when a subject's signals differ between classes; see `describe`."""
        return {"subject": subject, **describe(self._person(subject), self.difficulty, self.sfreq)}

    def _rng(self, subject: str, session: int = 0, run: int = 0) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, int(subject), session, run]))

    def _person(self, subject: str) -> Person:
        known = [str(number) for number in range(1, self.n_subjects + 1)]
        if subject not in known:
            raise ValueError(f"no simulated subject {subject!r}; there are {', '.join(known)}")
        start = np.random.default_rng(np.random.SeedSequence([self.seed])).uniform()
        return draw_person(self._rng(subject), ability=(start + int(subject) * GOLDEN) % 1)

    def _record(
        self, person: Person, rng: np.random.Generator
    ) -> tuple[mne.io.RawArray, np.ndarray, np.ndarray]:
        """Simulate one run: signals, cue samples, class names."""
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), self.n_trials // self.n_runs))
        cues = LEAD + SPACING * np.arange(len(labels)) + rng.uniform(0, 0.5, len(labels))
        onsets = np.round(cues * self.sfreq).astype(np.int64)
        clock = Clock(round((LEAD + SPACING * (len(labels) + 1)) * self.sfreq), self.sfreq)
        sources = _sources(person, self._imagery(person, rng, clock, onsets, labels), rng, clock)
        volts = person.gains().astype(np.float32) @ sources
        volts += _background(person, rng, clock)
        raw = mne.io.RawArray(volts, recording_info(self.sfreq), verbose="error")
        names = np.array(CLASSES)[labels]
        raw.set_annotations(mne.Annotations(onsets / self.sfreq, self.interval[1], names))
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
        change = np.zeros((len(AREAS), clock.n_times), np.float32)
        window = Clock(round(SPACING * self.sfreq), self.sfreq)
        vigour = rng.uniform(0.5, 1.5, len(onsets))  # no two attempts are equal
        shifts = rng.normal(0, JITTER, len(onsets)).clip(-2 * JITTER, 2 * JITTER)
        for onset, label, size, shift in zip(onsets, labels, vigour, shifts, strict=True):
            course = size * trapezium(window, ONSET + shift, OFFSET + shift, RAMP)
            change[:, onset : onset + window.n_times] += person.depths[label][:, None] * course
        return change / self.difficulty


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
    volts = (1e-6 * person.noise * background_mixing()).astype(np.float32) @ cortex
    return volts + np.float32(1e-6 * AMPLIFIER) * amplifier
