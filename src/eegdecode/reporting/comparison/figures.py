"""Figures of scores: each subject under each model, differences with intervals, ranks."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eegdecode.reporting.card_plots import CLASS_COLOURS
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.labels import name_dots
from eegdecode.reporting.comparison.names import LINE, wrapped
from eegdecode.reporting.comparison.pairs import ALPHA
from eegdecode.reporting.comparison.ranks import Ranks
from eegdecode.reporting.style import CHANCE, INK, TRAIN, VAL, new_figure
from eegdecode.reporting.units import unit_of

WIDTH = 5.0    # in: still readable when a phone shrinks it
LEARNING = 2.7    # in: height of the axes of a learning curve
MOST_PAIRS = 6    # so many pairs are all drawn; of more models, each against the best


def draw_subjects(comparison: Comparison) -> Figure:
    """Score of each subject under each model: a thin line a subject, a diamond the mean."""
    unit = unit_of(comparison.metric)
    scores = unit.scale * comparison.scores
    n = scores.shape[1]
    names = [wrapped(name) for name in scores.columns]
    figure = new_figure(WIDTH, 1.1 + _height(names) * max(n, 3))
    ax = figure.subplots()
    rows = np.arange(n)
    for values in scores.to_numpy():
        ax.plot(values, rows, color=TRAIN, lw=0.8, alpha=0.35, marker="o", ms=3, mec="none")
    means = comparison.scores.mean().to_numpy()    # written as in the tables, also where 68.75 is rounded
    ax.plot(unit.scale * means, rows, ls="", marker="D", ms=6, color=VAL, mec="white", zorder=5)
    for row, mean in zip(rows, means, strict=True):
        ax.annotate(unit.number(mean), (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", color=VAL)    # fmt: skip
    _draw_chance(ax, comparison)
    ax.set_yticks(rows, names)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xlabel(f"{unit.axis(words(comparison.metric))}: a line a subject, ◆ the mean")
    ax.grid(axis="y", visible=False)
    return figure


def _draw_chance(ax: Axes, comparison: Comparison) -> None:
    chance, bound = (unit_of(comparison.metric).scale * value for value in comparison.chance)
    if not np.isfinite(chance):
        return
    ax.axvline(chance, color=CHANCE, lw=1, ls=(0, (4, 2)))
    if np.isfinite(bound):
        ax.axvspan(chance, bound, color=CHANCE, alpha=0.2, lw=0)
    ax.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"), xytext=(-2, 2),
                textcoords="offset points", fontsize=7.5, color="#666666", ha="center")    # fmt: skip


def draw_differences(comparison: Comparison) -> Figure:
    """Mean difference of pairs with its 95 % interval; filled where one is established to be worse than the best."""
    pairs, unit = comparison.pairs, unit_of(comparison.metric)
    rows = pairs if len(pairs) <= MOST_PAIRS or comparison.with_best.empty else comparison.with_best
    names = [wrapped(b) if len(pairs) > MOST_PAIRS else f"{wrapped(a)}{_minus(a, b)}{wrapped(b)}"
             for a, b in zip(rows["a"], rows["b"], strict=True)]    # fmt: skip
    figure = new_figure(WIDTH, 1.1 + _height(names) * max(len(rows), 2))
    ax = figure.subplots()
    ax.axvline(0, color=CHANCE, lw=1)
    for y, row in enumerate(rows.to_dict("records")):
        low, mid, high = (unit.scale * row[name] for name in ("low", "difference", "high"))
        sure = row["p_best"] < ALPHA
        ax.plot([low, high], [y, y], color=TRAIN, lw=1.6)
        ax.plot(mid, y, marker="o", ms=6, color=TRAIN, mfc=TRAIN if sure else "white", mew=1.5)
        told = f"{unit.change(row['difference'])} [{unit.number(row['low'])}, {unit.number(row['high'])}]"
        ax.annotate(told, (1, y), xycoords=("axes fraction", "data"),
                    xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)    # fmt: skip
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    seen = " (transductive)" * bool(comparison.best and comparison.entries[comparison.best].transductive)
    than = f"{comparison.best}{seen} better by" if len(pairs) > MOST_PAIRS else "difference"
    of = f"{unit.points} of ".lstrip() * bool(unit.points) + words(comparison.metric)
    ax.set_xlabel("\n".join(textwrap.wrap(f"{than} ({of}), 95 % interval", 60)))
    ax.grid(axis="y", visible=False)
    return figure


def _minus(a: str, b: str) -> str:
    return " − " if len(a) + len(b) <= LINE else " −\n"


def _height(names: list[str]) -> float:
    """Of a row, in: room for the lines of its name."""
    return max(0.36, 0.15 * (1 + max((name.count("\n") + 1 for name in names), default=1)))


def draw_ranks(ranks: Ranks) -> Figure:
    """Critical-difference diagram (Demšar, 2006), turned: a bar at the right joins models that are not told apart."""
    values, names = ranks.ranks.to_numpy(float), [wrapped(str(name)) for name in ranks.ranks.index]
    n, gap = len(names), 0.035
    figure = new_figure(WIDTH, 1.2 + (_height(names) - 0.08) * n)
    ax = figure.subplots()
    ax.plot(values, range(n), ls="", marker="o", ms=6, color=TRAIN)
    for i, (first, last) in enumerate(ranks.level):
        ends = [first - 0.25, last + 0.25]
        ax.plot([1.03 + gap * i] * 2, ends, color=TRAIN, lw=3, transform=ax.get_yaxis_transform(), clip_on=False)
    ax.set_yticks(range(n), [f"{name}  {value:.2f}" for name, value in zip(names, values, strict=True)])
    ax.set(xlim=(0.8, max(n, 1 + ranks.difference) + 0.2), ylim=(n - 0.5, -1.4))
    ax.plot([1, 1 + ranks.difference], [-0.9, -0.9], color=VAL, lw=2)
    ax.annotate(f"critical difference {ranks.difference:.2f}", (1, -0.9), xytext=(0, 3), textcoords="offset points",
                fontsize=8, color=VAL)    # fmt: skip
    ax.set_xlabel("mean rank over subjects (1 is best)")
    ax.grid(axis="y", visible=False)
    return figure


def draw_learning(lines: pd.DataFrame, metric: str) -> Figure:
    """Mean score against the number of training trials, a line a model; bars: deviation of the mean over subjects."""
    unit, figure = unit_of(metric), new_figure(WIDTH, LEARNING + 0.7)
    ax = figure.subplots()
    models = [own.sort_values("n_train") for _, own in lines.groupby("model", sort=False)]
    colours = [CLASS_COLOURS[place % len(CLASS_COLOURS)] for place in range(len(models))]
    for own, colour in zip(models, colours, strict=True):
        bars = {"yerr": unit.scale * own["error"], "marker": "o", "ms": 4, "capsize": 3}
        ax.errorbar(own["n_train"], unit.scale * own["mean"], color=colour, **bars)
    ax.set(xlabel="training trials a run", ylabel=unit.axis(words(metric)))
    ax.set_xlim(left=max(0.0, ax.get_xlim()[0]))    # constrained layout makes room for names at the right
    low, high = ax.get_ylim()
    last = np.array([[own["n_train"].iloc[-1], unit.scale * own["mean"].iloc[-1]] for own in models])
    left, right = ax.get_xlim()
    points = 72 * (last - (left, low)) / (right - left, high - low) * (3.2, LEARNING)
    name_dots(ax, last, points, [str(own["model"].iloc[0]) for own in models], height=72 * LEARNING, colours=colours)
    return figure


def words(metric: str) -> str:
    """The name of a metric for readers."""
    return {"auroc": "area under the ROC curve", "f1_macro": "F1 (macro)"}.get(metric, metric.replace("_", " "))
