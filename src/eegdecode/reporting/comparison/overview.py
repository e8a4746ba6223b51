"""The table model x data set, for the page and for LaTeX: no mean without all of its runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from eegdecode.reporting.comparison.figures import words
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.page import Table
from eegdecode.reporting.units import unit_of

LEVEL, TRANSDUCTIVE, STARTED = "°", "ᵀ", "ˢ"
MOST_LINKS = 4    # beside the first; all folders of a row stand in its section
_ESCAPES = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\~{}", "^": r"\^{}"}
_SIGNS = {
    "±": r"$\pm$", "·": r"$\cdot$", "–": "--", LEVEL: r"$^{\circ}$", TRANSDUCTIVE: r"$^{\mathrm{T}}$",
    STARTED: r"$^{\mathrm{S}}$",
}    # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One model on one set: ``79.5 ± 13.1``, or ``17/20`` where runs are missing; ``anchor``: its command's."""

    text: str
    folders: tuple[Path, ...]
    best: bool
    marks: str
    anchor: str

    def linked(self, out: Path) -> str:
        """The cell in Markdown: links to its run folders, relative to the report, and to the command behind it."""
        first, *others = [link(folder, out) for folder in self.folders]
        strong = "**" if self.best else ""
        more = "".join(f" [+]({other})" for other in others[:MOST_LINKS]) + " …" * (len(others) > MOST_LINKS)
        return f"{strong}[{self.text}]({first}){strong}{self.marks}{more} [how](#{self.anchor})"

    def latex(self) -> str:
        text = escape(self.text)
        return (rf"\textbf{{{text}}}" if self.best else text) + "".join(_SIGNS[mark] for mark in self.marks)


def make_cells(comparisons: Sequence[Comparison]) -> dict[str, list[Cell | None]]:
    """Label -> its cell in each comparison, None where it is not; labels with the best places first."""
    cells: dict[str, list[Cell | None]] = {}
    for column, comparison in enumerate(comparisons):
        for label in comparison.entries:
            cell = _cell(comparison, label, anchor(column + 1, comparison, label))
            cells.setdefault(label, [None] * len(comparisons))[column] = cell
    places: dict[str, list[float]] = {label: [] for label in cells}
    for comparison in comparisons:
        for place, label in enumerate(comparison.scores.columns):
            places[label].append((place + 0.5) / len(comparison.scores.columns))
    return dict(sorted(cells.items(), key=lambda item: _mean(places[item[0]])))


def anchor(number: int | str, comparison: Comparison, label: str) -> str:
    """Where the page tells a row's run folders and commands; `number` is that of the comparison."""
    return f"how-{number}-{list(comparison.entries).index(label) + 1}"


def _cell(comparison: Comparison, label: str, anchor: str) -> Cell:
    entry = comparison.entries[label]
    marks = TRANSDUCTIVE * entry.transductive + STARTED * bool(entry.started_from)
    if label not in comparison.scores:
        text = f"{comparison.n_done(entry)}/{entry.n_expected}"
        return Cell(text, entry.folders, best=False, marks=marks, anchor=anchor)
    scores, unit = comparison.scores[label], unit_of(comparison.metric)
    spread = f" ± {unit.number(float(scores.std(ddof=1)))}" if len(scores) > 1 else ""
    marks = (LEVEL if label in comparison.level else "") + marks
    text, best = f"{unit.number(float(scores.mean()))}{spread}", label == comparison.best
    return Cell(text, entry.folders, best=best, marks=marks, anchor=anchor)


def overview(comparisons: Sequence[Comparison], out: Path) -> Table:
    """Every model (row) on every set and protocol (column)."""
    rows = [
        [label, *(cell.linked(out) if cell else "–" for cell in cells)]
        for label, cells in make_cells(comparisons).items()
    ]
    rows += [[name, *cells] for name, cells in _beneath(comparisons).items()]
    told = f"{caption(comparisons)} A score links to its run folder, `how` to all of them and the command."
    return Table(["model", *(c.title for c in comparisons)], rows, told)


