"""The last screen: the result of an experiment as a table for a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eegdecode.reporting.diagnosis.folder import diagnosis_sentence, read_diagnoses
from eegdecode.reporting.results import METRIC, Results
from eegdecode.reporting.words import (
    chance_sentence,
    ensemble_sentence,
    epoch_sentence,
    leak_sentence,
    mean_sentence,
    percent,
    protocol_name,
    protocol_sentence,
    transductive_sentence,
)

MOST_ROWS = 30    # subjects beyond these are only in scores.csv


def last_screen(results: Results) -> Group:
    """Scores by subject beside chance, means with their counts, protocol, and where the folder is."""
    summary = results.summary
    first = results.scores.iloc[0] if len(results.scores) else None
    what = f"{first['model']} on {first['dataset']}" if first is not None else "no run was tried"
    lines: list[RenderableType] = [Text(f"{what} · {protocol_name(results)} · test {METRIC}", style="bold")]
    if summary["settings"]:
        lines.append(_settings_table(summary))
    if summary["subjects"]:
        lines.append(_subjects_table(summary["subjects"]))
    lines.append(Text(mean_sentence(summary), style="bold"))
    plain = (chance_sentence(summary), ensemble_sentence(summary), protocol_sentence(results), epoch_sentence(results))
    lines += [Text(text) for text in plain if text]
    if said := diagnosis_sentence(read_diagnoses(results.folder)):
        lines.append(Text(said, style="" if said.startswith("Diagnosis: learning") else "yellow"))
    warnings = (transductive_sentence(results), leak_sentence(summary))
    lines += [Text(warning, style="yellow") for warning in warnings if warning]
    if summary["n_failed"]:
        lines.append(Text(f"FAILED runs: {summary['n_failed']}; scores.csv says why (status).", style="red"))
    if not summary["complete"]:
        left = summary["n_expected"] - summary["n_done"]
        lines.append(Text(f"Runs left: {left}; the same command goes on where it stopped.", style="yellow"))
    if summary.get("n_other_runs"):
        lines.append(Text(f"Left out: {summary['n_other_runs']} runs of other settings in the same folder."))
    lines.append(Text(f"Folder: {results.folder}", overflow="fold"))
    return Group(*lines)


def _subjects_table(subjects: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("subject", overflow="ellipsis", no_wrap=True, max_width=20)
    for name in ("score %", "± runs", "validation %", "chance %", "bound %", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in subjects[:MOST_ROWS]:
        counts = f"{row['n_done']}/{row['n_expected']}"
        above = row["n_done"] and row["mean"] > row["chance_bound"]
        cells = [percent(row[k]) for k in ("mean", "deviation_runs", "val_mean", "chance", "chance_bound")]
        table.add_row(
            Text(row["subject"]), Text(cells[0], style="green" if above else ""), *cells[1:],
            Text(counts, style="" if row["n_done"] == row["n_expected"] else "yellow"),
        )    # fmt: skip
    if len(subjects) > MOST_ROWS:
        table.add_row(f"… {len(subjects) - MOST_ROWS} more")
    return table


def _settings_table(summary: dict[str, Any]) -> Table:
    """Swept settings; validation chooses, the test score stands beside it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = list(summary["settings"][0]["setting"])
    for name in (*names, "validation %", "score %", "± subjects", "runs", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary["settings"][:MOST_ROWS]:
        cells = [percent(row[k]) for k in ("val_mean", "mean", "deviation_subjects")]
        chosen = "shown below" if row["setting"] == summary["setting"] else ""
        counts = f"{row['setting_done']}/{row['setting_expected']}"
        table.add_row(*(f"{row['setting'][name]:g}" for name in names), *cells, counts, chosen)
    return table
