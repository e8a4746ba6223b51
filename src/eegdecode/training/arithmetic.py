"""How much arithmetic a network is: multiply-adds of one trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from eegdecode.runs import Prediction


def with_arithmetic(predictions: Iterable[Prediction], model: Callable) -> Iterator[Prediction]:
    """Note multiply-adds beside the other costs of each run; they are counted once for each shape of trials."""
    known: dict[tuple[int, int], float] = {}
    for prediction in predictions:
        sizes = prediction.model["sizes"]
        shape = (sizes["n_chans"], sizes["n_times"])
        if shape not in known:
            known[shape] = count_multiply_adds(model, sizes)
        yield replace(prediction, costs={**prediction.costs, "multiply_adds": known[shape]})


def count_multiply_adds(model: Callable, sizes: Mapping[str, Any]) -> float:
    """Multiplications (each with an addition) of one trial's forward pass in evaluation mode.

    Torch counts those of matrix products, convolutions and attention, in the form that is computed here, which may
    be cheaper than the paper's. A Fourier transform of n samples counts as 1.25 n log2 n of them. Elementwise steps
    are not counted. NaN if the network cannot be counted. Torch's counter takes a second to import, so workers leave
    it to the process that waits for them.

    Parameters
    ----------
    sizes : mapping
        What the model is built with: ``n_chans``, ``n_times`` and the like.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, custom_mapping=dict.fromkeys(TRANSFORMS, _transforms))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), counter:
            model(**sizes).eval()(torch.zeros(1, sizes["n_chans"], sizes["n_times"]))
    except Exception:    # whatever it is: a column is not worth a training
        return float("nan")
    return counter.get_total_flops() / 2


TRANSFORMS = torch.ops.aten._fft_r2c, torch.ops.aten._fft_c2r


def _transforms(shape: torch.Size, dims: list[int], *_: Any, out_shape: torch.Size, **__: Any) -> float:
    """Operations of real transforms over one axis, 2.5 n log2 n each (Frigo & Johnson, Proc. IEEE 93, 2005)."""
    n = max(shape[dims[0]], out_shape[dims[0]])    # of spectrum and signal the signal is the longer
    return 2.5 * n * math.log2(n) * math.prod(shape) / shape[dims[0]]
