"""The training loop: one visible pass over epochs, for one run or a stack of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from eegdecode.runs import WATCHED, OnEpoch, Prediction, Run
from eegdecode.training.adapt import predict_adapted
from eegdecode.training.augment import draw_batches
from eegdecode.training.average import Average
from eegdecode.training.batches import Material, steps_per_epoch
from eegdecode.training.costs import Meter
from eegdecode.training.dice import Dice
from eegdecode.training.flow import gradient_flow
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.heap import keep_freed_memory
from eegdecode.training.keeper import Keeper
from eegdecode.training.optim import Adam, Plateau, schedule
from eegdecode.training.replay import Replay
from eegdecode.training.resume import Saves, Work
from eegdecode.training.settings import DeepSettings
from eegdecode.training.step import compiled, replayed, update
from eegdecode.training.task import Task, seeds_of

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
    epochs = settings.count_epochs(n_train)
    steps = steps_per_epoch(n_train, settings.step_size) if epochs else 0
    looks = settings.steered or settings.watch_test
    every = 1 if looks else max(1, epochs // MEASURED)
    curve = schedule(settings.schedule, steps=epochs * steps, warmup=settings.warmup)
    adam = Adam(betas=settings.betas, decoupled=settings.optimiser == "adamw", decay_norms=settings.decay_norms,
                rates=task.rates)    # fmt: skip
    average = Average(settings.average, decay=settings.ema_decay, share=settings.swa_share)
    plateau = Plateau(len(runs), patience=settings.plateau_patience, factor=settings.plateau_factor)
    rngs = [np.random.default_rng(seeds_of(run)) for run in runs]
    keeper = Keeper(len(runs), select=settings.select, patience=settings.patience)
    saves, replay = Saves(settings, runs), Replay(on=settings.replays(device.type))
    sessions = material.trials.meta.groupby(["subject", "session"], sort=False).ngroup().to_numpy()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(seeds_of(runs[0]).generate_state(1)[0]))    # dropout
        task, rngs = saves.resume(Work(task, adam, average, plateau, rngs, keeper))
        for run, rows in zip(runs, keeper.rows, strict=True):    # empty for a training that begins
            for row in rows:
                on_epoch(run, row)
        for epoch in range(saves.epoch + 1, epochs + 1):
            saves.offer(epoch - 1, Work(task, adam, average, plateau, rngs, keeper))
            shares = curve[(epoch - 1) * steps : epoch * steps]
            trained = train_epoch(task, adam, rngs, shares, average=average, replay=replay)
            average.epoch(epoch, epochs, task.ensemble.state)
            if epoch % every and epoch < epochs:
                continue
            shown = task.with_weights(average.mean)
            history = _measure(shown, *trained, sessions=sessions, replay=replay if shown is task else None)
            history |= gradient_flow(adam, task)
            history |= {"epoch": np.full(len(task.runs), epoch), "lr": task.lr.cpu().numpy() * shares[-1]}
            before = keeper.active
            for run, row in keeper.note(epoch, history, state=shown.ensemble.state):
                on_epoch(runs[run], row)
            if settings.schedule == "plateau":
                task = task.slowed(plateau.note(history))
            if keeper.finished:
                break
            stay = np.flatnonzero(np.isin(before, keeper.active))
            if len(stay) < len(before):    # runs that have stopped leave: the epochs after cost less
                task, rngs = task.take(stay), [rngs[i] for i in stay]
                adam.take(torch.as_tensor(stay, device=device))
                average.take(torch.as_tensor(stay, device=device))
                plateau.take(stay)
    whole.ensemble.load(keeper.best(task.with_weights(average.mean).ensemble.state))
    measured = meter.read(n_runs=len(runs), before=saves.spent)
    return list(_predictions(whole, keeper, measured, sessions))


def train_epoch(
    task: Task, adam: Adam, rngs: Sequence[np.random.Generator], shares: np.ndarray, *, average: Average | None = None,
    replay: Replay | None = None,
) -> tuple[Tensor, Tensor]:    # fmt: skip
    """One pass over each run's training trials; return mean losses and gradient norms, both (R,)."""
    settings, train = task.settings, [run.split.train for run in task.runs]
    step = compiled(BACKEND) if settings.compile else replayed(replay) if replay and replay.on else update
    batches = draw_batches(train, task.y, settings.recombination, rngs, batch_size=settings.step_size)
    dice = Dice(rngs, str(task.y.device)) if settings.throws else None
    losses, norms = [], []
    for (rows, donors), share in zip(batches, shares, strict=True):
        loss, norm = step(task, adam, rows, share=float(share), donors=donors, dice=dice)
        losses, norms = [*losses, loss * rows.shape[1] / len(train[0])], [*norms, norm]
        if average is not None:
            average.step(task.ensemble.state)
    return torch.stack(losses).sum(0), torch.stack(norms).mean(0)


def _measure(
    task: Task, running: Tensor, norm: Tensor, *, sessions: np.ndarray, replay: Replay | None
) -> dict[str, np.ndarray]:    # fmt: skip
    """Losses and accuracies after an epoch, in evaluation mode: name -> (R,)."""
    y = task.y.cpu().numpy()
    row = {"running_loss": running.cpu().numpy(), "grad_norm": norm.cpu().numpy()}
    for part, step in (("train", max(1, len(task.runs[0].split.train) // EVAL_TRIALS)), ("val", 1)):
        rows = [getattr(run.split, part)[::step] for run in task.runs]
        predicted = task.predict(rows, trained=part == "train", replay=replay)
        scores = [_loss_and_accuracy(logits, y[r]) for logits, r in zip(predicted, rows, strict=True)]
        row[f"{part}_loss"], row[f"{part}_accuracy"] = np.array(scores).T
    if task.settings.watch_test:    # noted, and used by nothing here
        pairs = zip(_answers(task, sessions, replay=replay), task.runs, strict=True)
        row[WATCHED] = np.array([_loss_and_accuracy(logits, y[run.split.test])[1] for logits, run in pairs])
    return row


def _answers(task: Task, sessions: np.ndarray, *, replay: Replay | None = None) -> list[np.ndarray]:
    """Logits of each run for its test trials, as they are scored."""
    rows = [run.split.test for run in task.runs]
    return predict_adapted(task, rows, sessions) if task.settings.adapt_norms else task.predict(rows, replay=replay)


def _loss_and_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if len(y) == 0:
        return np.nan, np.nan
    loss = F.cross_entropy(torch.as_tensor(logits), torch.as_tensor(y)).item()
    return loss, float((logits.argmax(1) == y).mean())


def _predictions(
    task: Task, keeper: Keeper, measured: Mapping[str, Any], sessions: np.ndarray
) -> Iterator[Prediction]:    # fmt: skip
    """Make the result of each run out of the kept weights."""
    logits = {"val": task.predict([run.split.val for run in task.runs]), "test": _answers(task, sessions)}
    state = task.ensemble.state()
    n_params = sum(p[0].numel() for p in task.ensemble.params.values())
    for i, run in enumerate(task.runs):
        weights = {name: t[i].cpu().numpy() for name, t in state.items()} | task.maps[i].weights()
        failed = keeper.failures.get(i)
        yield Prediction(
            run=run,
            logits={part: np.full_like(each[i], np.nan) if failed else each[i] for part, each in logits.items()},
            history=pd.DataFrame(keeper.rows[i]), best_epoch=keeper.epochs[i], n_params=n_params,
            model={**task.model, "groups": list(task.maps[i].groups)}, weights=weights, status=failed or "done",
            **measured,
        )    # fmt: skip
