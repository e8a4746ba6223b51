"""The stored suite of trainings, and the rules applied to it: no torch, so that a test repeats it in seconds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.diagnosis.diagnose import diagnose
from eegdecode.reporting.diagnosis.measures import Answers
from eegdecode.reporting.diagnosis.verdicts import Diagnosis
from eegdecode.reporting.stats import chance_bound

HEALTHY = "healthy"
HARM = 0.05       # of test accuracy
SYNTHETIC = 40    # curves by formula of each kind
ACCEPTED = {    # fault -> first verdicts that name it
    "rate x100": ("diverged", "oscillating", "rate too high"), "rate /1000": ("rate too low",),
    "3 epochs": ("too few steps",),
    "weight decay 10": ("over-regularised",), "dropout .95": ("over-regularised",),
    "volts": ("input scale",), "shuffled labels": ("memorising", "stuck"),
    "16 trials": ("too few trials",), "class removed": ("class never predicted",), "test filtered": ("shift",),
    "frozen layer": ("dead parameters",), "no-op attention": ("dead parameters",),
    HEALTHY: ("learning", "fits", "undecided", "over-confident"),
}    # fmt: skip


def read_suite(path: Path) -> list[dict[str, Any]]:
    """Read the trainings that ``diagnosis_faults.write_suite`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        rows, starts = json.loads(file["about"].tobytes()), file["starts"]
        history, columns = file["history"], list(map(str, file["columns"]))
    return [
        {**row, "history": pd.DataFrame(history[start:end], columns=columns)}
        for row, start, end in zip(rows, starts[:-1], starts[1:], strict=True)
    ]


def find(row: dict[str, Any]) -> list[Diagnosis]:
    """Diagnose one training of a suite."""
    about, settings = row["answers"], {name: value for name, value in row["settings"].items() if value is not None}
    counts = ("predicted", "present", "val_predicted")
    answers = about and Answers(*(tuple(about[name]) for name in counts), spread=about["spread"])
    return diagnose(row["history"], row["score"], n_classes=row["n_classes"], answers=answers, settings=settings)


def counted(table: pd.DataFrame) -> pd.Series:
    """Which trained runs are what their label says, by test accuracy, which hardly any rule looks at.

    A healthy one must be better than guessing on its test trials. A fault counts if it did harm: the same network,
    subject and seed without it is better by `HARM` on the same test trials. The rest is listed apart.
    """
    trained = table[table["source"] == "trained"]
    who = ["name", "subject", "seed"]
    healthy = trained[trained["label"] == HEALTHY].drop_duplicates(who).set_index(who)["test_accuracy"]
    twin = np.array([healthy.get(tuple(row), np.nan) for row in table[who].to_numpy()], float)
    harmless = (table["test_accuracy"].to_numpy(float) > twin - HARM) & (table["label"] != HEALTHY)
    guessing = (table["test_accuracy"] <= table["test_bound"]) & (table["label"] == HEALTHY)
    return (table["source"] != "trained") | ~(harmless | guessing)


def judged(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return a row a training: what is wrong, the first verdict, and whether it is right."""
    table = []
    for row in rows:
        findings = find(row)
        first, formula = findings[0], row["name"].startswith("synthetic")
        right = ACCEPTED[HEALTHY] if row["label"] == HEALTHY else (row["label"],) if formula else ACCEPTED[row["label"]]
        table.append({
            "source": "formula" if formula else "trained", "part": row.get("part", ""), "label": row["label"],
            "name": row["name"], "subject": row["score"]["subject"], "seed": row["score"]["seed"],
            "test_accuracy": round(float(row["score"]["test_accuracy"]), 3),
            "test_bound": chance_bound(float(row["score"]["chance"]), int(row["score"]["n_test"])),
            "verdict": first.verdict, "confidence": round(first.confidence, 2), "right": first.verdict in right,
            "also": ", ".join(finding.verdict for finding in findings[1:]), "evidence": first.evidence,
        })    # fmt: skip
    found = pd.DataFrame(table)
    return found.assign(counts=counted(found))
