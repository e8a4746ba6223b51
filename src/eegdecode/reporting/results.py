"""Results: a table of scores, and a summary in which no mean stands without n_done / n_expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting import stats
from eegdecode.reporting.diagnosis.preflight import read_warnings
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.ensembles import ensemble_of
from eegdecode.reporting.folders import MARKER
from eegdecode.reporting.metrics import BOUNDS, METRICS
from eegdecode.reporting.tables import LEAK_COLUMNS, read_scores

METRIC = "accuracy"    # the headline; chance and its bound belong to it


@dataclass(frozen=True, eq=False)
class Results:
    """What a run folder holds.

    Attributes
    ----------
    scores : DataFrame
        ``scores.csv``: one row for each run that was tried.
    summary : dict
        ``summary.json``; its means, counts and subjects are of one setting, `summarise` says which.
    """

    folder: Path
    scores: pd.DataFrame
    summary: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return self.summary["n_done"] == self.summary["n_expected"]

    def setting(self) -> pd.DataFrame:
        """Rows of the setting that the summary's mean is of: all of them unless numbers were swept."""
        return of_setting(self.scores, self.summary.get("setting") or {})


def load_results(folder: Path) -> Results:
    """Read a run folder, also one of an interrupted experiment."""
    folder = Path(folder)
    marker = read_json(folder / MARKER)
    if not marker.get("expected") or not (folder / "scores.csv").exists():
        below = sorted(str(path.parent) for path in folder.glob(f"**/{MARKER}"))    # of a folder above: which was meant
        hint = f"; run folders below it: {', '.join(below[-3:])}" if below else ""
        raise FileNotFoundError(f"{folder} holds no results: {MARKER} or scores.csv is missing{hint}")
    scores = read_scores(folder)
    summary = summarise(scores, marker=marker)
    summary["ensemble"] = None
    if summary["setting"] is not None:
        own, seeds = of_setting(scores, summary["setting"]), marker.get("seeds") or scores["seed"].unique()
        n_expected = summary["setting_expected"]
        summary["ensemble"] = ensemble_of([folder], own, n_members=len(seeds), n_expected=n_expected)
    summary["preflight"] = read_warnings(folder)
    files = {path.stem for path in (folder / "finished").glob("*.npz")}
    summary["n_other_runs"] = len(files - set(scores["key"]))    # of other settings: left out of everything
    return Results(folder, scores, summary)


