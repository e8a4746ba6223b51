"""Patches of time as tokens: (B, C, T) -> (B, N, D)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Patches(nn.Module):
    """A linear map of the samples of each patch, over all channels (Dosovitskiy et al., 2021).

    Parameters
    ----------
    size, stride : int
        Length of a patch and distance between patches in samples. What is left over at the end is dropped.
    """

    def __init__(self, n_chans: int, width: int, *, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.embed = nn.Linear(n_chans * size, width)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch token width"]:
        """Cut and map."""
        return self.embed(rearrange(x.unfold(2, self.size, self.stride), "b c n s -> b n (c s)"))


def patch_counts(lengths: Int[Tensor, " batch"], *, size: int, stride: int) -> Int[Tensor, " batch"]:
    """How many patches lie wholly within trials of these lengths in samples."""
    return (torch.div(lengths - size, stride, rounding_mode="floor") + 1).clamp(min=0)


def samples_of(
    n_patches: int, *, size: int, stride: int, n_times: int, device: torch.device
) -> Bool[Tensor, "patch time"]:    # fmt: skip
    """Which samples of a trial each patch holds."""
    first = stride * torch.arange(n_patches, device=device)[:, None]
    time = torch.arange(n_times, device=device)
    return (time >= first) & (time < first + size)


def seen_samples(
    visible: Bool[Tensor, "batch patch"], *, size: int, stride: int, n_times: int
) -> Bool[Tensor, "batch time"]:    # fmt: skip
    """Which samples of each trial lie in a patch that is visible."""
    holds = samples_of(visible.shape[1], size=size, stride=stride, n_times=n_times, device=visible.device)
    return visible.float() @ holds.float() > 0
