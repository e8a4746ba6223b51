"""The training loop: one visible pass over epochs, for one run or a stack of them."""

from __future__ import annotations

import functools
import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from eegdecode.runs import WATCHED, Prediction, Run, describe
from eegdecode.training.align import fit_frontend
from eegdecode.training.augment import draw_batches, extend
from eegdecode.training.batches import Material, Memory, Signals, cut, steps_per_epoch
from eegdecode.training.costs import Meter
from eegdecode.training.ensemble import Ensemble
from eegdecode.training.flow import gradient_flow
from eegdecode.training.frontend import FrontEnd, LinearMap
from eegdecode.training.heap import keep_freed_memory
from eegdecode.training.keeper import Keeper
from eegdecode.training.optim import Adam, clip, flatten, schedule
from eegdecode.training.settings import DeepSettings

OnEpoch = Callable[[Run, Mapping[str, float]], None]
BACKEND = "inductor"    # torch's own: C++ for a CPU, Triton for a GPU
MEASURED = 100    # of many epochs so many or up to twice as many are measured: one of 32 trials costs little more
EVAL_TRIALS = 512    # training trials on which the training loss is measured: a standard error of 2 % at most


def train_stack(
    settings: DeepSettings, model: partial, material: Material, runs: Sequence[Run], *,
    frontend: FrontEnd, mode: str, on_epoch: OnEpoch,
) -> list[Prediction]:    # fmt: skip
    """Train runs with equally many training trials side by side."""
    device, meter = material.x.device, Meter(str(material.x.device))
    if device.type == "cpu":
        keep_freed_memory()
    task = whole = Task.build(settings, model, material, runs, frontend=frontend, mode=mode)
    n_train = len(runs[0].split.train)
    steps, epochs = steps_per_epoch(n_train, settings.batch_size), settings.count_epochs(n_train)
    every = 1 if settings.chooses or settings.watch_test else max(1, epochs // MEASURED)
    curve = schedule(settings.schedule, steps=epochs * steps, warmup=settings.warmup)
    adam = Adam(betas=settings.betas, decoupled=settings.optimiser == "adamw")
    rngs = [np.random.default_rng(_seeds(run)) for run in runs]
    keeper = Keeper(len(runs), select=settings.select, patience=settings.patience)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(_seeds(runs[0]).generate_state(1)[0]))    # dropout
        for epoch in range(1, epochs + 1):
            shares = curve[(epoch - 1) * steps : epoch * steps]
            trained = train_epoch(task, adam, rngs, shares)
            if epoch % every and epoch < epochs:
                continue
            history = _measure(task, *trained) | gradient_flow(adam, task)
            history |= {"epoch": np.full(len(task.runs), epoch), "lr": task.lr.cpu().numpy() * shares[-1]}
            before = keeper.active
            for run, row in keeper.note(epoch, history, state=task.ensemble.state):
                on_epoch(runs[run], row)
            if keeper.finished:
                break
            stay = np.flatnonzero(np.isin(before, keeper.active))
            if len(stay) < len(before):    # runs that have stopped leave: the epochs after cost less
                task, rngs = task.take(stay), [rngs[i] for i in stay]
                adam.take(torch.as_tensor(stay, device=device))
    whole.ensemble.load(keeper.best(task.ensemble.state))
    return list(_predictions(whole, keeper, meter.read(n_runs=len(runs))))


def train_epoch(
    task: Task, adam: Adam, rngs: Sequence[np.random.Generator], shares: np.ndarray
) -> tuple[Tensor, Tensor]:    # fmt: skip
    """One pass over each run's training trials; return mean losses and gradient norms, both (R,)."""
    train = [run.split.train for run in task.runs]
    step = compiled(BACKEND) if task.settings.compile else update
    batches = draw_batches(train, task.y, task.settings.augment, rngs, batch_size=task.settings.batch_size)
    losses, norms = [], []
    for (rows, donors), share in zip(batches, shares, strict=True):
        loss, norm = step(task, adam, rows, share=float(share), donors=donors)
        losses, norms = [*losses, loss * rows.shape[1] / len(train[0])], [*norms, norm]
    return torch.stack(losses).sum(0), torch.stack(norms).mean(0)


