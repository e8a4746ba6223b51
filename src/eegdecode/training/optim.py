"""Adam for a stack of networks: every run has its own rate, decay and gradient norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Stacked = Mapping[str, Tensor]    # name -> (R, ...)


Numbers = Float[Tensor, "run number"]    # of all parameters, one after the other


@dataclass
class Adam:
    """Adam (Kingma and Ba, 2015) with weight decay, decoupled (AdamW, Loshchilov and Hutter, 2019) or as L2.

    torch's own takes one rate for a parameter; here a parameter holds R networks, each with its own rate.
    One run gives what ``torch.optim.AdamW`` gives. The numbers of all parameters lie in one tensor: with
    thirty small parameters, thirty times as many operations cost more than what they compute.

    Attributes
    ----------
    betas, eps
        As in the paper.
    decoupled : bool
        Whether the decay is applied to the weights (AdamW) or added to the gradient (Adam with L2).
    decay_norms : bool
        Whether biases and norms decay as well, as in the papers.
    rates : mapping of str to float, or None
        Share of the rate for each parameter; None: 1 for all.
    """

    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = True
    decay_norms: bool = False
    rates: Mapping[str, float] | None = None
    steps: int = 0
    first: Tensor | None = None
    second: Tensor | None = None
    decays: Tensor | None = None
    shares: Tensor | None = None

    @torch.no_grad()
    def step(
        self, params: Stacked, grad: Numbers, *, lr: Float[Tensor, " run"], weight_decay: Float[Tensor, " run"],
        bias: Sequence[float | Tensor] | None = None,
    ) -> None:    # fmt: skip
        """Update ``params`` in place. By default weights and no biases or norms decay: those of two axes and more.

        ``bias`` is what `count` gave, of this step.
        """
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(grad), torch.zeros_like(grad)
        if self.decays is None:
            decays = {name: torch.full_like(p[:1], self.decay_norms or p.ndim > 2) for name, p in params.items()}
            self.decays = flatten(decays)
            if self.rates is not None:
                self.shares = flatten({name: torch.full_like(p[:1], self.rates[name]) for name, p in params.items()})
        (beta1, beta2), (bias1, bias2) = self.betas, self.count() if bias is None else bias
        decay = weight_decay[:, None] * self.decays * flatten(params)
        grad = grad if self.decoupled else grad + decay
        self.first.lerp_(grad, 1 - beta1)
        self.second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        step = self.first / bias1
        step /= (self.second / bias2).sqrt_().add_(self.eps)
        step = lr[:, None] * (step + decay if self.decoupled else step)
        add_to(params, -step if self.shares is None else -step * self.shares)

    def count(self) -> tuple[float, float]:
        """Count a step; return the shares of the moments that have come together by then, which begin at zero."""
        self.steps += 1
        beta1, beta2 = self.betas
        return 1 - beta1**self.steps, 1 - beta2**self.steps

    def take(self, places: Int[Tensor, " place"]) -> None:
        """Go on with some of the runs alone."""
        if self.first is not None and self.second is not None:
            self.first, self.second = self.first[places], self.second[places]


def flatten(stacked: Stacked) -> Numbers:
    """Put the numbers of all parameters, or of their gradients, side by side."""
    return torch.cat([each.flatten(1) for each in stacked.values()], dim=1)


def add_to(params: Stacked, numbers: Numbers) -> None:
    """Add numbers, in the order of `flatten`, to the parameters, in place."""
    parts = numbers.split([p[0].numel() for p in params.values()], dim=1)
    for p, part in zip(params.values(), parts, strict=True):
        p.add_(part.reshape(p.shape))


def clip(grad: Numbers, max_norm: float | None) -> tuple[Numbers, Float[Tensor, " run"]]:
    """Scale each run's gradient down to ``max_norm``; return the gradients and their norms before that."""
    norm = grad.square().sum(1).sqrt()
    if max_norm is None:
        return grad, norm
    return grad * (max_norm / norm.clamp(min=1e-12)).clamp(max=1.0)[:, None], norm


def schedule(kind: str, *, steps: int, warmup: float) -> np.ndarray:
    """Rate of each step as a share of the base rate, shape (steps,).

    It rises linearly over a share ``warmup`` of the steps. Then ``cosine`` falls to zero behind the last step
    (Loshchilov and Hutter, 2017); ``constant`` stays at one, and so does ``plateau``, which `Plateau` lowers.
    ``one_cycle`` has its own rise: from 1/25 to one over 30 % of the steps, then to 4e-6, both along a cosine (Smith
    and Topin, 2019, as ``torch.optim.lr_scheduler.OneCycleLR`` has it; Adam's betas stay).
    """
    step, rising = np.arange(steps), round(warmup * steps)
    if kind == "one_cycle":
        top, last = max(1e-9, 0.3 * steps - 1), steps - 1
        share = np.where(step <= top, step / top, (step - top) / max(1e-9, last - top))
        begin, end = np.where(step <= top, 1 / 25, 1), np.where(step <= top, 1, 1 / 25e4)
        return end + (begin - end) * 0.5 * (1 + np.cos(np.pi * share))
    rise = np.minimum(1.0, (step + 1) / (rising + 1))
    if kind in ("constant", "plateau"):
        return rise
    done = np.clip((step - rising) / max(1, steps - rising), 0, 1)
    return rise * 0.5 * (1 + np.cos(np.pi * done))


class Plateau:
    """Lowers the rate of a run whose loss no longer falls, as ``torch.optim.lr_scheduler.ReduceLROnPlateau`` does.

    Parameters
    ----------
    patience : int
        Epochs without a lower loss that are waited for; after one more the rate is lowered.
    factor : float
        What the rate is then multiplied by.
    """

    def __init__(self, n_runs: int, *, patience: int, factor: float) -> None:
        self.patience, self.factor = patience, factor
        self._least, self._waits = np.full(n_runs, np.inf), np.zeros(n_runs, int)

    def note(self, history: Mapping[str, np.ndarray]) -> Float[np.ndarray, " run"]:
        """Take the losses after an epoch; return what the rates of the runs are multiplied by from here on.

        Validation loss, or training loss for runs without validation trials. It must fall by a ten-thousandth to count.
        """
        loss = np.where(np.isnan(history["val_loss"]), history["train_loss"], history["val_loss"])
        lower = loss < self._least * (1 - 1e-4)
        self._least[lower] = loss[lower]
        self._waits = np.where(lower, 0, self._waits + 1)
        late = self._waits > self.patience
        self._waits[late] = 0
        return np.where(late, self.factor, 1.0)

    def take(self, places: Int[np.ndarray, " place"]) -> None:
        """Go on with some of the runs alone."""
        self._least, self._waits = self._least[places], self._waits[places]

    def state(self) -> dict[str, np.ndarray]:
        """Least losses and epochs since, for `restore`."""
        return {"plateau_least": self._least, "plateau_waits": self._waits}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        self._least, self._waits = arrays["plateau_least"].copy(), arrays["plateau_waits"].copy()
