"""Splits times seeds times numbers: the list of runs, dealt into stacks that train side by side."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eegdecode.bounds import BOUNDS, is_sane
from eegdecode.runs import Run, Split

log = logging.getLogger(__name__)
NUMBERS = ("lr", "weight_decay", "drop")


@dataclass(frozen=True)
class Sweep:
    """What is repeated for each split, inside one process.

    Parameters
    ----------
    seeds : int or list of int
        A number of seeds counted from the experiment's ``seed``, or the seeds themselves.
    lr, weight_decay, drop : float, list of float or None
        Values to try in place of the trainer's and the network's one; all combinations are run.
    """

    seeds: int | Sequence[int] = 1
    lr: float | Sequence[float] | None = None
    weight_decay: float | Sequence[float] | None = None
    drop: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise ValueError(f"sweep.seeds must be at least 1, got {self.seeds}")
        if isinstance(self.seeds, str | float) or not all(isinstance(seed, int) for seed in self._listed("seeds")):
            raise ValueError(f"sweep.seeds must be a number of seeds, or a list of seeds, got {self.seeds!r}")
        if not isinstance(self.seeds, int) and len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"sweep.seeds has a seed twice: {list(self.seeds)}")
        for name in NUMBERS:
            values = self._listed(name)
            if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
                raise ValueError(f"sweep.{name} must be a number or a list of numbers, got {getattr(self, name)!r}")
            if wrong := [value for value in values if not is_sane(name, value)]:
                raise ValueError(f"sweep.{name} holds {wrong[0]:g}; {BOUNDS[name]}")
            if values == [] and getattr(self, name) is not None:
                raise ValueError(f"sweep.{name} is an empty list: give values, or null")
            if len(set(values)) != len(values):
                raise ValueError(f"sweep.{name} has a value twice: {values}")

    def numbers(self) -> list[dict[str, float]]:
        """All combinations of the swept numbers; one empty one if nothing is swept."""
        swept = {name: self._listed(name) for name in NUMBERS if getattr(self, name) is not None}
        return [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]

    def _listed(self, name: str) -> list[Any]:
        values = getattr(self, name)
        return [] if values is None else [values] if isinstance(values, int | float | str) else list(values)


def expand(splits: Sequence[Split], sweep: Sweep, *, seed: int, n_seeds: int | None = None) -> list[Run]:
    """Make the runs of an experiment, seed by seed; of the first ``n_seeds`` seeds alone if that is given."""
    seeds = range(seed, seed + sweep.seeds) if isinstance(sweep.seeds, int) else sweep.seeds
    if min(seeds) < 0:
        raise ValueError(f"seeds must be at least 0, got {min(seeds)}: seed and sweep.seeds")
    if len(seeds[:n_seeds]) < len(seeds):
        log.info("%d of %d seeds: this trainer draws no random numbers (trainer.seeds)", n_seeds, len(seeds))
    return [
        Run(split=split, seed=int(s), numbers=numbers if split.trials is None else {**numbers, "trials": split.trials})
        for s, numbers, split in itertools.product(seeds[:n_seeds], sweep.numbers(), splits)
    ]


def stacks(runs: Sequence[Run], *, todo: Sequence[Run] | None = None, size: int = 128) -> list[list[Run]]:
    """Deal runs into stacks of equally many training trials, which can be trained side by side.

    Parameters
    ----------
    runs : sequence of Run
        All runs of the experiment: they decide who stands beside whom, whatever is finished already. So a stack
        that was never begun is the same after an interruption, and draws the same dropout. What is left of one that
        was begun is cut anew.
    todo : sequence of Run, optional
        Those to train; all if not given.
    size : int
        Largest stack. The trainer cuts it to what the device holds; the runs of a part end together, so a part is
        what an interruption can cost.
    """
    groups: dict[int, list[Run]] = {}
    for run in runs:
        groups.setdefault(len(run.split.train), []).append(run)
    dealt = [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]
    wanted = {id(run) for run in (runs if todo is None else todo)}
    left = [[run for run in stack if id(run) in wanted] for stack in dealt]
    return [stack for stack in left if stack]
