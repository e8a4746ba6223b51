"""Bounds of numbers that are typed, told by the names that are typed, before any recording is read."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

BOUNDS = {    # as those of the trainer and of dropout, which a swept number replaces
    "lr": "a rate is above 0 and at most 10", "weight_decay": "it must be between 0 and 100",
    "drop": "dropout must be in [0, 1)",
}    # fmt: skip


def is_sane(name: str, value: float) -> bool:
    """Whether a swept number is within its `BOUNDS`; NaN is not."""
    return {"lr": 0 < value <= 10, "weight_decay": 0 <= value <= 100, "drop": 0 <= value < 1}[name]


def check_bounds(**parts: partial) -> None:
    """Refuse numbers that none of our networks can be built with (``model=...``: ``model.width=0``).

    A network is built after its trials are prepared, whose sizes it needs, and what it is not made for ends there in
    the words of a library, or in a network that has less than was asked for. A dropout is looked at in every part.
    Of our networks whole numbers count something, of which there is at least one unless the class has another number
    in its attribute ``least``; all other numbers but shares dropped are sizes, above 0. Networks of the user's own
    have bounds of their own.
    """
    for name, part in parts.items():
        if isinstance(drop := part.keywords.get("drop"), int | float) and not is_sane("drop", drop):
            raise ValueError(f"{name}.drop={drop:g}: {BOUNDS['drop']}")
        if getattr(part.func, "__module__", "").startswith("eegdecode.models."):
            for key, parameter in inspect.signature(part.func).parameters.items():
                if key in part.keywords:
                    least = getattr(part.func, "least", {}).get(key, 1)
                    _check(f"{name}.{key}", part.keywords[key], str(parameter.annotation), least)


def _check(what: str, value: Any, annotation: str, least: int) -> None:
    """Refuse one setting; ``annotation`` is as the network writes it, ``int | None``."""
    kinds = {kind.strip() for kind in annotation.split("|")}
    if "None" in kinds and value is None:
        return
    if "int" in kinds and not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        raise ValueError(f"{what} must be a whole number of at least {least}, got {value!r}")
    if "float" in kinds and "drop" not in what and not _is_size(value):
        raise ValueError(f"{what} must be a number above 0, got {value!r}")
    if "Sequence[float]" in kinds:
        sizes = list(value) if isinstance(value, Sequence) else []
        if not sizes or not all(map(_is_size, sizes)):
            raise ValueError(f"{what} must be a list of numbers above 0, got {value!r}")


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf
