"""How much arithmetic a network is: multiply-adds of one trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_counted: WeakKeyDictionary[Callable, dict[tuple[int, int], float]] = WeakKeyDictionary()


def count_multiply_adds(model: Callable, network: nn.Module, sizes: Mapping[str, Any]) -> float:
    """Multiplications (each with an addition) of one trial's forward pass in evaluation mode.

    Torch counts those of matrix products, convolutions and attention, in the form that is computed here, which may
    be cheaper than the paper's. Fourier transforms and elementwise steps are not counted.

    Parameters
    ----------
    model : callable
        What the network was built by; each of its shapes is counted once in a process.
    network : nn.Module
        On the CPU. NaN if it cannot be counted.
    sizes : mapping
        ``n_chans`` and ``n_times`` of the trials.
    """
    known, shape = _counted.setdefault(model, {}), (sizes["n_chans"], sizes["n_times"])
    if shape not in known:
        known[shape] = _count(network, torch.zeros(1, *shape))
    return known[shape]


def _count(network: nn.Module, x: Tensor) -> float:
    was = network.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(x)
    except Exception:    # whatever it is: a column is not worth a training
        return float("nan")
    finally:
        network.train(was)
    return counter.get_total_flops() / 2
