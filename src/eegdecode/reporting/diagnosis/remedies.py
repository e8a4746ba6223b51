"""Remedies as they can be typed for one experiment: what holds already is left out, what is swept is swept anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from eegdecode.reporting.diagnosis.verdicts import to_type
from eegdecode.reporting.settings import read_settings

SWEPT = {"trainer.lr": "sweep.lr", "trainer.weight_decay": "sweep.weight_decay", "model.drop": "sweep.drop"}
EXPLAINING = {    # settings that explain a course, by the names of `measure`
    "weight_decay": "trainer.weight_decay", "label_smoothing": "trainer.label_smoothing",
    "class_weights": "trainer.class_weights", "drop": "model.drop", "patience": "trainer.patience",
}    # fmt: skip


def typed_settings(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment was made with, as it is typed: its settings, and the choice of each group."""
    return {**facts, **read_settings(folder)}


def explaining(settings: Mapping[str, Any]) -> dict[str, float]:
    """Those that `eegdecode.reporting.diagnosis.measures.measure` asks for, as far as they are known."""
    known = {name: settings.get(path) for name, path in EXPLAINING.items()}
    known["class_weights"] = known["class_weights"] is not None or None
    return {name: float(value) for name, value in known.items() if isinstance(value, int | float)}


def fitting(remedy: str, settings: Mapping[str, Any]) -> str:
    """Alter a remedy so that each of its overrides changes something.

    A number that is swept goes before the trainer's, so that typing the trainer's would train the same again; a network
    that starts from others keeps their front end.
    """
    overrides, advice = to_type(remedy)
    words = []
    for word in overrides.split():
        path, _, value = word.partition("=")
        number = SWEPT.get(path, "")
        if settings.get(number) is not None:
            word = f"{number}={value}"
        elif (path in settings and _same(settings[path], value)) or (
            path == "frontend" and settings.get("model.init_from")
        ):
            continue
        words.append(word)
    for path, number in SWEPT.items():
        advice = advice.replace(f"{path}=", f"{number}=") if settings.get(number) is not None else advice
    return "; ".join(filter(None, [" ".join(words), advice if words else advice.removeprefix("or ")]))


def _same(now: Any, typed: str) -> bool:
    if isinstance(now, int | float) and not isinstance(now, bool):
        try:
            return math.isclose(now, float(typed))
        except ValueError:
            return False
    return now == yaml.safe_load(typed)
