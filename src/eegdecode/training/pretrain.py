"""Pretraining on unlabelled trials: batches, front end, Adam and schedule of the training, the signal as target."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eegdecode.identity import describe
from eegdecode.pretrained import Pretrained
from eegdecode.runs import OnEpoch, Run
from eegdecode.training.augment import draw_batches
from eegdecode.training.average import Average
from eegdecode.training.batches import Material, cut, steps_per_epoch
from eegdecode.training.devices import find_devices
from eegdecode.training.dice import Dice
from eegdecode.training.frontend import CSP, FrontEnd
from eegdecode.training.heap import keep_freed_memory
from eegdecode.training.keeper import Keeper
from eegdecode.training.optim import Adam, Plateau, clip, flatten, schedule
from eegdecode.training.resume import Saves, Work
from eegdecode.training.room import UNMEASURED, train_as_fits
from eegdecode.training.settings import DeepSettings
from eegdecode.training.states import States
from eegdecode.training.task import Task, seeds_of
from eegdecode.trials import Trials

KINDS = ("loss", "mean", "repeat")    # errors of the network, of the mean and of repeating, see `models.pieces.errors`
MEASURED, EVAL_TRIALS, SHOWN = 100, 512, 4    # epochs and trials that are measured, pieces that are shown
FLAT = 1e-3    # deviation of a number below which it is taken to be constant


@dataclass(frozen=True)
class Pretrainer:
    """How encoders are pretrained; each name means what it means in `DeepSettings`.

    Test trials and labels have no part in it: every label is replaced by 0 first, and a front end that needs labels is
    refused (`check`). Runs are trained in this process, on the first of the devices.
    """

    epochs: int | None = None
    updates: int = 1000
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.05
    clip: float | None = 1.0
    validation: float = 0.1
    device: str | Sequence[str] = field(default="auto", repr=False)
    ensemble: str = field(default="auto", repr=False)
    stack: int | str = field(default="auto", repr=False)
    save_every: float | None = field(default=60.0, repr=False)
    pretrains = True    # what `eegdecode.pretraining` asks of a trainer

    def __post_init__(self) -> None:
        if self.schedule == "plateau":
            raise ValueError("trainer.schedule=plateau is not for pretraining; take cosine, one_cycle or constant")
        _ = self.settings

    @property
    def settings(self) -> DeepSettings:
        """The same settings with the others at rest; checked."""
        return DeepSettings(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def count_epochs(self, n_train: int) -> int:
        """Epochs of a run with so many training trials."""
        return self.settings.count_epochs(n_train)

    def check(self, model: partial, trials: Trials, runs: Sequence[Run], *, frontend: FrontEnd) -> None:
        """Refuse what cannot be pretrained, before any work: two trials go through the network of a run.

        Raises
        ------
        ValueError
            If the front end needs labels, a run has no training trials, or the network or the task does not fit.
        """
        if isinstance(getattr(frontend, "then", frontend), CSP):
            raise ValueError("frontend=csp learns from labels, which pretraining has not; take whiten, zscore or align")
        if not all(len(run.split.train) for run in runs):
            raise ValueError("protocol.trials holds 0, of which nothing can be pretrained: leave 0 out")
        x = torch.tensor(np.asarray(trials.X[:2]))
        sizes = {"n_chans": x.shape[1], "n_times": x.shape[2], "n_classes": len(trials.classes)}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = model(**sizes, sfreq=trials.signal.sfreq).eval()
            network(x, network.plan(torch.rand(len(x), network.n_draws), 0.0))

    def fit(
        self, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *, frontend: FrontEnd,
        on_epoch: OnEpoch, states: States | None = None,
    ) -> Iterator[Pretrained]:    # fmt: skip
        """Pretrain the runs of all stacks, and yield each as it is finished.

        Parameters
        ----------
        model : partial
            `MaskedAutoencoder` or `Forecaster` with its ``network``.
        states : States, optional
            Where the states of runs in work are kept, from which an interrupted pretraining goes on to the bit.
        """
        settings, device = replace(self.settings, states=states), find_devices(self.device)[0]
        blind = replace(trials, meta=trials.meta.assign(label=0))
        material = Material.of(blind, per_trial=frontend.per_trial, device=device)
        size = settings.stack if isinstance(settings.stack, int) else UNMEASURED
        groups = stacks if settings.mode == "vectorise" else [[run] for stack in stacks for run in stack]

        def train(runs: Sequence[Run]) -> list[Any]:
            task = Task.build(settings, model, material, runs, frontend=frontend, mode=settings.mode)
            return pretrain_stack(task, _build(model, task), on_epoch)

        finished: Iterator[Any] = train_as_fits(train, groups, size=size)
        network = describe(model.keywords["network"])
        yield from (replace(done, model={**done.model, "network": network}) for done in finished)


def pretrain_stack(task: Task, probe: Any, on_epoch: OnEpoch) -> list[Pretrained]:
    """Pretrain runs with equally many training trials side by side.

    ``probe`` is a network like theirs, for what needs no weights: the plan of each batch, and what is to be told.
    """
    settings, runs, device, start = task.settings, task.runs, task.y.device, time.perf_counter()
    if device.type == "cpu":
        keep_freed_memory()
    train = [run.split.train for run in runs]
    steps, epochs = steps_per_epoch(len(train[0]), settings.step_size), settings.count_epochs(len(train[0]))
    curve = schedule(settings.schedule, steps=epochs * steps, warmup=settings.warmup)
    adam, every = Adam(betas=settings.betas), max(1, epochs // MEASURED)
    rngs = [np.random.default_rng(seeds_of(run)) for run in runs]
    _measure_targets(task, probe)
    saves, keeper = Saves(settings, runs), Keeper(len(runs), select="last", patience=None)
    work = Work(task, adam, Average(), Plateau(len(runs), patience=0, factor=1.0), rngs, keeper)    # two of them rest
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(seeds_of(runs[0]).generate_state(1)[0]))    # dropout
        saves.resume(work)
        for run, rows in zip(runs, keeper.rows, strict=True):    # empty for a pretraining that begins
            for row in rows:
                on_epoch(run, row)
        for epoch in range(saves.epoch + 1, epochs + 1):
            saves.offer(epoch - 1, work)
            shares = curve[(epoch - 1) * steps : epoch * steps]
            running = _train_epoch(task, probe, adam, rngs, shares, progress=(epoch - 1) / max(1, epochs - 1))
            lost = not torch.isfinite(running).any()    # of all runs: no epoch brings one back
            if epoch % every and epoch < epochs and not lost:
                continue
            for i, row in enumerate(_measure(task, probe)):
                now = {"epoch": epoch, "steps": adam.steps, "lr": float(task.lr[i]) * shares[-1]}
                keeper.rows[i].append({**now, "running_loss": float(running[i]), **row})
                on_epoch(runs[i], keeper.rows[i][-1])
            if lost:
                break
    seconds = (saves.spent + time.perf_counter() - start) / len(runs)
    curves = [pd.DataFrame(rows).astype({"epoch": int, "steps": int}) for rows in keeper.rows]
    return [_result(task, probe, adam, i, each, seconds) for i, each in enumerate(curves)]


def _build(model: partial, task: Task) -> Any:
    with torch.random.fork_rng(devices=[]):
        return model(**task.model["sizes"]).to(task.y.device).eval()


@torch.no_grad()
def _measure_targets(task: Task, probe: Any) -> None:
    """Put what each run has to tell on mean 0 and deviation 1 over its own training trials."""
    n, total, square = 0, 0.0, 0.0
    for batch in cut([run.split.train for run in task.runs], batch_size=256):
        x, _ = task.memory[torch.as_tensor(batch, device=task.y.device)]
        raw = probe.pieces.raw(x.flatten(0, 1)).unflatten(0, x.shape[:2]).flatten(1, 2).double()    # (R, B S, features)
        n, total, square = n + raw.shape[1], total + raw.sum(1), square + raw.square().sum(1)
    mean, buffers = torch.as_tensor(total / n), task.ensemble.buffers
    buffers["pieces.mean"].copy_(mean)
    buffers["pieces.deviation"].copy_((torch.as_tensor(square / n) - mean.square()).clamp(min=FLAT**2).sqrt())


def _train_epoch(
    task: Task, probe: Any, adam: Adam, rngs: Sequence[np.random.Generator], shares: np.ndarray, *, progress: float
) -> Tensor:    # fmt: skip
    """One pass over each run's training trials; return mean losses, (R,)."""
    settings, train = task.settings, [run.split.train for run in task.runs]
    batches = draw_batches(train, task.y, None, rngs, batch_size=settings.step_size)
    dice, losses = Dice(rngs, str(task.y.device)), []
    for (rows, _), share in zip(batches, shares, strict=True):
        plan = probe.plan(dice.uniform(rows.shape[1], probe.n_draws), progress)
        loss = task.ensemble(task.memory[rows][0], train=True, memory=plan)[..., 0].mean(1)
        grad, _ = clip(flatten(task.ensemble.gradients(loss)), settings.clip)
        adam.step(task.ensemble.params, grad, lr=task.lr * float(share), weight_decay=task.weight_decay)
        losses.append(loss.detach() * rows.shape[1] / len(train[0]))
    return torch.stack(losses).sum(0)