def summarise(scores: pd.DataFrame, *, marker: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, means, deviations, interval and chance of an experiment, half-finished or whole.

    Where numbers were swept, each setting is summarised by itself (``settings``), and the headline is the
    one with the best mean *validation* accuracy: test scores choose nothing. None without validation.

    Parameters
    ----------
    marker : mapping
        ``experiment.json``: ``key``, ``classes``, ``numbers`` (names of the swept ones), ``expected`` (number
        of runs of each subject and setting), ``facts``, ``data_hash``, ``split_hash``.
    """
    expected = pd.DataFrame(marker["expected"])
    settings = [
        {"setting": setting, **_summary(of_setting(scores, setting), of_setting(expected, setting))}
        for setting in settings_of(expected, marker["numbers"])
    ]
    facts = marker.get("facts", {})
    done = scores["status"] == "done"
    n_expected = int(expected["n"].sum())
    counts = {"n_done": int(done.sum()), "n_expected": n_expected, "n_failed": int((~done).sum())}
    computed = {
        **counts,
        "complete": counts["n_done"] == n_expected,
        "metric": METRIC,
        **_headline(settings),
        "settings": settings if len(settings) > 1 else [],
        **{name: marker.get(name) for name in ("classes", "data_hash", "split_hash")},
        "experiment": marker["key"],
        "noted": list(facts),
    }
    return {**computed, **{name: fact for name, fact in facts.items() if name not in computed}}


def choose_setting(scores: pd.DataFrame, *, marker: Mapping[str, Any]) -> dict[str, Any] | None:
    """The setting that `summarise` puts on top, without its intervals; None where nothing may choose one."""
    expected = pd.DataFrame(marker["expected"])
    settings = []
    for setting in settings_of(expected, marker["numbers"]):
        own = of_setting(scores[scores["status"] == "done"], setting)
        counts = {"setting_done": len(own), "setting_expected": int(of_setting(expected, setting)["n"].sum())}
        val_mean = float(stats.subject_means(own, f"val_{METRIC}").mean())
        settings.append({"setting": setting, **counts, "val_mean": val_mean, "subjects": []})
    return _headline(settings)["setting"]


def _summary(scores: pd.DataFrame, expected: pd.DataFrame) -> dict[str, Any]:
    """Summary of one setting."""
    done = scores[scores["status"] == "done"]
    n_test, cues = stats.n_test_trials(done), stats.n_test_trials(done, cues=True)
    chance = float(done["chance"].mean()) if len(done) else float("nan")
    return {
        "setting_done": len(done),
        "setting_expected": int(expected["n"].sum()),
        **_spread(done, METRIC),
        "val_mean": float(stats.subject_means(done, f"val_{METRIC}").mean()),
        "chance": chance,
        "chance_bound": stats.chance_bound(chance, int(cues.sum())),
        "n_test": int(n_test.sum()),
        "test_cues": int(cues.sum()),
        "n_subjects": int(done["subject"].nunique()),
        "n_seeds": int(done["seed"].nunique()),
        "metrics": {metric: _spread(done, metric) for metric in METRICS},
        "subjects": _by_subject(done, expected, n_test, cues),
        **({"leak": _leak(done)} if LEAK_COLUMNS[0] in done else {}),
    }


def _leak(done: pd.DataFrame) -> dict[str, Any]:
    """What choosing the epoch by test accuracy would have given: a diagnostic, never a result."""
    best, epoch = LEAK_COLUMNS
    by_subject = done.groupby("subject", sort=False)[[f"test_{METRIC}", best, epoch]].mean()
    rows = [
        {"subject": str(subject), "honest": honest, "leaky": leaky, "leaky_epoch": chosen}
        for subject, honest, leaky, chosen in by_subject.itertuples()
    ]
    honest, leaky = float(by_subject[f"test_{METRIC}"].mean()), float(by_subject[best].mean())
    return {"what": "best test epoch (leaky, not a result)", "honest": honest, "leaky": leaky, "subjects": rows}


def _spread(done: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Mean over subjects and what is known of it; NaN where a run lacks the metric, and in how many runs that is."""
    column = f"test_{metric}"
    undefined = int(done[column].isna().sum())
    done = done.assign(**{column: np.nan}) if undefined else done
    means = stats.subject_means(done, column)
    return {
        "mean": float(means.mean()),
        "deviation_subjects": stats.deviation_over_subjects(done, column),
        "deviation_seeds": stats.deviation_over_seeds(done, column),
        "interval": list(stats.mean_interval(means.to_numpy(float), within=BOUNDS[metric])),
        "undefined": undefined,
    }


def _by_subject(
    done: pd.DataFrame, expected: pd.DataFrame, n_test: pd.Series, cues: pd.Series
) -> list[dict[str, Any]]:    # fmt: skip
    """One row a subject; its deviation is over all of its runs (sessions, folds, seeds)."""
    rows = []
    for subject, n_runs in expected.groupby("subject", sort=False)["n"].sum().items():
        own = done[done["subject"] == subject]
        chance = float(own["chance"].mean())
        rows.append(
            {
                "subject": subject,
                "n_done": len(own),
                "n_expected": int(n_runs),
                "mean": float(own[f"test_{METRIC}"].mean()),
                "deviation_runs": float(own[f"test_{METRIC}"].std(ddof=1)),
                "val_mean": float(own[f"val_{METRIC}"].mean()),
                "chance": chance,
                "chance_bound": stats.chance_bound(chance, int(cues.get(subject, 0))),
                "n_test": int(n_test.get(subject, 0)),
            }
        )
    return rows


def _headline(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The summary that stands on top: of the only setting, or of the best one on validation trials.

    Numbers of target trials are no rivals: only the largest counts here.
    """
    most = max(s["setting"].get("trials", 0) for s in settings)
    settings = [s for s in settings if s["setting"].get("trials", 0) == most]
    if len(settings) == 1:
        return {**settings[0], "setting_chosen_by": None}
    whole = [s for s in settings if s["setting_done"] == s["setting_expected"]]    # a rate that failed on the hard
    judged = [s for s in whole if not np.isnan(s["val_mean"])]                      # subjects may not win by the rest
    if not judged:
        blank = {name: [] if name == "subjects" else None for name in settings[0]}
        return {**blank, "setting_chosen_by": None}
    return {**max(judged, key=lambda s: s["val_mean"]), "setting_chosen_by": f"val_{METRIC}"}


def settings_of(expected: pd.DataFrame, numbers: Sequence[str]) -> list[dict[str, Any]]:
    if not numbers:
        return [{}]
    distinct = expected[list(numbers)].drop_duplicates()
    return [{str(name): value for name, value in row.items()} for row in distinct.to_dict("records")]


def of_setting(table: pd.DataFrame, setting: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of one setting of the swept numbers."""
    keep = np.ones(len(table), bool)
    for name, value in setting.items():
        same = table[name].isna() if pd.isna(value) else table[name] == value
        keep &= same.to_numpy()
    return table[keep]
