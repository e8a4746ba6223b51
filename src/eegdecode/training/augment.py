"""Artificial training trials, put together from pieces of real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eegdecode.training.batches import Memory, draw_epoch
from eegdecode.trials import Trials


@dataclass(frozen=True)
class Recombination:
    """Segmentation and reconstruction (Lotte, 2015): trials of one class lend each other pieces of time.

    An artificial trial consists of ``segments`` pieces of equal length, each from a random training trial of its class
    in the run, where it stood in time. Pieces are taken behind the front end. The donors are training trials of the run
    alone, drawn by the run's own generator: a run alone gets the artificial trials that it gets in a stack.

    Parameters
    ----------
    segments : int
        Pieces of a trial; 8 as in Song et al. (2023) and in the table of TCFormer.
    share : float
        Of artificial trials in a batch: 0.5 adds as many as there are real ones. They get the classes of the batch's
        own trials, in order.
    """

    segments: int = 8
    share: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.segments, int) or self.segments < 1:
            raise ValueError(f"augment.segments must be a whole number of at least 1, got {self.segments}")
        if not 0 < self.share < 1:
            raise ValueError(f"augment.share must lie between 0 and 1, got {self.share}; augment=none takes none")

    def check(self, trials: Trials) -> None:
        """Raise a ValueError if trials are too short for so many pieces."""
        if self.segments > trials.X.shape[2]:
            raise ValueError(f"augment.segments={self.segments} are more than a trial has samples "
                             f"({trials.X.shape[2]}); lower it")    # fmt: skip

    def draw(
        self, batches: Sequence[Int[np.ndarray, "run _"]], rows: Sequence[np.ndarray], y: Int[np.ndarray, " trial"],
        rngs: Sequence[np.random.Generator],
    ) -> list[Int[np.ndarray, "run _ segment"]]:    # fmt: skip
        """Draw the donors of each segment of each artificial trial of an epoch.

        Parameters
        ----------
        batches : sequence of ndarray, shape (R, B)
            The real trials of each step.
        rows : sequence of ndarray
            The training trials of each run.
        """
        sizes = [max(1, round(batch.shape[1] * self.share / (1 - self.share))) for batch in batches]
        like = [batch[:, np.arange(size) % batch.shape[1]] for batch, size in zip(batches, sizes, strict=True)]
        labels = y[np.concatenate(like, axis=1)]                                           # (R, A)
        donors = [_draw_donors(r, y, mine, self.segments, rng) for r, mine, rng in zip(rows, labels, rngs, strict=True)]
        return np.split(np.stack(donors), np.cumsum(sizes)[:-1], axis=1)


def draw_batches(
    train: Sequence[np.ndarray], y: Int[Tensor, " trial"], augment: Recombination | None,
    rngs: Sequence[np.random.Generator], *, batch_size: int,
) -> Iterator[tuple[Tensor, Tensor | None]]:    # fmt: skip
    """Shuffle each run's training trials into batches, and draw of which trials the artificial ones are made."""
    drawn = draw_epoch(train, rngs, batch_size=batch_size)
    batches = torch.as_tensor(np.concatenate(drawn, axis=1), device=y.device).tensor_split(len(drawn), dim=1)
    if augment is None:
        yield from ((rows, None) for rows in batches)
        return
    donors = augment.draw(drawn, train, y.cpu().numpy(), rngs)
    together = torch.as_tensor(np.concatenate(donors, axis=1), device=y.device)            # one copy to the device
    yield from zip(batches, together.split([each.shape[1] for each in donors], dim=1), strict=True)


def extend(
    x: Float[Tensor, "run batch feature time"], rows: Int[Tensor, "run batch"], donors: Int[Tensor, "run made segment"],
    memory: Memory,
) -> tuple[Float[Tensor, "run all feature time"], Int[Tensor, "run all"]]:    # fmt: skip
    """Add artificial trials to a batch; return it with a trial of the right class for each."""
    n_times, n_segments = x.shape[-1], donors.shape[-1]
    edges = [round(n_times * i / n_segments) for i in range(n_segments + 1)]
    pieces = [memory.piece(donors[..., i], slice(edges[i], edges[i + 1])) for i in range(n_segments)]
    made = torch.cat(pieces, dim=-1)                                                       # (R, A, F, T)
    return torch.cat([x, made], dim=1), torch.cat([rows, donors[..., 0]], dim=1)


def no_augmentation() -> None:
    """Real trials alone: what ``augment=none`` stands for."""


def _draw_donors(
    rows: np.ndarray, y: np.ndarray, labels: Int[np.ndarray, " made"], n_segments: int, rng: np.random.Generator
) -> Int[np.ndarray, "made segment"]:
    """Draw training trials of the given classes, (A, S)."""
    by_class = rows[np.argsort(y[rows], kind="stable")]
    counts = np.bincount(y[rows], minlength=int(labels.max()) + 1)
    first = (np.cumsum(counts) - counts)[labels]
    which = rng.random((len(labels), n_segments)) * counts[labels][:, None]
    return by_class[first[:, None] + which.astype(np.int64)]
