"""How far the gradient reaches: which weights get none, and how much of it is left at the first layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eegdecode.training.optim import Adam, Stacked

SEEN = 4          # trials whose scale is measured
NOTHING = 1e-6    # of the largest root mean square gradient of a weight: round-off of float32


@torch.no_grad()
def gradient_flow(adam: Adam, task: Any) -> dict[str, np.ndarray]:
    """Columns of a history, name -> (R,), read off Adam's second moments: no further pass through the network.

    Parameters
    ----------
    task : Task
        The stack, see `eegdecode.training.loop`.

    Returns
    -------
    dict
        ``steps``: updates so far. ``dead_share``: share of the weights' numbers that stand in weights without a
        gradient. ``flow``: root mean square gradient of the first weight divided by that of the last; AutoTrainer
        (Zhang et al., ICSE 2021) calls less than 1e-3 vanishing. NaN where Adam's moments hold a decay as well.
        ``input_scale``: root mean square of what the network sees of a few training trials.
    """
    params, weight_decay = task.ensemble.params, task.weight_decay
    weights = weight_gradients(adam, params)
    columns = np.full((2, len(weight_decay)), np.nan)
    if weights:
        size = torch.stack(list(weights.values()), dim=1)                                  # (R, weights)
        numel = torch.tensor([params[name][0].numel() for name in weights], device=size.device)
        dead = (without_gradient(size) * numel).sum(1) / numel.sum()
        flow = torch.stack([dead, size[:, 0] / size[:, -1]])
        if not adam.decoupled:
            flow[:, weight_decay > 0] = torch.nan
        columns = flow.cpu().numpy()
    few = np.stack([run.split.train[:SEEN] for run in task.runs])
    x, _ = task.memory[torch.as_tensor(few, device=weight_decay.device)]
    return {
        "steps": np.full(len(weight_decay), float(adam.steps)), "dead_share": columns[0], "flow": columns[1],
        "input_scale": x.square().mean(dim=(1, 2, 3)).sqrt().cpu().numpy(),
    }    # fmt: skip


def weight_gradients(adam: Adam, params: Stacked) -> dict[str, Float[Tensor, " run"]]:
    """Root mean square gradient of each weight over the last updates: name -> (R,).

    Weights have two axes and more. A bias before a batch norm, and that of a key in attention, have no gradient in
    healthy networks either.
    """
    if adam.second is None:
        return {}
    parts = adam.second.split([p[0].numel() for p in params.values()], dim=1)
    pairs = zip(params.items(), parts, strict=True)
    return {name: part.mean(1).sqrt() for (name, p), part in pairs if p.ndim > 2}


def without_gradient(size: Float[Tensor, "run weight"]) -> Tensor:
    """Which weights get no gradient, next to the one with the largest."""
    return ~(size > NOTHING * size.amax(1, keepdim=True))
