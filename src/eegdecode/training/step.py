"""One step of a stack: batches, losses, gradients, and the new weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from eegdecode.training.augment import extend
from eegdecode.training.dice import Dice
from eegdecode.training.loss import Mixed, cross_entropy, mix_trials
from eegdecode.training.optim import Adam, Numbers, clip, flatten
from eegdecode.training.replay import Replay
from eegdecode.training.sharpness import worst_nearby
from eegdecode.training.task import Task


class Batch(NamedTuple):
    """What goes through the networks at once: trials (R, B, F, T), what is known of them, and their labels."""

    x: Tensor
    known: Tensor | None
    y: Tensor
    mixed: Mixed | None


def update(
    task: Task, adam: Adam, rows: Tensor, *, share: float | Tensor, donors: Tensor | None = None,
    dice: Dice | None = None, bias: Sequence[float | Tensor] | None = None,
) -> tuple[Tensor, Tensor]:    # fmt: skip
    """One step of every run on its own batch; return their losses and gradient norms, both (R,).

    ``bias`` is what `Adam.count` gave; None: it is asked here.
    """
    settings = task.settings
    if settings.accumulate == 1 and not settings.sam:    # flat, so that it compiles into few graphs
        loss = _loss(task, _assemble(task, rows, donors, dice))
        grad = flatten(task.ensemble.gradients(loss))
    else:
        batches = [_assemble(task, *part, dice) for part in _cut_up(rows, donors, settings.batch_size)]
        loss, grad = _add_up(task, batches)
        if settings.sam:
            grad = worst_nearby(task.ensemble, grad, lambda: _add_up(task, batches)[1], rho=settings.sam)
    grad, norm = clip(grad, settings.clip)
    adam.step(task.ensemble.params, grad, lr=task.lr * share, weight_decay=task.weight_decay, bias=bias)
    return loss.detach(), norm


def replayed(replay: Replay) -> Callable[..., tuple[Tensor, Tensor]]:
    """`update` as a recording plays it: with what alters from step to step as tensors."""

    def step(
        task: Task, adam: Adam, rows: Tensor, *, share: float, donors: Tensor | None = None, dice: Dice | None = None
    ) -> tuple[Tensor, Tensor]:    # fmt: skip
        settings = task.settings
        other = donors is not None or dice is not None or settings.accumulate > 1 or settings.sam
        if other or task.memory.too_small:    # what it computes instead a GPU may not record, see `Task.predict`
            return update(task, adam, rows, share=share, donors=donors, dice=dice)
        replay.belongs_to(task)
        numbers = [torch.full((), number, device=rows.device) for number in (share, *adam.count())]
        loss, norm = replay(
            "step", lambda rows, share, *bias: update(task, adam, rows, share=share, bias=bias), rows, *numbers
        )
        return loss, norm

    return step


@functools.cache
def compiled(backend: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """`update` as ``torch.compile`` makes it: gathering, networks and loss one graph, clipping and Adam another.

    Between them stands ``torch.autograd.grad``, at which the compiler splits by itself. It traces ``vmap``, and
    through it our own autograd Functions (``generate_vmap_rule``); nothing has to be written twice. ``vmap`` fixes
    the sizes, so that a stack is compiled once for each of its two batch sizes, and again when runs leave it; after
    eight sizes torch warns and takes the plain step for others. Dropout is as likely but draws other numbers.
    """
    return torch.compile(update, backend=backend)


def _assemble(task: Task, rows: Tensor, donors: Tensor | None, dice: Dice | None) -> Batch:
    """Gather trials and labels, and change them as the settings say."""
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=task.settings.precision == "bf16"):
        x, known = task.memory[rows]
        if donors is not None:    # then nothing is known: see `Task.build`
            x, rows = extend(x, rows, donors, task.memory)
    y, mixed = task.y[rows], None
    if dice is not None:
        if task.changer is not None:
            x, y = task.changer.change(x, y, dice)
        if task.settings.mixup:
            x, mixed = mix_trials(x, y, task.settings.mixup, dice)
    return Batch(x, known, y, mixed)


def _loss(task: Task, batch: Batch) -> Tensor:
    settings, (x, known, y, mixed) = task.settings, batch
    with torch.autocast(x.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        logits = task.ensemble(x, train=True, memory=known)
    return cross_entropy(logits, y, smoothing=settings.label_smoothing, weights=task.class_weights, mixed=mixed)


def _cut_up(rows: Tensor, donors: Tensor | None, size: int) -> Sequence[tuple[Tensor, Tensor | None]]:
    """Parts of a step, each at most a batch, that go through the networks alone, with what new trials are made of."""
    n_parts = -(-rows.shape[1] // size)
    parts = rows.tensor_split(n_parts, dim=1)
    lent = [None] * n_parts if donors is None else donors.tensor_split(n_parts, dim=1)
    return list(zip(parts, lent, strict=True))


def _add_up(task: Task, batches: Sequence[Batch]) -> tuple[Tensor, Numbers]:
    """Mean loss over all trials of the parts, (R,), and its gradient: each part is forgotten before the next."""
    n_trials = sum(batch.y.shape[1] for batch in batches)
    losses, grads = [], []
    for batch in batches:
        loss, share = _loss(task, batch), batch.y.shape[1] / n_trials
        grads.append(flatten(task.ensemble.gradients(loss)) * share)
        losses.append(loss.detach() * share)
    return torch.stack(losses).sum(0), torch.stack(grads).sum(0)
