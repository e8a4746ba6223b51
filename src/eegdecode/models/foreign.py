"""Networks of braindecode in our training: the only file that knows that library, which is an optional extra."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

SIZES = ("n_chans", "n_outputs", "n_times", "sfreq")    # what the data say, braindecode's words


def braindecode(
    name: str, options: Mapping[str, Any] | None = None, init_from: str | None = None
) -> partial[Foreign]:    # fmt: skip
    """Choose a network, so that a wrong name is told before any data are read.

    Parameters
    ----------
    name : str
        A class of ``braindecode.models``, e.g. ``"ShallowFBCSPNet"``.
    options : mapping
        Its keyword arguments, its dropout rate among them.
    init_from : str or None
        Handed on: the experiment reads it, not the network.

    Returns
    -------
    partial
        Of `Foreign`; the library's version is in it, so that it enters the identity of a run.
    """
    models, options = _library(), dict(options or {})
    classes = {key: c for key, c in vars(models).items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    if name not in classes:
        close = difflib.get_close_matches(name, classes) or sorted(classes)
        raise ValueError(f"model.name={name} is no network of braindecode {version('braindecode')}: {', '.join(close)}")
    known = set(inspect.signature(classes[name]).parameters) - set(SIZES)
    if unknown := sorted(set(options) - known):
        raise ValueError(f"model.options.{unknown[0]} is unknown to {name}, which takes {', '.join(sorted(known))}")
    begin = {} if init_from is None else {"init_from": init_from}    # for the experiment, which takes it out again
    return partial(Foreign, name=name, options=options, version=version("braindecode"), **begin)


class Foreign(nn.Module):
    """A network of braindecode for data of this size: logits of each trial, (B, C, T) -> (B, K).

    Parameters
    ----------
    name, options, version
        As `braindecode` has chosen.
    drop : float or None
        A swept dropout rate, which the network cannot take: its dropout is not ours.

    Raises
    ------
    ValueError
        If the network does not give one vector of logits a trial, or a dropout rate is swept.
    """

    stackable = False    # what it does under ``vmap`` is not known: one run is trained after the other

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        name: str, options: Mapping[str, Any], version: str, drop: float | None = None,
    ) -> None:    # fmt: skip
        super().__init__()
        if drop is not None:
            raise ValueError(
                "drop and sweep.drop are for networks of eegdecode; one of braindecode has its own option, for most "
                "+model.options.drop_prob=0.3"
            )
        sizes = {"n_chans": n_chans, "n_outputs": n_classes, "n_times": n_times, "sfreq": sfreq}
        self.net = getattr(_library(), name)(**sizes, **options)
        with torch.no_grad():
            shape = tuple(self.net.eval()(torch.zeros(2, n_chans, n_times)).shape)
        if shape != (2, n_classes):
            raise ValueError(f"model.name={name} gives {shape} for two trials, which are not their logits")
        self.train()

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        return self.net(x)


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings(action="ignore"):    # of what its other networks import
            import braindecode.models as models  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError('model=braindecode needs pip install -c constraints.txt -e ".[braindecode]"') from error
    return models
