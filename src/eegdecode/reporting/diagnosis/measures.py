"""What a diagnosis rests on: the course of a training in a few numbers, relative to ln K and to chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.metrics import probabilities
from eegdecode.reporting.stats import chance_bound

TAIL = 0.1    # share of the measured epochs, the last ones, whose mean counts as the end
MEASURED = 512    # training trials on which the training loss is measured, at least, where there are so many


@dataclass(frozen=True)
class Answers:
    """What the network answered to validation and test trials.

    Attributes
    ----------
    predicted, present : tuple of int
        Test trials that were called, and that are, of each class.
    val_predicted : tuple of int
        Validation trials that were called of each class.
    classes : tuple of str
        Their names; empty where they are not known.
    spread : float
        Root mean square deviation of the probabilities over all these trials: 0 for a constant output, about
        0.4 for sure answers of four classes.
    """

    predicted: tuple[int, ...]
    present: tuple[int, ...]
    val_predicted: tuple[int, ...]
    spread: float
    classes: tuple[str, ...] = ()


def read_answers(
    logits: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str] = ()
) -> Answers | None:    # fmt: skip
    """Read the answers off the logits (n, K) of ``"val"`` and ``"test"``; None for a failed run.

    Parameters
    ----------
    labels : ndarray of int
        Of the test trials.
    """
    test = np.asarray(logits["test"], np.float64)
    if not len(test) or np.isnan(test).any():
        return None
    val = np.asarray(logits["val"], np.float64)
    p = probabilities(np.concatenate([val, test]))
    counts = [np.bincount(which, minlength=test.shape[1]) for which in (test.argmax(1), labels, val.argmax(1))]
    predicted, present, val_predicted = (tuple(map(int, each)) for each in counts)
    return Answers(predicted, present, val_predicted, float(np.sqrt(p.var(axis=0).mean())), tuple(classes))


@dataclass(frozen=True)
class Course:
    """A training in numbers. Losses are in units of the loss of a uniform answer, ln K; NaN where not measured.

    Attributes
    ----------
    status : str
        ``done``, or what went wrong.
    epochs, steps : int
        Passes over the training trials, updates (0: unknown).
    lr : float
        Largest rate.
    path : float
        Sum of the rates of all updates: about how far Adam can move a weight.
    shrink : float
        What the decay alone leaves of a weight; 1 for none.
    drop : float
        Dropout of the network; NaN if unknown.
    decay : float
        Weight decay; 0 if unknown.
    train, train_accuracy, val, val_accuracy : float
        Means over the last tenth of the epochs; in evaluation mode.
    least_val, best_val_accuracy : float
        Extremes of the validation curves, smoothed over a tenth of them.
    train_late : float
        How far the training loss fell over the second half of the epochs.
    patience, since_best : int
        Epochs without a lower validation loss after which a run is ended (0: never), and how many there were.
    peak : float
        Largest running or training loss after the first tenth of the epochs. The training loss, which is of evaluation
        mode, counts only where the running loss says that nothing is learned: with one batch an epoch batch norm's
        statistics are late, and while the one fell to 0.01 the other was seen to rise to 2.5 ln K and to come back.
    swing : float
        Mean absolute change of the training loss from one measured epoch to the next, in the middle half.
    dead_share, flow, grad_norm, input_scale : float
        Medians over the epochs; see `eegdecode.training.flow`.
    n_train, n_val, n_test : int
        Trials; of several windows a cue, which share a label and much of the signal, cues.
    train_bound, val_bound : float
        Accuracies that guessing exceeds in 5 % of cases.
    floor : float
        Loss of the answers that smoothed labels ask for: nobody is meant to come below it.
    """

    n_classes: int
    n_train: int
    n_val: int
    n_test: int
    chance: float
    status: str
    epochs: int
    steps: int
    lr: float
    path: float
    shrink: float
    drop: float
    train: float
    train_accuracy: float
    train_late: float
    val: float
    val_accuracy: float
    least_val: float
    best_val_accuracy: float
    peak: float
    swing: float
    dead_share: float
    flow: float
    grad_norm: float
    input_scale: float
    kept_val_accuracy: float
    test_accuracy: float
    train_bound: float
    val_bound: float
    floor: float = 0.0
    decay: float = 0.0
    patience: int = 0
    since_best: int = 0


def measure(
    history: pd.DataFrame, score: Mapping[str, Any], *, n_classes: int, settings: Mapping[str, float] | None = None
) -> Course:    # fmt: skip
    """Measure a training, also one that is not finished.

    Parameters
    ----------
    history : DataFrame
        As in `eegdecode.runs.Prediction`; at least one row.
    score : mapping
        ``n_train``, ``n_val``, ``n_test``, ``chance``; of a finished run also ``status``, ``val_accuracy``,
        ``test_accuracy`` and ``test_cues``.
    settings : mapping, optional
        ``weight_decay``, ``drop``, ``label_smoothing`` and ``patience`` of the run, as far as known, and whether it
        has ``class_weights``: then a network that knows nothing prefers no class, and chance is 1 / K.
    """
    settings, base = settings or {}, np.log(n_classes)
    curves = {name: _column(history, name) for name in _CURVES}
    losses = {name: curves[f"{name}_loss"] / base for name in ("running", "train", "val")}
    cues = float(score.get("test_cues", score["n_test"])) / max(1, int(score["n_test"]))    # of a window
    n_train, n_val, n_test = (round(cues * int(score[name])) for name in ("n_train", "n_val", "n_test"))
    chance = 1 / n_classes if settings.get("class_weights") else float(score["chance"])
    smoothing = float(settings.get("label_smoothing", 0.0))
    steps, lr, decay = curves["steps"], curves["lr"], float(settings.get("weight_decay", 0.0))
    path = float(np.nansum(lr * np.diff(steps, prepend=0))) if np.isfinite(steps).all() else np.nan
    val, right = _smooth(losses["val"]), _smooth(curves["val_accuracy"])
    return Course(
        n_classes=n_classes, n_train=n_train, n_val=n_val, n_test=n_test, chance=chance,
        status=str(score.get("status", "done")),
        epochs=int(history["epoch"].max()), steps=int(steps[-1]) if np.isfinite(steps[-1]) else 0,
        lr=_of(np.nanmax, lr), path=path, shrink=float(np.exp(-path * decay)), decay=decay,
        drop=float(settings.get("drop", np.nan)),
        train=_end(losses["train"]), train_accuracy=_end(curves["train_accuracy"]),
        train_late=_late(losses["train"]), val=_end(losses["val"]), val_accuracy=_end(curves["val_accuracy"]),
        least_val=_of(np.nanmin, val), best_val_accuracy=_of(np.nanmax, right),
        peak=_of(np.nanmax, _loud(losses)[len(curves["lr"]) // 10 :]),
        swing=_swing(losses["train"]),
        dead_share=_of(np.nanmedian, curves["dead_share"]), flow=_of(np.nanmedian, curves["flow"]),
        grad_norm=_of(np.nanmedian, curves["grad_norm"]), input_scale=_of(np.nanmedian, curves["input_scale"]),
        kept_val_accuracy=float(score.get("val_accuracy", np.nan)),
        test_accuracy=float(score.get("test_accuracy", np.nan)),
        train_bound=chance_bound(chance, min(n_train, MEASURED)),
        val_bound=chance_bound(chance, n_val), patience=int(settings.get("patience", 0)),
        since_best=_since_best(history["epoch"].to_numpy(), losses["val"]),
        floor=float(-np.log(1 - smoothing + smoothing / n_classes) / base),
    )    # fmt: skip


def _since_best(epochs: np.ndarray, val: np.ndarray) -> int:
    """Epochs since the validation loss was least."""
    return 0 if np.isnan(val).all() else int(epochs[-1] - epochs[np.nanargmin(val)])


def _loud(losses: dict[str, np.ndarray]) -> np.ndarray:
    """Running loss, or the training loss where that is higher and the running loss is no better than a guess."""
    running, train = losses["running"], losses["train"]
    return np.where(running > 1, np.fmax(running, train), running)


_CURVES = (
    "running_loss", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "grad_norm", "lr", "steps",
    "dead_share", "flow", "input_scale",
)    # fmt: skip


def _column(history: pd.DataFrame, name: str) -> np.ndarray:
    return history[name].to_numpy(np.float64) if name in history else np.full(len(history), np.nan)


def _of(how: Any, values: np.ndarray) -> float:
    """Reduce what is a number; NaN without any."""
    return float(how(values)) if not np.isnan(values).all() else float("nan")


def _tail(values: Sequence[float] | np.ndarray) -> int:
    return max(1, round(TAIL * len(values)))


def _end(values: np.ndarray) -> float:
    return float(values[-_tail(values) :].mean())


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a tenth of the epochs."""
    n = _tail(values)
    return np.convolve(values, np.full(n, 1 / n), mode="valid")


def _late(values: np.ndarray) -> float:
    """Fall over the second half: mean around the middle, less the end."""
    n, middle = _tail(values), len(values) // 2
    return float(values[max(0, middle - n // 2) : middle + (n + 1) // 2].mean() - _end(values)) if middle else 0.0


def _swing(values: np.ndarray) -> float:
    middle = values[len(values) // 4 : len(values) - len(values) // 4]
    return float(np.abs(np.diff(middle)).mean()) if len(middle) > 3 else 0.0
