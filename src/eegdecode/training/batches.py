"""Trials on the device, and the indices that make them batches. Signals never move again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eegdecode.training.frontend import LinearMap


class Signals:
    """All trials on the device, seen by each run through its own front end.

    Parameters
    ----------
    x : Tensor, shape (n, C, T)
        On the device; shared by all runs.
    maps : sequence of LinearMap
        The fitted front end of each run.
    scales : Tensor, shape (n,), or None
        What each trial is multiplied by before its front end. None: 1.
    """

    def __init__(
        self, x: Float[Tensor, "trial chan time"], maps: Sequence[LinearMap],
        scales: Float[Tensor, " trial"] | None = None,
    ) -> None:    # fmt: skip
        self.x = x
        self.scales = scales
        self.filters = torch.tensor(np.stack([m.filters for m in maps]), device=x.device)    # (R, F, C) or (R, M, F, C)
        self.offset = torch.tensor(np.stack([m.offset for m in maps]), device=x.device)      # (R, F)
        chosen = [m.which for m in maps if m.which is not None]
        self.which = torch.tensor(np.stack(chosen), device=x.device) if chosen else None     # (R, n)

    def __getitem__(self, rows: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch feature time"]:
        x = self.x[rows]                                                                   # (R, B, C, T)
        if self.which is None:
            filters = self.filters[:, None]                                                # (R, 1, F, C)
        else:
            run = torch.arange(len(rows), device=rows.device)[:, None]
            filters = self.filters[run, self.which[run, rows]]                             # (R, B, F, C)
        if self.scales is not None:    # there is far less of the filters than of the signals
            filters = filters * self.scales[rows][..., None, None]
        return filters @ x + self.offset[:, None, :, None]


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
