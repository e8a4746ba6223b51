"""Simulated motor imagery in a physical head model: offline, seeded, and with a known truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eegdecode.data.recording import Recording

CLASSES = ("left_hand", "right_hand", "feet", "tongue")


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
        Sampling rate in Hz: by default that of 2a; ``dataset=simulated`` takes half, so that a first run takes half the
        time.

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
        """Other people under another seed: a checkpoint must not take them for those that it knows."""
        return "simulated" if self.seed == 0 else f"simulated_seed{self.seed}"

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def interval(self) -> tuple[float, float]:
        return (0.0, 4.0)

    def known(self) -> list[str]:
        """Names of all subjects that exist."""
        return [str(number) for number in range(1, self.n_subjects + 1)]

    def subject_names(self) -> tuple[str, ...]:
        """Return the selected subjects, after a check that each exists."""
        known = self.known()
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
        return self._simulation(subject).recordings()

    def truth(self, subject: str) -> dict[str, Any]:
        """Say where, in which bands and when a subject's signals differ between classes."""
        return self._simulation(subject).truth()

    def _simulation(self, subject: str) -> Any:
        """Simulate; prepared trials need none of it, and no mne."""
        from eegdecode.data.simulation import Simulation

        return Simulation(self, subject)
