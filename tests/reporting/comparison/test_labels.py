from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from eegdecode.reporting.comparison import figures
from eegdecode.reporting.comparison.figures_cost import draw_cost
from eegdecode.reporting.comparison.labels import heights
from eegdecode.reporting.style import styled


def names_of(figure: Figure, names: list[str]) -> list[Annotation]:
    figure.draw_without_rendering()
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation) and text.get_text() in names]


def check_apart(figure: Figure, names: list[str]) -> None:
    """No name lies on another, and one that stands higher or lower than its dot is joined to it."""
    texts = names_of(figure, names)
    assert len(texts) == len(names)
    boxes = [Text.get_window_extent(text) for text in texts]    # without the line to the dot
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for text, box in zip(texts, boxes, strict=True):
        dot = figure.axes[0].transData.transform(text.xy)
        if text.arrow_patch is None:
            assert abs((box.y0 + box.y1) / 2 - dot[1]) < 4 * figure.dpi / 72


def test_models_that_cost_and_score_about_the_same_keep_their_names_apart() -> None:
    names = [f"model_{i}" for i in range(14)]
    means = 0.5 + np.r_[np.arange(12) / 1000, 0.2, 0.25]
    rows = pd.DataFrame({"model": names, "mean": means, "n_params": [*[np.nan] * 12, 3e3, 3.1e3]})
    with styled():
        figure = draw_cost(rows, "n_params", "parameters", metric="accuracy")
        check_apart(figure, names)
    moved = [text.get_text() for text in names_of(figure, names) if text.arrow_patch is not None]
    assert moved    # twelve names do not fit beside dots at one place
    assert set(moved) <= set(names[:12])


def test_lines_that_end_together_keep_their_names_apart_and_no_axis_shows_negative_trials() -> None:
    names = [f"net_{i}" for i in range(5)]
    lines = pd.DataFrame([{"model": m, "n_train": n, "mean": 0.5 + n / 1000 + 0.001 * i, "error": 0.02}
                          for i, m in enumerate(names) for n in (10, 80, 160)])    # fmt: skip
    with styled():
        figure = figures.draw_learning(lines, "accuracy")
        check_apart(figure, names)
    assert figure.axes[0].get_xlim()[0] >= 0


def test_a_name_moves_only_where_it_must_and_stays_within() -> None:
    dots = np.array([[0.0, 50.0], [0.0, 52.0], [200.0, 51.0], [0.0, 1.0]])
    up = heights(dots, ["a", "b", "c", "d"], 100.0)
    assert up[1] - up[0] >= 9.4
    assert up[:2].mean() == 51.0 == up[2]
    assert up[3] >= 4.7
