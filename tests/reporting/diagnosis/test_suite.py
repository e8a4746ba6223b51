"""The diagnosis keeps its two bounds on the stored trainings and on curves by formula that chose no threshold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scripts.benchmarks.diagnosis_curves import synthetic_suite
from scripts.benchmarks.diagnosis_suite import HEALTHY, judged, read_suite

from eegdecode.reporting.diagnosis.remedies import EXPLAINING

SUITE = Path(__file__).parents[3] / "notebooks" / "benchmarks" / "diagnosis_suite.npz"


def test_stored_settings_are_those_that_a_diagnosis_asks_for() -> None:
    """Without the smoothing of the labels, say, the rule on leaks was another one in the suite than in use."""
    known = {"patience"} ^ set(EXPLAINING)    # of none of these trainings
    assert all(known <= set(row["settings"]) for row in read_suite(SUITE))


@pytest.fixture(scope="module", params=["tune", "confirm", "fresh", "fresh again", "formulas"])
def table(request: pytest.FixtureRequest) -> pd.DataFrame:
    if request.param == "formulas":
        return judged(synthetic_suite(seed=7, n=20))
    table = judged(row for row in read_suite(SUITE) if row["part"] == request.param)
    return table[table["counts"]]    # a fault that did no harm is none; the table in diagnosis.md has all


def test_healthy_trainings_are_rarely_called_sick(table: pd.DataFrame) -> None:
    healthy = table[table["label"] == HEALTHY]
    assert len(healthy) >= 12
    assert (~healthy["right"]).mean() <= 0.05, healthy.loc[~healthy["right"], ["name", "verdict", "evidence"]]


def test_faults_are_named(table: pd.DataFrame) -> None:
    sick = table[table["label"] != HEALTHY]
    assert len(sick) >= 30
    assert sick["right"].mean() >= 0.9, sick.loc[~sick["right"], ["label", "name", "verdict", "evidence"]]
