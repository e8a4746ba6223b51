"""Figures of the data card: spectra of the classes, map of the channels, amplitude of the sessions."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from eegdecode.reporting.facts import Facts
from eegdecode.reporting.style import CHANCE, INK, TRAIN, new_figure

CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")    # Okabe & Ito (2008)
HIGHEST = 60.0    # Hz
MOST_TICKS = 24


def draw_spectra(facts: Facts) -> Figure:
    """Average power of each class over trials and channels, in dB."""
    figure = new_figure(6.4, 3.4)
    ax = figure.subplots()
    shown = (facts.freqs > 0) & (facts.freqs <= min(HIGHEST, facts.sfreq / 2))
    floor = 10 * np.log10(facts.spectra[:, shown].max()) - 45    # what a filter has removed is not shown
    for k, (name, power) in enumerate(zip(facts.counts.columns, facts.spectra, strict=True)):
        level = np.maximum(10 * np.log10(power[shown]), floor)
        ax.plot(facts.freqs[shown], level, color=CLASS_COLOURS[k % len(CLASS_COLOURS)], lw=1.4, label=str(name))
    ax.set(xlabel="frequency (Hz)", ylabel="power (dB re 1 µV²/Hz)", title="Average power spectrum of each class")
    ax.legend(ncols=2)
    return figure


def draw_channels(facts: Facts) -> Figure:
    """Channels from above, nose up, coloured by the amplitude of their signals."""
    figure = new_figure(5.2, 4.6)
    ax = figure.subplots()
    at = facts.positions
    known = np.isfinite(at).all(axis=1)
    if known.any():
        flat = _from_above(at[known])
        edge = np.linspace(0, 2 * np.pi, 200)
        ax.plot(np.cos(edge), np.sin(edge), color=CHANCE, lw=1)
        ax.plot([-0.1, 0, 0.1], [0.995, 1.1, 0.995], color=CHANCE, lw=1)    # the nose
        dots = ax.scatter(*flat.T, c=facts.by_channel[known], cmap="viridis", s=60 if len(flat) > 32 else 110)
        for (x, y), name in zip(flat, np.array(facts.ch_names)[known], strict=True):
            ax.annotate(name, (x, y), xytext=(0, -11), textcoords="offset points", ha="center", fontsize=6.5, color=INK)
        bar = figure.colorbar(dots, ax=ax, shrink=0.7, label="deviation (µV)")
        bar.outline.set_visible(False)    # pyright: ignore[reportCallIssue]
    unknown = len(at) - int(known.sum())
    ax.set_title("Channels" + (f" ({unknown} of {len(at)} have no known position)" if unknown else ""))
    ax.set_aspect("equal")
    ax.axis("off")
    return figure


def draw_amplitude(facts: Facts) -> Figure:
    """Median deviation of the trials of each session; a session with another scale stands out."""
    rows = facts.amplitude
    figure = new_figure(min(10.0, max(4.8, 1.8 + 0.28 * len(rows))), 3.2)
    ax = figure.subplots()
    ax.plot(range(len(rows)), rows["deviation"], ls="", marker="o", ms=4.5, color=TRAIN)
    ax.set_yscale("log")
    ax.margins(y=0.3)
    wide = rows["deviation"].max() > 5 * rows["deviation"].min()    # few ticks are 1, 2 or 5 within less
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    names = (rows["subject"].astype(str) + "/" + rows["session"].astype(str)).tolist()
    step = max(1, -(-len(names) // MOST_TICKS))
    slant = {"rotation": 60, "ha": "right"} if max(map(len, names)) * len(names) / step > 50 else {}
    ax.set_xticks(range(0, len(names), step), names[::step], **slant)
    ax.set(xlabel="subject/session", ylabel="deviation (µV)", title="Amplitude of each session, prepared")
    return figure


def _from_above(positions: np.ndarray) -> np.ndarray:
    """Azimuthal equidistant projection: the equator through the ears and the forehead is the unit circle."""
    centre = np.array([0.0, 0.016, 0.04])    # m: the middle of the template head in head coordinates
    x, y, z = (positions - centre).T
    angle = np.arctan2(np.hypot(x, y), z) / (np.pi / 2)
    azimuth = np.arctan2(y, x)
    return np.stack([angle * np.cos(azimuth), angle * np.sin(azimuth)], axis=1)
