"""What training makes small: cross-entropy, with smoothed, weighted or mixed labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from eegdecode.training.dice import Dice

Mixed = tuple[Int[Tensor, "run batch"], Float[Tensor, "run batch"]]    # second labels, and the share of the first ones


def cross_entropy(
    logits: Float[Tensor, "run batch class"], y: Int[Tensor, "run batch"], *, smoothing: float = 0.0,
    weights: Float[Tensor, "run class"] | None = None, mixed: Mixed | None = None,
) -> Float[Tensor, " run"]:    # fmt: skip
    """Mean loss of each run, in nats; ln K for a network that knows nothing."""
    flat = logits.float().flatten(0, 1)

    def each(y: Tensor) -> Tensor:
        loss = F.cross_entropy(flat, y.flatten(), reduction="none", label_smoothing=smoothing).reshape(y.shape)
        return loss if weights is None else loss * weights.gather(1, y)

    if mixed is None:
        return each(y).mean(1)
    other, share = mixed
    return (share * each(y) + (1 - share) * each(other)).mean(1)    # linear in the labels: that of soft targets


def mix_trials(
    x: Float[Tensor, "run batch feature time"], y: Int[Tensor, "run batch"], alpha: float, dice: Dice
) -> tuple[Float[Tensor, "run batch feature time"], Mixed]:    # fmt: skip
    """Mix each trial and its label with another one's of the batch: mixup (Zhang et al., 2018).

    The share of a trial is drawn from Beta(alpha, alpha), for each trial: the authors' text has a draw for each pair,
    their code one for the whole batch.
    """
    n = y.shape[1]
    share, partner = dice.beta(alpha, n), dice.order(n)
    run = torch.arange(len(x), device=x.device)[:, None]
    lam = share[..., None, None].to(x.dtype)
    return lam * x + (1 - lam) * x[run, partner], (y.gather(1, partner), share)


def balanced_weights(labels: Sequence[np.ndarray], n_classes: int) -> Float[np.ndarray, "run class"]:
    """Weight of each class in each run, n / (K n_k): rare ones count as much as others (King and Zeng, 2001).

    Measured on the run's training trials; their mean weight is 1, so that the rate means the same. A class that is
    absent from them gets 0.
    """
    counts = np.stack([np.bincount(y, minlength=n_classes) for y in labels])
    there = (counts > 0).sum(1, keepdims=True)
    return np.where(counts > 0, counts.sum(1, keepdims=True) / (there * np.maximum(counts, 1)), 0.0)
