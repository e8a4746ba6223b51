"""Diagnose one training: rules on its course, the finding that explains most first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eegdecode.reporting.diagnosis import fitting, holding
from eegdecode.reporting.diagnosis.measures import Answers, Course, measure
from eegdecode.reporting.diagnosis.verdicts import Diagnosis, ordered
from eegdecode.runs import DIVERGED

# verdict -> what follows from it and is not said again
EXPLAINS = {
    "diverged": ("oscillating", "stuck", "under-fitting", "memorising", "over-fitting", "constant output",
                 "vanishing gradients", "class never predicted", "dead parameters", "over-confident",
                 "exploding gradients"),
    "rate too high": ("oscillating", "stuck", "under-fitting", "constant output", "vanishing gradients",
                      "class never predicted", "dead parameters", "over-regularised", "over-fitting", "over-confident",
                      "exploding gradients"),
    "input scale": ("constant output", "dead parameters", "vanishing gradients", "stuck", "under-fitting",
                    "class never predicted", "memorising", "over-fitting", "oscillating", "exploding gradients"),
    "over-regularised": ("constant output", "dead parameters", "vanishing gradients", "stuck", "under-fitting",
                         "class never predicted", "rate too low"),
    "dead parameters": ("vanishing gradients",),
    "rate too low": ("constant output", "stuck", "under-fitting", "class never predicted", "memorising"),
    "too few steps": ("constant output", "stuck", "under-fitting", "class never predicted", "memorising"),
    "constant output": ("dead parameters", "vanishing gradients", "stuck", "under-fitting"),
    "data problem": ("stuck", "under-fitting", "shift"),
    "stuck": ("class never predicted", "oscillating"),
    "exploding gradients": ("stuck", "oscillating", "under-fitting"),
    "under-fitting": ("class never predicted",),
    "too few trials": ("over-fitting", "over-confident", "shift", "under-fitting", "class never predicted"),
    "memorising": ("over-fitting", "over-confident", "shift", "under-fitting", "class never predicted"),
    "over-fitting": ("over-confident",),
}    # fmt: skip


def diagnose(
    history: pd.DataFrame, score: Mapping[str, Any], *, n_classes: int, answers: Answers | None = None,
    settings: Mapping[str, float] | None = None,
) -> list[Diagnosis]:    # fmt: skip
    """Findings of one training, the one that explains most first; none for an empty history.

    Without validation trials (``trainer.validation=0``) what concerns them cannot be judged, and that is said.
    For the parameters see `eegdecode.reporting.diagnosis.measures.measure`.
    """
    if not len(history):
        status = str(score.get("status", "done"))
        diverged = status.startswith(DIVERGED)    # else it crashed, and there is no curve to read
        return [Diagnosis("diverged", status.removeprefix("failed: "), 0.6)] if diverged else []
    return judge(measure(history, score, n_classes=n_classes, settings=settings), answers)


def judge(course: Course, answers: Answers | None = None) -> list[Diagnosis]:
    """Apply all rules."""
    found = [rule(course, answers) for rule in (*fitting.RULES, *holding.RULES)]
    findings = ordered([finding for finding in found if finding is not None])
    explained = {name for finding in findings for name in EXPLAINS.get(finding.verdict, ())}
    findings = [finding for finding in findings if finding.verdict not in explained]
    if any(finding.verdict == "shift" for finding in findings) and holding.shift_costs_more(course, answers):
        findings.sort(key=lambda finding: finding.verdict == "class never predicted")
    return findings if any(f.sick for f in findings) else ordered([*findings, holding.well(course)])
