"""Which samples lie in which patch of time, and how many patches a trial has."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def patch_counts(lengths: Int[Tensor, " batch"], *, size: int, stride: int) -> Int[Tensor, " batch"]:
    """How many patches lie wholly within trials of these lengths in samples; a shorter trial is one, with padding."""
    return (torch.div(lengths - size, stride, rounding_mode="floor") + 1).clamp(min=1)


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
