"""The figures of one comparison, each with a caption and with words for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from eegdecode.reporting.comparison import figures, figures_answers
from eegdecode.reporting.comparison.figures_cost import draw_cost
from eegdecode.reporting.comparison.findings import counted
from eegdecode.reporting.comparison.frames import COSTS
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.page import Picture
from eegdecode.reporting.style import save
from eegdecode.reporting.units import unit_of

DRAWN_COSTS = ("n_params", "seconds")
_CAPTIONS = {
    "subjects": "Who is better on whom: a line a subject, a diamond the mean; grey: what guessing reaches.",
    "differences": "How large the differences are: mean over subjects and 95 % interval (Student's t, each by itself). "
    "Filled: established to be worse than the best.",
    "ranks": "Mean ranks over subjects, 1 is best; a bar joins models whose ranks are not told apart (Nemenyi, .05; "
    "Demšar, 2006).",
    "confusion": "Which classes are taken for which: per cent of each true class, test trials of all runs.",
    "reliability": "Whether confidence is earned: on the diagonal it is, below it the model is too sure. A dot's area "
    "is its share of the test trials of all runs; ECE: expected calibration error of them. Support vectors and `cca` "
    "give no probabilities: what stands for them here ranks the classes, no more.",
}
Drawn = tuple[str, Figure, str, str]    # name, figure, more of the caption, words in place of the picture


def pictures(comparison: Comparison, rows: pd.DataFrame, out: Path, *, name: str) -> Iterator[Picture]:
    """Draw what there are data for; `rows` are the comparison's of `result_rows`."""
    if comparison.scores.empty:
        return
    parts = (_of_scores(comparison), _of_costs(comparison, rows), _of_answers(comparison), _of_ranks(comparison))
    for part in parts:    # two and two of a height, as they stand on a wide page
        for what, figure, more, alt in part:
            path = save_light(figure, out / "figures" / f"{name}_{what}.png")
            yield Picture(path, f"{_CAPTIONS.get(what, '')}{more}", alt)


def _of_scores(comparison: Comparison) -> Iterator[Drawn]:
    scores, unit = comparison.scores, unit_of(comparison.metric)
    means = "; ".join(f"{label} {unit.text(float(mean))}" for label, mean in scores.mean().items())
    alt = f"Score of {counted(len(scores), 'subject')} under each model. Means: {means}."
    yield "subjects", figures.draw_subjects(comparison), "", alt
    if len(comparison.pairs):
        alt = f"Mean differences from {comparison.best} with intervals; the numbers are in the table of tests."
        yield "differences", figures.draw_differences(comparison), "", alt


def _of_ranks(comparison: Comparison) -> Iterator[Drawn]:
    if comparison.ranks is not None:
        ranks = ", ".join(f"{label} {rank:.2f}" for label, rank in comparison.ranks.ranks.items())
        yield "ranks", figures.draw_ranks(comparison.ranks), "", f"Mean ranks: {ranks}."


def _of_costs(comparison: Comparison, rows: pd.DataFrame) -> Iterator[Drawn]:
    whole = rows[rows["mean"].notna()]
    for column in DRAWN_COSTS:
        if len(whole) > 1 and column in whole and whole[column].notna().any():
            heading = COSTS[column]
            told = "; ".join(f"{m} {amount(value)}" for m, value in zip(whole["model"], whole[column], strict=True))
            figure = draw_cost(whole, column, heading, metric=comparison.metric)
            more = unlike_machines(comparison) if column == "seconds" else ""
            yield f"cost_{column}", figure, f"Score against {heading}.{more}", f"Score against {heading}: {told}."


def _of_answers(comparison: Comparison) -> Iterator[Drawn]:
    answers, classes, damaged = figures_answers.collect_answers(comparison)
    if not answers:
        return
    hidden = comparison.scores.shape[1] - len(answers) - len(damaged)
    more = f" {hidden} more models are not shown." if hidden else ""
    more += "".join(f" `{label}` {why}." for label, why in damaged.items())
    named = ", ".join(answers)
    yield "confusion", figures_answers.draw_confusions(answers, classes), more, f"Confusion matrices of {named}."
    yield "reliability", figures_answers.draw_reliability(answers), more, f"Reliability diagrams of {named}."


def save_light(figure: Figure, path: Path) -> Path:
    """Write a figure with a palette of 64 colours: a third of the bytes, and the page holds all figures.

    Those that cover all that occur: the most frequent (Pillow's default) leave no grey for letters beside blue cells.
    """
    save(figure, path)
    with Image.open(path) as image:
        light = image.convert("RGB").quantize(64, method=Image.Quantize.MAXCOVERAGE)
    light.save(path)
    return path


def unlike_machines(comparison: Comparison) -> str:
    """Tell that times and memory compare nothing where the rows were not trained on one machine."""
    if len(comparison.machines) < 2:
        return ""
    *few, most = sorted(comparison.machines.items(), key=lambda found: len(found[1]))
    told = [f"{', '.join(f'`{label}`' for label in labels)} on {device}" for device, labels in few]
    return f" Only times and memory of one machine compare: {'; '.join([*told, f'the others on {most[0]}'])}."


def amount(value: float) -> str:
    """A count or a time with as many digits as can be read; a dash where there is none."""
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
