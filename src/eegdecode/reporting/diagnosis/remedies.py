"""Remedies as they can be typed for one experiment: what holds already is left out, what is swept is swept anew."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from eegdecode.reporting.diagnosis.verdicts import to_type
from eegdecode.reporting.settings import SWEPT, read_settings

EXPLAINING = {    # settings that explain a course, by the names of `measure`
    "weight_decay": "trainer.weight_decay", "label_smoothing": "trainer.label_smoothing",
    "class_weights": "trainer.class_weights", "drop": "model.drop", "patience": "trainer.patience",
}    # fmt: skip
RAISED = ("trainer.batch_size", "trainer.label_smoothing", "trainer.validation", "augment.segments")    # by a remedy
LOWERED = ("trainer.clip",)
SNR, PIECES = "augment=snr", "augment.segments=8"    # the same, alone and beside the changes of a chain
FLICKER = "ssvep"    # preprocess, by which the paradigm is typed


def typed_settings(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment was made with, as it is typed: its settings, and the choice of each group."""
    return {**facts, **read_settings(folder)}


def explaining(settings: Mapping[str, Any]) -> dict[str, float]:
    """Those that `eegdecode.reporting.diagnosis.measures.measure` asks for, as far as they are known."""
    known = {name: settings.get(path) for name, path in EXPLAINING.items()}
    known["class_weights"] = known["class_weights"] is not None or None
    if settings.get("trainer.fine_tune") == "head":    # what is frozen drops nothing out
        known["drop"] = None
    return {name: float(value) for name, value in known.items() if isinstance(value, int | float)}


def fitting(remedy: str, settings: Mapping[str, Any]) -> str:
    """Alter a remedy so that each of its overrides changes something, and to the better.

    A number that is swept goes before the trainer's, so that typing the trainer's would train the same again; a network
    that starts from others keeps their front end. Pieces of other trials break a flicker's phase: SSVEP loses 0.4 to
    3.5 points by ``augment=snr``.
    """
    overrides, advice = to_type(remedy)
    words = []
    for word in overrides.split():
        if word == SNR and "augment.segments" in settings and settings.get("augment") != "snr":
            word = PIECES
        path, _, value = word.partition("=")
        number = SWEPT.get(path, "")
        if settings.get(number) is not None:
            words.append(f"{number}={value}")
        elif not _there(path, settings, value) and not _refused(word, settings):
            words.append(word)
    for path, number in SWEPT.items():
        advice = advice.replace(f"{path}=", f"{number}=") if settings.get(number) is not None else advice
    other = re.fullmatch(r"(?:or )?([\w.]+)=(\S+)", advice)
    advice = "" if other and _there(other.group(1), settings, other.group(2)) else advice
    return "; ".join(filter(None, [" ".join(words), advice if words else advice.removeprefix("or ")]))


def _there(path: str, settings: Mapping[str, Any], typed: str) -> bool:
    """Whether a setting is what a remedy asks for, or more of it."""
    now = settings.get(path)
    if isinstance(now, int | float) and path in RAISED + LOWERED:
        return now >= float(typed) if path in RAISED else now <= float(typed)
    return path in settings and _same(now, typed)


def _refused(word: str, settings: Mapping[str, Any]) -> bool:
    """Whether an override is no remedy in this experiment."""
    if word.startswith("frontend"):
        few = int(settings.get("n_channels") or 4) < 4    # CSP's filters
        return few or bool(settings.get("model.init_from") or settings.get("augment.symmetry"))
    if word == "trainer.select=best_val":
        return settings.get("trainer.average") == "swa"
    return word in (SNR, PIECES) and settings.get("preprocess") == FLICKER


def _same(now: Any, typed: str) -> bool:
    if isinstance(now, int | float) and not isinstance(now, bool):
        try:
            return math.isclose(now, float(typed))
        except ValueError:
            return False
    return now == yaml.safe_load(typed)
