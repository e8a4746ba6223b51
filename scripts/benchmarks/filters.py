"""Long filters over time: by Fourier transforms against by matrix products, there and back, one thread.

``benchmark.py filters`` takes both forms in turn for the shapes that networks have, medians of many, and so a step of
EEGNet on trials of which the moments are remembered, and on such as augmentation has changed.
"""

from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.engine import processor
from benchmarks.table import markdown, publish
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.filters import _Products, _Spectra
from eegdecode.training.heap import keep_freed_memory

OUT = Path("notebooks/benchmarks")
REPEATS = 40
SHAPES = {    # (trials, maps, samples, taps)
    "EEGNet's bank, ssvep_exo": (32, 16, 512, 128), "its second filter there": (32, 16, 128, 16),
    "EEGNet's bank, mi_openbci": (32, 16, 375, 62), "EEGNet's bank, shape of 2a": (58, 16, 1000, 125),
    "its second filter, shape of 2a": (58, 16, 250, 16), "S3T's, shape of 2a": (58 * 16, 2, 1000, 51),
}    # fmt: skip
STEPS = [(32, 8, 512, 256.0), (32, 15, 375, 125.0), (58, 22, 1000, 250.0)]    # (trials, channels, samples, Hz)


def measure_filters(_: Path) -> None:
    """Write ``filters.csv`` and ``filters.md``."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table = pd.DataFrame([_row(name, *shape) for name, shape in SHAPES.items()])
        steps = pd.DataFrame([_step(*shape) for shape in STEPS])
    finally:
        torch.set_num_threads(threads)
    publish(table, [
        "# Long filters over time",
        f"Milliseconds of `filter_maps` there and back (gradients of signal and taps), one thread, {REPEATS} times in "
        "turn, medians: matrix products with banded Toeplitz matrices, and Fourier transforms, which a CPU takes. "
        f"{processor()}, torch {torch.__version__}. *apart*: largest difference of the two outputs, relative to the "
        "largest value. Made by `python scripts/benchmark.py filters`.",
        markdown(table),
        "A step of EEGNet there and back, as above: with the moments of the trials remembered, from which its first "
        "norm has its statistics, or computed for each batch anew, as augmentation and mixup make it.",
        markdown(steps),
    ], OUT, "filters")    # fmt: skip
    print(table.to_string(), steps.to_string(), sep="\n")


def _row(name: str, trials: int, maps: int, samples: int, taps: int) -> dict:
    torch.manual_seed(0)
    x, w = torch.randn(trials, maps, samples, requires_grad=True), torch.randn(maps, taps, requires_grad=True)
    forms = {"products": _Products, "transforms": _Spectra}
    pads = taps // 2, taps // 2
    times = {form: [] for form in forms}
    for _ in range(REPEATS):
        for form, function in forms.items():
            times[form].append(_seconds(function, x, w, *pads))
    products, transforms = (1e3 * float(np.median(each)) for each in times.values())
    one, other = (function.apply(x, w, *pads)[0].detach() for function in forms.values())
    return {
        "filters": name, "trials": trials, "maps": maps, "samples": samples, "taps": taps,
        "products, ms": round(products, 2), "transforms, ms": round(transforms, 2),
        "transforms to products": round(transforms / products, 2),
        "apart": f"{float((one - other).abs().max() / one.abs().max()):.0e}",
    }    # fmt: skip


def _step(trials: int, channels: int, samples: int, sfreq: float) -> dict:
    torch.manual_seed(0)
    network = EEGNet(channels, samples, 4, sfreq)
    x, y = torch.randn(trials, channels, samples), torch.randint(4, (trials,))
    known = network.remember(x)
    times = {"remembered": [], "anew": []}
    for _ in range(REPEATS):
        for form, memory in (("remembered", known), ("anew", None)):
            began = perf_counter()
            torch.autograd.grad(F.cross_entropy(network(x, memory), y), list(network.parameters()))
            times[form].append(perf_counter() - began)
    remembered, anew = (1e3 * float(np.median(each)) for each in times.values())
    return {
        "trials": trials, "channels": channels, "samples": samples, "remembered, ms": round(remembered, 1),
        "anew, ms": round(anew, 1), "anew to remembered": round(anew / remembered, 2),
    }    # fmt: skip


def _seconds(function: type[torch.autograd.Function], x: Tensor, w: Tensor, before: int, after: int) -> float:
    began = perf_counter()
    torch.autograd.grad(function.apply(x, w, before, after)[0].square().sum(), (x, w))
    return perf_counter() - began
