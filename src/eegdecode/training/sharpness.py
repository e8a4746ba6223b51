"""Sharpness-aware minimisation: the gradient where the loss nearby is worst."""

from __future__ import annotations

from collections.abc import Callable

import torch

from eegdecode.training.ensemble import Ensemble
from eegdecode.training.optim import Numbers, add_to


def worst_nearby(ensemble: Ensemble, grad: Numbers, again: Callable[[], Numbers], *, rho: float) -> Numbers:
    """Return each run's gradient at ``w + rho g / |g|`` (Foret et al., 2021, equation 2); weights stay where they are.

    Running statistics of batch norm are those of the pass at ``w``. The second pass draws its own dropout.

    Parameters
    ----------
    grad : Tensor, shape (R, n)
        Gradients g at the weights w.
    again : callable
        Gives the gradients of the same batch at the weights that the ensemble then has.
    """
    here = ensemble.state()
    with torch.no_grad():
        add_to(ensemble.params, grad * (rho / grad.norm(dim=1).clamp(min=1e-12))[:, None])
    there = again()
    ensemble.load(here)
    return there
