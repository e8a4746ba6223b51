"""The two tables of a run folder: ``scores.csv`` (a row a run) and ``history.csv`` (a row an epoch)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.metrics import METRICS, score
from eegdecode.reporting.outcomes import ANSWERED, Outcome
from eegdecode.reporting.stats import chance_level
from eegdecode.runs import COSTS, PARTS, WATCHED, Run

TEXT_COLUMNS = ("dataset", "protocol", "subject", "session", "model", "chosen", "status", "key")
_ABOUT = ("dataset", "protocol", "transductive", "subject", "session", "fold", "seed", "model", "n_params")
_RESULT = (
    "n_train", "n_val", "n_test", "test_cues", "chance", "best_epoch", "seconds", "trials_per_s", *COSTS, "chosen",
    "status",
)    # fmt: skip
_METRICS = tuple(f"{part}_{metric}" for part in ("test", "val") for metric in METRICS)
HISTORY_COLUMNS = (
    "epoch", "lr", "running_loss", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "grad_norm", "steps",
    "dead_share", "flow", "input_scale",
)    # fmt: skip
LEAK_COLUMNS = ("leaky_best_test_accuracy", "leaky_best_test_epoch")    # chosen on test trials: a diagnostic, no result
RUN_COLUMNS = ("subject", "session", "fold", "seed")


def score_columns(numbers: Sequence[str], *, watched: bool = False) -> list[str]:
    """Columns of ``scores.csv``; `numbers` are the swept ones, ``watched`` says whether test accuracy was followed."""
    return [*_ABOUT, *_RESULT, *_METRICS, *(LEAK_COLUMNS if watched else ()), *numbers, "key"]


def history_columns(numbers: Sequence[str], *, watched: bool = False) -> list[str]:
    """Columns of ``history.csv``."""
    return [*RUN_COLUMNS, *numbers, "key", *_epoch_columns(watched=watched)]


def _epoch_columns(*, watched: bool) -> list[str]:
    return [*HISTORY_COLUMNS, *([WATCHED] if watched else [])]


def score_row(
    run: Run, outcome: Outcome, *, labels: Mapping[str, np.ndarray], n_classes: int, test_cues: int,
    facts: Mapping[str, Any],
) -> dict[str, Any]:    # fmt: skip
    """One row of ``scores.csv``; every score is computed here, from the logits."""
    split = run.split
    scores = {
        f"{part}_{metric}": value
        for part in ANSWERED
        for metric, value in score(outcome.logits[part], labels[part]).items()
    }
    return {
        "dataset": facts["dataset"],
        "protocol": split.protocol,
        "transductive": bool(facts.get("transductive", False)),
        "subject": split.subject,
        "session": split.session,
        "fold": split.fold,
        "seed": run.seed,
        "model": facts["model"],
        "n_params": outcome.n_params,
        **{f"n_{part}": len(getattr(split, part)) for part in PARTS},
        "test_cues": test_cues,
        "chance": chance_level(labels["test"], n_classes),
        "best_epoch": outcome.best_epoch,
        "seconds": round(outcome.seconds, 3),
        "trials_per_s": _speed(len(split.train), outcome),
        **{name: outcome.costs.get(name, float("nan")) for name in COSTS},
        "chosen": outcome.chosen,
        "status": outcome.status,
        **(scores if outcome.done else dict.fromkeys(scores, float("nan"))),
        **(_leak(outcome) if outcome.done else {}),
        **run.numbers,
        "key": outcome.key,
    }


def _speed(n_train: int, outcome: Outcome) -> float:
    """Training trials that went through the network in a second, evaluation included; a pipeline sees each once."""
    epochs = outcome.history[:, outcome.columns.index("epoch")].max() if len(outcome.history) else 1
    return n_train * epochs / outcome.seconds if outcome.seconds else float("nan")


def _leak(outcome: Outcome) -> dict[str, float]:
    """The best test epoch where test accuracy was followed."""
    if WATCHED not in outcome.columns:
        return {}
    followed = outcome.history[:, outcome.columns.index(WATCHED)]
    return dict(zip(LEAK_COLUMNS, (float(followed.max()), int(followed.argmax()) + 1), strict=True))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV lines; a missing number is an empty field, every other number is written exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if isinstance(v, float) and np.isnan(v) else v for v in row])
    return text.getvalue()


def row_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """One row as a CSV line."""
    return csv_text([[_plain(row.get(column, "")) for column in columns]])


def history_text(run: Run, outcome: Outcome, numbers: Sequence[str], *, watched: bool = False) -> str:
    """The epochs of one run as CSV lines, eight digits a number."""
    if not outcome.history.size:
        return ""
    split = run.split
    head = [split.subject, split.session, split.fold, run.seed]
    head += [run.numbers.get(name, "") for name in numbers] + [outcome.key]
    where = {name: i for i, name in enumerate(outcome.columns)}
    names = _epoch_columns(watched=watched)
    fields = ",".join("%.8g" if name in where else "nan" for name in names)
    values = outcome.history[:, [where[name] for name in names if name in where]]
    line = csv_text([head]).rstrip("\n").replace("%", "%%") + "," + fields + "\n"
    return (line * len(values)) % tuple(values.ravel())


def read_scores(folder: Path) -> pd.DataFrame:
    """Read ``scores.csv``: of a run tried again the last row; no line that a crash cut off."""
    return _read(folder / "scores.csv").drop_duplicates("key", keep="last", ignore_index=True)


def read_history(folder: Path) -> pd.DataFrame:
    """Read ``history.csv``, of a run that was tried again the last try; empty where results are kept without it."""
    path = folder / "history.csv"
    if not path.exists():
        return pd.DataFrame(columns=history_columns([]))
    return _read(path).drop_duplicates(["key", "epoch"], keep="last", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    text: dict[str, Any] = dict.fromkeys(TEXT_COLUMNS, str)
    missing = {name: ["", "nan"] for name in _number_columns(path)}
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing, on_bad_lines="skip")
    return table[table["key"].str.len() == 32].reset_index(drop=True)


def _number_columns(path: Path) -> list[str]:
    with path.open() as file:
        return [name for name in file.readline().rstrip("\n").split(",") if name not in TEXT_COLUMNS]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
