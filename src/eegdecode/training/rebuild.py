"""Networks and front ends of checkpoints, built again from their descriptions (`eegdecode.identity.describe`).

A description names classes. They are imported by name, so what a file can call is narrow: a front end of this
package, or a class that is a network.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from eegdecode.identity import describe
from eegdecode.training.frontend import FrontEnd

log = logging.getLogger(__name__)
FRONT_ENDS = "eegdecode.training."


def rebuild_network(model: Mapping[str, Any]) -> nn.Module:
    """Build the network of a checkpoint in evaluation mode, with weights that are still to be put in.

    Parameters
    ----------
    model : mapping
        ``network`` (its class and settings) and ``sizes``, as a checkpoint tells.

    Raises
    ------
    ValueError
        If it is not there, no network, or of a version that takes other settings.
    """
    network, sizes = _part(model, "network"), _part(model, "sizes")
    call = _named(network)
    if not (inspect.isclass(call) and issubclass(call, nn.Module)):
        raise ValueError(f"the checkpoint's network {_name(network)} is no class of networks (torch.nn.Module)")
    return _call(network, call, _placed(sizes)).eval()


def rebuild_frontend(model: Mapping[str, Any]) -> FrontEnd:
    """Build the settings of a checkpoint's front end; what it learned stands among the weights."""
    return _frontend(_part(model, "frontend"))


def _placed(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes with electrodes of unknown position at NaN, for which JSON has null."""
    places = sizes.get("positions")
    if places is None:
        return dict(sizes)
    return {**sizes, "positions": [[math.nan if at is None else at for at in place] for place in places]}


def _frontend(description: Mapping[str, Any]) -> FrontEnd:
    if not _name(description).startswith(FRONT_ENDS):
        raise ValueError(f"the checkpoint's front end {_name(description)} is none of {FRONT_ENDS}*")
    kind = _named(description)
    if not (inspect.isclass(kind) and kind.__module__.startswith(FRONT_ENDS) and hasattr(kind, "fit")):
        raise ValueError(f"the checkpoint's front end {_name(description)} is no front end")    # and is not called
    inner = {name: _frontend(value) for name, value in _settings(description).items() if _is_call(value)}
    return _call(description, kind, inner)


def _call(description: Mapping[str, Any], thing: Any, more: Mapping[str, Any]) -> Any:
    """Make a part with its settings, of which ``more`` replaces some."""
    try:
        return thing(**{**_settings(description), **more})
    except TypeError as error:
        raise ValueError(
            f"{_name(description)} takes other settings than when it was trained ({error}); "
            "use the version of the checkpoint (facts.git_commit and facts.versions in its JSON)"
        ) from error


def _named(description: Mapping[str, Any]) -> Any:
    """Import what a description names, and say if its source has changed since."""
    module, _, name = _name(description).rpartition(".")
    try:
        thing = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the checkpoint needs {_name(description)}, which cannot be imported ({error})") from error
    if describe(thing).get("source") != description["call"].get("source"):
        log.warning("the source of %s has changed since the checkpoint was trained", _name(description))
    return thing


def _part(model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = model.get(name)
    if not isinstance(part, Mapping) or (name != "sizes" and not _is_call(part)):
        raise ValueError(f"the checkpoint does not tell its {name}; it was not written by this program, or is damaged")
    return part


def _is_call(thing: Any) -> bool:
    return isinstance(thing, Mapping) and isinstance(thing.get("call"), Mapping) and "name" in thing["call"]


def _name(description: Mapping[str, Any]) -> str:
    return str(description["call"]["name"])


def _settings(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != "call"}
