"""Blocks over channels and blocks over time, for tokens of every channel and patch."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.block import Encoder
from eegdecode.models.layers import choose

ORDERS = {"before": "SSTT", "after": "TTSS", "interleaved": "STST"}    # of four blocks: S over channels, T over time


class DividedEncoder(nn.Module):
    """Attention over channels within a patch, and over patches within a channel (Bertasius et al., 2021).

    Together they cost C + N scores a token, where attention over all tokens at once costs C N. With the kernels
    `UNORDERED` nothing here is bound to the channels; ``linformer`` has weights for each of them.

    Parameters
    ----------
    layout : {"before", "after", "interleaved"}
        Where the ``depth`` blocks over channels stand among the ``depth`` blocks over time.
    n_tokens : int
        Patches N; with the settings of `Encoder`.
    """

    def __init__(
        self, width: int, *, depth: int, layout: str, n_chans: int, n_tokens: int, rotary: bool, **block
    ) -> None:    # fmt: skip
        super().__init__()
        word = choose("model.spatial", layout, ORDERS)
        self.n_chans = n_chans
        self.axes = (word[0] * depth + word[-1] * depth) if word[0] == word[1] else word[:2] * depth
        self.across = Encoder(width, depth=depth, n_tokens=n_chans, **block)
        self.along = Encoder(width, depth=depth, n_tokens=n_tokens, rotary=rotary, **block)

    def forward(
        self, x: Float[Tensor, "batch chan token width"], valid: Bool[Tensor, "batch token"] | None = None,
        return_attention: bool = False,
    ) -> tuple[Float[Tensor, "batch chan token width"], dict[str, Tensor]]:    # fmt: skip
        """Tokens after all blocks; on request with the weights of ``spatial`` and ``temporal`` blocks."""
        n_chans, n_tokens, weights = x.shape[1], x.shape[2], {"spatial": [], "temporal": []}
        blocks = {"S": iter(self.across), "T": iter(self.along)}
        seen = {"S": None, "T": None}
        if valid is not None:
            seen = {"S": repeat(valid, "b n -> (b n) c", c=n_chans), "T": repeat(valid, "b n -> (b c) n", c=n_chans)}
        shapes = {"S": "(b n) c d", "T": "(b c) n d"}
        for axis in self.axes:
            z = rearrange(x, f"b c n d -> {shapes[axis]}")
            z = next(blocks[axis])(z, seen[axis], return_attention)
            if return_attention:
                z, mixed = z
                weights["spatial" if axis == "S" else "temporal"].append(mixed.unflatten(0, (len(x), -1)))
            x = rearrange(z, f"{shapes[axis]} -> b c n d", c=n_chans, n=n_tokens)
        return x, {name: torch.stack(each) for name, each in weights.items() if each}
