"""What may be compared: rows with the same trials, the same tests and the same pool to learn from, under one metric."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from eegdecode.reporting import stats
from eegdecode.reporting.comparison.gather import Entry
from eegdecode.reporting.comparison.names import name_entries, short
from eegdecode.reporting.comparison.pairs import ALPHA, compare_pairs
from eegdecode.reporting.comparison.ranks import Ranks, rank_models
from eegdecode.reporting.metrics import RISING
from eegdecode.reporting.tables import RUN_COLUMNS


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows that may stand side by side.

    Attributes
    ----------
    entries : mapping of str to Entry
        Label -> row, in the order of the folders.
    apart : str
        Why these rows are not in the comparison of the same data set and protocol; empty for that itself.
    meanings : mapping of str to str
        Label -> the settings that its number stands for.
    """

    dataset: str
    protocol: str
    metric: str
    entries: Mapping[str, Entry]
    apart: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.dataset} · {self.protocol}"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One score a subject (row) and complete model (column), the best mean first."""
        whole = {label: subject_scores(e.runs, self.metric) for label, e in self.entries.items() if self.is_whole(e)}
        table = pd.DataFrame(whole)
        return table[table.mean().sort_values(ascending=False, kind="stable").index] if whole else table

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Tests of every two complete models; empty with one model or fewer than two subjects."""
        return compare_pairs(self.scores if len(self.scores) > 1 else self.scores.iloc[:, :0], rivals=self.rivals)

    @cached_property
    def ranks(self) -> Ranks | None:
        return rank_models(self.scores)

    @cached_property
    def rivals(self) -> list[str]:
        """Complete models of which the best is looked for: those that have seen no test trial, where there are some."""
        models = [str(label) for label in self.scores.columns]
        return [label for label in models if not self.entries[label].transductive] or models

    @property
    def best(self) -> str:
        return next(iter(self.rivals), "")

    @cached_property
    def with_best(self) -> pd.DataFrame:
        """Tests of the best model against its rivals."""
        return self.pairs[self.pairs["p_best"].notna()]

    @cached_property
    def level(self) -> list[str]:
        """Rivals that are not established to be worse than the best one: all, where one subject can tell nothing."""
        if self.pairs.empty:
            return self.rivals[1:]
        return self.pairs.loc[self.pairs["p_best"] >= ALPHA, "b"].tolist()

    def n_done(self, entry: Entry) -> int:
        """Runs that are done and have this metric."""
        return int(entry.runs[f"test_{self.metric}"].notna().sum())

    def is_whole(self, entry: Entry) -> bool:
        return self.n_done(entry) == entry.n_expected

    @cached_property
    def n_test(self) -> int:
        """Different test trials of all subjects."""
        return max((int(stats.n_test_trials(e.runs).sum()) for e in self.entries.values()), default=0)

    @cached_property
    def subjects(self) -> list[str]:
        """Who is tested, as the experiments expect it; groups of subjects that are tested together count as one."""
        first = next(iter(self.entries.values()))
        return list(dict.fromkeys(str(row["subject"]) for row in first.marker["expected"]))

    @property
    def data_hash(self) -> str:
        """Of the trials, whatever their data set is called."""
        return str(next(iter(self.entries.values())).marker["data_hash"])

    @cached_property
    def machines(self) -> dict[str, list[str]]:
        """Device -> the rows that were trained there; threads do not count."""
        found: dict[str, list[str]] = {}
        for label, entry in self.entries.items():
            devices = re.sub(r" \(\d+ threads\)", "", str(entry.facts.get("device") or "unknown")).split(", ")
            found.setdefault(" and ".join(dict.fromkeys(devices)), []).append(label)
        return found

    @cached_property
    def chance(self) -> tuple[float, float]:
        """Chance, and what guessing on all test trials exceeds in 5 % of cases (accuracy alone; else NaN)."""
        runs = pd.concat([entry.runs for entry in self.entries.values()])
        n_classes = len(next(iter(self.entries.values())).marker["classes"])
        if self.metric == "accuracy":
            chance = float(runs["chance"].mean())
            cues = max(int(stats.n_test_trials(e.runs, cues=True).sum()) for e in self.entries.values())
            return chance, stats.chance_bound(chance, cues)
        known = {"balanced_accuracy": 1 / n_classes, "auroc": 0.5, "kappa": 0.0}
        return known.get(self.metric, float("nan")), float("nan")


def compare(entries: Sequence[Entry], *, metric: str = "accuracy") -> list[Comparison]:
    """Group entries into comparisons: those of each data set and protocol with most rows first, then those apart."""
    if metric not in RISING:
        raise ValueError(f"metric must be one of {', '.join(RISING)} (more is better); got {metric!r}")
    pools = _pools(entries)
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        identity = (entry.dataset, entry.protocol, entry.marker["data_hash"], pools[entry.marker["split_hash"]])
        groups.setdefault(identity, []).append(entry)
    names = name_entries(list(groups.values()))
    largest: dict[tuple, list[Entry]] = {}
    for identity, group in groups.items():
        if _size(group) > _size(largest.get(identity[:2], [])):
            largest[identity[:2]] = group
    comparisons = []
    for (dataset, protocol, *_), group in groups.items():
        main = largest[(dataset, protocol)]
        why = "" if group is main else why_apart(group[0], main[0])
        meanings = dict(names[id(e)] for e in group)
        comparisons.append(
            Comparison(dataset, protocol, metric, {names[id(e)].label: e for e in group}, why, meanings)
        )
    return sorted(comparisons, key=lambda c: bool(c.apart))


def subject_scores(runs: pd.DataFrame, metric: str) -> pd.Series:
    """One score a subject, of rows of ``scores.csv``: seeds averaged first, then folds and sessions."""
    column = f"test_{metric}"
    by_fold = runs.groupby([name for name in RUN_COLUMNS if name != "seed"], sort=False)[column].mean()
    return by_fold.groupby("subject", sort=False).mean()


def _size(group: Sequence[Entry]) -> int:
    """Number of scores that a group compares: rows times their subjects."""
    return sum(len(entry.marker["expected"]) for entry in group)


def _pools(entries: Sequence[Entry]) -> dict[str, str]:
    """Split hash -> pool hash. Folders of before the pool was noted: that of another with the same splits, or alone."""
    known = {e.marker["split_hash"]: e.marker["pool_hash"] for e in entries if e.marker.get("pool_hash")}
    return {e.marker["split_hash"]: known.get(e.marker["split_hash"], e.marker["split_hash"]) for e in entries}


def why_apart(entry: Entry, main: Entry) -> str:
    """Why two entries of the same data set and protocol cannot be compared, in words."""
    if entry.marker["data_hash"] != main.marker["data_hash"]:
        head = f"other trials (data hash {entry.marker['data_hash'][:8]}, there {main.marker['data_hash'][:8]})"
    elif not (entry.marker.get("pool_hash") and main.marker.get("pool_hash")):
        head = "other splits, and a folder of an older version, which does not note its pool of training trials"
    elif entry.marker["test_hash"] != main.marker["test_hash"]:
        head = "tested on other trials"
    else:
        head = "tested on the same trials, but trained on another pool of trials"
    both = [name for name in main.around if name in entry.around]    # versions differ in what they note
    names = [name for name in both if entry.around[name] != main.around[name]]
    told = [f"`{n}` is {short(entry.around.get(n))}, there {short(main.around.get(n))}" for n in names[:4]]
    if not names:
        told = _versions(entry, main) or ["no setting differs: other recordings, or another reader of them"]
    return f"{head}: {'; '.join(told)}{' …' if len(names) > 4 else ''}"


def _versions(entry: Entry, main: Entry) -> list[str]:
    here, there = entry.facts.get("versions") or {}, main.facts.get("versions") or {}
    return [f"{name} is {here.get(name)}, there {there.get(name)}" for name in there if here.get(name) != there[name]]
