"""What a score costs: parameters and training time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from eegdecode.reporting.comparison.figures import WIDTH, words
from eegdecode.reporting.comparison.labels import LINE, name_dots
from eegdecode.reporting.comparison.names import wrapped
from eegdecode.reporting.style import CHANCE, INK, TRAIN, new_figure
from eegdecode.reporting.units import unit_of

HEIGHT, LENGTH = 2.6, 4.4    # in: of the axes; taller where so many names stand at one place that they need it


def draw_cost(rows: pd.DataFrame, column: str, heading: str, *, metric: str) -> Figure:
    """Score against a cost on a logarithmic axis, a dot a model; those without a count stand at the left.

    Parameters
    ----------
    rows : DataFrame
        ``model``, ``mean`` (a fraction) and the `column`; NaN where there is no such cost.
    """
    lines = [wrapped(name).count("\n") + 1 for name in rows["model"]]
    tall = max(HEIGHT, sum(lines) * LINE / 72)
    figure = new_figure(WIDTH, tall + 0.7)
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
    pad = (0.04 + 0.08 * max(lines)) * max(float(np.ptp(y)), 0.02 * unit.scale)
    ax.set(xscale="log", xlim=[10**end for end in limits], ylim=(y.min() - pad, y.max() + pad))
    at = np.where(np.isnan(cost), blank, cost)
    ax.plot(10**at, y, ls="", marker="o", ms=6, color=TRAIN, mec="white")
    if uncounted:
        ax.axvline(10 ** (left - 0.06 * span), color=CHANCE, lw=0.8, ls=":")
        ax.annotate("no count", (10**blank, 0), xycoords=("data", "axes fraction"), xytext=(-5, 3),
                    textcoords="offset points", fontsize=7.5, color="#666666")    # fmt: skip
    points = 72 * np.stack([LENGTH * (at - limits[0]) / (limits[1] - limits[0]),
                            tall * (y - y.min() + pad) / (np.ptp(y) + 2 * pad)], axis=1)    # fmt: skip
    name_dots(ax, np.stack([10**at, y], axis=1), points, rows["model"].tolist(), height=72 * tall,
              colours=[INK] * len(rows))    # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 2 else (1,)))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")    # "100,000" is too wide
    ax.xaxis.set_minor_locator(NullLocator())
    if uncounted:    # no scale where there is no count
        ax.set_xticks([tick for tick in ax.get_xticks() if limits[1] > np.log10(tick) > left - 0.06 * span])
    ax.set(xlabel=f"{heading} (logarithmic)", ylabel=unit.axis(words(metric)))
    return figure
