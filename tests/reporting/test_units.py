"""Per cent of what is a share, a number of what is none."""

from pathlib import Path

import pandas as pd
import pytest

from eegdecode.reporting.metrics import METRICS
from eegdecode.reporting.searches.page import _optimism, _subjects, verdict
from eegdecode.reporting.searches.tables import SearchFolder
from eegdecode.reporting.units import SHARES, unit_of


def test_a_share_is_in_per_cent_and_a_kappa_is_a_number():
    unit = unit_of("auroc")
    assert (unit.text(0.7954), unit.change(0.012), unit.head("mean"), unit.axis("score"), unit.points) == (
        "79.5 %", "+1.2", "mean %", "score (%)", " points",
    )    # fmt: skip
    unit = unit_of("kappa")
    assert (unit.text(-0.014), unit.change(0.012), unit.head("mean"), unit.axis("score"), unit.points) == (
        "-0.014", "+0.012", "mean", "score", "",
    )    # fmt: skip
    assert unit.text(float("nan")) == unit_of("auroc").text(float("nan")) == "–"
    assert (unit_of("auroc").interval(-1e-17, 0.052), unit.change(-1e-4)) == ("0.0 to 5.2", "+0.000")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_its_unit(metric):
    assert (metric in SHARES) == (metric not in ("kappa", "nll"))    # of these one may be below 0, one above 1


@pytest.mark.parametrize(("metric", "said", "row"), [
    ("accuracy", "40.0 % against 30.0 %: +10.0 points [-2.4, 22.4]", "| 0 | 30.0 | 20.0 | +10.0 |"),
    ("kappa", "0.400 against 0.300: +0.100 [-0.024, 0.224]", "| 0 | 0.300 | 0.200 | +0.100 |"),
])    # fmt: skip
def test_a_search_by_another_metric(metric, said, row):
    scores = pd.DataFrame({"winner": [0.3, 0.4, 0.5], "default": [0.2, 0.25, 0.45]})
    trials = pd.DataFrame({"trial": [0, 1], "default": [True, False], "state": "done", "score": [0.2, 0.4]})
    about = {"metric": metric, "objectives": {"score": "maximize"}}
    found = SearchFolder(Path(), about, trials, {}, {"winner": {"trial": 1, "overrides": ["trainer.lr=1"]}})
    assert said in verdict(found, scores)
    assert row in _subjects(found, scores)
    assert ("%" in _optimism(found, scores).splitlines()[0]) == (metric == "accuracy")
