"""Long filters over time, one a map: a depthwise convolution by Fourier transforms, or by matrix products."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import exactly


def filter_maps(
    x: Float[Tensor, "batch map time"], weight: Float[Tensor, "map length"], *, before: int = 0, after: int = 0
) -> Float[Tensor, "batch map time2"]:    # fmt: skip
    """Filter each map with its own kernel: what ``conv1d(x, weight[:, None], groups=D)`` gives.

    So many zeros are thought ``before`` and ``after`` the signal. There are two forms of the same sums:

    - On a processor signals and kernels are multiplied as spectra, with four long transforms there and back (``x``,
      ``y`` and their gradients): 128 taps on 512 samples take 0.36 times the time of the products, 16 taps on 250
      samples 0.8 times (``notebooks/benchmarks/filters.md``).
    - On a GPU, where that is not measured yet, and where a step is compiled, since torch's compiler knows no complex
      numbers: overlapping blocks x_n of b + L - 1 samples, so that every block of b outputs is a matrix product,
      ``y_n = W x_n`` with the banded Toeplitz matrix ``W[j, i] = w[i - j]``.
    """
    by_products = x.is_cuda or torch.compiler.is_compiling()
    with exactly(x):    # as the way back is: what it meets must be of one type
        return (_Products if by_products else _Spectra).apply(x.to(weight.dtype), weight, before, after)[0]


class _Spectra(torch.autograd.Function):
    """`filter_maps` by Fourier transforms, whose spectra are kept for the way back.

    With w_j the tap that meets x[t + j], -before <= j: ``y[t] = sum_j w_j x[t + j]``, ``gx[t] = sum_j w_j g[t - j]``
    and ``gw_j = sum_t g[t] x[t + j]``. The transforms are as long as the signal and its zeros on the longer side, so
    that what comes around at the ends is zero.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, before: int, after: int) -> tuple[Tensor, Tensor, Tensor]:
        n_times = before + x.shape[-1] + after - weight.shape[1] + 1
        n_fft = fast_length(max(x.shape[-1] + max(before, after), weight.shape[1], n_times))
        taps = F.pad(weight, (0, n_fft - weight.shape[1])).roll(-before, -1)
        xs, ws = torch.fft.rfft(x, n_fft), torch.fft.rfft(taps)                              # (B, D, n), (D, n)
        return torch.fft.irfft(xs * ws.conj(), n_fft)[..., :n_times], xs, ws

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, int, int], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])
        ctx.sizes = inputs[0].shape[-1], inputs[1].shape[1], inputs[2]

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (xs, ws), (n_times, length, before) = ctx.saved_tensors, ctx.sizes
        n_fft = 2 * (xs.shape[-1] - 1)                                                       # it is even
        gs = torch.fft.rfft(grads[0], n_fft)
        gx = gw = None
        if ctx.needs_input_grad[0]:
            gx = torch.fft.irfft(gs * ws, n_fft)[..., :n_times]
        if ctx.needs_input_grad[1]:
            gw = torch.fft.irfft((gs.conj() * xs).sum(0), n_fft).roll(before, -1)[:, :length]
        return gx, gw, None, None


def fast_length(least: int) -> int:
    """The next even number without prime factors above 5: a transform of such a length is fast.

    Twice what ``scipy.fft.next_fast_len`` gives for half of it: here, for networks know torch alone. Not cached: a
    compiled step would warn of that, and it takes some microseconds.
    """
    for n in range(least + least % 2, 2 * least + 2, 2):
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
    raise ValueError(f"a transform needs a length above 0, got {least}")


BLOCK = 64    # samples: the work grows with (b + L) / b, and matrices need some size to be fast


class _Products(torch.autograd.Function):
    """`filter_maps` by matrix products, its blocks kept for the way back, which needs three products and one copy."""

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
