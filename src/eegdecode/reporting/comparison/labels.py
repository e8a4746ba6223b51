"""Names beside dots: none lies on another or on another's dot, and one that had to move is joined to its dot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from eegdecode.reporting.comparison.names import wrapped
from eegdecode.reporting.style import CHANCE

SIZE, LETTER, LINE = 8, 4.6, 9.5    # points: of the font, mean width of its letters, height of a line
NEAR, FAR = 6, 14    # points from the dot to the name: where it stands, and where it had to move
DOT = 4    # points: half of a dot, with a little air
MOVED = 3    # points from which on a name may be taken for that of another dot
ROUNDS = 200    # of pushing; 25 names at one place need 100

Places = Float[np.ndarray, "dot 2"]


def name_dots(
    ax: Axes, at: Places, points: Places, names: Sequence[str], *, height: float, colours: Sequence[str]
) -> None:    # fmt: skip
    """Write a name right of each dot.

    Parameters
    ----------
    at, points : ndarray
        The dots in data, and in points from the lower left corner of the axes.
    height : float
        Of the axes, in points; names stay within.
    """
    lines = [wrapped(name) for name in names]
    for place, dot, up, name, colour in zip(at, points, heights(points, lines, height), lines, colours, strict=True):
        moved = abs(up - dot[1]) > MOVED
        line = {"arrowstyle": "-", "color": CHANCE, "lw": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 3}
        ax.annotate(name, tuple(place), xytext=(FAR if moved else NEAR, up - dot[1]), textcoords="offset points",
                    va="center", fontsize=SIZE, color=colour, arrowprops=line if moved else None)    # fmt: skip


def heights(points: Places, names: Sequence[str], height: float) -> Float[np.ndarray, " dot"]:
    """Heights of the names, those of their dots but where two would overlap: these push each other up and down.

    Dots stay where they are, and push the names of others that lie on them.
    """
    widths = [FAR + LETTER * max(map(len, name.split("\n"))) for name in names]
    halves = np.array([LINE * (name.count("\n") + 1) / 2 for name in names])
    up = points[:, 1].astype(float)
    order = np.argsort(up, kind="stable")    # so that of two at one height always the same is pushed up
    pairs = list(itertools.combinations(order, 2))
    meet = [(low, high) for low, high in pairs if _meet(points[[low, high], 0], widths[low], widths[high])]
    begins, ends = points[:, 0] + NEAR - DOT, points[:, 0] + np.array(widths) + DOT
    behind = [(name, dot) for name in order for dot in order
              if name != dot and begins[name] < points[dot, 0] < ends[name]]    # fmt: skip
    for _ in range(ROUNDS):
        before = up.copy()
        for name, dot in behind:
            away = up[name] - points[dot, 1]
            up[name] += max(0.0, halves[name] + DOT - abs(away)) * (1 if away >= 0 else -1) / 2
        for low, high in meet:
            overlap = max(0.0, halves[low] + halves[high] - (up[high] - up[low]))
            up[[low, high]] += -overlap / 2, overlap / 2
        up = np.clip(up, halves, height - halves)
        if np.abs(up - before).max() < 0.01:
            break
    return up


def _meet(x: np.ndarray, first: float, second: float) -> bool:
    """Whether two names that begin at `x` would share some of their width."""
    return bool(x[1] - x[0] < first if x[0] <= x[1] else x[0] - x[1] < second)
