"""``report.md``: what was run, what came out, how far it can be trusted; from the folder's files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eegdecode.reporting.diagnosis.folder import diagnosis_section, write_diagnoses
from eegdecode.reporting.disk import write_text
from eegdecode.reporting.ensembles import BY, ensemble_note
from eegdecode.reporting.markdown import markdown_table
from eegdecode.reporting.metrics import ECE_OF_FEW, METRICS
from eegdecode.reporting.results import Results, load_results
from eegdecode.reporting.units import unit_of
from eegdecode.reporting.words import (
    chance_sentence,
    describe_setting,
    honesty_sentences,
    leak_sentence,
    mean_sentence,
    percent,
    protocol_name,
    protocol_sentence,
)

MOST_ROWS = 50    # longer lists are cut, with their length
_CAPTIONS = {
    "curves": "Loss and accuracy; training measured with dropout off, dotted: the loss as trained, which smoothed or "
    "mixed labels keep above zero.",
    "subjects": "Test accuracy by subject; grey: what guessing reaches (95 %, binomial).",
    "confusion": "Confusion of the classes on test trials, all runs pooled, each row adding up to 100 %.",
    "curves_by_subject": "Loss of each subject.",
}


def write_report(folder: Path) -> Path:
    """Draw the figures and write ``report.md``; works half-way through an experiment, too."""
    folder = Path(folder)
    from eegdecode.reporting.plots import draw_figures  # matplotlib takes half a second to import

    results = load_results(folder)
    diagnosis = diagnosis_section(write_diagnoses(results))    # before the figures, which show it
    figures = draw_figures(folder)
    text = "\n\n".join(part for part in _parts(results, figures, diagnosis) if part) + "\n"
    write_text(folder / "report.md", text)
    return folder / "report.md"


def _parts(results: Results, figures: dict[str, Path], diagnosis: str) -> Iterator[str]:
    summary = results.summary
    yield f"# {describe_setting(results)}"
    yield f"**Test accuracy: {mean_sentence(summary)}.** {chance_sentence(summary)}"
    if not summary["complete"]:
        counts = f"{summary['n_done']}/{summary['n_expected']} runs are done, {summary['n_failed']} failed"
        yield f"> **Incomplete:** {counts}. The same command goes on where it stopped."
    yield f"Protocol `{protocol_name(results)}`: {protocol_sentence(results)}"
    yield "\n".join(f"- {text}" for text in honesty_sentences(results))
    for name in ("subjects", "curves", "confusion"):
        yield _figure(name, figures)
    if not (results.folder / "history.csv").exists():
        so = "" if diagnosis else ", so nothing is diagnosed"
        yield f"> **Without curves:** `history.csv` is not in this folder{so}."
    yield "## Diagnosis\n\n" + diagnosis if diagnosis else ""
    yield _preflight(summary)
    yield "## By subject\n\n" + _subjects(summary) if summary["subjects"] else ""
    yield "## All metrics\n\n" + _metrics(summary) if summary["metrics"] else ""
    yield "## Ensemble of seeds\n\n" + _ensemble(summary["ensemble"]) if summary["ensemble"] else ""
    yield "## Settings\n\n" + _settings(summary) if summary["settings"] else ""
    yield _leak(summary)
    yield _figure("curves_by_subject", figures)
    yield _failures(results)
    yield "## What was run\n\n" + _facts(summary)
    yield _config(results.folder)
    yield _files()


def _preflight(summary: dict[str, Any]) -> str:
    lines = [f"- {text}" for text in summary["preflight"]]
    note = "Seen on one batch before the training, on the first run:"
    return "\n".join([f"## Preflight\n\n{note}\n", *lines]) if lines else ""


def _figure(name: str, figures: dict[str, Path]) -> str:
    if name not in figures:
        return ""
    return f"![{_CAPTIONS[name]}](figures/{figures[name].name})\n\n*{_CAPTIONS[name]}*"


def _subjects(summary: dict[str, Any]) -> str:
    rows = [
        [
            row["subject"],
            percent(row["mean"]),
            percent(row["deviation_runs"]),
            percent(row["val_mean"]),
            percent(row["chance"]),
            percent(row["chance_bound"]),
            row["n_test"],
            f"{row['n_done']}/{row['n_expected']}",
        ]
        for row in summary["subjects"]
    ]
    columns = ["subject", "test accuracy %", "± over runs", "validation %", "chance %", "95 % bound"]
    return _table([*columns, "test trials", "runs"], rows)


def _metrics(summary: dict[str, Any]) -> str:
    rows = [[name, *_spread(summary["metrics"][name], name)] for name in METRICS]
    note = f"nll is in nats, auroc is one-vs-rest (none where a class has no trial), ece has 15 bins; {ECE_OF_FEW}."
    columns = ["metric", "mean", "± over subjects", "± over seeds", "95 % interval of the mean"]
    runs = f"{summary['setting_done']}/{summary['setting_expected']} runs"
    undefined = {name: summary["metrics"][name]["undefined"] for name in METRICS}
    lacking = [f" {name} has no mean: it is not defined in {n} of these runs." for name, n in undefined.items() if n]
    return f"{_table(columns, rows)}\n\nTest trials, {runs}.{''.join(lacking)} {note}"


def _spread(spread: dict[str, Any], name: str) -> list[str]:
    unit = unit_of(name)
    deviations = [unit.number(spread[f"deviation_{over}"]) for over in ("subjects", "seeds")]
    return [unit.text(spread["mean"]), *deviations, unit.interval(*spread["interval"])]


def _ensemble(ensemble: dict[str, Any]) -> str:
    """Seeds together beside their mean: accuracy, its gain, and calibration."""
    alone, rows = ensemble["members"], []
    rows.append(["members, mean", percent(alone["accuracy"]), "–", "–", f"{alone['nll']:.3f}", percent(alone["ece"])])
    for by in BY:
        own = ensemble[by]
        low, high = own["accuracy"]["interval"]
        sure = f"{100 * low:+.1f} to {100 * high:+.1f}" if low == low else "–"
        cells = [percent(own["accuracy"]["mean"]), f"{100 * own['accuracy']['gain']:+.1f}", sure]
        rows.append([f"ensemble, mean {by}", *cells, f"{own['nll']['mean']:.3f}", percent(own["ece"]["mean"])])
    table = _table(["", "test accuracy %", "gain, points", "95 % interval", "nll", "ece %"], rows)
    note = ensemble_note(ensemble)
    return (
        f"{table}\n\n{ensemble['n_members']} seeds of a split answer together, {ensemble['n_combined']} splits; gain "
        f"over the mean of the members, paired over {ensemble['n_subjects']} subjects (Student's t). Neither way was "
        "chosen by test trials." + (f"\n\n> **{note}.**" if note else "")
    )


def _settings(summary: dict[str, Any]) -> str:
    rows = [
        [
            ", ".join(f"{name} = {value:g}" for name, value in row["setting"].items()),
            percent(row["val_mean"]),
            percent(row["mean"]),
            percent(row["deviation_subjects"]),
            f"{row['setting_done']}/{row['setting_expected']}",
        ]
        for row in summary["settings"]
    ]
    return _table(["setting", "validation %", "test %", "± over subjects", "runs"], rows)


def _leak(summary: dict[str, Any]) -> str:
    """The diagnostic of `trainer.watch_test`."""
    if not (sentence := leak_sentence(summary)):
        return ""
    rows = [
        [row["subject"], percent(row["honest"]), percent(row["leaky"]), percent(row["leaky"] - row["honest"]),
         f"{row['leaky_epoch']:.0f}"]
        for row in summary["leak"]["subjects"]
    ]    # fmt: skip
    columns = ["subject", "score % (not chosen by test)", "best test epoch % (leaky, not a result)", "leak, points"]
    table = _table([*columns, "its epoch, mean of runs"], rows)
    return f"## Diagnostic: best test epoch (leaky, not a result)\n\n**{sentence}**\n\n{table}"


def _failures(results: Results) -> str:
    failed = results.scores[results.scores["status"] != "done"]
    if failed.empty:
        return ""
    columns = ["subject", "session", "fold", "seed", "status"]
    return "## Failed runs\n\n" + _table(columns, failed[columns].to_numpy().tolist())


def _facts(summary: dict[str, Any]) -> str:
    shown = summary["noted"] + ["data_hash", "split_hash", "experiment"]
    lines = [f"- {name}: {_inline(value)}" for name, value in summary.items() if value and name in shown]
    return "\n".join([*lines, f"- classes: {', '.join(summary['classes'] or [])}"])


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {content}" for name, content in value.items())
    return f"`{value}`"


def _config(folder: Path) -> str:
    path = folder / "config.yaml"
    return f"## Configuration\n\n```yaml\n{path.read_text().rstrip()}\n```" if path.exists() else ""


def _files() -> str:
    return (
        "Every number can be computed again: `predictions.npz` holds logits, labels and trial names of "
        "validation and test for every finished run, `scores.csv` a row a run, `history.csv` a row an epoch."
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table that is cut where it gets long."""
    text = markdown_table(columns, rows[:MOST_ROWS])
    return text + (f"\n\n… and {len(rows) - MOST_ROWS} more rows." if len(rows) > MOST_ROWS else "")
