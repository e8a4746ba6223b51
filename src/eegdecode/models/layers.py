"""Layers that several networks share.

One legend for every file of this folder:

====== ===================================
``B``  trials of a batch
``C``  channels
``T``  samples
``N``  tokens (patches of time)
``D``  width of a token, or number of maps
``H``  attention heads
``K``  classes
====== ===================================

Every network is trained alone or as one of a stack through ``torch.func.vmap``. So nothing here calls
``.item()``, branches on a value, clips a weight in place or is lazy.

A network may have a method ``remember``: what it computes of a trial (B, C, T) without any parameter, (B, ...).
Training asks for it once and hands it to ``forward`` as second argument in every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout whose rate is a buffer: the networks of a stack may differ in it (Srivastava et al., 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop must be in [0, 1), got {rate}")
        self.register_buffer("rate", torch.tensor(float(rate)))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zero a share ``rate`` of the entries in training, scale the others up."""
        if not self.training:
            return x
        keep = 1 - self.get_buffer("rate")
        return x * (random_mask(x.shape, keep).to(x.dtype) / keep)


def random_mask(shape: Sequence[int], keep: Float[Tensor, ""]) -> Bool[Tensor, "..."]:
    """True with probability ``keep``, to 2**-16, for each entry.

    One random number of 64 bits serves four entries: drawing them is what dropout on a processor costs (3 to 7
    times ``F.dropout``'s speed for the attention of 190 tokens).
    """
    n = math.prod(shape)
    bits = torch.randint(-(2**63), 2**63 - 1, (-(-n // 4),), device=keep.device).view(torch.int16)
    last = (keep * 2**16 - 2**15 - 1).clamp(-(2**15), 2**15 - 1).to(torch.int16)    # of the numbers that are kept
    return bits[:n].view(*shape) <= last


def limit_norm(weight: Float[Tensor, "*weight"], max_norm: float) -> Float[Tensor, "*weight"]:
    """Scale each output's weights down to an L2 norm of at most ``max_norm``.

    Keras clips the weights after each update; a scaling in ``forward`` has the same fixed points, is
    differentiable and can be stacked.
    """
    norm = weight.flatten(1).norm(dim=1).clamp(min=1e-12)
    scale = (max_norm / norm).clamp(max=1.0)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))


class MaxNormConv2d(nn.Conv2d):
    """A convolution whose filters have a norm of at most ``max_norm``."""

    def __init__(self, *args, max_norm: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with the limited weights."""
        return self._conv_forward(input, limit_norm(self.weight, self.max_norm), self.bias)


class MaxNormLinear(nn.Linear):
    """A linear map whose rows have a norm of at most ``max_norm``."""

    def __init__(self, *args, max_norm: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def forward(self, input: Tensor) -> Tensor:
        """Map with the limited weights."""
        return F.linear(input, limit_norm(self.weight, self.max_norm), self.bias)


def filter_maps(
    x: Float[Tensor, "batch map padded"], weight: Float[Tensor, "map length"]
) -> Float[Tensor, "batch map time"]:    # fmt: skip
    """Filter each map with its own kernel: what ``conv1d(x, weight[:, None], groups=D)`` gives.

    Cut the signal into overlapping blocks x_n of b + L - 1 samples. Then every block of b outputs is a matrix
    product, ``y_n = W x_n`` with the banded Toeplitz matrix ``W[j, i] = w[i - j]``: the same sums, at a
    processor's matrix rate.
    """
    return _FilterMaps.apply(x, weight)


class _FilterMaps(torch.autograd.Function):
    """`filter_maps` with gradients of the same kind: autograd's own would scatter overlapping blocks."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        n_times = x.shape[-1] - weight.shape[1] + 1
        y = torch.einsum("bdni,dji->bdnj", _blocks(x, weight.shape[1]), _toeplitz(weight))    # one product a map
        return y.flatten(2)[..., :n_times]

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (g,), (x, weight) = grads, ctx.saved_tensors
        length, to_x, to_w = weight.shape[1], *ctx.needs_input_grad
        # x[t + i] meets w[i] in y[t]: the gradient of x is g filtered by the kernel in reverse
        gx = filter_maps(F.pad(g, (length - 1, length - 1)), weight.flip(1)) if to_x else None
        return gx, _weight_gradient(g, x, length) if to_w else None


BLOCK = 64    # samples: the work grows with (b + L) / b, and matrices need some size to be fast


def _blocks(x: Float[Tensor, "batch map padded"], length: int) -> Float[Tensor, "batch map block sample"]:
    n_blocks = -(-(x.shape[-1] - length + 1) // BLOCK)
    return F.pad(x, (0, n_blocks * BLOCK + length - 1 - x.shape[-1])).unfold(2, BLOCK + length - 1, BLOCK)


def _toeplitz(weight: Float[Tensor, "map length"]) -> Float[Tensor, "map out sample"]:
    """Rows ``[0 .. 0, w, 0 .. 0]``: a row [w, 0 ... 0] of L + b entries, repeated and cut one short, moves by one."""
    maps, length = weight.shape
    rows = F.pad(weight, (0, BLOCK))[:, None].expand(maps, BLOCK, length + BLOCK).flatten(1)
    return rows[:, : BLOCK * (BLOCK + length - 1)].unflatten(1, (BLOCK, BLOCK + length - 1))


def _weight_gradient(
    g: Float[Tensor, "batch map time"], x: Float[Tensor, "batch map padded"], length: int
) -> Float[Tensor, "map length"]:    # fmt: skip
    """Sum of g[t] x[t + i] over trials and t: the diagonals of one matrix product a map."""
    blocks = _blocks(x, length)                                                          # (B, D, n, b + L - 1)
    g = F.pad(g, (0, blocks.shape[2] * BLOCK - g.shape[-1])).unflatten(2, (-1, BLOCK))   # (B, D, n, b)
    products = torch.einsum("bdnj,bdni->dji", g, blocks)                                 # (D, b, b + L - 1)
    # cut in rows one longer, what stood on a diagonal stands in a column
    rows = F.pad(products.flatten(1), (0, BLOCK)).unflatten(1, (BLOCK, BLOCK + length))
    return rows[:, :, :length].sum(1)


class TimeFilter(nn.Module):
    """One long filter over time for each map: a depthwise 'same' convolution (B, D, T) -> (B, D, T)."""

    def __init__(self, maps: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps, length))
        nn.init.uniform_(self.weight, -(length**-0.5), length**-0.5)    # as nn.Conv1d

    def forward(self, x: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map time"]:
        """Filter every map with its own kernel."""
        length = self.weight.shape[1]
        return filter_maps(F.pad(x, (length // 2, (length - 1) // 2)), self.weight)
