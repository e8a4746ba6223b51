"""Adam for a stack of networks: every run has its own rate, decay and gradient norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Stacked = Mapping[str, Tensor]    # name -> (R, ...)


@dataclass
class Adam:
    """Adam (Kingma and Ba, 2015) with weight decay, decoupled (AdamW, Loshchilov and Hutter, 2019) or as L2.

    torch's own takes one rate for a parameter; here a parameter holds R networks, each with its own rate.
    One run gives what ``torch.optim.AdamW`` gives.

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
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def step(
        self, params: Stacked, grads: Stacked, *,
        lr: Float[Tensor, " run"], weight_decay: Float[Tensor, " run"],
    ) -> None:    # fmt: skip
        """Update ``params`` in place. Weights and no biases or norms decay: those of two axes and more."""
        self.steps += 1
        beta1, beta2 = self.betas
        correct1, correct2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for name, p in params.items():
            rate, grad = _as(lr, p), grads[name]
            if p.ndim > 2:    # the run axis and at least two of its own
                decay = _as(weight_decay, p)
                if self.decoupled:
                    p.mul_(1 - rate * decay)
                else:
                    grad = grad + decay * p
            m = self.first.setdefault(name, torch.zeros_like(p))
            v = self.second.setdefault(name, torch.zeros_like(p))
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            p.sub_(rate * (m / correct1) / ((v / correct2).sqrt() + self.eps))

    def take(self, places: Int[Tensor, " place"]) -> None:
        """Go on with some of the runs alone."""
        for moment in (self.first, self.second):
            moment.update({name: m[places] for name, m in moment.items()})


def clip(grads: Stacked, max_norm: float | None) -> tuple[dict[str, Tensor], Float[Tensor, " run"]]:
    """Scale each run's gradient down to ``max_norm``; return the gradients and their norms before that."""
    norm = torch.stack([g.flatten(1).square().sum(1) for g in grads.values()]).sum(0).sqrt()
    if max_norm is None:
        return dict(grads), norm
    scale = (max_norm / norm.clamp(min=1e-12)).clamp(max=1.0)
    return {name: g * _as(scale, g) for name, g in grads.items()}, norm


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


def _as(per_run: Tensor, like: Tensor) -> Tensor:
    """Give (R,) the number of axes of ``like``, so that it multiplies run by run."""
    return per_run.reshape(-1, *[1] * (like.ndim - 1))
