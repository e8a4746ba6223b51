"""Loss and accuracy over the epochs: all runs in one figure, and one small panel a subject."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from eegdecode.reporting.stats import chance_bound
from eegdecode.reporting.style import CHANCE, RUNNING, TRAIN, VAL, draw_chance, label_line, new_figure

MOST_LINES = 12    # more runs than this are shown as a band, fewer as thin lines
MOST_PANELS = 20
LETTERS = 118    # of a line over the figure
MOST_LOSS = 4    # upper end of the loss axis in multiples of ln K, ...
EXPLODED = 0.2    # ... unless more than this share of the losses lies beyond
_COLOURS = {"train": TRAIN, "val": VAL, "running": RUNNING}
_NAMES = {"train": "training (dropout off)", "val": "validation", "running": "training (as trained)"}


def draw_curves(
    history: pd.DataFrame, scores: pd.DataFrame, *, n_classes: int, title: str, diagnosis: str = ""
) -> Figure:    # fmt: skip
    """Two panels, loss and accuracy: mean over runs, with thin lines or the band of 80 % of the runs.

    ``diagnosis`` is written above them.
    """
    said = textwrap.wrap(diagnosis, LETTERS)
    figure = new_figure(8.0, 3.4 + 0.16 * len(said))
    loss_ax, accuracy_ax = figure.subplots(1, 2)
    for kind in ("running", "train", "val"):
        _draw(loss_ax, history, f"{kind}_loss", _COLOURS[kind], _NAMES[kind], dashed=kind == "running")
    for kind in ("train", "val"):
        _draw(accuracy_ax, history, f"{kind}_accuracy", _COLOURS[kind], _NAMES[kind], percent=True)
    _finish_loss(loss_ax, history, n_classes)
    _finish_accuracy(accuracy_ax, scores)
    for ax in (loss_ax, accuracy_ax):
        _mark_best(ax, scores["best_epoch"])
        ax.set_xlabel("epoch (passes over the training trials)")
        ax.set_xlim(1, _last_epoch(history))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    n_runs = history["key"].nunique()
    bands = f"mean and range of 80 % of {n_runs} runs" if n_runs > MOST_LINES else _runs_text(n_runs)
    loss_ax.set_title("Loss")
    accuracy_ax.set_title("Accuracy")
    heading = [f"{title}   ({bands}; ▾ epoch used)", *said]
    figure.suptitle("\n".join(heading), x=0.01, ha="left", fontsize=9)
    handles, names = loss_ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(handles))
    return figure


def draw_curves_by_subject(
    history: pd.DataFrame, scores: pd.DataFrame, *, n_classes: int, verdicts: Mapping[str, str] | None = None
) -> Figure:    # fmt: skip
    """Loss of each subject in a small panel of its own, all with the same axes, and its verdict."""
    subjects = list(history["subject"].unique())[:MOST_PANELS]
    n_columns = min(5, len(subjects))
    n_rows = -(-len(subjects) // n_columns)
    figure = new_figure(0.6 + 1.75 * max(n_columns, 3), 0.9 + 1.45 * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for ax, subject in zip(panels.flat, subjects, strict=False):
        own = history[history["subject"] == subject]
        for kind in ("train", "val"):
            _draw(ax, own, f"{kind}_loss", _COLOURS[kind], _NAMES[kind])
        _mark_best(ax, scores.loc[scores["subject"] == subject, "best_epoch"])
        ax.axhline(np.log(n_classes), color=CHANCE, lw=1, ls=(0, (4, 2)))
        accuracy = scores.loc[scores["subject"] == subject, "test_accuracy"].mean()
        ax.set_title(f"{_short(subject)}: {100 * accuracy:.1f} %", fontsize=8.5)
        verdict = (verdicts or {}).get(subject, "")
        ax.text(0.98, 0.97, verdict, transform=ax.transAxes, ha="right", va="top", fontsize=7, color="#666666",
                zorder=5, path_effects=[withStroke(linewidth=2.5, foreground="white")])    # ln K may go through it
    for ax in panels.flat[len(subjects) :]:
        ax.set_axis_off()
    panels[0, 0].set_xlim(1, _last_epoch(history))
    panels[0, 0].yaxis.set_major_locator(MaxNLocator(4))
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    _scale_loss(panels[0, 0], history, n_classes)
    for column in range(n_columns):
        lowest = (len(subjects) - 1 - column) // n_columns
        panels[lowest, column].set_xlabel("epoch", fontsize=8.5)
        panels[lowest, column].tick_params(labelbottom=True)
    figure.supylabel("cross-entropy (nats)", fontsize=9)
    more = history["subject"].nunique() - len(subjects)
    tail = f"; {more} more subjects not shown" if more else ""
    figure.suptitle(
        f"Loss by subject, with the test accuracy reached (dashed: ln {n_classes}{tail})",
        x=0.01, ha="left", fontsize=9,
    )    # fmt: skip
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw(
    ax: Axes,
    history: pd.DataFrame,
    column: str,
    colour: str,
    name: str,
    *,
    dashed: bool = False,
    percent: bool = False,
) -> None:
    """One quantity of all runs; mean and band end where fewer than half of the runs are left."""
    wide = history.pivot_table(index="epoch", columns="key", values=column, dropna=True)
    wide = wide.replace([np.inf, -np.inf], np.nan) * (100 if percent else 1)
    if wide.empty:
        return
    wide = wide.interpolate("index", limit_area="inside")    # of many epochs runs measure every few, not the same
    enough = wide.notna().sum(axis=1) >= wide.shape[1] / 2
    epochs = wide.index.to_numpy()
    if not dashed and 1 < wide.shape[1] <= MOST_LINES:
        ax.plot(epochs, wide.to_numpy(), color=colour, lw=0.6, alpha=0.3)
    elif not dashed and wide.shape[1] > MOST_LINES:
        low, high = wide.quantile(0.1, axis=1), wide.quantile(0.9, axis=1)
        ax.fill_between(epochs, low, high, where=enough.to_list(), color=colour, alpha=0.15, lw=0)
    mean = wide.mean(axis=1).where(enough)
    ls = (0, (1.5, 1.2)) if dashed else "-"
    ax.plot(epochs, mean, color=colour, label=name, lw=1.1 if dashed else 1.8, ls=ls)


def _finish_loss(ax: Axes, history: pd.DataFrame, n_classes: int) -> None:
    ax.axhline(np.log(n_classes), color=CHANCE, lw=1, ls=(0, (4, 2)))
    label_line(ax, np.log(n_classes), f"uniform answer: ln {n_classes}")
    ax.set_ylabel("cross-entropy (nats)")
    _scale_loss(ax, history, n_classes)


def _finish_accuracy(ax: Axes, scores: pd.DataFrame) -> None:
    """Chance for as many trials as one run's validation has, for that is what its curve is measured on."""
    chance = float(scores["chance"].median())
    n_test = scores["n_test"].median()
    cues = scores.get("test_cues", scores["n_test"]).median() / n_test    # of a window: those of a cue are no guesses
    n = max(1, int(cues * (scores["n_val"].median() or n_test)))
    draw_chance(ax, 100 * chance, 100 * chance_bound(chance, n))
    ax.set_ylabel("trials classified rightly (%)")
    ax.set_ylim(0, 102)


