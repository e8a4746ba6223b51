"""What the settings of a training may be, told in words before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, TypeGuard

from eegdecode.training.crew import check_workers
from eegdecode.training.dependents import COUNTS_WITH
from eegdecode.training.ensemble import MODES
from eegdecode.training.transfer import FINE_TUNE

if TYPE_CHECKING:
    from eegdecode.training.settings import DeepSettings

SCHEDULES = ("cosine", "constant", "one_cycle", "plateau")
NUMBERS = (
    "lr", "weight_decay", "warmup", "plateau_factor", "sam", "label_smoothing", "mixup", "ema_decay", "swa_share",
    "layer_factor", "validation",
)    # fmt: skip


def check_words(settings: DeepSettings) -> None:
    """Refuse a word that nobody knows, and what is neither true nor false."""
    for name in (field.name for field in fields(settings) if field.type == "bool"):
        if not isinstance(getattr(settings, name), bool):
            raise ValueError(f"trainer.{name} must be true or false; got {getattr(settings, name)!r}")
    choices = {
        "optimiser": ("adamw", "adam"), "schedule": SCHEDULES, "select": ("last", "best_val"),
        "precision": ("float32", "bf16"), "ensemble": ("auto", *MODES), "average": ("none", "ema", "swa"),
        "class_weights": (None, "balanced"), "fine_tune": FINE_TUNE,
    }    # fmt: skip
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            words = ", ".join("null" if word is None else word for word in allowed)
            raise ValueError(f"trainer.{name} must be one of {words}; got {getattr(settings, name)!r}")


def check_numbers(settings: DeepSettings) -> None:
    """Refuse what is no number, or beyond its bounds."""
    for name in ("epochs", "updates", "batch_size", "accumulate", "plateau_patience", "patience"):
        value, null = getattr(settings, name), " or null" * (name in ("epochs", "patience"))
        if not (null and value is None) and not is_count(value):
            raise ValueError(f"trainer.{name} must be a whole number of at least 1{null}, got {value!r}")
    for name in NUMBERS:
        if not is_number(getattr(settings, name)):
            raise ValueError(f"trainer.{name} must be a number, got {getattr(settings, name)!r}")
    if len(settings.betas) != 2 or not all(is_number(b) and 0 <= b < 1 for b in settings.betas):
        raise ValueError(f"trainer.betas must be two numbers in [0, 1), got {list(settings.betas)}")
    check_workers(settings.workers)
    for name, low, high in (("lr", 0, 10), ("weight_decay", 0, 100), ("sam", 0, 10), ("mixup", 0, 10)):
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"trainer.{name} must be between {low} and {high}, got {getattr(settings, name)}")
    if settings.lr == 0:
        raise ValueError("trainer.lr must be above 0")
    for name in ("warmup", "label_smoothing", "validation"):
        if not 0 <= getattr(settings, name) < 1:
            raise ValueError(f"trainer.{name} must be in [0, 1), got {getattr(settings, name)}")
    if not settings.layer_factor >= 1:
        raise ValueError(f"trainer.layer_factor must be at least 1, got {settings.layer_factor}")
    for name in ("plateau_factor", "ema_decay", "swa_share"):
        if not 0 < getattr(settings, name) < 1:
            raise ValueError(f"trainer.{name} must lie between 0 and 1, got {getattr(settings, name)}")
    if settings.save_every is not None and not (is_number(settings.save_every) and settings.save_every >= 0):
        raise ValueError(f"trainer.save_every must be null or at least 0 s, got {settings.save_every}")
    if settings.clip is not None and not (is_number(settings.clip) and settings.clip > 0):
        raise ValueError(f"trainer.clip must be positive or null, got {settings.clip}")


def check_unused(settings: DeepSettings) -> None:
    """Refuse a setting of what is not turned on: it would stand in the results and do nothing."""
    for name, (whose, word) in COUNTS_WITH.items():
        value, now = getattr(settings, name), getattr(settings, whose)
        if now != word and value != getattr(type(settings), name):
            raise ValueError(f"trainer.{name}={value} is of trainer.{whose}={word}, and that is {now}: type both, or "
                             f"leave trainer.{name} out")    # fmt: skip


def check_epochs(settings: DeepSettings, n_train: Sequence[int]) -> None:
    """Refuse what counts in epochs where so few would never let it begin: it would stand in the results."""
    n = max(n_train, default=0)    # the most trials have the fewest epochs
    epochs = settings.count_epochs(n)
    few = f"with {n} training trials {epochs} epochs are trained"
    if n and settings.average == "swa" and round(settings.swa_share * epochs) < 2:
        one = f"trainer.swa_share={settings.swa_share:g} of them is one"
        raise ValueError(f"trainer.average=swa has nothing to average: {few}, and {one}; train longer, or take ema")
    if n and settings.schedule == "plateau" and epochs <= settings.plateau_patience + 1:
        waits = f"it waits for trainer.plateau_patience={settings.plateau_patience}"
        raise ValueError(f"trainer.schedule=plateau never lowers the rate: {few}, and {waits}; train longer")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is one; ``true`` counts as 1 in Python, but nobody means it."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number of at least 1."""
    return isinstance(value, int) and is_number(value) and value >= 1
