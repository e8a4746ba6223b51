"""How figures of this project look: light, few lines, colours that colour-blind readers tell apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito (2008)
TRAIN, VAL, RUNNING, CHANCE, INK = "#0072B2", "#D55E00", "#56B4E9", "#8A8A8A", "#222222"
DPI = 150    # sharp on a screen at half size, about 100 kB a figure
ROOM = 8       # % below a line in which its name has room

_STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Within it, figures have the project's look; a user's matplotlib settings are not touched."""
    with mpl.rc_context(_STYLE):    # pyright: ignore[reportArgumentType]
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches without pyplot: no window, no global state."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=DPI, facecolor="white")
    return path


def draw_chance(ax: Axes, chance: float, bound: float) -> None:
    """The line of chance, and the zone in which a score is no evidence."""
    ax.axhspan(chance, bound, color=CHANCE, alpha=0.15, lw=0)
    ax.axhline(chance, color=CHANCE, lw=1, ls=(0, (4, 2)))
    if chance > ROOM:    # below it no curve stays for long, and above it many do
        label_line(ax, chance, "chance (95 %)", below=True)
    else:
        label_line(ax, bound, "chance (95 %)")


def label_line(ax: Axes, height: float, text: str, *, below: bool = False) -> None:
    """A small name at the right end of a horizontal line, above or below it, and behind the curves."""
    ax.annotate(
        text, (1, height), xycoords=("axes fraction", "data"), xytext=(-2, -2 if below else 2),
        textcoords="offset points", ha="right", va="top" if below else "bottom", fontsize=7.5, color="#666666",
        zorder=1.5, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},    # over the grid
    )    # fmt: skip
