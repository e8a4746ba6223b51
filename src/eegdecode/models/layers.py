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

import functools
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

Part = TypeVar("Part")


def choose(what: str, word: str, choices: Mapping[str, Part]) -> Part:
    """Return the part that a word of a config names."""
    if word not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, got {word!r}")
    return choices[word]


def at_least(what: str, number: int, least: int) -> int:
    """Return a setting that is a whole number and large enough."""
    if not isinstance(number, int):
        raise ValueError(f"{what} must be a whole number, got {number!r}")
    if number < least:
        raise ValueError(f"{what} must be at least {least}, got {number}")
    return number


def more_than_zero(what: str, number: float) -> float:
    """Return a setting that is a length, of time or the like."""
    if not (isinstance(number, int | float) and 0 < number < math.inf):
        raise ValueError(f"{what} must be a number above 0, got {number!r}")
    return number


def check_settings(what: str, part: type, given: Mapping[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Name a setting that the part which a word chose has not, with those that it has.

    ``beside`` are what its builder gives it itself.
    """
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    known = [key for key, each in inspect.signature(part).parameters.items() if each.kind not in kinds]
    known = [key for key in known if key not in beside]
    if unknown := [key for key in given if key not in known]:
        has = f"its settings are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{what} has no setting {', '.join(unknown)}; {has}")


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

    On a processor one random number of 64 bits serves four entries: drawing them is what dropout costs there (2 to 4
    times ``F.dropout``'s speed for the attention of 190 tokens). On a GPU each entry draws its own, for
    torch before 2.13 has no ``vmap`` of a view as another type.
    """
    last = (keep * 2**16 - 2**15 - 1).clamp(-(2**15), 2**15 - 1).to(torch.int16)    # of the numbers that are kept
    if keep.is_cuda:
        return torch.randint(-(2**15), 2**15, tuple(shape), dtype=torch.int16, device=keep.device) <= last
    n = math.prod(shape)
    bits = torch.randint(-(2**63), 2**63 - 1, (-(-n // 4),), device=keep.device).view(torch.int16)
    return bits[:n].view(*shape) <= last


def limit_norm(weight: Float[Tensor, "*weight"], max_norm: float) -> Float[Tensor, "*weight"]:
    """Scale each output's weights down to an L2 norm of at most ``max_norm``.

    Keras clips the weights after each update; a scaling in ``forward`` has the same fixed points, is
    differentiable and can be stacked.
    """
    norm = weight.flatten(1).norm(dim=1).clamp(min=1e-12)
    scale = (max_norm / norm).clamp(max=1.0)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))


class MaxNormLinear(nn.Linear):
    """A linear map whose rows have a norm of at most ``max_norm``."""

    def __init__(self, *args, max_norm: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def forward(self, input: Tensor) -> Tensor:
        """Map with the limited weights."""
        return F.linear(input, limit_norm(self.weight, self.max_norm), self.bias)


def exactly(x: Tensor) -> torch.autocast:
    """Within it, nothing is computed in 16 bits (``trainer.precision=bf16``)."""
    return torch.autocast(x.device.type, enabled=False)


def wide(x: Tensor) -> Tensor:
    """In 32 bits at least: where small differences of large sums count."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def filter_maps(
    x: Float[Tensor, "batch map time"], weight: Float[Tensor, "map length"], *, before: int = 0, after: int = 0
) -> Float[Tensor, "batch map time2"]:    # fmt: skip
    """Filter each map with its own kernel: what ``conv1d(x, weight[:, None], groups=D)`` gives.

    So many zeros are thought ``before`` and ``after`` the signal.

    Cut the signal into overlapping blocks x_n of b + L - 1 samples. Then every block of b outputs is a matrix
    product, ``y_n = W x_n`` with the banded Toeplitz matrix ``W[j, i] = w[i - j]``: the same sums, at a
    processor's matrix rate.
    """
    with exactly(x):    # as the way back is: what it meets must be of one type
        return _FilterMaps.apply(x.to(weight.dtype), weight, before, after)[0]


BLOCK = 64    # samples: the work grows with (b + L) / b, and matrices need some size to be fast


class _FilterMaps(torch.autograd.Function):
    """`filter_maps` with its blocks kept for the way back, which needs three products and one copy."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, before: int, after: int) -> tuple[Tensor, Tensor]:
        length = weight.shape[1]
        n_times = before + x.shape[-1] + after - length + 1
        n_blocks = -(-n_times // BLOCK)
        padded = F.pad(x, (before, n_blocks * BLOCK + length - 1 - before - x.shape[-1]))
        blocks = padded.unfold(2, BLOCK + length - 1, BLOCK).transpose(0, 1).contiguous()    # (D, B, n, b + L - 1)
        y = blocks.flatten(1, 2) @ _toeplitz(weight).mT                                      # (D, B n, b)
        return y.unflatten(1, blocks.shape[1:3]).transpose(0, 1).flatten(2)[..., :n_times], blocks

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, int, int], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[1], output[1])
        ctx.place = slice(inputs[2], inputs[2] + inputs[0].shape[-1])

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g, (weight, blocks), (to_x, to_w) = grads[0], ctx.saved_tensors, ctx.needs_input_grad[:2]
        batch, n_blocks = blocks.shape[1:3]
        g = F.pad(g, (0, n_blocks * BLOCK - g.shape[-1])).unflatten(2, (n_blocks, BLOCK))
        g = g.transpose(0, 1).flatten(1, 2)                                                  # (D, B n, b)
        gx = gw = None
        if to_x:
            to_blocks = (g @ _toeplitz(weight)).unflatten(1, (batch, n_blocks))              # (D, B, n, b + L - 1)
            gx = _add_overlaps(to_blocks).transpose(0, 1)[..., ctx.place]
        if to_w:
            gw = _diagonals(g.mT @ blocks.flatten(1, 2), weight.shape[1])
        return gx, gw, None, None


def _toeplitz(weight: Float[Tensor, "map length"]) -> Float[Tensor, "map out sample"]:
    """Rows ``[0 .. 0, w, 0 .. 0]``: a row [w, 0 ... 0] of L + b entries, repeated and cut one short, moves by one."""
    maps, length = weight.shape
    rows = F.pad(weight, (0, BLOCK))[:, None].expand(maps, BLOCK, length + BLOCK).flatten(1)
    return rows[:, : BLOCK * (BLOCK + length - 1)].unflatten(1, (BLOCK, BLOCK + length - 1))


def _diagonals(products: Float[Tensor, "map out sample"], length: int) -> Float[Tensor, "map length"]:
    """Sum along diagonals, what `_toeplitz` spreads: cut in rows one longer, a diagonal is a column."""
    return F.pad(products.flatten(1), (0, BLOCK)).unflatten(1, (BLOCK, BLOCK + length))[:, :, :length].sum(1)


def _add_overlaps(blocks: Float[Tensor, "map batch block sample"]) -> Float[Tensor, "map batch time"]:
    """Put blocks that begin b samples apart in one signal, and add where they overlap: the reverse of unfold."""
    pieces = blocks.split(BLOCK, dim=3)
    last = len(pieces) - 1
    spread = [F.pad(p, (0, BLOCK - p.shape[3], k, last - k)) for k, p in enumerate(pieces)]
    return functools.reduce(torch.add, spread).flatten(2)


class MeanPool(nn.Module):
    """Mean of ``size`` neighbouring samples: nn.AvgPool1d in two thirds of the time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map pooled"]:
        """Average; what is left over at the end is dropped."""
        n = x.shape[-1] // self.size
        return x[..., : n * self.size].unflatten(-1, (n, self.size)).mean(-1)


class TimeFilter(nn.Module):
    """One long filter over time for each map: a depthwise 'same' convolution (B, D, T) -> (B, D, T)."""

    def __init__(self, maps: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps, length))
        nn.init.uniform_(self.weight, -(length**-0.5), length**-0.5)    # as nn.Conv1d

    def forward(self, x: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map time"]:
        """Filter every map with its own kernel."""
        length = self.weight.shape[1]
        return filter_maps(x, self.weight, before=length // 2, after=(length - 1) // 2)
