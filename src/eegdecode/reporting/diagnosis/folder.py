"""The diagnosis of all runs of an experiment: a table, what is said of it in a line, and a section of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from eegdecode.reporting.diagnosis.diagnose import diagnose
from eegdecode.reporting.diagnosis.measures import Answers, read_answers
from eegdecode.reporting.diagnosis.remedies import explaining, fitting, typed_settings
from eegdecode.reporting.diagnosis.verdicts import MEANING, NOTES, WELL, to_type
from eegdecode.reporting.disk import write_text
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.results import Results
from eegdecode.reporting.tables import RUN_COLUMNS, read_history

FILE = "diagnosis.csv"
MOST_NAMES = 6    # subjects that are named in a line
_COLUMNS = (*RUN_COLUMNS, "verdict", "confidence", "evidence", "remedy", "also", "key")


def write_diagnoses(results: Results) -> pd.DataFrame:
    """Diagnose every run of the setting that is shown and write ``diagnosis.csv``; empty without curves.

    Of a folder that is kept without ``history.csv`` an earlier ``diagnosis.csv`` stays.

    Returns
    -------
    DataFrame
        A row a run: who, the verdict that explains most with confidence, evidence and remedy, and the other
        findings (``also``).
    """
    folder, scores = results.folder, results.setting()
    if not (folder / "history.csv").exists():
        return read_diagnoses(folder)
    histories = {str(key): own for key, own in read_history(folder).groupby("key", sort=False)}
    summary = results.summary
    classes, typed = summary["classes"], typed_settings(folder, {name: summary[name] for name in summary["noted"]})
    answers = _answers(folder, classes)
    written = explaining(typed)
    rows = []
    for values in scores.itertuples(index=False, name=None):
        score = dict(zip(map(str, scores), values, strict=True))
        known = {name: float(score[name]) for name in ("weight_decay", "drop") if name in score}
        findings = diagnose(
            histories.get(score["key"], pd.DataFrame()), score, n_classes=len(classes),
            answers=answers.get(score["key"]), settings={**written, **known},
        )    # fmt: skip
        if findings:
            first, *others = (replace(finding, remedy=fitting(finding.remedy, typed)) for finding in findings)
            also = "; ".join(finding.sentence() for finding in others)
            about = {name: score[name] for name in (*RUN_COLUMNS, "key")}
            rows.append({**about, **vars(first), "confidence": round(first.confidence, 2), "also": also})
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    write_text(folder / FILE, table.to_csv(index=False))
    return table


def read_diagnoses(folder: Path) -> pd.DataFrame:
    """What `write_diagnoses` wrote; empty where there is nothing."""
    path = Path(folder) / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(_COLUMNS))
    return pd.read_csv(path, dtype={"subject": str, "session": str}, keep_default_na=False)


def diagnosis_sentence(table: pd.DataFrame) -> str:
    """Say how many runs have which verdict, of which subjects, and the remedy of the most frequent trouble."""
    if table.empty:
        return ""
    counts = {name: table[table["verdict"] == name] for name in by_trouble(table)}
    if len(counts) == 1:
        told = f"{table['verdict'].iloc[0]} ({'one run' if len(table) == 1 else f'all {len(table)} runs'})"
    else:
        told = "; ".join(f"{name} in {len(own)} of {len(table)} runs{_who(own, name)}" for name, own in counts.items())
    worst = counts[next(iter(counts))]
    remedy = worst["remedy"].iloc[0] if worst["verdict"].iloc[0] not in WELL else ""
    return f"Diagnosis: {told}." + (f" Try: {remedy}" if remedy else "")


def diagnosis_section(table: pd.DataFrame) -> str:
    """Return the section of the report: each verdict with what it means, who has it, and its clearest case."""
    if table.empty:
        return ""
    blocks = []
    for name in by_trouble(table):
        own = table[table["verdict"] == name]
        clearest = own.sort_values("confidence", ascending=False, kind="stable").iloc[0]
        lines = [
            f"**{name}**: {len(own)} of {len(table)} runs{_who(own, '')}. {MEANING[name]}",
            f"- Clearest (subject {clearest['subject']}, session {clearest['session']}, seed {clearest['seed']}; "
            f"confidence {float(clearest['confidence']):.0%}): {clearest['evidence']}.",
        ]
        overrides, advice = to_type(clearest["remedy"])
        tries = [f"`{overrides}`" if overrides else "", advice]
        lines += [f"- Try: {'; '.join(filter(None, tries))}"] if any(tries) else []
        lines += [f"- Also: {clearest['also']}"] if clearest["also"] else []
        blocks.append("\n".join(lines))
    note = (
        f"Read off the curves relative to ln K and to the binomial bounds of chance; `{FILE}` has every run. Try "
        "remedies by their validation scores. How often the rules are right: `notebooks/benchmarks/diagnosis.md`."
    )
    return "\n\n".join([*blocks, note])


def by_trouble(table: pd.DataFrame) -> list[str]:
    """Verdicts of a table: sicknesses first, the most frequent first."""
    counts = table["verdict"].value_counts()
    rank = list(MEANING)
    return sorted(counts.index, key=lambda name: (name in WELL, name in NOTES, -int(counts[name]), rank.index(name)))


def verdicts_by_subject(table: pd.DataFrame) -> dict[str, str]:
    """The most frequent verdict of each subject."""
    return {str(subject): str(own["verdict"].mode().iloc[0]) for subject, own in table.groupby("subject", sort=False)}


def _who(own: pd.DataFrame, name: str) -> str:
    """The subjects of some runs; none where all is well."""
    subjects = list(dict.fromkeys(own["subject"].astype(str)))
    if name in WELL:
        return ""
    more = len(subjects) - MOST_NAMES
    named = ", ".join(subjects[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f" (subject{'s' * (len(subjects) > 1)} {named})"


def _answers(folder: Path, classes: Sequence[str]) -> Mapping[str, Answers | None]:
    """Answers of every finished run; none where an interrupted experiment has not written them."""
    if not (folder / "predictions.npz").exists():
        return {}
    return {kept.key: read_answers(kept.logits, kept.labels["test"], classes) for kept in load_predictions(folder)}


