"""What a training costs: time, memory, energy. Measured beside it; no number of a result depends on it."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import time
from contextlib import suppress
from typing import Any

NAN = float("nan")


class Meter:
    """Measures from its making to `read`.

    Parameters
    ----------
    device : str
        Where the training runs: ``cpu``, ``cuda:0``.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        if device.startswith("cuda"):
            import torch  # here, for classical pipelines do without

            torch.cuda.reset_peak_memory_stats(device)
        _stop_energy()    # of a training that was broken off
        _start_energy()
        self._began = time.perf_counter()

    def read(self, *, n_runs: int = 1, before: float = 0.0) -> dict[str, Any]:
        """``seconds`` and ``costs`` of each of the runs that were trained together, as `Prediction` takes them.

        ``before`` are the seconds of an interrupted training that was gone on with; its energy is not known.
        """
        seconds = (before + time.perf_counter() - self._began) / n_runs
        energy = _stop_energy() / n_runs if not before else NAN
        return {"seconds": seconds, "costs": {"peak_memory_mb": peak_memory(self.device), "energy_wh": energy}}


def peak_memory(device: str) -> float:
    """Peak memory in MB (1e6 bytes).

    On a GPU: the most that torch had allocated on it during the training, for the whole stack and the signals of all
    trials. Else the peak of this process since its start (resident set): Python, its libraries and whatever it did
    before stand in it, so that it says what a machine must have, not what a network needs. A worker is a process of its
    own; the pages of the signals that workers share are counted in each. NaN where the system does not tell (Windows).
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:
        return NAN
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6    # bytes there, KiB elsewhere


def _start_energy() -> None:
    with suppress(Exception):    # a meter must not end a training
        if tracker := _tracker():
            tracker.start_task()


def _stop_energy() -> float:
    """Energy in Wh since `_start_energy`; NaN where nothing measures it."""
    with suppress(Exception):
        if (tracker := _tracker()) and (used := tracker.stop_task()):
            return 1000 * used.energy_consumed
    return NAN


@functools.cache
def _tracker() -> Any:
    """CodeCarbon's tracker of this process, which writes no files and asks no server; None if it is not installed.

    It reads the meters of processor and GPU where it may, and else estimates from their model and load.
    """
    if importlib.util.find_spec("codecarbon") is None:
        return None
    with suppress(Exception):
        from codecarbon import OfflineEmissionsTracker  # pyright: ignore[reportMissingImports]

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        return OfflineEmissionsTracker(
            country_iso_code="FRA",    # one must be named; emissions depend on it, energy does not
            tracking_mode="process", save_to_file=False, allow_multiple_runs=True, log_level="critical",
        )    # fmt: skip
    return None
