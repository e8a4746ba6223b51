"""What lies in the folder of a search, and what is asked of it: how far it is, what failed, what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import SEARCH as MARKER
from eegdecode.reporting.results import Results, load_results
from eegdecode.reporting.stats import mean_interval, of_mean, subject_means, wilcoxon
from eegdecode.runs import DIVERGED

OVER = ("done", "pruned", "failed")
NULL = "null"


@dataclass(frozen=True, eq=False)
class SearchFolder:
    """A search as it lies on disk.

    Attributes
    ----------
    about : dict
        ``search.json``: name, space, objectives, metric, command and the like.
    trials : DataFrame
        ``trials.csv``: a row a trial.
    importances : dict of str to float
    final : dict
        ``final.json``: who was tested, with which seeds; empty before the test.
    """

    folder: Path
    about: dict[str, Any]
    trials: pd.DataFrame
    importances: dict[str, float]
    final: dict[str, Any]

    @property
    def objective(self) -> str:
        """What the winner is chosen by."""
        return judged_by(self.about["objectives"])

    @property
    def ranked(self) -> pd.DataFrame:
        """Finished trials, the best first."""
        return ranked(self.trials, self.about["objectives"])

    @property
    def counted(self) -> pd.DataFrame:
        """Trials that no later one repeats."""
        return self.trials[~self.trials["repeated"]]

    @property
    def front(self) -> pd.DataFrame:
        """Of the ranked trials those that no other one equals or beats in all objectives and beats in one."""
        signs = np.array([1.0 if way == "maximize" else -1.0 for way in self.about["objectives"].values()])
        values = self.ranked[list(self.about["objectives"])].to_numpy(float) * signs
        beaten = [((values >= own).all(1) & (values > own).any(1)).any() for own in values]
        return self.ranked[~np.array(beaten, bool)]


def judged_by(objectives: Mapping[str, str]) -> str:
    """What the winner of a search is chosen by: the score, or the first objective."""
    return "score" if "score" in objectives else next(iter(objectives))


def ranked(trials: pd.DataFrame, objectives: Mapping[str, str]) -> pd.DataFrame:
    """Finished trials, the best first; of equals the earliest."""
    done, by = trials[trials["state"] == "done"], judged_by(objectives)
    return done.sort_values(by, ascending=objectives[by] == "minimize", kind="stable")


def read_search_folder(folder: Path) -> SearchFolder:
    """Read the folder of a search, finished or not."""
    folder = Path(folder)
    about = read_json(folder / MARKER)
    if not about or not (folder / "trials.csv").exists():
        raise FileNotFoundError(f"{folder} holds no search: {MARKER} or trials.csv is missing")
    trials = pd.read_csv(folder / "trials.csv", keep_default_na=False, na_values=[""], dtype={"why": str})
    trials["why"] = trials["why"].fillna("")
    _say_null(trials, about["space"])
    return SearchFolder(folder, about, trials, read_json(folder / "importances.json"), read_json(folder / "final.json"))


def _say_null(trials: pd.DataFrame, space: Mapping[str, Any]) -> None:
    """Call null what was chosen to be it; a table has nothing there, as where a trial lacks the setting."""
    chosen = trials["state"].isin(["done", "pruned"]) | trials[list(space)].notna().any(axis=1)
    for path, words in space.items():
        if None in words.get("choice", []):
            exists = chosen.copy()
            for other, values in words["when"].items():
                exists &= trials[other].isin([NULL if value is None else value for value in values])
            trials[path] = trials[path].astype(object).mask(exists & trials[path].isna(), NULL)


def failed_trials(folder: Path) -> list[str]:
    """Each failed trial that was not made good, with what it said, its log and the command that tries it again."""
    found = read_search_folder(folder)
    failed = found.counted[found.counted["state"] == "failed"]
    lines = []
    for row in failed.to_dict("records"):
        log = found.folder / row["folder"] / "error.txt"
        where = f"log {log}" if log.exists() else f"no log below {log.parent}"
        settings = " ".join(f"{path}={_typed(value)}" for path in found.about["space"] if (value := row[path]) == value)
        again = f"again: python scripts/sweep.py retry {found.folder} {row['trial']}"
        lines.append(f"trial {row['trial']} failed: " + "; ".join(filter(None, (row["why"], settings, where, again))))
    return lines


def status_text(folder: Path) -> str:
    """How far a search is, what is best so far, and what failed."""
    found = read_search_folder(folder)
    counts = found.counted["state"].value_counts()
    over = int(sum(counts.get(state, 0) for state in OVER))
    kinds = [*OVER, "running", "waiting", *(["interrupted"] if "interrupted" in counts else [])]
    said = ", ".join(f"{counts.get(state, 0)} {state}" for state in kinds)
    lines = [f"{found.folder}: {over} of {found.about['n_trials']} trials are over ({said})"]
    if len(found.ranked):
        best = found.ranked.iloc[0]
        values = ", ".join(f"{name} {digits(best[name], 4)}" for name in found.about["objectives"])
        settings = settings_text(best, found.about["space"])
        lines.append(f"best so far: trial {best['trial']}, {values} (validation): {settings}")
    lines += failed_trials(folder)
    tested = ", ".join(look["folder"] for look in found.final.get("looks", []))
    begun = bool(tested) and not is_tested(found)
    lines.append(f"tested: {tested or 'not yet'}{', begun and not done' * begun}")
    if over < found.about["n_trials"] or begun:
        lines.append(f"go on, or join: {found.about['command']}")
    return "\n".join(lines)


def settings_text(row: Mapping[str, Any] | pd.Series, space: Mapping[str, Any]) -> str:
    """The searched settings of a trial in a line."""
    return " ".join(f"{path}={short(row[path])}" for path in space if row[path] == row[path])


def short(value: Any) -> str:
    """A value for a table: three digits of a number."""
    if isinstance(value, float | np.floating):
        return digits(float(value), 3) if value == value else "–"
    return "–" if value is None else str(value)


def digits(value: float, count: int) -> str:
    """So many digits, of a number with more before its point all of these: 35123 and not 3.51e+04."""
    return f"{value:.0f}" if abs(value) >= 10**count else f"{value:.{count}g}"


def _typed(value: Any) -> str:
    """A value as it was suggested; where another trial lacks the setting, a table makes 2.0 of 2."""
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def final_scores(found: SearchFolder) -> pd.DataFrame | None:
    """Test score of each subject, columns ``winner`` and ``default``; None before both were tested to their end."""
    if not found.final:
        return None
    columns = {}
    for name, folder in (("winner", found.final["winner"]["folder"]), ("default", found.final["default"])):
        try:
            results = load_results(found.folder / folder)
        except FileNotFoundError:
            return None
        if not results.complete:
            return None
        columns[name] = subject_means(results.scores, f"test_{found.about['metric']}")
    return pd.DataFrame(columns)


def is_tested(found: SearchFolder) -> bool:
    """Whether the final test was done; ``final.json`` is written before it."""
    return final_scores(found) is not None or bool(without_score(found))


def only_searched(found: SearchFolder, scores: pd.DataFrame) -> list[str]:
    """Subjects whose validation trials chose the winner, where none of them is tested; else empty."""
    best = found.trials[found.trials["trial"] == found.final["winner"]["trial"]].iloc[0]
    try:
        names = load_results(found.folder / str(best["folder"])).scores["subject"].astype(str)
    except FileNotFoundError:
        return []
    chose, tested = ({part for name in these for part in str(name).split("+")} for these in (names, scores.index))
    return sorted(chose) if chose.isdisjoint(tested) else []


def only_diverged(results: Results) -> int:
    """How many runs have diverged, if nothing else is missing, else 0: trained again, they would diverge again."""
    bad = results.scores.loc[results.scores["status"] != "done", "status"].astype(str)
    lost = results.summary["n_done"] + len(bad) < results.summary["n_expected"]
    return 0 if lost or not bad.str.startswith(DIVERGED).all() else len(bad)


def without_score(found: SearchFolder) -> str:
    """Who diverged in the final test and has no score, in words; empty if nobody has."""
    said = []
    for name in ("winner", "default") if found.final else ():
        folder = found.final["winner"]["folder"] if name == "winner" else found.final["default"]
        with suppress(FileNotFoundError):
            results = load_results(found.folder / folder)
            if lost := only_diverged(results):
                said.append(f"the {name} diverged in {lost} of {results.summary['n_expected']} runs ({folder})")
    return f"no score in the final test: {' and '.join(said)}" if said else ""


def paired(scores: pd.DataFrame) -> dict[str, Any]:
    """Winner minus default over subjects: mean, 95 % interval (Student's t), ahead and behind, Wilcoxon's p.

    ``p_of_mean`` decides: it is 1 where the ranks are against the mean.
    """
    d = (scores["winner"] - scores["default"]).dropna().to_numpy(float).round(12)
    low, high = mean_interval(d)
    counts = {"ahead": int((d > 0).sum()), "behind": int((d < 0).sum()), "n_subjects": len(d)}
    p = {"p": wilcoxon(d), "p_of_mean": of_mean(d)}
    return {"difference": float(d.mean()), "low": low, "high": high, **counts, **p}
