"""Where training runs: what is named must be there."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def find_devices(device: str | Sequence[str]) -> list[str]:
    """Turn ``auto`` into all GPUs that are visible, or else the CPU, and check what is named.

    Raises
    ------
    ValueError
        If none is named, or one is absent or unknown.
    """
    if device == "auto" and torch.cuda.device_count() > 1:
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    names = [device] if isinstance(device, str) else list(device)
    if not names:
        raise ValueError("device=[] names none; take auto, cpu, cuda or [cuda:0,cuda:1]")
    return [find_device(name) for name in names]


def find_device(name: str) -> str:
    """Turn ``auto`` into the best device and check the others.

    Raises
    ------
    ValueError
        If the device is absent or unknown.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    n_devices = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in n_devices or not (index or "0").isdigit():
        raise ValueError(f"device={name} is unknown; take auto, cpu, cuda, cuda:1 or mps")
    if int(index or 0) >= n_devices[kind]:
        raise ValueError(f"device={name} is not there: torch {torch.__version__} sees {n_devices[kind]} {kind} "
                         "device(s); take device=auto or device=cpu, or install a torch built for your GPU")
    return name
