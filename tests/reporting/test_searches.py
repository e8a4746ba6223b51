from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eegdecode.reporting.searches.page import verdict
from eegdecode.reporting.searches.tables import SearchFolder


def test_a_winner_that_is_ahead_on_one_subject_alone_does_not_beat_the_default() -> None:
    trials = pd.DataFrame({"trial": [0], "state": ["done"], "default": [False], "score": [0.6]})
    about = {"objectives": {"score": "maximize"}, "metric": "accuracy"}
    found = SearchFolder(Path(), about, trials, {}, {"winner": {"trial": 0, "overrides": ["trainer.lr=1e-2"]}})
    d = np.r_[0.9, np.linspace(-0.03, -0.01, 19)]
    assert "winner is not shown to beat" in verdict(found, pd.DataFrame({"winner": 0.05 + d, "default": 0.05}))
    assert "winner is not shown to beat" in verdict(found, pd.DataFrame({"winner": 0.05 - d, "default": 0.05}))
    assert "winner beats" in verdict(found, pd.DataFrame({"winner": 0.05 + abs(d), "default": 0.05}))
