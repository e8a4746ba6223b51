"""Figures of a run folder, made from its files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eegdecode.reporting.curves import draw_curves, draw_curves_by_subject
from eegdecode.reporting.diagnosis.folder import diagnosis_sentence, read_diagnoses, verdicts_by_subject
from eegdecode.reporting.disk import make_folder
from eegdecode.reporting.metrics import confusion
from eegdecode.reporting.predictions import Kept, load_predictions
from eegdecode.reporting.results import Results, load_results
from eegdecode.reporting.style import CHANCE, INK, TRAIN, VAL, new_figure, save, styled
from eegdecode.reporting.tables import read_history
from eegdecode.reporting.words import describe_setting

MOST_NAMES = 40    # more subjects than this are drawn as ranks, without names and runs


def draw_figures(folder: Path) -> dict[str, Path]:
    """Write the figures that the folder has data for; name -> PNG file."""
    results = load_results(folder)
    setting = results.setting()
    done = setting[setting["status"] == "done"]
    history = read_history(folder)
    shown = done if len(done) else setting    # curves of failed runs only where there are no others
    history = history[history["key"].isin(shown["key"])]
    title = describe_setting(results)
    n_classes = len(results.summary["classes"])
    found = read_diagnoses(folder)
    figures: dict[str, Figure] = {}
    with styled():
        if len(history):
            said = diagnosis_sentence(found)
            figures["curves"] = draw_curves(history, shown, n_classes=n_classes, title=title, diagnosis=said)
        if len(history["subject"].unique()) > 1:
            figures["curves_by_subject"] = draw_curves_by_subject(
                history, shown, n_classes=n_classes, verdicts=verdicts_by_subject(found)
            )
        if results.summary["subjects"] and len(done):
            figures["subjects"] = draw_subjects(results, done)
        kept = _kept(folder, done)
        if kept:
            figures["confusion"] = draw_confusion(kept)
        target = make_folder(Path(folder) / "figures")
        return {name: save(figure, target / f"{name}.png") for name, figure in figures.items()}


def draw_confusion(kept: list[Kept]) -> Figure:
    """Answers to the test trials of all runs: colour and per cent of each true class, counts below."""
    counts = np.sum([confusion(run.logits["test"], run.labels["test"]) for run in kept], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = kept[0].classes
    size = 1.6 + 0.72 * max(len(classes), 3)
    figure = new_figure(size + 0.9, size)
    ax = figure.subplots()
    image = ax.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    for i, j in np.ndindex(*counts.shape):
        ink = "white" if share[i, j] > 0.55 else INK
        ax.text(j, i - 0.08, f"{100 * share[i, j]:.0f} %", ha="center", va="center", color=ink, fontsize=9.5)
        ax.text(j, i + 0.24, f"{counts[i, j]:.0f}", ha="center", va="center", color=ink, fontsize=7)
    names = [name.replace("_", "\n") for name in classes]
    ax.set_xticks(range(len(classes)), names)
    ax.set_yticks(range(len(classes)), names)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set(xlabel="answer", ylabel="true class")
    ax.set_title(f"Test trials of {len(kept)} run{'s' * (len(kept) > 1)}", fontsize=9)
    bar = figure.colorbar(image, ax=ax, shrink=0.8, aspect=25, label="share of the true class (%)")
    bar.outline.set_visible(False)    # pyright: ignore[reportCallIssue]
    return figure


def draw_subjects(results: Results, done: pd.DataFrame) -> Figure:
    """Test accuracy of each subject, a point a run, a bar their mean, with chance; right, the mean."""
    summary = results.summary
    rows = [row for row in summary["subjects"] if row["n_done"]]
    crowded = len(rows) > MOST_NAMES
    if crowded:
        rows = sorted(rows, key=lambda row: row["mean"])
    figure = new_figure(min(10.0, max(5.4, 1.6 + 0.45 * len(rows))), 3.6)
    ax = figure.subplots()
    for x, row in enumerate(rows):
        _draw_subject(ax, x, row, done, points=not crowded)
    mean_at = len(rows) - 0.2 + min(0.8, 0.4 + 0.01 * len(rows))
    if len(rows) > 1:
        _draw_mean(ax, mean_at, summary, rows)
    ax.set_ylabel("test accuracy (%)")
    ax.set_ylim(0, 102)
    ax.grid(axis="x", visible=False)
    names = [] if crowded else [_short(row["subject"]) for row in rows]
    slant = {"rotation": 45, "ha": "right"} if max(map(len, names), default=0) * len(names) > 60 else {}
    last = [(mean_at, "mean")] if len(rows) > 1 else []
    ticks = [*enumerate(names), *last]
    ax.set_xticks([at for at, _ in ticks], [name for _, name in ticks], **slant)
    ax.set_xlabel(f"{len(rows)} subjects, in order of their score" if crowded else "subject")
    figure.suptitle(f"{describe_setting(results)}\n{_headline(results)}", x=0.01, ha="left", fontsize=9)
    handles, names = ax.get_legend_handles_labels()
    legend = dict(zip(names, handles, strict=True))    # one entry a name
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _draw_subject(ax, x: int, row: dict, done: pd.DataFrame, *, points: bool) -> None:
    low, high = 100 * row["chance"], 100 * row["chance_bound"]
    ax.fill_between([x - 0.5, x + 0.5], low, high, color=CHANCE, alpha=0.18, lw=0, label="chance (95 %)")
    ax.plot([x - 0.5, x + 0.5], [100 * row["chance"]] * 2, color=CHANCE, lw=1)
    if points:
        own = 100 * done.loc[done["subject"] == row["subject"], "test_accuracy"].to_numpy()
        shift = np.linspace(-0.22, 0.22, len(own)) if len(own) > 1 else np.zeros(1)
        ax.plot(x + shift, own, ls="", marker="o", ms=3.4, mec="none", color=TRAIN, alpha=0.45, label="a run")
    bar = [100 * row["mean"]] * 2
    ax.plot([x - 0.32, x + 0.32], bar, color=TRAIN, lw=2.4, solid_capstyle="butt", label="subject")


def _draw_mean(ax, x: float, summary: dict, rows: list[dict]) -> None:
    mean = 100 * summary["mean"]
    low, high = (100 * np.array(summary["interval"], float)).tolist()
    if np.isfinite(low):
        ax.errorbar(x, mean, yerr=[[mean - low], [high - mean]], color=VAL, lw=1.6, capsize=4)
    ax.plot(x, mean, marker="D", ms=6, ls="", color=VAL, label="mean, 95 % interval")
    ax.axvline(len(rows) - 0.45, color="#CCCCCC", lw=0.8)
    ax.annotate(f"{mean:.1f}", (x, mean), xytext=(7, 0), textcoords="offset points", va="center", color=VAL)


def _headline(results: Results) -> str:
    summary = results.summary
    low, high = summary["interval"]
    interval = f", 95 % interval {100 * low:.1f} to {100 * high:.1f}" if np.isfinite(low) else ""
    missing = summary["setting_expected"] - summary["setting_done"]
    counts = f"{summary['setting_done']}/{summary['setting_expected']} runs"
    return f"mean {100 * summary['mean']:.1f} %{interval}, {counts}{' (INCOMPLETE)' if missing else ''}"


def _kept(folder: Path, done: pd.DataFrame) -> list[Kept]:
    """Predictions of the table's runs; none where an interrupted experiment has not written them."""
    if not (Path(folder) / "predictions.npz").exists():
        return []
    keys = set(done["key"])
    return [run for run in load_predictions(folder) if run.key in keys]


def _short(subject: str) -> str:
    return subject if len(subject) <= 12 else f"{subject[:11]}…"
