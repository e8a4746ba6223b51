"""Random numbers of training on the device, each run's from its own generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class Dice:
    """What changes trials on the way into a network is thrown here: a run alone throws what it throws in a stack.

    Parameters
    ----------
    rngs : sequence of Generator
        Those of the runs, which shuffle their trials too. Each seeds one on the device.
    device : str
    """

    def __init__(self, rngs: Sequence[np.random.Generator], device: str) -> None:
        self.rngs, self.device = rngs, device
        self._generators = [torch.Generator(device).manual_seed(int(rng.integers(2**62))) for rng in rngs]

    def uniform(self, *shape: int) -> Float[Tensor, "run *shape"]:
        """Numbers in [0, 1), of this shape for each run."""
        return torch.stack([torch.rand(shape, generator=one, device=self.device) for one in self._generators])

    def normal(self, *shape: int) -> Float[Tensor, "run *shape"]:
        """Standard normal numbers, of this shape for each run."""
        return torch.stack([torch.randn(shape, generator=one, device=self.device) for one in self._generators])

    def beta(self, alpha: float, n: int) -> Float[Tensor, "run n"]:
        """Numbers of Beta(alpha, alpha); torch draws these from no generator of ours."""
        drawn = np.stack([rng.beta(alpha, alpha, size=n) for rng in self.rngs])
        return torch.tensor(drawn, dtype=torch.float32, device=self.device)

    def order(self, n: int) -> Int[Tensor, "run n"]:
        """Shuffle 0 ... n - 1 for each run."""
        return self.uniform(n).argsort(dim=1)
