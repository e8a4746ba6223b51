"""Preflight: seconds before long work, on a few trials and the CPU, is the network able to learn?

The checks are those of TheDeepChecker (Ben Braiek and Khomh, 2023): first loss near ln K, one batch can be fitted, a
gradient for every weight, output that depends on the input; and the scale of the input. The rate finder is the range
test of Smith (WACV 2017). All work on a network of their own: no random number and no result of the training changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from eegdecode.runs import Run, Split
from eegdecode.training.batches import Material
from eegdecode.training.flow import weight_gradients, without_gradient
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.loop import Task, update
from eegdecode.training.optim import Adam
from eegdecode.training.settings import DeepSettings
from eegdecode.trials import Trials

TRIALS = 64            # training trials that are looked at,
LEAST = 2              # of each class at least, which a front end may need
BATCH = 16             # trials, of which a batch is fitted
STEPS, FEWEST = 30, 10    # on that batch, and the fewest that say whether it can be fitted
SECONDS = 1.0          # after which no further step is begun
FALL = 0.02            # of the loss, at least, over those steps
START = 3.0            # of ln K: a first loss above it wastes the first epochs; that of CTNet is 2.0
SCALE = (1e-2, 1e3)    # root mean square of a sane input: 1 behind a z-score, about 10 in µV
CONSTANT = 1e-4        # deviation of the logits over trials
RATES = np.logspace(-6, 0, 61)

log = logging.getLogger(__name__)


def warn(
    settings: DeepSettings, model: partial, trials: Trials, run: Run, *, frontend: FrontEnd,
    on_warning: Callable[[str], None],
) -> None:    # fmt: skip
    """Do what ``trainer.preflight`` and ``trainer.find_rate`` ask for, log what is found and hand on each warning."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)    # dropout
            if settings.preflight:
                for warning in preflight(small_task(settings, model, trials, run, frontend=frontend)):
                    log.warning("preflight: %s", warning)
                    on_warning(warning)
            if settings.find_rate:
                log.info("%s", find_rate(small_task(settings, model, trials, run, frontend=frontend)))
    except (ValueError, RuntimeError) as error:    # the training meets it too, and says it with what belongs to it
        log.debug("preflight was not possible: %s", error)


