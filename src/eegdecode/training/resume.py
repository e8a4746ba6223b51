"""An interrupted training goes on where it was: its state as arrays and JSON, written now and then, and put back.

What is put back is all that an epoch hands to the next: weights and running statistics, Adam's moments, averages,
rates, best weights, curves, patience, and the state of every generator (numpy's of each run, from which the dice of
augmentation and mixup are seeded in each epoch, and torch's, which draws dropout). So it goes on to the bit on the same
machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from eegdecode.runs import Run
from eegdecode.training.average import Average
from eegdecode.training.keeper import Keeper
from eegdecode.training.optim import Adam, Plateau
from eegdecode.training.settings import DeepSettings
from eegdecode.training.states import State
from eegdecode.training.task import Task

log = logging.getLogger(__name__)


class Work(NamedTuple):
    """All that changes from epoch to epoch."""

    task: Task
    adam: Adam
    average: Average
    plateau: Plateau
    rngs: list[np.random.Generator]
    keeper: Keeper


class Saves:
    """The states of one stack: gives the one that an earlier process left, and writes one every few seconds.

    Attributes
    ----------
    epoch : int
        The epoch after which the training goes on; 0 without a state.
    spent : float
        Seconds that it had taken until then.
    """

    def __init__(self, settings: DeepSettings, runs: Sequence[Run]) -> None:
        self.states, self.every = settings.states, settings.save_every
        if self.every is None:
            self.states = None
        self.runs, self.epoch, self.spent = runs, 0, 0.0
        self._began = self._last = time.monotonic()

    def resume(self, work: Work) -> tuple[Task, list[np.random.Generator]]:
        """Put back what was written, if anything was; return task and generators of the runs still in training."""
        state = self.states.read(self.runs) if self.states is not None else None
        if state is None:
            return work.task, work.rngs
        facts, here = state[1], _where(work.task)
        if facts["where"] != here:
            text = "%s: its state was left by a training on %s, this one is on %s: trained from the start"
            log.warning(text, self.runs[-1].name(), facts["where"], here)
            return work.task, work.rngs
        self.epoch, self.spent = int(facts["epoch"]), float(facts["seconds"])
        return unpack(state, work)

    def offer(self, epoch: int, work: Work) -> None:
        """Write the state after an epoch if the last one is old enough. A failure is told, and no more are written."""
        if self.states is None or self.every is None or epoch <= self.epoch:
            return
        if time.monotonic() - self._last < self.every:
            return
        seconds = self.spent + time.monotonic() - self._began
        try:
            self.states.write(self.runs, pack(work, epoch=epoch, seconds=seconds))
        except OSError as error:
            log.warning("%s: no state is kept (%s)", self.runs[-1].name(), error)
            self.states = None
        self._last = time.monotonic()


def pack(work: Work, *, epoch: int, seconds: float) -> State:
    """Return the state after an epoch, copied off the device."""
    task, adam, average, plateau, rngs, keeper = work
    groups = {"weights": task.ensemble.state(), "average": average.mean or {}, "kept": keeper.kept or {}}
    tensors = {f"{group}/{name}": t for group, state in groups.items() for name, t in state.items()}
    tensors |= {"adam/first": adam.first, "adam/second": adam.second, "lr": task.lr, "torch": torch.get_rng_state()}
    if task.y.device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(task.y.device)
    arrays = {name: t.cpu().numpy() for name, t in tensors.items() if t is not None}
    curves, facts = keeper.state()
    facts |= {
        "epoch": epoch, "seconds": seconds, "where": _where(task), "steps": [adam.steps, average.steps],
        "rngs": [rng.bit_generator.state for rng in rngs],
    }    # fmt: skip
    return {**arrays, **curves, **plateau.state()}, facts


def unpack(state: State, work: Work) -> tuple[Task, list[np.random.Generator]]:
    """Put a state back; return the task and the generators of the runs that are still in training."""
    task, adam, average, plateau, rngs, keeper = work
    (arrays, facts), device = state, task.y.device
    kept = _group(arrays, "kept", device)
    keeper.restore(arrays, facts, kept=kept or None)
    stay = keeper.active
    if len(stay) < len(rngs):
        task, rngs = task.take(stay), [rngs[i] for i in stay]
    task.ensemble.load(_group(arrays, "weights", device))
    task.lr.copy_(torch.from_numpy(arrays["lr"]))
    adam.steps, average.steps = facts["steps"]
    adam.first, adam.second = (_tensor(arrays.get(f"adam/{name}"), device) for name in ("first", "second"))
    average.mean = _group(arrays, "average", device) or None
    plateau.restore(arrays)
    for rng, own in zip(rngs, facts["rngs"], strict=True):
        rng.bit_generator.state = own
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))
    if "cuda" in arrays:
        torch.cuda.set_rng_state(torch.from_numpy(arrays["cuda"]), device)
    return task, rngs


def _where(task: Task) -> str:
    """What the numbers that a training draws depend on, beside its key."""
    return f"{task.y.device.type}, {task.ensemble.mode}"


def _tensor(array: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if array is None else torch.from_numpy(array).to(device)


def _group(arrays: Mapping[str, Any], group: str, device: torch.device) -> dict[str, Tensor]:
    """The tensors of one group: name -> (R, ...)."""
    start = f"{group}/"
    return {name.removeprefix(start): torch.from_numpy(array).to(device)
            for name, array in arrays.items() if name.startswith(start)}    # fmt: skip
