"""Where the states of trainings in work are kept: the seam between the loop, which knows no files, and the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from eegdecode.runs import Run

State = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]    # after an epoch: arrays, and the rest in JSON types


@runtime_checkable
class States(Protocol):
    """Takes and gives the state of runs that are trained side by side, see `eegdecode.reporting.states.DiskStates`.

    It is sent to worker processes. ``read`` gives nothing where there is no state that can be trusted.
    """

    def read(self, runs: Sequence[Run]) -> State | None: ...

    def write(self, runs: Sequence[Run], state: State) -> None: ...
