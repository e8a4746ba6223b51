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
    """

    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = True
    steps: int = 0
    first: Tensor | None = None
    second: Tensor | None = None
    decays: Tensor | None = None

    @torch.no_grad()
    def step(
        self, params: Stacked, grad: Numbers, *, lr: Float[Tensor, " run"], weight_decay: Float[Tensor, " run"]
    ) -> None:    # fmt: skip
        """Update ``params`` in place. Weights and no biases or norms decay: those of two axes and more."""
        if self.first is None or self.second is None or self.decays is None:
            self.first, self.second = torch.zeros_like(grad), torch.zeros_like(grad)
            self.decays = flatten({name: torch.full_like(p[:1], p.ndim > 2) for name, p in params.items()})
        self.steps += 1
        beta1, beta2 = self.betas
        decay = weight_decay[:, None] * self.decays * flatten(params)
        grad = grad if self.decoupled else grad + decay
        self.first.lerp_(grad, 1 - beta1)
        self.second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        step = self.first / (1 - beta1**self.steps)
        step /= (self.second / (1 - beta2**self.steps)).sqrt_().add_(self.eps)
        step = lr[:, None] * (step + decay if self.decoupled else step)
        parts = step.split([p[0].numel() for p in params.values()], dim=1)
        for p, part in zip(params.values(), parts, strict=True):
            p.sub_(part.reshape(p.shape))

    def take(self, places: Int[Tensor, " place"]) -> None:
        """Go on with some of the runs alone."""
        if self.first is not None and self.second is not None:
            self.first, self.second = self.first[places], self.second[places]


def flatten(stacked: Stacked) -> Numbers:
    """Put the numbers of all parameters, or of their gradients, side by side."""
    return torch.cat([each.flatten(1) for each in stacked.values()], dim=1)


def clip(grad: Numbers, max_norm: float | None) -> tuple[Numbers, Float[Tensor, " run"]]:
    """Scale each run's gradient down to ``max_norm``; return the gradients and their norms before that."""
    norm = grad.square().sum(1).sqrt()
    if max_norm is None:
        return grad, norm
    return grad * (max_norm / norm.clamp(min=1e-12)).clamp(max=1.0)[:, None], norm


def schedule(kind: str, *, steps: int, warmup: float) -> np.ndarray:
    """Rate of each step as a share of the base rate, shape (steps,).

    It rises linearly over a share ``warmup`` of the steps. Then ``cosine`` falls to zero at the last step
    (Loshchilov and Hutter, 2017) and ``constant`` stays at one.
    """
    step, rising = np.arange(steps), round(warmup * steps)
    rise = np.minimum(1.0, (step + 1) / (rising + 1))
    if kind == "constant":
        return rise
    done = np.clip((step - rising) / max(1, steps - rising), 0, 1)
    return rise * 0.5 * (1 + np.cos(np.pi * done))