def update(
    task: Task, adam: Adam, rows: Tensor, *, share: float, donors: Tensor | None = None
) -> tuple[Tensor, Tensor]:    # fmt: skip
    """One step of every run on its own batch; return their losses and gradient norms, both (R,)."""
    settings = task.settings
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        x, known = task.memory[rows]
        if donors is not None:    # then nothing is known: see `Task.build`
            x, rows = extend(x, rows, donors, task.memory)
        logits = task.ensemble(x, train=True, memory=known)
    loss = cross_entropy(logits, task.y[rows], smoothing=settings.label_smoothing)
    grad, norm = clip(flatten(task.ensemble.gradients(loss)), settings.clip)
    adam.step(task.ensemble.params, grad, lr=task.lr * share, weight_decay=task.weight_decay)
    return loss.detach(), norm


@functools.cache
def compiled(backend: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """`update` as ``torch.compile`` makes it: gathering, networks and loss one graph, clipping and Adam another.

    Between them stands ``torch.autograd.grad``, at which the compiler splits by itself. It traces ``vmap``, and
    through it our own autograd Functions (``generate_vmap_rule``); nothing has to be written twice. ``vmap`` fixes
    the sizes, so that a stack is compiled once for each of its two batch sizes, and again when runs leave it; after
    eight sizes torch warns and takes the plain step for others. Dropout is as likely but draws other numbers.
    """
    return torch.compile(update, backend=backend)


def cross_entropy(
    logits: Float[Tensor, "run batch class"], y: Tensor, *, smoothing: float = 0.0
) -> Float[Tensor, " run"]:    # fmt: skip
    """Mean loss of each run, in nats; ln K for a network that knows nothing."""
    each = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none", label_smoothing=smoothing)
    return each.reshape(y.shape).mean(1)


@dataclass(frozen=True, eq=False)
class Task:
    """A stack on its device: networks, signals, labels, and each run's rate and decay."""

    settings: DeepSettings
    runs: Sequence[Run]
    ensemble: Ensemble
    signals: Signals
    maps: Sequence[LinearMap]
    y: Tensor
    memory: Memory
    lr: Tensor
    weight_decay: Tensor
    model: dict[str, Any]

    @classmethod
    def build(
        cls, settings: DeepSettings, model: partial, material: Material, runs: Sequence[Run], *,
        frontend: FrontEnd, mode: str,
    ) -> Task:    # fmt: skip
        """Fit each run's front end on its training trials and start its network from its seed."""
        trials, device = material.trials, material.x.device
        maps = [fit_frontend(frontend, material.moments, trials.y, trials.meta, run.split) for run in runs]
        signals = Signals(material.x, maps, material.scales)
        sizes = {
            "n_chans": maps[0].filters.shape[-2], "n_times": material.x.shape[2],
            "n_classes": len(trials.classes), "sfreq": trials.signal.sfreq,
        }    # fmt: skip
        if "positions" in inspect.signature(model.func).parameters:
            places = trials.signal.positions
            sizes["positions"] = places.tolist() if maps[0].electrodes and not np.isnan(places).all() else None
        numbers = {name: [run.numbers.get(name, getattr(settings, name)) for run in runs]
                   for name in ("lr", "weight_decay")}    # fmt: skip
        ensemble = Ensemble([_start(model, run, sizes) for run in runs], mode=mode, device=str(device))
        ask = ensemble.remember if settings.augment is None else _forget
        return cls(
            settings=settings, runs=runs, signals=signals, maps=maps, ensemble=ensemble,
            memory=Memory(signals, [run.split.train for run in runs], ask),
            y=torch.tensor(trials.y, device=device),
            model={
                "network": describe(model), "sizes": sizes, "frontend": describe(frontend),
                "ch_names": list(trials.signal.ch_names), "tmin": trials.signal.tmin, "classes": list(trials.classes),
            },
            **{name: torch.tensor(values, dtype=torch.float32, device=device) for name, values in numbers.items()},
        )    # fmt: skip

    def take(self, places: Int[np.ndarray, " place"]) -> Task:
        """Return the stack with some of its runs alone."""
        maps, index = [self.maps[i] for i in places], torch.as_tensor(places, device=self.y.device)
        signals = Signals(self.signals.x, maps, self.signals.scales)
        return replace(
            self, runs=[self.runs[i] for i in places], maps=maps, signals=signals,
            memory=self.memory.take(index, signals),
            ensemble=self.ensemble.take(index), lr=self.lr[index], weight_decay=self.weight_decay[index],
        )    # fmt: skip

    @torch.no_grad()
    def predict(self, rows: Sequence[np.ndarray], *, trained: bool = False) -> list[np.ndarray]:
        """Logits of each run for its own rows, in evaluation mode: (n, K) a run; of training trials from memory."""
        parts = []
        for batch in cut(rows, batch_size=256):
            chosen = torch.as_tensor(batch, device=self.y.device)
            x, known = self.memory[chosen] if trained else (self.signals[chosen], None)
            parts.append(self.ensemble(x, train=False, memory=known).float().cpu())
        n_classes = self.model["sizes"]["n_classes"]
        logits = torch.cat(parts, dim=1).numpy() if parts else np.zeros((len(rows), 0, n_classes), np.float32)
        return [each[: len(r)] for each, r in zip(logits, rows, strict=True)]


def _forget(x: Tensor) -> None:
    """What is known of trials in an epoch of which no two batches are alike: nothing."""


def _seeds(run: Run) -> np.random.SeedSequence:
    """Randomness of a run: its seed and its split, never its neighbours."""
    split = f"{run.split.subject} {run.split.session} {run.split.fold}"
    return np.random.SeedSequence([run.seed, zlib.crc32(split.encode())])


def _start(model: partial, run: Run, sizes: Mapping[str, Any]) -> torch.nn.Module:
    """Build the network of a run from the run's own seed."""
    drop = {"drop": run.numbers["drop"]} if "drop" in run.numbers else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(_seeds(run).generate_state(2)[1]))
        return model(**sizes, **drop)


