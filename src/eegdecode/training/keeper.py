"""Which epoch's weights each run of a stack keeps, and when it stops. Validation decides, test never."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from eegdecode.runs import DIVERGED

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
    kept : dict of str to Tensor, or None
        Weights of runs that have stopped, or of their best epochs so far: name -> (R, ...).
    """

    def __init__(self, n_runs: int, *, select: str, patience: int | None) -> None:
        self.select, self.patience = select, patience
        self.rows: list[list[dict[str, float]]] = [[] for _ in range(n_runs)]
        self.epochs = [0] * n_runs
        self.failures: dict[int, str] = {}
        self._active = np.ones(n_runs, bool)
        self._least = np.full(n_runs, np.inf)
        self._least_epoch = np.zeros(n_runs, int)
        self.kept: State | None = None

    @property
    def finished(self) -> bool:
        """Whether every run has stopped."""
        return not self._active.any()

    @property
    def active(self) -> Int[np.ndarray, " active"]:
        """The runs still in training."""
        return np.flatnonzero(self._active)

    def note(
        self, epoch: int, history: Mapping[str, np.ndarray], *, state: Callable[[], State]
    ) -> Iterator[tuple[int, dict[str, float]]]:    # fmt: skip
        """Take an epoch's measurements, name -> (A,) for the A active runs; yield the new row of each.

        ``state`` gives their weights, name -> (A, ...). Runs that stop or fail are not active after this.
        """
        active = self.active
        for place, run in enumerate(active):
            row = {name: float(values[place]) for name, values in history.items()}
            self.rows[run].append({"epoch": int(row.pop("epoch")), **row})
            if not np.isfinite(row["running_loss"]):
                self.failures[int(run)] = f"{DIVERGED} {row['running_loss']} in epoch {epoch}; lower trainer.lr"
        self._keep(epoch, history["val_loss"], state)
        yield from ((int(run), self.rows[run][-1]) for run in active)

    def _keep(self, epoch: int, val_loss: np.ndarray, state: Callable[[], State]) -> None:
        runs = self.active
        failed = np.isin(runs, list(self.failures))
        lower = ~failed & (val_loss < self._least[runs])
        self._least[runs[lower]], self._least_epoch[runs[lower]] = val_loss[lower], epoch
        leave = failed.copy()
        if self.patience is not None:
            leave |= epoch - self._least_epoch[runs] >= self.patience
        best = self.select == "best_val"
        take = lower | (failed & (np.array(self.epochs)[runs] == 0)) if best else leave
        if take.any():
            self._merge(state(), runs, take)
        for run in runs[lower if best else ~failed]:
            self.epochs[run] = epoch
        self._active[runs[leave]] = False

    def _merge(self, now: State, runs: np.ndarray, take: np.ndarray) -> None:
        """Keep the weights of those of ``runs`` that ``take`` marks."""
        if self.kept is None:
            self.kept = {name: t.new_zeros((len(self.rows), *t.shape[1:])) for name, t in now.items()}
        for name, kept in self.kept.items():
            to, place = (torch.as_tensor(i, device=kept.device) for i in (runs[take], np.flatnonzero(take)))
            kept[to] = now[name][place]

    def best(self, state: Callable[[], State]) -> State:
        """Return the weights that each run keeps, given the present ones of the active runs."""
        now, runs = state(), self.active
        if self.kept is None:
            return now
        take = np.array([self.select == "last" or self.epochs[run] == 0 for run in runs], bool)
        self._merge(now, runs, take)    # the others were kept when they stopped, or at their best
        return self.kept

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all but `kept` for `restore`: arrays, the curves of all runs below each other, and JSON types."""
        columns = list(next((row for rows in self.rows for row in rows), {}))
        curves = np.array([list(row.values()) for rows in self.rows for row in rows]).reshape(-1, len(columns))
        arrays = {
            "curves": curves, "lengths": np.array([len(rows) for rows in self.rows]), "active": self._active,
            "least": self._least, "least_epoch": self._least_epoch, "epochs": np.array(self.epochs),
        }    # fmt: skip
        return arrays, {"columns": columns, "failures": sorted(self.failures.items())}

    def restore(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], *, kept: State | None) -> None:
        """Put back what `state` gave."""
        rows = [dict(zip(facts["columns"], row, strict=True)) for row in arrays["curves"].tolist()]
        rows = [{**row, "epoch": int(row["epoch"])} for row in rows]
        ends = np.cumsum(arrays["lengths"]).tolist()
        self.rows = [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        self.failures, self.kept = {int(run): text for run, text in facts["failures"]}, kept
        self.epochs = arrays["epochs"].tolist()
        self._active, self._least = arrays["active"].copy(), arrays["least"].copy()
        self._least_epoch = arrays["least_epoch"].copy()
