"""Figures of a search: its history, what matters, which values go together, and what is traded for what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from eegdecode.reporting.searches.tables import NULL, SearchFolder, short
from eegdecode.reporting.style import CHANCE, INK, TRAIN, VAL, new_figure, save, styled

ABSENT = -0.12    # height of a setting that a trial does not have


def draw_search(found: SearchFolder) -> dict[str, Path]:
    """Draw what there is to draw below ``figures/``: name -> file."""
    folder = found.folder / "figures"
    folder.mkdir(exist_ok=True)
    drawn = {}
    with styled():
        if len(found.ranked):
            drawn["history"] = _history(found, folder / "history.png")
        if len(found.ranked) > 1:
            drawn["parallel"] = _parallel(found, folder / "parallel.png")
        if found.importances:
            drawn["importances"] = _importances(found, folder / "importances.png")
        if len(found.about["objectives"]) > 1 and len(found.ranked) > 1:
            drawn["front"] = _front(found, folder / "front.png")
    return drawn


def _history(found: SearchFolder, path: Path) -> Path:
    figure = new_figure(6.5, 3.0)
    ax = figure.subplots()
    done = found.ranked.sort_values("trial")
    values = done[found.objective].to_numpy(float)
    rising = found.about["objectives"][found.objective] == "maximize"
    best = np.maximum.accumulate(values) if rising else np.minimum.accumulate(values)
    pruned = found.trials[(found.trials["state"] == "pruned") & found.trials["last"].notna()]
    if found.objective == "score" and len(pruned):
        ax.plot(pruned["trial"], pruned["last"], "x", color=CHANCE, ms=4, label="pruned: accuracy when stopped")
    ax.plot(done["trial"], values, "o", color=TRAIN, ms=4, alpha=0.7, label="finished")
    ax.step(done["trial"], best, where="post", color=VAL, lw=1.5, label="best so far")
    for row in done[done["default"]].to_dict("records"):
        place = (row["trial"], row[found.objective])
        ax.annotate("default", place, xytext=(6, 4), textcoords="offset points", fontsize=8)
    ax.set(xlabel="trial", ylabel=_label(found, found.objective), title="The search")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return save(figure, path)


def _importances(found: SearchFolder, path: Path) -> Path:
    shares = pd.Series(found.importances).sort_values()
    figure = new_figure(6.5, 0.7 + 0.28 * len(shares))
    ax = figure.subplots()
    ax.barh(list(map(str, shares.index)), shares.to_numpy(), color=TRAIN, height=0.65)
    for place, share in enumerate(shares):
        ax.text(share, place, f" {100 * share:.0f} %", va="center", fontsize=8, color=INK)
    ax.set(xlabel="share of the validation score's variance (fANOVA)", title="What matters")
    ax.set_xlim(0, shares.max() * 1.12)
    return save(figure, path)


def _parallel(found: SearchFolder, path: Path) -> Path:
    """Every finished trial a line over the settings; those of the best tenth on top and in colour."""
    names, done = list(found.about["space"]), found.ranked.iloc[::-1]
    axes = {name: _heights(done[name], found.about["space"][name]) for name in names}
    values = done[found.objective]
    axes[found.objective] = _heights(values, {"float": [values.min(), values.max()]})
    figure = new_figure(max(6.5, 1.15 * len(axes)), 3.6)
    ax = figure.subplots()
    heights = np.stack([height for height, _ in axes.values()], axis=1)
    shades = mpl.colormaps["viridis"](np.linspace(0.95, 0.05, len(done)))    # the best darkest
    best = len(done) - max(1, len(done) // 10)
    for place, line in enumerate(heights):
        strong = place >= best
        ax.plot(line, color=shades[place], lw=1.4 if strong else 0.7, alpha=0.95 if strong else 0.35, zorder=2 + strong)
    clear = [withStroke(linewidth=2.5, foreground="white")]    # lines go through the words
    for place, (_, ticks) in enumerate(axes.values()):
        ax.axvline(place, color="#BBBBBB", lw=0.8, zorder=1)
        for height, text in ticks:
            ax.annotate(text, (place, height), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center",
                        color=INK, zorder=5, path_effects=clear)    # fmt: skip
    ax.set_xticks(range(len(axes)), [name.replace(".", ".\n", 1) for name in axes], fontsize=8)
    ax.set(yticks=[], xlim=(-0.1, len(axes) - 0.6), title="Settings of every finished trial (dark: the best)")
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    return save(figure, path)


def _heights(values: pd.Series, words: dict[str, Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights between 0 and 1 on the axis of a setting, `ABSENT` where a trial lacks it, and its ticks."""
    missing = values.isna().to_numpy()
    if "choice" in words:
        choices = [NULL if choice is None else str(choice) for choice in words["choice"]]
        place = {choice: i / max(1, len(choices) - 1) for i, choice in enumerate(choices)}
        heights = np.array([place.get(_same(value, choices), ABSENT) for value in values])
        ticks = [(height, choice) for choice, height in place.items()]
    else:
        ends = np.array(words.get("float") or words["int"], float)
        low, high = np.log(ends) if words.get("log") else ends
        seen = values.to_numpy(float)
        seen = np.log(seen) if words.get("log") else seen
        heights = np.where(missing, ABSENT, (seen - low) / ((high - low) or 1.0))
        ticks = [(0.0, short(float(ends[0]))), (1.0, short(float(ends[1])))]
    return heights, [*ticks, *([(ABSENT, "absent")] if missing.any() else [])]


def _same(value: Any, choices: list[str]) -> str:
    """The choice that a value of the table is: 24.0, where others lack it, is 24."""
    if isinstance(value, float) and value.is_integer() and str(value) not in choices:
        return str(int(value))
    return str(value)


def _front(found: SearchFolder, path: Path) -> Path:
    """The first two objectives against each other, with the trials that no other one beats in all of them."""
    first, second = list(found.about["objectives"])[:2]
    figure = new_figure(5.0, 3.4)
    ax = figure.subplots()
    ax.plot(found.ranked[second], found.ranked[first], "o", color=CHANCE, ms=4, alpha=0.6)
    front, line = found.front.sort_values(second), "-" if len(found.about["objectives"]) == 2 else ""
    ax.plot(front[second], front[first], f"o{line}", color=VAL, ms=5, lw=1, label="beaten by none")
    ax.set(xlabel=_label(found, second), ylabel=_label(found, first), title="What is traded for what")
    ax.legend()
    return save(figure, path)


def _label(found: SearchFolder, name: str) -> str:
    units = {"score": f"validation {found.about['metric']}", "n_params": "parameters", "seconds": "training, s"}
    return units[name]
