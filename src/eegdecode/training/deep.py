"""How a stack of runs is dealt out to the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from eegdecode.runs import Prediction, Run
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.loop import OnEpoch, train_stack
from eegdecode.training.settings import DeepSettings, find_device
from eegdecode.trials import Trials


@dataclass(frozen=True)
class DeepTrainer(DeepSettings):
    """Trains networks, one by one or side by side."""

    @property
    def machine(self) -> str:
        """What the training runs on, for the record."""
        device = find_device(self.device)
        if device.startswith("cuda"):
            return f"{device} ({torch.cuda.get_device_name(device)})"
        return f"{device} ({torch.get_num_threads()} threads)"

    @property
    def chosen_by(self) -> str:
        """What chose the epoch of the weights, for the record."""
        return "patience" if self.select == "last" and self.patience is not None else self.select

    def fit(
        self, model: partial, trials: Trials, stack: Sequence[Run], *, frontend: FrontEnd, on_epoch: OnEpoch
    ) -> Iterator[Prediction]:    # fmt: skip
        """Train the runs of a stack and yield the prediction of each.

        In ``loop`` mode each run is trained to its end before the next begins, so that an interruption
        costs one run and not a stack.
        """
        device = find_device(self.device)
        vectorise = self.ensemble == "vectorise" or (self.ensemble == "auto" and device.startswith("cuda"))
        for group in [list(stack)] if vectorise else [[run] for run in stack]:
            mode = "vectorise" if vectorise else "loop"
            yield from train_stack(
                self, model, trials, group, frontend=frontend, device=device, mode=mode, on_epoch=on_epoch
            )
