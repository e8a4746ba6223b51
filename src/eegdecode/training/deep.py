"""How runs are dealt out to the training loop."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from eegdecode.runs import Prediction, Run
from eegdecode.training.batches import Material
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.job import NoWorkersError
from eegdecode.training.loop import OnEpoch, train_stack
from eegdecode.training.settings import DeepSettings, find_device
from eegdecode.training.workers import count_cores, train_in_workers
from eegdecode.trials import Trials

log = logging.getLogger(__name__)


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
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: FrontEnd, on_epoch: OnEpoch
    ) -> Iterator[Prediction]:    # fmt: skip
        """Train the runs of all stacks and yield the prediction of each as it is finished.

        In ``loop`` mode runs are trained one by one, on a CPU by several worker processes at a time: they come
        in any order, and an interruption costs the runs in work and not a stack.
        """
        device = find_device(self.device)
        vectorise = self.ensemble == "vectorise" or (self.ensemble == "auto" and device.startswith("cuda"))
        groups = stacks if vectorise else [[run] for stack in stacks for run in stack]
        if not groups:
            return
        wanted = self.workers if isinstance(self.workers, int) else count_cores()
        n_workers = min(wanted, len(groups)) if device == "cpu" and not vectorise else 1
        if n_workers > 1:
            runs = [run for (run,) in groups]
            try:
                yield from train_in_workers(
                    self, model, trials, runs, frontend=frontend, n_workers=n_workers, on_epoch=on_epoch
                )
                return
            except NoWorkersError as reason:
                log.warning("training in this process, one run after the other: %s", reason)
        material = Material.of(trials, per_trial=frontend.per_trial, device=device)
        mode = "vectorise" if vectorise else "loop"
        train = partial(train_stack, self, model, material, frontend=frontend, mode=mode, on_epoch=on_epoch)
        yield from _train_as_fits(train, groups)


def _train_as_fits(
    train: Callable[[Sequence[Run]], list[Prediction]], stacks: Sequence[Sequence[Run]]
) -> Iterator[Prediction]:    # fmt: skip
    """Train stack by stack. One that the memory does not hold is halved, and so are those after it."""
    todo, size = deque(stacks), max(map(len, stacks))
    while todo:
        stack = todo.popleft()
        stack, rest = stack[:size], stack[size:]
        if rest:
            todo.appendleft(rest)
        try:
            predictions = train(stack)
        except RuntimeError as error:    # torch.OutOfMemoryError is one
            if "out of memory" not in str(error).lower():
                raise
            if len(stack) == 1:
                raise RuntimeError(f"the device does not hold one run; lower trainer.batch_size ({error})") from error
        else:
            yield from predictions
            continue
        size = (len(stack) + 1) // 2
        log.warning("the device does not hold %d runs side by side; going on with %d", len(stack), size)
        todo.appendleft(stack)
        torch.cuda.empty_cache()    # here, where the error is gone, and with it what it held