@torch.no_grad()
def _measure(task: Task, probe: Any) -> list[dict[str, float]]:
    """Errors of each run on training and validation trials, in evaluation mode, with the same plan in every epoch."""
    found: list[dict[str, float]] = [{} for _ in task.runs]
    step = max(1, len(task.runs[0].split.train) // EVAL_TRIALS)
    for part, rows in (
        ("train", [run.split.train[::step] for run in task.runs]), ("val", [run.split.val for run in task.runs])
    ):    # fmt: skip
        draws, errors = _fixed_draws(probe, max(map(len, rows)), task.y.device), []
        for number, batch in enumerate(cut(rows, batch_size=256)):
            x = task.signals[torch.as_tensor(batch, device=task.y.device)]
            plan = probe.plan(draws[256 * number : 256 * number + batch.shape[1]], 0.0)
            errors.append(task.ensemble(x, train=False, memory=plan.expand(len(x), -1, -1)))
        for i, own in enumerate(rows):
            mean = torch.cat(errors, dim=1)[i, : len(own)].mean(0).tolist() if len(own) else [np.nan] * len(KINDS)
            found[i] |= {f"{part}_{kind}": value for kind, value in zip(KINDS, mean, strict=True)}
    return found


def _fixed_draws(probe: Any, n: int, device: torch.device) -> Tensor:
    return torch.rand(n, probe.n_draws, generator=torch.Generator().manual_seed(0)).to(device)


def _result(task: Task, probe: Any, adam: Adam, i: int, history: pd.DataFrame, seconds: float) -> Pretrained:
    """Make the result of a run out of its last weights."""
    state = {name: t[i] for name, t in task.ensemble.state().items()}
    probe.load_state_dict(state)
    assert adam.second is not None
    moments = adam.second[i].split([p[0].numel() for p in task.ensemble.params.values()])
    idle = {name for name, each in zip(task.ensemble.params, moments, strict=True) if not each.any()}
    kept = {name: t for name, t in state.items() if name not in idle and not name.endswith(".rate")}
    weights = {name.removeprefix("network."): t.cpu().numpy() for name, t in kept.items()}
    failed = not np.isfinite(history["running_loss"].iloc[-1])
    return Pretrained(
        run=task.runs[i], weights=weights | task.maps[i].weights(), history=history, model=task.model,
        examples=_examples(task.take(np.array([i])), probe), seconds=seconds,
        n_params=sum(t.numel() for name, t in kept.items() if name in task.ensemble.params),
        status=f"failed: the loss is {history['running_loss'].iloc[-1]}; lower trainer.lr" if failed else "done",
    )    # fmt: skip


@torch.no_grad()
def _examples(task: Task, probe: Any) -> dict[str, np.ndarray]:
    """One hidden piece of each of some trials, of validation trials where there are any."""
    split = task.runs[0].split
    rows = (split.val if len(split.val) else split.train)[:SHOWN]
    x = task.signals[torch.as_tensor(rows[None], device=task.y.device)][0]
    shown = probe.reconstruct(x, probe.plan(_fixed_draws(probe, len(x), x.device), 0.0))
    trial, piece = torch.arange(len(x), device=x.device), shown.counted.int().argmax(1)
    shape = probe.pieces.shape
    truth, told = (each[trial, piece].unflatten(1, shape).cpu().numpy() for each in (shown.truth, shown.told))
    pieces, sfreq = probe.pieces, task.model["sizes"]["sfreq"]
    axis = pieces.frequencies if pieces.target == "power" else np.arange(pieces.size) / sfreq
    return {"truth": truth, "told": told, "axis": np.asarray(axis)}
