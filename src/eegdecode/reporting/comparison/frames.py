"""The numbers of a report as tidy tables: a row a model and set, and a row a pair of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from eegdecode.identity import digest
from eegdecode.reporting import stats
from eegdecode.reporting.comparison.gather import Entry
from eegdecode.reporting.comparison.groups import Comparison, subject_scores
from eegdecode.reporting.metrics import BOUNDS

# column of scores.csv -> (heading, its unit); those that a folder does not have are left out
COSTS = {
    "n_params": "parameters",
    "multiply_adds": "multiply-adds a trial",
    "seconds": "training s a run",
    "trials_per_s": "trials/s",
    "peak_memory_mb": "peak memory MB",
    "energy_wh": "energy Wh a run",
}


def result_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row a model and set; no mean where a run is missing."""
    rows = [_row(c, label, entry) for c in comparisons for label, entry in c.entries.items()]
    table = pd.DataFrame(rows)
    return table.drop(columns=[name for name in COSTS if name in table and table[name].isna().all()])


def _row(comparison: Comparison, label: str, entry: Entry) -> dict:
    column, whole = f"test_{comparison.metric}", comparison.is_whole(entry)
    by_subject = subject_scores(entry.runs, comparison.metric) if whole else pd.Series(dtype=float)
    low, high = stats.mean_interval(by_subject.to_numpy(float), within=BOUNDS[comparison.metric])
    means = entry.runs[[f"n_{part}" for part in ("train", "val")]].mean()
    chance, bound = comparison.chance
    return {
        "dataset": comparison.dataset, "protocol": comparison.protocol, "metric": comparison.metric, "model": label,
        "mean": by_subject.mean(), "deviation_subjects": by_subject.std(ddof=1), "low": low, "high": high,
        "deviation_seeds": stats.deviation_over_seeds(entry.runs, column) if whole else float("nan"),
        "n_subjects": len(comparison.subjects), "n_seeds": entry.runs["seed"].nunique(),
        "n_done": comparison.n_done(entry), "n_expected": entry.n_expected,
        "best": label == comparison.best, "level_with_best": label in comparison.level,
        "rank": comparison.ranks.ranks.get(label) if comparison.ranks else None,
        "chance": chance, "chance_bound": bound, "n_test": comparison.n_test,
        "n_train": means["n_train"], "n_val": means["n_val"],
        **{name: _cost(entry.runs, name) for name in COSTS},
        "transductive": entry.transductive, "init_from": entry.started_from,
        "test_followed": bool(entry.facts.get("watch_test")),
        "meaning": comparison.meanings.get(label, ""), "apart": comparison.apart,
        "data_hash": entry.marker["data_hash"], "pool_hash": entry.marker.get("pool_hash", ""),
        "folders": ";".join(map(str, entry.folders)), "command": "\n".join(entry.commands),
    }    # fmt: skip


def _cost(runs: pd.DataFrame, name: str) -> float:
    """Mean over runs; a classical pipeline counts no parameters, which is not 0 of them."""
    if name not in runs or not len(runs):
        return float("nan")
    values = pd.to_numeric(runs[name], errors="coerce")
    return float(values[values > 0].mean())


def pair_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Every two complete models of every comparison, with all tests."""
    tables = [
        put_first(c.pairs.assign(apart=c.apart), {"dataset": c.dataset, "protocol": c.protocol, "metric": c.metric})
        for c in comparisons
        if len(c.pairs)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["dataset", "protocol", "a", "b"])


def put_first(table: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(columns, index=table.index), table], axis=1)


def learning_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Scores of models that differ in their number of training trials alone, on the same test trials.

    Either in their pool of training trials, in what they hold out of it for validation, or in how many trials of the
    tested subject they were given (``protocol=calibration``).
    """
    rows = []
    for c in comparisons:
        for label in c.scores.columns:
            entry = c.entries[label]
            counts = ("trainer.validation", "trials")
            own = {name: value for name, value in entry.settings.items() if name not in counts}
            line = digest([entry.model, own, c.dataset, c.protocol, entry.marker["data_hash"]])
            about = (c.title, entry.model, label, line, entry.marker.get("test_hash", ""))
            rows += [(*about, *point) for point in _points(entry, c.metric)]
    table = pd.DataFrame(rows, columns=["title", "model", "label", "line", "test_hash", "n_train", "mean", "error"])
    table = table[table["test_hash"] != ""].drop_duplicates(["line", "test_hash", "n_train"])
    several = table.groupby(["line", "test_hash"])["n_train"].transform("nunique") > 1
    table = table[several]
    twice = table.groupby(["title", "test_hash", "model"])["line"].transform("nunique") > 1
    return table.assign(model=table["model"].where(~twice, table["label"]))


def _points(entry: Entry, metric: str) -> Iterator[tuple[float, float, float]]:
    """Training trials of a run, mean over subjects and its standard error; one a number of target trials."""
    parts = [entry.runs] if entry.curve is None else [own for _, own in entry.curve.groupby("trials")]
    for runs in parts:
        scores = subject_scores(runs, metric)
        if runs[f"test_{metric}"].notna().all():
            yield float(runs["n_train"].mean()), float(scores.mean()), float(scores.std() / len(scores) ** 0.5)
