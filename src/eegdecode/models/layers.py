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

Weights start as torch starts its layers, unless a network says otherwise (`start_as_glorot`).

A network may have a method ``remember``: what it computes of a trial (B, C, T) without any parameter, (B, ...).
Training asks for it once and hands it to ``forward`` as second argument in every epoch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

Part = TypeVar("Part")
LONGEST = 10    # s, of a kernel or pool that may be longer than a trial


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


def samples(what: str, seconds: float, sfreq: float, *, n_times: int, least: int = 1, cut: bool = True) -> int:
    """Length in samples of a kernel or pool that is given in s; one longer than its signal is ``cut`` to it.

    Papers count in samples: what is longer than the signal and than `LONGEST` was meant so, and is refused.
    """
    length = round(more_than_zero(what, seconds) * sfreq)
    if seconds > LONGEST and length > n_times:
        raise ValueError(
            f"{what}={seconds:g} is a length in s, and its signal has {n_times / sfreq:g} s; "
            f"{seconds:g} samples at {sfreq:g} Hz are {seconds / sfreq:.3g} s"
        )
    return min(n_times, max(least, length)) if cut else max(least, length)


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


def start_as_glorot(network: nn.Module) -> None:
    """Draw weights uniformly by their inputs and outputs, and set biases to 0 (Glorot and Bengio, 2010), as Keras."""
    for module in network.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1:    # norms keep theirs
            nn.init.xavier_uniform_(weight)
            if isinstance(bias, nn.Parameter):
                nn.init.zeros_(bias)


def exactly(x: Tensor) -> torch.autocast:
    """Within it, nothing is computed in 16 bits (``trainer.precision=bf16``)."""
    return torch.autocast(x.device.type, enabled=False)


def wide(x: Tensor) -> Tensor:
    """In 32 bits at least: where small differences of large sums count."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class MeanPool(nn.Module):
    """Mean of ``size`` neighbouring samples: nn.AvgPool1d in two thirds of the time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Float[Tensor, "batch map time"]) -> Float[Tensor, "batch map pooled"]:
        """Average; what is left over at the end is dropped."""
        n = x.shape[-1] // self.size
        return x[..., : n * self.size].unflatten(-1, (n, self.size)).mean(-1)
