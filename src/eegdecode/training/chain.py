"""Training trials changed on the device, by one kind of change after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eegdecode.training import transforms
from eegdecode.training.augment import Recombination
from eegdecode.training.dice import Dice
from eegdecode.training.mirror import mirror_channels, mirror_classes
from eegdecode.trials import Trials

Signals = Float[Tensor, "run batch feature time"]
SHORTEST = 0.1    # s of a trial that a crop must leave


@dataclass(frozen=True)
class Chain:
    """Changes of training trials, each with its strength; 0 leaves a kind out.

    They work behind the front end, where the pieces of `Recombination` are taken too. So a strength means the same in
    all data sets, signals are seen through the front end once a run, and what it makes sure of (deviation 1, alignment)
    is what changes start from: whitening and exchanging sides of the head may change places, for
    ``P C^(-1/2) = (P C P)^(-1/2) P`` with the exchange P. With every draw a trial is changed anew, by numbers of the
    run's own generator. Sources and definitions: `eegdecode.training.transforms`.

    Parameters
    ----------
    probability : float
        With which each kind changes each trial, independently of the others.
    segments, share
        Of `Recombination`, whose trials are put together before they are changed; 0 segments: no such trials.
    symmetry : float
        Probability with which left and right are exchanged, channels and classes alike; here ``probability`` does not
        count.
    time_shift : float
        Longest shift in s, to either side.
    crop : float
        Share of a trial that is cut away.
    frequency_shift : float
        Largest shift in Hz, to either side.
    fourier : float
        Largest turn of each frequency's phase, as a share of a full one.
    amplitude : float
        Largest change of the factor 1 of a trial.
    channel_dropout : float
        Rate at which channels are zeroed, or features of a front end that makes others of them.
    time_mask : float
        Length in s of the stretch that is faded out.
    noise : float
        Deviation of white noise, as a share of that of each channel.
    """

    probability: float = 0.5
    segments: int = 0
    share: float = 0.5
    symmetry: float = 0.0
    time_shift: float = 0.0
    crop: float = 0.0
    frequency_shift: float = 0.0
    fourier: float = 0.0
    amplitude: float = 0.0
    channel_dropout: float = 0.0
    time_mask: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("probability", "symmetry", "fourier"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("crop", "amplitude", "channel_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"augment.{name} must be in [0, 1), got {getattr(self, name)}; 0 leaves it out")
        for name, unit in (("time_shift", "s"), ("frequency_shift", "Hz"), ("time_mask", "s"), ("noise", "deviations")):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"augment.{name} must be 0 {unit} or more, got {getattr(self, name)}; 0 leaves it out")
        if self.segments:
            Recombination(segments=self.segments, share=self.share)    # says what is wrong
        elif self.share != type(self).share:
            raise ValueError(f"augment.share={self.share} is of the trials that augment.segments puts together, and "
                             "those are 0: give augment.segments=8, or leave augment.share out")    # fmt: skip

    @property
    def recombination(self) -> Recombination | None:
        """How artificial trials are put together, if they are."""
        return Recombination(segments=self.segments, share=self.share) if self.segments else None

    def check(self, trials: Trials) -> None:
        """Raise a ValueError if these trials cannot be changed so."""
        changes = any(getattr(self, name) for name in CHANGES)
        if not (self.segments or self.symmetry or changes):
            raise ValueError("augment=chain names no change: give one, augment.noise=0.1, or take augment=none")
        if changes and self.probability == 0:
            raise ValueError("augment.probability=0 leaves every change out: raise it, or take augment=none")
        if not changes and self.probability != type(self).probability:
            raise ValueError(f"augment.probability={self.probability} is of neither segments nor symmetry, and nothing "
                             "else is on: leave it out")    # fmt: skip
        if self.recombination is not None:
            self.recombination.check(trials)
        seconds = trials.X.shape[2] / trials.signal.sfreq
        for name in ("time_shift", "time_mask"):
            if getattr(self, name) >= seconds:
                raise ValueError(
                    f"augment.{name}={getattr(self, name)} s is no less than a trial's {seconds:g} s; lower it"
                )
        if (1 - self.crop) * seconds < SHORTEST:
            raise ValueError(
                f"augment.crop={self.crop} leaves {(1 - self.crop) * seconds:.2g} s of a trial, less than "
                f"{SHORTEST:g} s, in which there is no rhythm; lower it"
            )
        if self.frequency_shift >= trials.signal.sfreq / 2:
            raise ValueError(
                f"augment.frequency_shift={self.frequency_shift} Hz must be below half of the sampling rate, "
                f"{trials.signal.sfreq / 2:g} Hz"
            )
        if self.symmetry:
            mirror_channels(trials.signal.ch_names)
            mirror_classes(trials.classes)

    def prepare(self, trials: Trials, *, electrodes: bool) -> Changer:
        """Look up what is known of the trials before the first step.

        Parameters
        ----------
        electrodes : bool
            Whether features behind the front end stand for electrodes.
        """
        self.check(trials)
        if not self.symmetry:
            return Changer(self, trials.signal.sfreq)
        if not electrodes:
            raise ValueError(
                "augment.symmetry exchanges electrodes, and this front end makes other features of them: "
                "take frontend=zscore, align or whiten, or leave augment.symmetry=0"
            )
        mirrors = mirror_channels(trials.signal.ch_names), mirror_classes(trials.classes)
        return Changer(self, trials.signal.sfreq, *map(torch.tensor, mirrors))


@dataclass(frozen=True, eq=False)
class Changer:
    """A chain that knows its trials: rate, and the channels and classes that are each other's mirror."""

    chain: Chain
    sfreq: float
    channels: Int[Tensor, " chan"] | None = None
    classes: Int[Tensor, " class"] | None = None

    def change(
        self, x: Signals, y: Int[Tensor, "run batch"], dice: Dice
    ) -> tuple[Signals, Int[Tensor, "run batch"]]:    # fmt: skip
        """Change the trials of a batch, and the labels of those that were mirrored."""
        x = x.float()    # for Fourier transforms, also where networks compute in 16 bits
        if self.channels is not None and self.classes is not None:
            turned = dice.uniform(y.shape[1]) < self.chain.symmetry
            x = torch.where(turned[..., None, None], x[:, :, self.channels.to(x.device)], x)
            y = torch.where(turned, self.classes.to(y.device)[y], y)
        for name, change in CHANGES.items():
            if strength := getattr(self.chain, name):
                chosen = dice.uniform(x.shape[1]) < self.chain.probability
                x = torch.where(chosen[..., None, None], change(x, strength, self.sfreq, dice), x)
        return x, y


