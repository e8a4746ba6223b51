"""Trials on the device, and the indices that make them batches. Signals never move again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eegdecode.training.frontend import LinearMap, Moments
from eegdecode.trials import Trials

MOST = 2**29    # bytes that the memory of a run may take


@dataclass(frozen=True, eq=False)
class Material:
    """What all runs of an experiment share.

    Attributes
    ----------
    x : Tensor, shape (n, C, T)
        The signals, on the device.
    scales : Tensor, shape (n,), or None
        What each trial is multiplied by before its front end. None: 1.
    moments : Moments
        Of the scaled trials: what front ends are fitted on.
    trials : Trials
        Labels, table and channels.
    """

    x: Float[Tensor, "trial chan time"]
    scales: Float[Tensor, " trial"] | None
    moments: Moments
    trials: Trials

    @classmethod
    def of(cls, trials: Trials, *, per_trial: bool, device: str, moments: Moments | None = None) -> Material:
        """Move the signals to the device (a CPU has them already) and measure them, once for all runs."""
        X = trials.X if trials.X.flags.writeable else np.array(trials.X)    # torch takes no read-only memory map
        x, moments = torch.from_numpy(X).to(device), moments or Moments.of(X)
        if not per_trial:
            return cls(x, None, moments, trials)
        scales = moments.scales()
        return cls(x, torch.tensor(scales, dtype=torch.float32, device=device), moments.scaled(scales), trials)


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
        self.shifted = any(m.offset.any() for m in maps)
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
        z = filters @ x
        return z + self.offset[:, None, :, None] if self.shifted else z


class Memory:
    """What networks compute of training trials without any parameter: once a training, not once an epoch.

    Parameters
    ----------
    ask : callable
        Trials (B, C, T) -> (B, ...); see ``remember`` of `eegdecode.models.eegnet.EEGNet`.
    rows : sequence of ndarray
        The training trials of each run.
    """

    def __init__(
        self, ask: Callable[[Tensor], Tensor], signals: Signals, rows: Sequence[np.ndarray], *, batch_size: int = 64
    ) -> None:    # fmt: skip
        n_runs, n_trials, device = len(rows), len(signals.x), signals.x.device
        self._slots = torch.zeros(n_runs, n_trials, dtype=torch.long, device=device)
        kept = []
        for start in range(0, len(rows[0]), batch_size):
            chosen = torch.as_tensor(np.stack([r[start : start + batch_size] for r in rows]), device=device)
            kept.append(torch.stack([ask(x) for x in signals[chosen]]))
            places = torch.arange(start, start + chosen.shape[1], device=device)
            self._slots.scatter_(1, chosen, places.expand_as(chosen))
        self._kept = torch.cat(kept, dim=1)                                                # (R, n_train, ...)

    def __getitem__(self, rows: Int[Tensor, "run batch"]) -> Tensor:
        """Return it for a batch of each run: (R, B, ...)."""
        run = torch.arange(len(rows), device=rows.device)[:, None]
        return self._kept[run, self._slots.gather(1, rows)]

    def take(self, runs: Int[Tensor, " place"]) -> Memory:
        """Return that of some runs."""
        part = copy.copy(self)
        part._slots, part._kept = self._slots[runs], self._kept[runs]
        return part

    @classmethod
    def of(cls, ask: Callable[[Tensor], Tensor | None], signals: Signals, rows: Sequence[np.ndarray]) -> Memory | None:
        """Return a memory; None if the network asks for none, or for more than ``MOST`` bytes a run."""
        example = ask(signals[torch.zeros(len(rows), 1, dtype=torch.long, device=signals.x.device)][0])
        if example is None or example.nbytes * len(rows[0]) > MOST:
            return None
        return cls(ask, signals, rows)    # pyright: ignore[reportArgumentType]  (it does not give None)


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
