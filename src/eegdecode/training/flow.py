"""How far the gradient reaches: which weights get none, and how much of it is left at the first layer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eegdecode.training.optim import Adam, Stacked

NOTHING = 1e-6    # of the largest root mean square gradient of a weight: round-off of float32


@torch.no_grad()
def gradient_flow(adam: Adam, params: Stacked, weight_decay: Float[Tensor, " run"]) -> dict[str, np.ndarray]:
    """Columns of a history, name -> (R,), read off Adam's second moments: no further pass through the network.

    Only weights are judged, of two axes and more: a bias before a batch norm and that of a key in attention have
    no gradient in healthy networks either.

    Returns
    -------
    dict
        ``steps``: updates so far. ``dead_share``: share of the weights' numbers that stand in weights without a
        gradient. ``flow``: root mean square gradient of the first weight divided by that of the last; AutoTrainer
        (Zhang et al., ICSE 2021) calls less than 1e-3 vanishing. NaN where Adam's moments hold a decay as well.
    """
    n_runs = len(weight_decay)
    if adam.second is None:
        return {"steps": np.zeros(n_runs), "dead_share": np.full(n_runs, np.nan), "flow": np.full(n_runs, np.nan)}
    parts = adam.second.split([p[0].numel() for p in params.values()], dim=1)
    weights = [part for part, p in zip(parts, params.values(), strict=True) if p.ndim > 2]
    sizes = torch.tensor([part.shape[1] for part in weights], device=weight_decay.device)
    size = torch.stack([part.mean(1) for part in weights], dim=1).sqrt()                   # (R, weights)
    dead = (~(size > NOTHING * size.amax(1, keepdim=True)) * sizes).sum(1) / sizes.sum()
    flow = torch.stack([dead, size[:, 0] / size[:, -1]])
    if not adam.decoupled:
        flow[:, weight_decay > 0] = torch.nan
    dead, ratio = flow.cpu().numpy()
    return {"steps": np.full(n_runs, float(adam.steps)), "dead_share": dead, "flow": ratio}