def _scale_loss(ax: Axes, history: pd.DataFrame, n_classes: int) -> None:
    """Show bulk and ln K: one exploding run does not flatten the rest; where many explode, the axis is logarithmic."""
    losses = history[["running_loss", "train_loss", "val_loss"]].to_numpy().ravel()
    losses, uniform = losses[np.isfinite(losses)], np.log(n_classes)
    bulk = float(np.quantile(losses, 0.98)) if losses.size else 0.0
    if losses.size and np.mean(losses > MOST_LOSS * uniform) > EXPLODED:
        ax.set_yscale("log")
        ax.set_ylim(0.5 * uniform, 1.5 * float(losses.max()))
    else:
        ax.set_ylim(0, 1.1 * min(max(bulk, uniform), MOST_LOSS * uniform))


def _last_epoch(history: pd.DataFrame) -> int:
    return max(2, int(history["epoch"].max()))


def _mark_best(ax: Axes, best: pd.Series) -> None:
    """A small triangle at the top for the epoch of each run's weights, and a line at their median."""
    epochs = best[best > 0]
    if len(epochs):
        ax.axvline(float(epochs.median()), color="#555555", lw=0.8, ls=":")
        (marks,) = ax.plot(epochs, np.ones(len(epochs)), transform=ax.get_xaxis_transform(), clip_on=False)
        marks.set(linestyle="", marker="v", markersize=4, markeredgecolor="none", color="#555555", alpha=0.7)


def _runs_text(n_runs: int) -> str:
    return "one run" if n_runs == 1 else f"bold: mean of {n_runs} runs, thin: each run"


def _short(subject: str) -> str:
    return subject if len(subject) <= 10 else f"{subject[:9]}…"
