from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting.searches import figures
from eegdecode.reporting.searches.page import verdict
from eegdecode.reporting.searches.tables import SearchFolder, short


def told(winner: np.ndarray) -> str:
    """Verdict on the winner of a search, over a default of 0.05."""
    trials = pd.DataFrame({"trial": [0], "state": ["done"], "default": [False], "score": [0.6]})
    about = {"objectives": {"score": "maximize"}, "metric": "accuracy"}
    final = {"winner": {"trial": 0, "overrides": ["trainer.lr=1e-2"]}}
    return verdict(SearchFolder(Path(), about, trials, {}, final), pd.DataFrame({"winner": winner, "default": 0.05}))


def test_a_winner_that_is_ahead_on_one_subject_alone_does_not_beat_the_default() -> None:
    d = np.r_[0.9, np.linspace(-0.03, -0.01, 19)]
    assert "winner is not shown to beat" in told(0.05 + d)
    assert "winner is not shown to beat" in told(0.05 - d)
    assert "winner beats" in told(0.05 + abs(d))


def test_too_few_subjects_show_nothing_and_it_is_said() -> None:
    text = told(np.linspace(0.5, 0.6, 5))
    assert "winner is not shown to beat" in text
    assert text.endswith("5 subjects are too few: even if all of them agree, p is 0.062.")
    assert "too few" not in told(np.linspace(0.5, 0.6, 6))


def test_no_trial_has_half_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = pd.DataFrame({"trial": range(4), "state": "done", "default": False, "score": 0.5, "last": 0.5})
    about = {"objectives": {"score": "maximize"}, "metric": "accuracy", "space": {}}
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    figures.draw_search(SearchFolder(tmp_path, about, trials, {}, {}))
    assert all(tick == round(tick) for tick in drawn[0].axes[0].get_xticks())


def test_large_numbers_are_written_as_they_are_typed() -> None:
    assert [short(value) for value in (2000.0, 35123.4, 0.00123456, float("nan"), 12, None)] == [
        "2000", "35123", "0.00123", "–", "12", "–",
    ]    # fmt: skip