def _beneath(comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """What a column needs beside its scores."""
    unit = unit_of(comparisons[0].metric)
    chance = [unit.number(low) + (f" (to {unit.number(high)})" if high > 0 else "") for low, high in
              (c.chance for c in comparisons)]    # fmt: skip
    return {
        "chance (guessing, 95 %)": chance,
        "subjects": [str(len(c.subjects)) for c in comparisons],
        "seeds": [_range([e.runs["seed"].nunique() for e in c.entries.values()]) for c in comparisons],
        "test trials": [str(c.n_test) for c in comparisons],
    }


def caption(comparisons: Sequence[Comparison]) -> str:
    """Metric and marks, in words."""
    rivals = _range([max(1, len(c.rivals) - 1) for c in comparisons])
    cells = [cell for row in make_cells(comparisons).values() for cell in row if cell]
    metric = comparisons[0].metric
    named = words(metric) + (" in %" if unit_of(metric).sign else "")
    told = [
        f"Mean test {named} ± deviation over subjects, seeds averaged first; read down a "
        "column, never across. Bold: the best mean of its column."
    ]
    if any(TRANSDUCTIVE in cell.marks and not cell.best for cell in cells):
        told[0] = f"{told[0][:-1]} among those that have seen no test trial; others are not tested against it."
    if any(LEVEL in cell.marks for cell in cells):
        told.append(
            f"{LEVEL}: not established to be worse than it (Wilcoxon over subjects, two-sided, p times the number of "
            f"other models, {rivals}, is .05 or more), which is not the same as being equal."
        )
    if alone := [c.title for c in comparisons if len(c.scores) == 1 and c.level]:
        told.append(f"With one subject nothing can be tested: {', '.join(alone)}.")
    if any("/" in cell.text for cell in cells):
        told.append("17/20: so many of the runs have a score, so there is no mean.")
    if any(TRANSDUCTIVE in cell.marks for cell in cells):
        told.append(f"{TRANSDUCTIVE}: transductive, unlabelled test trials were used.")
    if any(STARTED in cell.marks for cell in cells):
        told.append(f"{STARTED}: started from trained networks, and so learned from more than its training trials.")
    return " ".join(told)


def latex(comparisons: Sequence[Comparison]) -> str:
    """The same table for a paper (packages: booktabs); its caption tells what the page tells beside it."""
    cells = make_cells(comparisons)
    told = [caption(comparisons), *targets(comparisons)]
    told += [f"{label}: {meaning}." for label, meaning in meanings(comparisons).items()]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(' '.join(told))}}}",
        rf"\begin{{tabular}}{{l{'c' * len(comparisons)}}}",
        r"\toprule",
        _line(["model", *(rf"\shortstack{{{escape(c.dataset)}\\{escape(c.protocol)}}}" for c in comparisons)]),
        r"\midrule",
        *(_line([escape(label), *(cell.latex() if cell else "--" for cell in row)]) for label, row in cells.items()),
        r"\midrule",
        *(_line([escape(name), *map(escape, row)]) for name, row in _beneath(comparisons).items()),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def meanings(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Label -> the settings that its number stands for."""
    return {label: text for c in comparisons for label, text in c.meanings.items() if text}


def targets(comparisons: Sequence[Comparison]) -> list[str]:
    """Of how many trials of the tested subject the scores of a column are, where they are of some."""
    told = []
    for c in comparisons:
        curves = [e.curve for e in c.entries.values() if e.curve is not None and len(e.curve)]
        if counts := sorted({int(curve["trials"].max()) for curve in curves}):
            told.append(f"{c.title}: with {_range(counts)} trials a class of the tested subject.")
    return told


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    signs: Mapping[str, str] = {**_ESCAPES, **_SIGNS, "≥": r"$\geq$", "<": r"$<$", ">": r"$>$"}
    signs = {**signs, "→": r"$\rightarrow$", "−": "--", "[": "{[}"}    # else an argument of the new line before it
    return "".join(signs.get(character, character) for character in text)


def link(folder: Path, out: Path) -> str:
    """A folder as a relative link from the report; absolute where there is no relative path."""
    try:
        path = os.path.relpath(folder, out)
    except ValueError:    # another drive
        path = str(folder.resolve())
    return quote(Path(path).as_posix())


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("inf")
