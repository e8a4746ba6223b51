"""Which epoch's weights each run of a stack keeps, and when it stops. Validation decides, test never."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]    # name -> (R, ...)


class Keeper:
    """Histories, best epochs, early stops and failures of a stack.

    Parameters
    ----------
    n_runs : int
    select : {"last", "best_val"}
        Keep the weights of a run's last epoch or of that with the least validation loss.
    patience : int or None
        Epochs without a lower validation loss after which a run stops.

    Attributes
    ----------
    rows : list of list of dict
        The history of each run, one row an epoch.
    epochs : list of int
        The epoch whose weights each run keeps.
    failures : dict of int to str
        Run -> what went wrong.
    """

    def __init__(self, n_runs: int, *, select: str, patience: int | None) -> None:
        self.select, self.patience = select, patience
        self.rows: list[list[dict[str, float]]] = [[] for _ in range(n_runs)]
        self.epochs = [0] * n_runs
        self.failures: dict[int, str] = {}
        self._active = np.ones(n_runs, bool)
        self._least = np.full(n_runs, np.inf)
        self._least_epoch = np.zeros(n_runs, int)
        self._kept: State | None = None

    @property
    def finished(self) -> bool:
        """Whether every run has stopped."""
        return not self._active.any()

    def note(
        self, epoch: int, history: Mapping[str, np.ndarray], *, state: Callable[[], State]
    ) -> Iterator[tuple[int, dict[str, float]]]:    # fmt: skip
        """Take an epoch's measurements (name -> (R,)); yield the new row of each run still in training."""
        active = np.flatnonzero(self._active)
        for run in active:
            row = {name: float(values[run]) for name, values in history.items()}
            self.rows[run].append({"epoch": int(row.pop("epoch")), **row})
            if not np.isfinite(row["running_loss"]):
                self.failures[int(run)] = f"failed: loss is {row['running_loss']} in epoch {epoch}; lower trainer.lr"
        self._active[list(self.failures)] = False
        self._keep(epoch, history["val_loss"], state)
        yield from ((int(run), self.rows[run][-1]) for run in active)

    def _keep(self, epoch: int, val_loss: np.ndarray, state: Callable[[], State]) -> None:
        lower = self._active & (val_loss < self._least)
        self._least[lower], self._least_epoch[lower] = val_loss[lower], epoch
        stop = np.zeros_like(lower)
        if self.patience is not None:
            stop = self._active & (epoch - self._least_epoch >= self.patience)
        take = lower if self.select == "best_val" else stop
        if take.any():
            self._merge(state(), take)
        mine = lower if self.select == "best_val" else self._active
        for run in np.flatnonzero(mine):
            self.epochs[run] = epoch
        self._active &= ~stop

    def _merge(self, now: State, take: np.ndarray) -> None:
        if self._kept is None:
            self._kept = now
            return
        for name, kept in self._kept.items():
            mask = torch.as_tensor(take, device=kept.device).reshape(-1, *[1] * (kept.ndim - 1))
            self._kept[name] = torch.where(mask, now[name], kept)

    def best(self, state: Callable[[], State]) -> State:
        """Return the weights that each run keeps, given the present ones."""
        now = state()
        if self._kept is None:
            return now
        if self.select == "last" and self._active.any():    # the others were kept when they stopped
            self._merge(now, self._active)
        return self._kept
