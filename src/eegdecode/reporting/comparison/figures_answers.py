"""Figures of answers, from the logits that every run keeps: confusion of classes, and whether confidence is earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eegdecode.reporting.comparison.figures import WIDTH
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.names import wrapped
from eegdecode.reporting.metrics import N_BINS, all_answered, confusion, ece, probabilities
from eegdecode.reporting.outcomes import DamagedError
from eegdecode.reporting.predictions import Kept, load_predictions
from eegdecode.reporting.style import CHANCE, INK, TRAIN, new_figure

PANEL = 18    # letters of a line over a panel
MOST_PANELS = 12    # models beyond are told in the caption
MOST_NUMBERS = 4    # classes: cells of larger panels have no room for their number
RARE = 0.005    # share of the trials: bins with fewer are dots that no line joins
Answers = Mapping[str, tuple[np.ndarray, np.ndarray]]    # label -> logits (n, K), labels (n,) of all test trials


def collect_answers(
    comparison: Comparison,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...], dict[str, str]]:
    """Logits and labels of all test trials of each complete model, best first, and names of the classes.

    The last of what is returned says in words why a model has no answers.
    """
    answers, classes, damaged = {}, (), {}
    for label in comparison.scores.columns[:MOST_PANELS]:
        entry = comparison.entries[label]
        keys = set(entry.runs["key"])
        paths = [folder for folder in entry.folders if (Path(folder) / "predictions.npz").exists()]
        try:
            kept = [run for folder in paths for run in load_predictions(folder) if run.key in keys]
            if why := _unusable(kept, len(keys)):
                raise DamagedError(why)
        except DamagedError as error:
            damaged[label] = f"is not in the figures of answers: {error}"
            continue
        classes = kept[0].classes
        parts = [(run.logits["test"], run.labels["test"]) for run in kept]
        answers[label] = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return answers, classes, damaged


def _unusable(kept: Sequence[Kept], n_runs: int) -> str:
    """Why predictions cannot be drawn; empty where they can."""
    if len(kept) < n_runs:    # written when an experiment ends
        return f"predictions.npz holds {len(kept)} of {n_runs} runs" if kept else "predictions.npz is missing"
    broken = [run.name for run in kept if not all_answered(run.logits["test"])]
    return f"predictions.npz holds no answer to each trial of {broken[0]}" if broken else ""


def draw_confusions(answers: Answers, classes: Sequence[str]) -> Figure:
    """A panel a model: share of each true class (row) that was taken for each class (column), in per cent."""
    figure, panels = _panels(len(answers), height=1.95)
    short = _initials(classes)
    for ax, (label, (logits, labels)) in zip(panels, answers.items(), strict=False):
        counts = confusion(logits, labels)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for i, j in np.ndindex(*share.shape) if len(classes) <= MOST_NUMBERS else ():
            ink = "white" if share[i, j] > 55 else INK
            ax.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", color=ink, fontsize=8)
        ax.set_xticks(range(len(classes)), short)
        ax.set_yticks(range(len(classes)), short)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelsize=8)
        _title(ax, label)
    figure.supxlabel(f"answer   ({_legend(short, classes)})", fontsize=8)
    figure.supylabel("true class", fontsize=8)
    return figure


def draw_reliability(answers: Answers) -> Figure:
    """A panel a model: share of right answers against confidence; on the diagonal confidence is earned."""
    figure, panels = _panels(len(answers), height=1.85, share=True)
    for ax, (label, (logits, labels)) in zip(panels, answers.items(), strict=False):
        confidence, right, share = reliability(logits, labels)
        ax.plot([0, 100], [0, 100], color=CHANCE, lw=1, ls=(0, (4, 2)))
        enough = share >= RARE
        ax.plot(100 * confidence[enough], 100 * right[enough], color=TRAIN, lw=1)
        ax.scatter(100 * confidence, 100 * right, s=6 + 160 * share, color=TRAIN, alpha=0.75, lw=0)
        ax.text(100, 5, f"ECE {100 * ece(logits, labels):.1f} %", fontsize=8, color=INK, ha="right")
        ax.set(xlim=(0, 102), ylim=(0, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
        _title(ax, label)
    figure.supxlabel("confidence of the answer (%)", fontsize=9)
    figure.supylabel("right answers (%)", fontsize=9)
    return figure


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, share of right answers and share of trials of each bin that is not empty, as in `ece`."""
    p = probabilities(logits)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    which = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    counts = np.bincount(which, minlength=N_BINS)
    full = counts > 0
    sums = (np.bincount(which, weights=values, minlength=N_BINS)[full] for values in (confidence, right))
    mean_confidence, share_right = (values / counts[full] for values in sums)
    return mean_confidence, share_right, counts[full] / len(labels)


def _panels(n: int, *, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    columns = min(3, max(n, 2))
    rows = -(-n // columns)
    figure = new_figure(WIDTH, 0.5 + height * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    for ax in panels.flat[n:]:
        ax.set_axis_off()
    for ax in panels.flat[max(0, n - columns) : n]:    # the lowest of each column
        ax.tick_params(labelbottom=True)
    return figure, list(panels.flat)


def _title(ax: Axes, label: str) -> None:
    ax.set_title(wrapped(label, PANEL), fontsize=8.5 if len(label) < PANEL else 7)


def _initials(classes: Sequence[str]) -> list[str]:
    """The shortest beginnings that tell the classes apart; numbers where that takes more than four letters."""
    for length in range(1, 5):
        short = [name[:length] for name in classes]
        if len(set(short)) == len(classes):
            return short
    return [str(i + 1) for i in range(len(classes))]


def _legend(short: Sequence[str], classes: Sequence[str]) -> str:
    named = [f"{s}: {name}" for s, name in zip(short, classes, strict=True) if s != name]
    return ", ".join(named[:6]) + (" …" if len(named) > 6 else "") if named else "class"