def small_task(settings: DeepSettings, model: partial, trials: Trials, run: Run, *, frontend: FrontEnd) -> Task:
    """The run on a few of its training trials, some of each class, its front end fitted on these."""
    train, test = run.split.train, run.split.test
    classes = [train[trials.y[train] == k] for k in np.unique(trials.y[train])]
    each = [_spread(own, max(LEAST, TRIALS * len(own) // len(train))) for own in classes]
    chosen = [np.concatenate([*each, train[:0]]), _spread(test, 2)]
    rows = np.sort(np.concatenate(chosen))    # the order of recording
    few = replace(trials, X=np.array(trials.X[rows]), meta=trials.meta.iloc[rows].reset_index(drop=True))
    train, test = (np.searchsorted(rows, np.sort(part)) for part in chosen)
    own = {each.name: getattr(run.split, each.name) for each in fields(Split)}    # also of an inner split
    split = Split(**{**own, "train": train, "val": train[:0], "test": test})
    plain = replace(
        settings, device="cpu", precision="float32", ensemble="loop", compile=False, augment=None, workers=None
    )
    material = Material.of(few, per_trial=frontend.per_trial, device="cpu")
    return Task.build(plain, model, material, [replace(run, split=split)], frontend=frontend, mode="loop")


def _spread(rows: np.ndarray, n: int) -> np.ndarray:
    """So many rows, evenly from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), n)).astype(int)]


def preflight(task: Task) -> Iterator[str]:
    """Try the network on one batch; yield what is wrong, in words, with the remedy."""
    rng, train = np.random.default_rng(0), task.runs[0].split.train
    batch = torch.tensor(rng.permutation(train)[:BATCH])[None]                             # (1, B)
    yield from _scale(task.signals[batch])
    n_classes = task.model["sizes"]["n_classes"]
    adam, losses = _adam(task), []
    began = time.perf_counter()
    for _ in range(STEPS):
        losses.append(float(update(task, adam, batch, share=1.0)[0]))
        if time.perf_counter() - began > SECONDS:
            break
    yield from _losses(losses, n_classes, lr=float(task.lr))
    yield from _gradients(task, adam)
    logits = task.predict([batch[0].numpy()])[0]
    if np.ptp(logits, axis=0).max() < CONSTANT:
        yield "the output does not depend on the input: look at the scale of the signals, try frontend=zscore"


def _scale(x: Tensor) -> Iterator[str]:
    size = float(x.square().mean().sqrt())
    if not SCALE[0] <= size <= SCALE[1]:
        yield (
            f"the signals that the network sees have a root mean square of {size:.2g}, expected {SCALE[0]:g} to "
            f"{SCALE[1]:g}: take frontend=zscore, or look at their unit (µV)"
        )
    if len(x[0]) and (flat := (x[0].std(dim=2) == 0).all(dim=0)).any():
        yield f"{int(flat.sum())} of {len(flat)} features are flat in every trial: preprocess.channels leaves them out"


def _losses(losses: list[float], n_classes: int, *, lr: float) -> Iterator[str]:
    base = np.log(n_classes)
    if not np.isfinite(losses).all():
        yield f"the loss is {losses[-1]} after {len(losses)} steps: lower trainer.lr, look at the signals for NaN"
        return
    if losses[0] > START * base:
        yield (
            f"the first loss is {losses[0]:.2f}, far above ln {n_classes} = {base:.2f}: the head starts too sure; "
            "give its weights a smaller start, or a norm before it"
        )
    start, end = np.mean(losses[:3]), np.mean(losses[-3:])
    if len(losses) >= FEWEST and end > (1 - FALL) * start:
        yield (
            f"one batch of {BATCH} trials is not fitted: loss {start:.2f} -> {end:.2f} in {len(losses)} steps at "
            f"trainer.lr={lr:g}; trainer.find_rate=true shows a better rate, and trainer.weight_decay or model.drop "
            "may be too strong"
        )


def _gradients(task: Task, adam: Adam) -> Iterator[str]:
    weights = weight_gradients(adam, task.ensemble.params)
    if not weights:
        return
    dead = without_gradient(torch.stack(list(weights.values()), dim=1))[0]
    names = [name for name, none in zip(weights, dead.tolist(), strict=True) if none]
    if names:
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        yield f"no gradient reaches {shown}: they do nothing; look for a detach, a sum that cancels, an unused layer"


def find_rate(task: Task) -> str:
    """Loss against a rate that rises with each step, as a table, and a rate to begin with.

    The rate is a tenth of that from which the smoothed loss rises for good (Smith, 2017).
    """
    rng, train = np.random.default_rng(0), task.runs[0].split.train
    adam, losses, base = _adam(task), [], np.log(task.model["sizes"]["n_classes"])
    for rate in RATES:
        batch = torch.tensor(rng.permutation(train)[: task.settings.batch_size])[None]
        losses.append(float(update(task, adam, batch, share=float(rate / task.lr))[0]))
        if not losses[-1] < 4 * max(base, losses[0]):    # a head may start too sure, and learn
            break
    smooth = np.convolve(np.pad(losses, 3, "edge"), np.full(7, 1 / 7), "valid")
    best = RATES[int(np.nanargmin(smooth))] / 10
    lines = [f"  {rate:8.1e}  {loss:6.3f}" for rate, loss in zip(RATES[::5], smooth[::5], strict=False)]
    return "\n".join(["loss against trainer.lr:", *lines, f"to begin with: trainer.lr={best:.1g}"])


def _adam(task: Task) -> Adam:
    """Adam without the decay as L2: it would look like a gradient."""
    return Adam(betas=task.settings.betas, decoupled=True, rates=task.rates)
