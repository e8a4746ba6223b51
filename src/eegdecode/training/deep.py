"""How runs are dealt out to the training loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from eegdecode.runs import Claim, OnEpoch, Prediction, Run
from eegdecode.training.arithmetic import with_arithmetic
from eegdecode.training.augment import Recombination
from eegdecode.training.batches import Material
from eegdecode.training.chain import Chain
from eegdecode.training.checks import check_epochs
from eegdecode.training.compare import compare_sources
from eegdecode.training.crew import count_cores
from eegdecode.training.devices import find_devices
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.job import NoWorkersError
from eegdecode.training.preflight import small_task, warn
from eegdecode.training.room import train_here
from eegdecode.training.settings import DeepSettings
from eegdecode.training.states import States
from eegdecode.training.workers import train_in_workers
from eegdecode.trials import Trials

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeepTrainer(DeepSettings):
    """Trains networks, one by one or side by side."""

    @property
    def machine(self) -> str:
        """What the training runs on, for the record."""
        return ", ".join(
            f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda")
            else f"{device} ({torch.get_num_threads()} threads)"
            for device in find_devices(self.device)
        )    # fmt: skip

    @property
    def chosen_by(self) -> str:
        """What chose the epoch of the weights, for the record."""
        return "patience" if self.select == "last" and self.patience is not None else self.select

    def check(
        self, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: FrontEnd,
        augment: Recombination | Chain | None,
    ) -> None:    # fmt: skip
        """Refuse what a network, a front end or an augmentation cannot be, before any folder is touched.

        A network is built on a few trials; whether it may start from another one `compare` has said before.
        """
        self._check_mode(model)
        if augment is not None:
            augment.check(trials)
        check_epochs(self, [len(run.split.train) for run in runs])
        learning = next((run for run in runs if len(run.split.train)), None)
        if learning is not None:
            task = small_task(self, model, trials, learning, frontend=frontend)
            if isinstance(augment, Chain):
                augment.prepare(trials, electrodes=task.maps[0].electrodes)

    def _check_mode(self, model: partial) -> None:
        if self.ensemble == "vectorise" and not getattr(model.func, "stackable", True):
            raise ValueError("trainer.ensemble=vectorise is not for this network; take trainer.ensemble=loop")

    def compare(self, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: FrontEnd) -> dict[str, str]:
        """Say what runs take from their sources and what is new; refuse sources that do not fit, before any work."""
        return compare_sources(self, model, trials, runs, frontend=frontend)

    def fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: FrontEnd,
        on_epoch: OnEpoch, augment: Recombination | Chain | None = None, states: States | None = None,
        on_warning: Callable[[str], None] | None = None, claim: Claim = list,
    ) -> Iterator[Prediction]:    # fmt: skip
        """Train the runs of all stacks and yield the prediction of each as it is finished.

        In ``loop`` mode runs are trained one by one, on a CPU by several worker processes at a time; several GPUs
        have a process each, which take stacks as they become free. Then runs come in any order, and an
        interruption costs what each process has in work, or where ``states`` are kept the last
        ``trainer.save_every`` seconds of it. ``on_warning`` is told what the preflight finds. Runs are claimed shortly
        before they are trained.
        """
        settings = replace(self, augment=augment, states=states)
        warned = on_warning or (lambda text: None)
        yield from with_arithmetic(settings._fit(model, trials, stacks, frontend, on_epoch, warned, claim), model)

    def _fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], frontend: FrontEnd, on_epoch: OnEpoch,
        on_warning: Callable[[str], None], claim: Claim,
    ) -> Iterator[Prediction]:    # fmt: skip
        settings, devices = self, find_devices(self.device)
        if self.augment is not None:
            self.augment.check(trials)
        self._check_mode(model)
        if not getattr(model.func, "stackable", True):
            settings = replace(settings, ensemble="loop")
        mode = settings.mode
        groups = stacks if mode == "vectorise" else [[run] for stack in stacks for run in stack]
        if not groups:
            return
        learning = next((run for group in groups for run in group if len(run.split.train)), None)
        if learning is not None and (settings.preflight or settings.find_rate):
            warn(settings, model, trials, learning, frontend=frontend, on_warning=on_warning)
        if devices == ["cpu"] and mode == "loop":
            devices *= self.workers if isinstance(self.workers, int) else count_cores()
        devices = devices[: sum(map(len, groups))]
        if len(devices) > 1:
            try:
                yield from train_in_workers(
                    settings, model, trials, groups, frontend=frontend, devices=devices, on_epoch=on_epoch,
                    claim=claim,
                )    # fmt: skip
                return
            except NoWorkersError as reason:
                log.warning("training in this process, on %s alone: %s", devices[0], reason)
        material = Material.of(trials, per_trial=frontend.per_trial, device=devices[0])
        yield from train_here(
            settings, model, material, groups, frontend=frontend, mode=mode, on_epoch=on_epoch, claim=claim
        )
