"""How many runs are trained side by side: as many as the device holds."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from eegdecode.runs import Claim, OnEpoch, Prediction, Run
from eegdecode.training.batches import Material
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.loop import train_stack
from eegdecode.training.settings import DeepSettings

UNMEASURED = 32    # runs side by side where no GPU tells of its memory
FEW = 4            # runs whose memory is measured
SHARE = 0.8        # of the free memory that a stack may take: blocks leave gaps, and runs differ a little

Train = Callable[[Sequence[Run]], list[Prediction]]

log = logging.getLogger(__name__)


def train_here(
    settings: DeepSettings, model: partial, material: Material, stacks: Sequence[Sequence[Run]], *,
    frontend: FrontEnd, mode: str, on_epoch: OnEpoch, claim: Claim,
) -> Iterator[Prediction]:    # fmt: skip
    """Train stacks on one device, one after the other, each as large as fits."""

    def train(settings: DeepSettings, *, runs: Sequence[Run], on_epoch: OnEpoch) -> list[Prediction]:
        return train_stack(settings, model, material, runs, frontend=frontend, mode=mode, on_epoch=on_epoch)

    size = stack_size(settings, train, stacks, device=str(material.x.device))
    trained = partial(train, settings, on_epoch=on_epoch)
    yield from train_as_fits(lambda runs: trained(runs=runs), stacks, size=size, claim=claim)


def stack_size(settings: DeepSettings, train: Callable, stacks: Sequence[Sequence[Run]], *, device: str) -> int:
    """Number of runs to train side by side.

    With ``trainer.stack=auto`` on a GPU a few runs are trained for an epoch and thrown away: the most that was
    allocated meanwhile says what a run takes, evaluation and best weights included. The number is a power of two,
    so that the same command on the same card deals the same stacks after an interruption. It is a guess from one
    stack: should another not fit, `train_as_fits` halves it.

    Parameters
    ----------
    train : callable
        ``train(settings, runs=, on_epoch=)``.
    """
    if settings.stack != "auto":
        return int(settings.stack)
    longest = max(map(len, stacks))
    if not device.startswith("cuda") or longest <= FEW:
        return UNMEASURED
    few = max(stacks, key=lambda stack: len(stack[0].split.train))[:FEW]
    brief = replace(settings, epochs=1, patience=None, compile=False, save_every=None)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        train(brief, runs=few, on_epoch=lambda run, row: None)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return max(1, len(few) // 2)
    each = max(1.0, (torch.cuda.max_memory_allocated(device) - before) / len(few))
    torch.cuda.empty_cache()    # what the few held is free for all
    fits = int(SHARE * torch.cuda.mem_get_info(device)[0] / each)
    size = 1 << max(0, fits.bit_length() - 1)
    log.info("%d runs side by side: one takes %.0f MB of %s", min(size, longest), each / 1e6, device)
    return size


def train_as_fits(
    train: Train, stacks: Sequence[Sequence[Run]], *, size: int, claim: Claim = list
) -> Iterator[Prediction]:    # fmt: skip
    """Train ``size`` runs at a time, of those that can be claimed.

    A stack that the memory does not hold is halved, and so are those after it.
    """
    todo = deque(stacks)
    while todo:
        stack = todo.popleft()
        stack, rest = stack[:size], stack[size:]
        if rest:
            todo.appendleft(rest)
        if not (stack := claim(stack)):
            continue
        try:
            predictions = train(stack)
        except RuntimeError as error:    # torch.OutOfMemoryError is one
            if not _is_out_of_memory(error):
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


def deal(stacks: Sequence[Sequence[Run]], *, size: int, n_devices: int) -> list[Sequence[Run]]:
    """Cut stacks into parts of at most ``size`` runs, and so that every device gets one of each stack if it can."""
    parts = []
    for stack in stacks:
        step = min(size, -(-len(stack) // n_devices))
        parts += [stack[i : i + step] for i in range(0, len(stack), step)]
    return parts


def _is_out_of_memory(error: RuntimeError) -> bool:
    return "out of memory" in str(error).lower()
