"""The part of a report on one comparison: what it is, numbers, tests, figures, and where all of it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eegdecode.reporting.comparison.committees import ensemble_table
from eegdecode.reporting.comparison.figures import words
from eegdecode.reporting.comparison.findings import counted, entry_notes, findings, p_text
from eegdecode.reporting.comparison.frames import COSTS, result_rows
from eegdecode.reporting.comparison.gallery import amount, pictures, unlike_machines
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.overview import anchor, link
from eegdecode.reporting.comparison.page import Block, Bullets, Code, Folded, Heading, Paragraph, Table
from eegdecode.reporting.comparison.pairs import ALPHA
from eegdecode.reporting.units import unit_of
from eegdecode.reporting.words import PROTOCOLS


def section(comparison: Comparison, out: Path, *, name: str) -> Iterator[Block]:
    """Blocks on one comparison; `name` begins the names of its figures."""
    rows = result_rows([comparison])
    yield Heading(comparison.title + (f" (apart, {name})" if comparison.apart else ""))
    yield Paragraph(_about(comparison))
    if comparison.apart:    # those of the others stand on top of the page
        yield Bullets(findings(comparison))
    yield _numbers(comparison, rows, out)
    yield from ensemble_table(comparison)
    notes = [f"`{label}`: {'; '.join(said)}." for label, e in comparison.entries.items() if (said := entry_notes(e))]
    if notes:
        yield Bullets(notes)
    yield from pictures(comparison, rows, out, name=name)
    if len(comparison.with_best):
        yield _tests(comparison)
    yield Folded("Run folders and commands", list(_sources(comparison, out, name)))


def _about(comparison: Comparison) -> str:
    first = next(iter(comparison.entries.values()))
    chance, bound = comparison.chance
    unit = unit_of(comparison.metric)
    guess = f" Chance {unit.text(chance)}" if np.isfinite(chance) else ""
    guess += f", and guessing exceeds {unit.text(bound)} in 5 % of cases." if np.isfinite(bound) else "." * bool(guess)
    if comparison.metric == "accuracy" and chance > 1.05 / len(first.marker["classes"]):
        guess += " Classes are unbalanced: `metric=balanced_accuracy` or `metric=auroc` says more."
    groups = " Subjects that were tested together count as one." if any("+" in s for s in comparison.subjects) else ""
    apart = f" **Kept apart:** {comparison.apart}." if comparison.apart else ""
    protocol = PROTOCOLS.get(comparison.protocol, f"Protocol {comparison.protocol}.")
    counts = f"{counted(len(comparison.subjects), 'subject')}, {counted(comparison.n_test, 'test trial')}."
    pool = str(first.marker.get("pool_hash", first.marker["split_hash"]))
    return (
        f"{protocol} Metric: {words(comparison.metric)}. {counts}{guess}{groups}{apart} "
        f"Data `{first.marker['data_hash'][:8]}`, pools and tests `{pool[:8]}`."
    )


def _numbers(comparison: Comparison, rows: pd.DataFrame, out: Path) -> Table:
    """All models of the comparison, best first, with what they cost."""
    place = {label: i for i, label in enumerate(comparison.scores.columns)}
    rows = rows.sort_values("model", key=lambda names: names.map(place), kind="stable")
    costs, unit = [name for name in COSTS if name in rows], unit_of(comparison.metric)
    head = ["model", unit.head("mean"), "± subjects", "95 % interval", "± seeds", "seeds", "runs", "mean rank",
            "trained on"]    # fmt: skip
    lines = []
    for row in rows.to_dict("records"):
        where = link(comparison.entries[row["model"]].folders[0], out)
        lines.append(
            [
                f"[{row['model']}]({where})", unit.number(row["mean"]), unit.number(row["deviation_subjects"]),
                unit.interval(row["low"], row["high"]),
                unit.number(row["deviation_seeds"]), str(row["n_seeds"]), f"{row['n_done']}/{row['n_expected']}",
                "–" if pd.isna(row["rank"]) else f"{row['rank']:.2f}",
                "–" if np.isnan(row["n_train"]) else f"{row['n_train']:,.0f}", *(amount(row[name]) for name in costs),
            ]
        )    # fmt: skip
    told = "Interval: of the mean over subjects (Student's t). Trained on: training trials of a run, mean."
    costs_told = f" Costs are means over runs{_of_costs(costs)}.{unlike_machines(comparison)}" if costs else ""
    return Table([*head, *(COSTS[name] for name in costs)], lines, told + costs_told)


def _of_costs(costs: Sequence[str]) -> str:
    """What is behind the columns of costs that there are."""
    told = {
        "multiply_adds": "multiply-adds of a forward pass, in the form that is computed here",
        "seconds": "seconds of runs that were trained together are shared among them",
        "peak_memory_mb": "peak memory on a CPU is of the whole process, Python and its libraries among it, on a GPU "
        "of what is trained together",
    }
    return "".join(f"; {text}" for name, text in told.items() if name in costs)


def _tests(comparison: Comparison) -> Folded:
    """Each model against the best one; all pairs stand in pairs.csv."""
    pairs, unit = comparison.with_best, unit_of(comparison.metric)
    lines = [
        [
            row["b"], unit.number(row["difference"]), unit.interval(row["low"], row["high"]),
            f"{row['wins']}–{row['losses']}", p_text(row["p_wilcoxon"]), p_text(row["p_best"]),
            p_text(row["p_permutation"]), p_text(row["holm_wilcoxon"]), p_text(row["holm_permutation"]),
            _effect(row["dz"], row["dz_low"], row["dz_high"]), unit.number(row["detectable"]),
        ]
        for row in pairs.to_dict("records")
    ]    # fmt: skip
    n = len(comparison.pairs)
    head = [
        f"{comparison.best} against", "difference", "95 % interval", "better–worse", "p Wilcoxon",
        f"× {len(pairs)}: decides", "p permutation", "Holm Wilcoxon", "Holm permutation", "effect size d_z",
        "detectable",
    ]    # fmt: skip
    measured = unit.points.strip() or words(comparison.metric)
    caption = (
        f"Paired over subjects, seeds averaged first; differences in {measured}; better–worse: subjects. p and Holm "
        f"are two-sided: that the two differ; what decides is 1 where ranks are against the mean.{_against(pairs)} "
        f"Holm: over all {n} pairs, which stand in `pairs.csv`. d_z: mean by deviation of the differences, 95 % "
        "interval. Detectable: true difference that what decides finds in 80 % of such studies."
    )
    ranks = comparison.ranks
    friedman = [Paragraph(f"Friedman's test of no difference at all: p {p_text(ranks.p_friedman)}.")] if ranks else []
    return Folded("Tests against the best model", [Table(head, lines, caption), *friedman])


def _against(pairs: pd.DataFrame) -> str:
    """Where Wilcoxon's p is small because of the model with the lower mean."""
    names = pairs.loc[~pairs["ranks_agree"].astype(bool) & (pairs["p_wilcoxon"] < ALPHA), "b"]
    return f" Against the mean Wilcoxon's speak for {', '.join(f'`{name}`' for name in names)}." if len(names) else ""


def _effect(dz: float, low: float, high: float) -> str:
    """With its interval, which differences without a deviation do not have."""
    return f"{dz:.2f}" + (f" ({low:.2f} to {high:.2f})" if low == low else "")


def _sources(comparison: Comparison, out: Path, name: str) -> Iterator[Block]:
    for label, entry in comparison.entries.items():
        folders = ", ".join(f"[{folder.name}]({link(folder, out)})" for folder in entry.folders)
        commit = entry.facts.get("git_commit")
        meaning = comparison.meanings.get(label)
        told = f"**{label}**: {folders}" + (f", commit `{commit}`" if commit else "")
        told += f"; differs in `{meaning}`" if meaning else ""
        yield Paragraph(told, anchor=anchor(name, comparison, label))
        yield Code("\n".join(entry.commands) or "the command was not noted")
