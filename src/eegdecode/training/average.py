"""Averages of weights along the way, which often lie in a flatter and better place than the last weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

State = dict[str, Tensor]    # name -> (R, ...)


@dataclass
class Average:
    """The mean of a stack's weights over steps or epochs.

    ``ema`` after each step: an exponential moving average (Polyak and Juditsky, 1992; as in Tarvainen and Valpola,
    2017) whose decay begins low, ``min(decay, (1 + t) / (10 + t))`` in step t, so that it forgets the start: what 0.999
    remembers is longer than a short training. ``swa`` after each epoch of the last ``share`` of them: their plain mean
    (Izmailov et al., 2018), made for a rate that stays up, ``trainer.schedule=constant``.

    The running statistics of batch norm are averaged as the weights are. Izmailov et al. compute them anew, by a pass
    in training mode: here that would draw dropout, and what is measured must not alter what is drawn. Whole numbers,
    such as counts of batches, are those of the last state.

    Attributes
    ----------
    kind : {"none", "ema", "swa"}
    steps : int
        States that are in the average.
    """

    kind: str = "none"
    decay: float = 0.999
    share: float = 0.25
    steps: int = 0
    mean: State | None = None

    def step(self, state: Callable[[], State]) -> None:
        """Take the weights after a step; ``state`` copies them."""
        if self.kind == "ema":
            self._add(state(), 1 - min(self.decay, (1 + self.steps) / (10 + self.steps)))

    def epoch(self, epoch: int, epochs: int, state: Callable[[], State]) -> None:
        """Take the weights after the ``epoch``-th of ``epochs``."""
        if self.kind == "swa" and epoch > epochs - max(1, round(self.share * epochs)):
            self._add(state(), 1 / (1 + self.steps))

    def _add(self, now: State, weight: float) -> None:
        self.steps += 1
        if self.mean is None:
            self.mean = now
            return
        for name, mean in self.mean.items():
            if mean.is_floating_point():
                mean.lerp_(now[name], weight)
            else:
                mean.copy_(now[name])

    def take(self, places: Int[Tensor, " place"]) -> None:
        """Go on with some of the runs alone."""
        if self.mean is not None:
            self.mean = {name: t[places] for name, t in self.mean.items()}
