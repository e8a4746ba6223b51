"""Trials on the device, and the indices that make them batches. Signals never move again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from eegdecode.training.frontend import LinearMap, Moments
from eegdecode.trials import Trials


@dataclass(frozen=True, eq=False)
class Material:
    """What all runs of an experiment share.

    Attributes
    ----------
    x : Tensor, shape (n, C, T)
        The signals, on the device.
    moments : Moments
        What front ends are fitted on.
    trials : Trials
        Labels, table and channels.
    """

    x: Float[Tensor, "trial chan time"]
    moments: Moments
    trials: Trials

    @classmethod
    def of(cls, trials: Trials, *, per_trial: bool, device: str) -> Material:
        """Move the signals to the device and measure them, once for all runs."""
        X = scale_trials(trials.X) if per_trial else trials.X
        # a copy: the source may be a read-only memory map, which torch does not take
        return cls(torch.tensor(np.asarray(X), device=device), Moments.of(X), trials)


class Signals:
    """All trials on the device, seen by each run through its own front end.

    Parameters
    ----------
    x : Tensor, shape (n, C, T)
        On the device; shared by all runs.
    maps : sequence of LinearMap
        The fitted front end of each run.
    """

    def __init__(self, x: Float[Tensor, "trial chan time"], maps: Sequence[LinearMap]) -> None:
        self.x = x
        self.filters = torch.tensor(np.stack([m.filters for m in maps]), device=x.device)    # (R, F, C) or (R, M, F, C)
        self.offset = torch.tensor(np.stack([m.offset for m in maps]), device=x.device)      # (R, F)
        chosen = [m.which for m in maps if m.which is not None]
        self.which = torch.tensor(np.stack(chosen), device=x.device) if chosen else None     # (R, n)

    def __getitem__(self, rows: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch feature time"]:
        x = self.x[rows]                                                                   # (R, B, C, T)
        if self.which is None:
            return self.filters[:, None] @ x + self.offset[:, None, :, None]
        run = torch.arange(len(rows), device=rows.device)[:, None]
        return self.filters[run, self.which[run, rows]] @ x + self.offset[:, None, :, None]


def scale_trials(X: Float32[np.ndarray, "trial chan time"]) -> Float32[np.ndarray, "trial chan time"]:
    """Divide each trial by its own deviation. Learns nothing: a trial sees itself alone."""
    deviation = np.array([np.sqrt(x.var(axis=1, dtype=np.float64).mean()) for x in X], np.float32)
    return np.asarray(X / np.maximum(deviation, 1e-12)[:, None, None], np.float32)


def draw_epoch(
    rows: Sequence[np.ndarray], rngs: Sequence[np.random.Generator], *, batch_size: int
) -> list[Int[np.ndarray, "run batch"]]:    # fmt: skip
    """Shuffle each run's training rows and cut them into batches.

    Batches are as equal as can be: 288 trials at 64 give 58, 58, 58, 57, 57. So no trial is dropped, none
    stands in a tiny last batch, and a set smaller than a batch still trains.
    """
    order = np.stack([rng.permutation(r) for rng, r in zip(rngs, rows, strict=True)])      # (R, n)
    return np.array_split(order, steps_per_epoch(order.shape[1], batch_size), axis=1)


def steps_per_epoch(n_trials: int, batch_size: int) -> int:
    """Number of updates in a pass over ``n_trials``.

    Raises
    ------
    ValueError
        If there are none: training would silently do nothing.
    """
    steps = -(-n_trials // batch_size)
    if steps == 0:
        raise ValueError(f"zero steps an epoch: {n_trials} training trials, trainer.batch_size={batch_size}")
    return steps


def cut(rows: Sequence[np.ndarray], *, batch_size: int) -> Iterator[Int[np.ndarray, "run batch"]]:
    """Cut rows into batches for evaluation; shorter runs are padded by their first row (or 0)."""
    longest = max(len(r) for r in rows)
    padded = np.stack([np.concatenate([r, np.full(longest - len(r), r[0] if len(r) else 0, r.dtype)]) for r in rows])
    for start in range(0, longest, batch_size):
        yield padded[:, start : start + batch_size]