def _measure(task: Task, running: Tensor, norm: Tensor) -> dict[str, np.ndarray]:
    """Losses and accuracies after an epoch, in evaluation mode: name -> (R,)."""
    y = task.y.cpu().numpy()
    row = {"running_loss": running.cpu().numpy(), "grad_norm": norm.cpu().numpy()}
    for part, step in (("train", max(1, len(task.runs[0].split.train) // EVAL_TRIALS)), ("val", 1)):
        rows = [getattr(run.split, part)[::step] for run in task.runs]
        predicted = task.predict(rows, trained=part == "train")
        scores = [_loss_and_accuracy(logits, y[r]) for logits, r in zip(predicted, rows, strict=True)]
        row[f"{part}_loss"], row[f"{part}_accuracy"] = np.array(scores).T
    if task.settings.watch_test:    # noted, and used by nothing here
        rows = [run.split.test for run in task.runs]
        pairs = zip(task.predict(rows), rows, strict=True)
        row[WATCHED] = np.array([_loss_and_accuracy(logits, y[r])[1] for logits, r in pairs])
    return row


def _loss_and_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if len(y) == 0:
        return np.nan, np.nan
    loss = F.cross_entropy(torch.as_tensor(logits), torch.as_tensor(y)).item()
    return loss, float((logits.argmax(1) == y).mean())


def _predictions(task: Task, keeper: Keeper, measured: Mapping[str, Any]) -> Iterator[Prediction]:
    """Make the result of each run out of the kept weights."""
    logits = {part: task.predict([getattr(run.split, part) for run in task.runs]) for part in ("val", "test")}
    state = task.ensemble.state()
    n_params = sum(p[0].numel() for p in task.ensemble.params.values())
    for i, run in enumerate(task.runs):
        weights = {name: t[i].cpu().numpy() for name, t in state.items()} | task.maps[i].weights()
        failed = keeper.failures.get(i)
        yield Prediction(
            run=run,
            logits={part: np.full_like(each[i], np.nan) if failed else each[i] for part, each in logits.items()},
            history=pd.DataFrame(keeper.rows[i]), best_epoch=keeper.epochs[i], n_params=n_params,
            **measured, weights=weights, model=task.model, status=failed or "done",
        )    # fmt: skip
