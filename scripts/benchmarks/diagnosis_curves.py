"""Curves by formula, with noise, of which it is known what they show: healthy ones of many kinds, and sick ones."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

Shape = Callable[[np.random.Generator], dict[str, Any]]


def synthetic_suite(*, seed: int, n: int) -> Iterator[dict[str, Any]]:
    """``n`` trainings of each kind, in the form of the trained suite (`diagnosis_faults`)."""
    for number, (name, shape) in enumerate(SHAPES.items()):
        rng = np.random.default_rng([seed, number])
        for _ in range(n):
            yield _training(name, shape(rng), rng)


def _training(name: str, shape: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Draw a training of a shape.

    ``train`` and ``val`` are loss (of ln K) against the share t in (0, 1] of the training, ``right`` and
    ``val_right`` accuracies between chance (0) and certainty (1); accuracies are binomial draws over the trials.
    """
    k = int(rng.choice([2, 3, 4, 6]))
    n_train, n_val, n_test = shape.get("n_train", int(rng.integers(60, 600))), int(rng.integers(30, 150)), 144
    n_val = shape.get("n_val", n_val)
    epochs, batches = shape.get("epochs", int(rng.integers(20, 150))), -(-n_train // 32)
    t = np.arange(1, epochs + 1) / epochs
    noise = shape.get("noise", rng.uniform(0.002, 0.03))
    lr = shape.get("lr", 1e-3) * (np.minimum(1, 20 * t) * 0.5 * (1 + np.cos(np.pi * t)))
    train, right = shape["train"](t), shape["right"](t)
    val, val_right = shape["val"](t), shape["val_right"](t)
    test_right = shape.get("test_right", float(val_right[-1]) * rng.uniform(0.9, 1.05))

    def accuracy(share: np.ndarray | float, size: int) -> np.ndarray:
        """Shares of the same trials in each epoch, so with little noise from one epoch to the next."""
        p = 1 / k + (1 - 1 / k) * np.atleast_1d(np.asarray(share, np.float64))
        p = np.where(p < 1, p + rng.normal(0, 0.02, p.shape), p)
        return (rng.random(size) < p[:, None]).mean(1) if size else np.full(p.shape, np.nan)

    base = np.log(k)
    history = pd.DataFrame({
        "epoch": np.arange(1, epochs + 1), "lr": lr,
        "running_loss": base * (train + rng.uniform(0, 0.15) * train + rng.normal(0, noise, epochs)).clip(0.001),
        "train_loss": base * (train + rng.normal(0, noise, epochs) * train).clip(0.0005),
        "train_accuracy": accuracy(right, n_train),
        "val_loss": base * (val + rng.normal(0, noise, epochs)).clip(0.0005) if n_val else np.nan,
        "val_accuracy": accuracy(val_right, n_val), "grad_norm": shape.get("norm", 1.0) * rng.lognormal(0, 0.2, epochs),
        "steps": batches * np.arange(1, epochs + 1.0), "dead_share": shape.get("dead", 0.0),
        "input_scale": shape.get("scale", 1.0), "flow": shape.get("flow", 1.0) * rng.lognormal(0, 0.1, epochs),
    })    # fmt: skip
    test, present = float(accuracy(test_right, n_test)[0]), np.full(k, n_test // k)
    predicted = np.round(present * rng.dirichlet(np.full(k, 60)) * k).astype(int)
    if shape.get("missing"):
        predicted[0] = 0
    score = {
        "subject": "1", "seed": 0, "n_train": n_train, "n_val": n_val, "n_test": n_test, "chance": 1 / k,
        "val_accuracy": float(history["val_accuracy"].iloc[-1]), "test_accuracy": test,
        "status": shape.get("status", "done"),
    }    # fmt: skip
    answers = {
        "predicted": predicted.tolist(), "present": present.tolist(), "val_predicted": predicted.tolist(),
        "spread": shape.get("spread", 0.2),
    }    # fmt: skip
    return {
        "label": name.partition(":")[0], "name": f"synthetic{name.partition(':')[2]}", "n_classes": k, "score": score,
        "settings": shape.get("settings", {}), "answers": answers, "history": history,
    }    # fmt: skip


def _falls(rng: np.random.Generator, *, to: float, speed: tuple[float, float] = (3, 15)) -> Callable:
    rate = rng.uniform(*speed)
    return lambda t: to + (1 - to) * np.exp(-rate * t)


def _grows(rng: np.random.Generator, *, to: float, speed: tuple[float, float] = (3, 15)) -> Callable:
    rate = rng.uniform(*speed)
    return lambda t: to * (1 - np.exp(-rate * t))


def _level(value: float) -> Callable:
    return lambda t: np.full(len(t), value)


def _learning(rng: np.random.Generator) -> dict[str, Any]:
    """Training ahead of validation by little or much, as networks on EEG are."""
    end = rng.uniform(0.02, 0.45)
    right, kept = 1 - 0.9 * end, rng.uniform(0.65, 1.0)
    late = rng.uniform(0, 0.15)
    fall = _falls(rng, to=max(end, 1 - kept * 0.8))
    return {
        "train": _falls(rng, to=end), "right": _grows(rng, to=right), "val": lambda t: fall(t) + late * t**2,
        "val_right": _grows(rng, to=kept * right),
    }    # fmt: skip


def _slow_learning(rng: np.random.Generator) -> dict[str, Any]:
    """A plateau at first, as of Transformers, then learning."""
    start, end = rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.4)
    done = lambda t: 1 / (1 + np.exp(-15 * (t - start)))    # noqa: E731
    return {
        "train": lambda t: 1 - (1 - end) * done(t), "right": lambda t: (1 - end) * done(t),
        "val": lambda t: 1 - 0.8 * (1 - end) * done(t), "val_right": lambda t: 0.8 * (1 - end) * done(t),
    }    # fmt: skip


def _easy(rng: np.random.Generator) -> dict[str, Any]:
    """Nearly perfect, and rightly so: validation loss stays above that of training."""
    return {
        "train": _falls(rng, to=0.01, speed=(8, 25)), "right": _grows(rng, to=1.0, speed=(10, 25)),
        "val": _falls(rng, to=rng.uniform(0.08, 0.2), speed=(8, 25)), "val_right": _grows(rng, to=0.93, speed=(10, 25)),
    }    # fmt: skip


def _memorising(rng: np.random.Generator, n_train: int | None = None) -> dict[str, Any]:
    rise = rng.uniform(0.2, 1.5)
    shape = {
        "train": _falls(rng, to=0.05), "right": _grows(rng, to=0.99), "val": lambda t: 1 + rise * t,
        "val_right": _level(0.0), "test_right": 0.0,
    }    # fmt: skip
    return shape | ({"n_train": n_train} if n_train else {})


def _over_fitting(rng: np.random.Generator) -> dict[str, Any]:
    best, rise = rng.uniform(0.25, 0.36), rng.uniform(0.3, 1.0)
    fall = _falls(rng, to=0.75)
    return {
        "train": _falls(rng, to=0.02), "right": _grows(rng, to=1.0), "val": lambda t: fall(t) + rise * t**2,
        "val_right": _level(best), "n_val": 150,
    }    # fmt: skip


def _over_confident(rng: np.random.Generator) -> dict[str, Any]:
    fall, rise = _falls(rng, to=0.45, speed=(10, 20)), rng.uniform(0.3, 0.8)
    return {
        "train": _falls(rng, to=0.02), "right": _grows(rng, to=1.0), "val": lambda t: fall(t) + rise * t**2,
        "val_right": _grows(rng, to=0.75, speed=(10, 20)),
    }    # fmt: skip


def _flat(rng: np.random.Generator, **more: Any) -> dict[str, Any]:
    level = rng.uniform(0.985, 1.02)
    return {"train": _level(level), "right": _level(0.0), "val": _level(level), "val_right": _level(0.0),
            "test_right": 0.0, "noise": 0.005, **more}    # fmt: skip


def _with(shape: Shape, **more: Any) -> Shape:
    """A shape with something else in it; functions draw it."""
    return lambda rng: shape(rng) | {name: value(rng) if callable(value) else value for name, value in more.items()}


def _swinging(rng: np.random.Generator) -> dict[str, Any]:
    size = rng.uniform(0.3, 0.6)
    sign = lambda t: np.where(np.arange(len(t)) % 2, 1, -1)    # noqa: E731
    return {**_learning(rng), "train": lambda t: 0.6 + size * sign(t) * rng.uniform(0.5, 1, len(t))}


SHAPES: dict[str, Shape] = {
    "healthy:": _learning, "healthy: slow": _slow_learning, "healthy: easy": _easy,
    "healthy: no validation": _with(_learning, n_val=0, test_right=0.5),
    "memorising": _memorising, "too few trials": lambda rng: _memorising(rng, n_train=16),
    "over-fitting": _over_fitting,
    "over-confident": _over_confident, "stuck": _flat,
    "constant output": _with(_flat, spread=lambda rng: 10 ** rng.uniform(-9, -3.2)),
    "diverged": _with(
        _flat, train=lambda rng: _grows(rng, to=rng.uniform(2.5, 9)), val=lambda rng: _grows(rng, to=5.0),
    ),
    "diverged: NaN": _with(_flat, status="failed: loss is nan in epoch 3; lower trainer.lr"),
    "oscillating": _swinging,
    "data problem": _with(
        _learning, train=lambda rng: _level(rng.uniform(0.93, 1.0)), right=lambda rng: _level(0.05), n_val=100,
    ),
    "under-fitting": lambda rng: {
        "train": _falls(rng, to=0.85), "right": _grows(rng, to=0.33), "val": _falls(rng, to=0.88),
        "val_right": _grows(rng, to=0.3), "n_train": 300,
    },
    "class never predicted": _with(_learning, missing=True),
    "shift": _with(_learning, test_right=lambda rng: rng.uniform(0, 0.15)),
    "too good to be true": lambda rng: {
        "train": _falls(rng, to=0.003, speed=(15, 30)), "right": _grows(rng, to=1.0, speed=(30, 60)),
        "val": _falls(rng, to=0.003, speed=(15, 30)), "val_right": _grows(rng, to=1.0, speed=(30, 60)),
        "test_right": 1.0, "noise": 0.0005,
    },
    "dead parameters": _with(_learning, dead=lambda rng: rng.uniform(0.02, 0.6)),
    "vanishing gradients": _with(_learning, flow=lambda rng: 10 ** rng.uniform(-6, -3.3)),
    "exploding gradients": _with(_learning, norm=lambda rng: 10 ** rng.uniform(2.2, 4)),
    "rate too high": _with(_flat, lr=lambda rng: rng.uniform(0.05, 0.5)),
    "input scale": _with(_flat, scale=lambda rng: 10 ** rng.uniform(-6, -3)),
    "rate too low": _with(_flat, lr=lambda rng: 10 ** rng.uniform(-7, -5.3), epochs=60),
    "too few steps": _with(
        _flat, epochs=lambda rng: int(rng.integers(1, 4)), train=lambda rng: _level(0.9), n_train=200,
    ),
    "over-regularised": _with(_flat, settings=lambda rng: {"weight_decay": 10.0}, epochs=100, n_train=300),
}    # fmt: skip
