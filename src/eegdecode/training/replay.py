"""Computations of a GPU, recorded once and played back: hundreds of small kernels start in one call."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

WARM = 2    # plain calls before a recording, in which libraries make their plans and Adam its moments

Computation = Callable[..., Sequence[Tensor]]

log = logging.getLogger(__name__)


@dataclass
class Take:
    """A recording, and the tensors that it reads and writes."""

    graph: Any    # torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


@dataclass
class Replay:
    """Plays computations back as CUDA graphs.

    A step of a stack of small networks is hundreds of kernels of some microseconds, which Python starts more slowly
    than a GPU ends them: on an H200 a stack of 55 runs takes a step in the time of one of 11. A recording starts them
    all at once. It reads and writes the same memory each time, so that it holds as long as a stack keeps its tensors
    (see `belongs_to`). What a recording draws is drawn anew with each replay, from the same generator.

    Parameters
    ----------
    on : bool
        False: everything is computed plainly, as on a CPU.
    """

    on: bool
    _owner: object = None
    _takes: dict[Hashable, Take] = field(default_factory=dict)
    _seen: Counter[Hashable] = field(default_factory=Counter)
    _pool: Any = None

    def belongs_to(self, owner: object) -> None:
        """Forget what was recorded of another owner's tensors."""
        if owner is not self._owner:
            self._owner = owner
            self._takes.clear()
            self._seen.clear()
            self._pool = None

    def __call__(self, name: str, compute: Computation, *inputs: Tensor) -> Sequence[Tensor]:
        """Return what ``compute(*inputs)`` returns.

        Parameters
        ----------
        name : str
            Of the computation; there is a recording for each name and each shape of the inputs.
        compute : callable
            Tensors to tensors of fixed shapes, all on the GPU: without a look at a value, and changing other tensors
            in place alone.
        """
        if not self.on:
            return compute(*inputs)
        key = (name, *(each.shape for each in inputs))
        if key not in self._takes:
            self._seen[key] += 1
            if self._seen[key] <= WARM:
                return compute(*inputs)
            try:
                self._takes[key] = self._record(compute, inputs)
            except RuntimeError as error:
                if "out of memory" in str(error).lower():
                    raise
                log.info("steps are not recorded, and computed plainly (%s)", error)
                self.on = False
                return compute(*inputs)
        take = self._takes[key]
        for mine, given in zip(take.inputs, inputs, strict=True):
            mine.copy_(given)
        take.graph.replay()
        return [each.clone() for each in take.outputs]

    def _record(self, compute: Computation, inputs: Sequence[Tensor]) -> Take:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        held = [each.clone() for each in inputs]    # outside of the pool, whose memory the next recording takes again
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(held[0].device)    # torch's own would lie on the first GPU that recorded
        with torch.cuda.device(held[0].device), torch.cuda.graph(graph, pool=self._pool, stream=stream):
            outputs = compute(*held)
        return Take(graph, held, outputs)
