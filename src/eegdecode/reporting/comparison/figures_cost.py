"""What a score costs: parameters and training time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from eegdecode.reporting.comparison.figures import WIDTH, words
from eegdecode.reporting.comparison.names import wrapped
from eegdecode.reporting.style import CHANCE, INK, TRAIN, new_figure
from eegdecode.reporting.units import unit_of

HEIGHT, LINE = 2.6, 9.5    # in: of the axes; points: a name of 8 points


def draw_cost(rows: pd.DataFrame, column: str, heading: str, *, metric: str) -> Figure:
    """Score against a cost on a logarithmic axis, a dot a model; those without a count stand at the left.

    Parameters
    ----------
    rows : DataFrame
        ``model``, ``mean`` (a fraction) and the `column`; NaN where there is no such cost.
    """
    figure = new_figure(WIDTH, HEIGHT + 0.7)
    ax = figure.subplots()
    cost = np.log10(rows[column].to_numpy(float))
    uncounted = bool(np.isnan(cost).any())
    left, right = float(np.nanmin(cost)), float(np.nanmax(cost))
    span = max(right - left, 1.0)
    blank = left - 0.45 * span    # where models without the count stand
    start = blank if uncounted else left
    unit = unit_of(metric)
    y = unit.scale * rows["mean"].to_numpy(float)
    limits = start - 0.06 * span, right + 0.5 * span    # room for the last name
    pad = 0.12 * max(float(np.ptp(y)), 0.02 * unit.scale)
    ax.set(xscale="log", xlim=[10**end for end in limits], ylim=(y.min() - pad, y.max() + pad))
    at = np.where(np.isnan(cost), blank, cost)
    ax.plot(10**at, y, ls="", marker="o", ms=6, color=TRAIN, mec="white")
    if uncounted:
        ax.axvline(10 ** (left - 0.06 * span), color=CHANCE, lw=0.8, ls=":")
        ax.annotate("no count", (10**blank, 0), xycoords=("data", "axes fraction"), xytext=(-5, 3),
                    textcoords="offset points", fontsize=7.5, color="#666666")    # fmt: skip
    _name_dots(ax, at, y, rows["model"].tolist(), width=limits[1] - limits[0], height=float(np.ptp(y)) + 2 * pad)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 2 else (1,)))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")    # "100,000" is too wide
    ax.xaxis.set_minor_locator(NullLocator())
    if uncounted:    # no scale where there is no count
        ax.set_xticks([tick for tick in ax.get_xticks() if limits[1] > np.log10(tick) > left - 0.06 * span])
    ax.set(xlabel=f"{heading} (logarithmic)", ylabel=unit.axis(words(metric)))
    return figure


def _name_dots(ax: Axes, x: np.ndarray, y: np.ndarray, names: list[str], *, width: float, height: float) -> None:
    """Names right of the dots, moved up where one would lie on another; `x` in decades."""
    points = HEIGHT * 72 / height
    placed: list[tuple[float, float]] = []    # x and upper end in points of the names that stand
    for i in np.argsort(y, kind="stable"):
        own, name = float(y[i]) * points, wrapped(names[i])
        half = (name.count("\n") + 1) * LINE / 2
        for other, taken in placed:
            if abs(x[i] - other) < 0.4 * width and own < taken + half:
                own = taken + half
        placed.append((float(x[i]), own + half))
        ax.annotate(name, (10 ** x[i], y[i]), xytext=(6, own - y[i] * points), textcoords="offset points",
                    va="center", fontsize=8, color=INK)    # fmt: skip
