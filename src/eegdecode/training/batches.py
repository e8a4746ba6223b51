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

MOST = 2**29    # bytes of what is known of a run's trials; the trials may take a quarter of it


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
        self.filters = torch.tensor(_stack([m.filters for m in maps]), device=x.device)      # (R, F, C) or (R, M, F, C)
        self.offset = torch.tensor(np.stack([m.offset for m in maps]), device=x.device)      # (R, F)
        self.shifted = any(m.offset.any() for m in maps)
        chosen = [m.which for m in maps if m.which is not None]
        self.which = torch.tensor(np.stack(chosen), device=x.device) if chosen else None     # (R, n)

    def __getitem__(self, rows: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch feature time"]:
        return self._see(_gather(self.x, rows), rows)

    def piece(self, rows: Int[Tensor, "run batch"], times: slice) -> Float[Tensor, "run batch feature piece"]:
        """Return some samples of each trial."""
        return self._see(self.x[..., times][rows], rows)

    def _see(self, x: Float[Tensor, "run batch chan piece"], rows: Int[Tensor, "run batch"]) -> Tensor:
        if self.which is None:
            filters = self.filters[:, None]                                                # (R, 1, F, C)
        else:
            run = torch.arange(len(rows), device=rows.device)[:, None]
            filters = self.filters[run, self.which[run, rows]]                             # (R, B, F, C)
        if self.scales is not None:    # there is far less of the filters than of the signals
            filters = filters * self.scales[rows][..., None, None]
        z = filters @ x
        return z + self.offset[:, None, :, None] if self.shifted else z


def _stack(filters: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the maps of all runs; a run with fewer has zeros that none of its trials uses."""
    most = max(len(each) for each in filters)
    return np.stack([np.pad(each, [(0, most - len(each))] + [(0, 0)] * (each.ndim - 1)) for each in filters])


class Memory:
    """What is the same in every epoch of a run: its training trials behind its front end, and what is known of them.

    Parameters
    ----------
    signals : Signals
    rows : sequence of ndarray
        The training trials of each run.
    ask : callable
        Trials (B, C, T) -> (B, ...) or None: what the network computes without any parameter, see ``remember`` of
        `eegdecode.models.eegnet.EEGNet`.

    Attributes
    ----------
    too_small : bool
        Whether something is known of the trials that there is no room for: then each step computes it.
    """

    def __init__(
        self, signals: Signals, rows: Sequence[np.ndarray], ask: Callable[[Tensor], Tensor | None], *,
        batch_size: int = 64,
    ) -> None:    # fmt: skip
        self.signals, n_train = signals, len(rows[0])
        self._slots = torch.zeros(len(rows), len(signals.x), dtype=torch.long, device=signals.x.device)
        self.too_small = False
        kept_signals, kept = [], []
        for start in range(0, n_train, batch_size):
            chosen = torch.as_tensor(np.stack([r[start : start + batch_size] for r in rows]), device=signals.x.device)
            x = signals[chosen]
            asked = [ask(each) for each in x]
            if x[0, 0].nbytes * n_train <= MOST // 4:
                kept_signals.append(x)
            if asked[0] is not None and asked[0][0].nbytes * n_train <= MOST:
                kept.append(torch.stack([each for each in asked if each is not None]))
            else:
                self.too_small = asked[0] is not None
            places = torch.arange(start, start + chosen.shape[1], device=chosen.device)
            self._slots.scatter_(1, chosen, places.expand_as(chosen))
            if not (kept_signals or kept):
                break
        self._signals = torch.cat(kept_signals, dim=1) if kept_signals else None           # (R, n_train, F, T)
        self._kept = torch.cat(kept, dim=1) if kept else None                              # (R, n_train, ...)

    def __getitem__(self, rows: Int[Tensor, "run batch"]) -> tuple[Tensor, Tensor | None]:
        """Return the trials of a batch of each run, (R, B, F, T), and what is known of them, (R, B, ...)."""
        slots = self._slots.gather(1, rows)
        x = self.signals[rows] if self._signals is None else _of_each(self._signals, slots)
        return x, None if self._kept is None else _of_each(self._kept, slots)

    def piece(self, rows: Int[Tensor, "run batch"], times: slice) -> Float[Tensor, "run batch feature piece"]:
        """Return some samples of training trials of each run, behind its front end."""
        if self._signals is None:
            return self.signals.piece(rows, times)
        run, slots = torch.arange(len(rows), device=rows.device)[:, None], self._slots.gather(1, rows)
        return self._signals[..., times][run, slots]

    def take(self, runs: Int[Tensor, " place"], signals: Signals) -> Memory:
        """Return that of some runs, whose signals are given."""
        part = copy.copy(self)
        part.signals, part._slots = signals, self._slots[runs]
        part._signals, part._kept = (None if t is None else t[runs] for t in (self._signals, self._kept))
        return part


def _gather(x: Float[Tensor, "row ..."], rows: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch ..."]:
    """What ``x[rows]`` gives: on a processor in a third of its time."""
    return x.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def _of_each(kept: Float[Tensor, "run row ..."], slots: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch ..."]:
    """Rows of each run's own."""
    first = torch.arange(len(slots), device=slots.device)[:, None] * kept.shape[1]
    return _gather(kept.flatten(0, 1), first + slots)


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
