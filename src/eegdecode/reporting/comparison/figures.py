"""Figures of scores: each subject under each model, differences with intervals, ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eegdecode.reporting.card_plots import CLASS_COLOURS
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.pairs import ALPHA
from eegdecode.reporting.comparison.ranks import Ranks
from eegdecode.reporting.style import CHANCE, INK, TRAIN, VAL, new_figure

WIDTH = 5.0    # in: still readable when a phone shrinks it
MOST_PAIRS = 6    # so many pairs are all drawn; of more models, each against the best


def draw_subjects(comparison: Comparison) -> Figure:
    """Score of each subject under each model: a thin line a subject, a diamond the mean."""
    scores = 100 * comparison.scores
    n = scores.shape[1]
    figure = new_figure(WIDTH, 1.1 + 0.36 * max(n, 3))
    ax = figure.subplots()
    rows = np.arange(n)
    for values in scores.to_numpy():
        ax.plot(values, rows, color=TRAIN, lw=0.8, alpha=0.35, marker="o", ms=3, mec="none")
    means = scores.mean().to_numpy()
    ax.plot(means, rows, ls="", marker="D", ms=6, color=VAL, mec="white", zorder=5)
    for row, mean in zip(rows, means, strict=True):
        ax.annotate(f"{mean:.1f}", (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", color=VAL)    # fmt: skip
    _draw_chance(ax, comparison)
    ax.set_yticks(rows, list(scores.columns))
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xlabel(f"{words(comparison.metric)} (%): a line a subject, ◆ the mean")
    ax.grid(axis="y", visible=False)
    return figure


def _draw_chance(ax: Axes, comparison: Comparison) -> None:
    chance, bound = (100 * value for value in comparison.chance)
    if not np.isfinite(chance):
        return
    ax.axvline(chance, color=CHANCE, lw=1, ls=(0, (4, 2)))
    if np.isfinite(bound):
        ax.axvspan(chance, bound, color=CHANCE, alpha=0.2, lw=0)
    ax.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"), xytext=(-2, 2),
                textcoords="offset points", fontsize=7.5, color="#666666", ha="center")    # fmt: skip


def draw_differences(comparison: Comparison) -> Figure:
    """Mean difference of pairs with its 95 % interval; filled where one is established to be worse than the best."""
    pairs = comparison.pairs
    rows = pairs if len(pairs) <= MOST_PAIRS else pairs[pairs["a"] == comparison.best]
    figure = new_figure(WIDTH, 1.1 + 0.36 * max(len(rows), 2))
    ax = figure.subplots()
    ax.axvline(0, color=CHANCE, lw=1)
    for y, row in enumerate(rows.to_dict("records")):
        low, mid, high = (100 * row[name] for name in ("low", "difference", "high"))
        sure = row["p_best"] < ALPHA
        ax.plot([low, high], [y, y], color=TRAIN, lw=1.6)
        ax.plot(mid, y, marker="o", ms=6, color=TRAIN, mfc=TRAIN if sure else "white", mew=1.5)
        ax.annotate(f"{mid:+.1f} [{low:.1f}, {high:.1f}]", (1, y), xycoords=("axes fraction", "data"),
                    xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)    # fmt: skip
    names = [b if len(pairs) > MOST_PAIRS else f"{a} − {b}" for a, b in zip(rows["a"], rows["b"], strict=True)]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    than = f"{comparison.best} better by" if len(pairs) > MOST_PAIRS else "difference"
    ax.set_xlabel(f"{than} (points of {words(comparison.metric)}), 95 % interval")
    ax.grid(axis="y", visible=False)
    return figure


def draw_ranks(ranks: Ranks) -> Figure:
    """Critical-difference diagram (Demšar, 2006): mean ranks; a bar joins models that are not told apart."""
    values, names = ranks.ranks.to_numpy(float), [cut(name) for name in ranks.ranks.index]
    n, half = len(names), (len(names) + 1) // 2
    height = 0.8 + 0.14 * len(ranks.level) + 0.24 * half
    figure = new_figure(WIDTH, height)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))    # in inches, downwards
    ax.set_axis_off()
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    room = [0.75 + 0.068 * max(map(len, part), default=0) for part in (names[:half], names[half:])]

    def at(rank: float) -> float:
        return room[0] + (rank - 1) / (n - 1) * (WIDTH - sum(room))

    line = 0.58
    ax.plot([at(1), at(n)], [line, line], color=INK, lw=1.2)
    for tick in range(1, n + 1):
        ax.plot([at(tick)] * 2, [line - 0.06, line], color=INK, lw=1)
        ax.text(at(tick), line - 0.09, str(tick), ha="center", va="bottom", fontsize=8)
    shown = min(ranks.difference, n - 1)
    ax.plot([at(1), at(1 + shown)], [0.26, 0.26], color=VAL, lw=2)
    beyond = "" if shown == ranks.difference else ", more than the scale"
    ax.text(at(1), 0.14, f"critical difference {ranks.difference:.2f}{beyond}", va="center", fontsize=8, color=VAL)
    for i, (first, last) in enumerate(ranks.level):
        y = line + 0.12 + 0.14 * i
        ax.plot([at(values[first]), at(values[last])], [y, y], color=TRAIN, lw=3.2, solid_capstyle="round")
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left = place < half
        y = line + 0.22 + 0.14 * len(ranks.level) + 0.24 * (place if left else n - 1 - place)
        edge = room[0] - 0.15 if left else WIDTH - room[1] + 0.15
        ax.plot([at(value), at(value), edge], [line, y, y], color="#777777", lw=0.8, zorder=0)
        text = f"{name}  {value:.2f} " if left else f" {value:.2f}  {name}"
        ax.text(edge, y, text, ha="right" if left else "left", va="center", fontsize=8)
    return figure


def cut(name: str) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def draw_learning(lines: pd.DataFrame, metric: str) -> Figure:
    """Mean score against the number of training trials, a line a model; bars: deviation of the mean over subjects."""
    figure = new_figure(WIDTH, 3.4)
    ax = figure.subplots()
    for place, (model, own) in enumerate(lines.groupby("model", sort=False)):
        own = own.sort_values("n_train")
        colour = CLASS_COLOURS[place % len(CLASS_COLOURS)]
        bars = {"yerr": 100 * own["error"], "marker": "o", "ms": 4, "capsize": 3}
        ax.errorbar(own["n_train"], 100 * own["mean"], color=colour, **bars)
        ax.annotate(str(model), (own["n_train"].iloc[-1], 100 * own["mean"].iloc[-1]), xytext=(7, 0),
                    textcoords="offset points", va="center", color=colour, fontsize=8)    # fmt: skip
    ax.set(xlabel="training trials a run", ylabel=f"{words(metric)} (%)")
    ax.margins(x=0.25)
    return figure


def words(metric: str) -> str:
    """The name of a metric for readers."""
    return {"auroc": "area under the ROC curve", "f1_macro": "F1 (macro)"}.get(metric, metric.replace("_", " "))