def _around_zero(n: int, most: float, dice: Dice) -> Float[Tensor, "run n"]:
    return (2 * dice.uniform(n) - 1) * most


def _shift_time(x: Signals, seconds: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.shift_time(x, _around_zero(x.shape[1], seconds * sfreq, dice).round().long())


def _crop(x: Signals, away: float, sfreq: float, dice: Dice) -> Signals:
    n_times = x.shape[-1]
    length = max(1, round((1 - away) * n_times))
    return transforms.crop_time(x, (dice.uniform(x.shape[1]) * (n_times - length + 1)).long(), length)


def _shift_frequency(x: Signals, hertz: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.shift_frequency(x, _around_zero(x.shape[1], hertz, dice), sfreq)


def _turn_phases(x: Signals, turn: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.turn_phases(x, 2 * torch.pi * turn * dice.uniform(x.shape[1], x.shape[-1] // 2 + 1))


def _scale(x: Signals, change: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.scale(x, 1 + _around_zero(x.shape[1], change, dice))


def _drop_channels(x: Signals, rate: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.drop_channels(x, dice.uniform(*x.shape[1:3]) >= rate, rate)


def _mask_time(x: Signals, seconds: float, sfreq: float, dice: Dice) -> Signals:
    start = dice.uniform(x.shape[1]) * (x.shape[-1] / sfreq - seconds)
    return transforms.mask_time(x, start, seconds, sfreq)


def _add_noise(x: Signals, share: float, sfreq: float, dice: Dice) -> Signals:
    return transforms.add_noise(x, dice.normal(*x.shape[1:]), share)


CHANGES: dict[str, Callable[[Signals, float, float, Dice], Signals]] = {    # in this order: noise is never shifted
    "time_shift": _shift_time, "crop": _crop, "frequency_shift": _shift_frequency, "fourier": _turn_phases,
    "amplitude": _scale, "channel_dropout": _drop_channels, "time_mask": _mask_time, "noise": _add_noise,
}    # fmt: skip
