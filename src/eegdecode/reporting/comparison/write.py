"""Many run folders in, one report out: Markdown, a page, LaTeX and CSV. Needs neither torch nor the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from eegdecode.reporting.comparison import figures
from eegdecode.reporting.comparison.findings import counted, findings, meta_findings, p_text
from eegdecode.reporting.comparison.frames import learning_rows, pair_rows, result_rows
from eegdecode.reporting.comparison.gallery import save_light
from eegdecode.reporting.comparison.gather import gather
from eegdecode.reporting.comparison.groups import Comparison, compare
from eegdecode.reporting.comparison.overview import latex, meanings, overview, targets
from eegdecode.reporting.comparison.page import (
    Block,
    Bullets,
    Folded,
    Heading,
    Paragraph,
    Picture,
    Table,
    to_html,
    to_markdown,
)
from eegdecode.reporting.comparison.sections import section
from eegdecode.reporting.comparison.sets import meta_rows, not_combined, of_two_kinds
from eegdecode.reporting.disk import make_folder, write_text
from eegdecode.reporting.folders import refuse_run_folder
from eegdecode.reporting.style import styled
from eegdecode.reporting.units import unit_of

MOST = 5    # folders on the screen that are left out for one reason; the report names all
METHOD = (
    "A comparison holds runs with the same trials (data hash), the same test trials, the same pool of training trials "
    "and the same metric. How much of its pool a model holds out for validation is its own choice, and said.",
    "Seeds are averaged first, then folds and sessions: one number a subject. Tests are paired over subjects. Subjects "
    "tested by leaving them out share training subjects, so there the tests are somewhat too sure.",
    "A model is called worse than the best if Wilcoxon's signed-rank test (two-sided, exact for few subjects), times "
    "the number of other models, stays below .05, and its ranks point where the mean does: a model that is truly the "
    "best keeps its mark in 95 % of studies (multiple comparisons with the best; Hsu, 1981). For claims on other pairs "
    "`pairs.csv` has Holm's correction over all of them: two-sided, that the two differ. Wilcoxon's is for `a`, whose "
    "mean is the better one, where `ranks_agree` is true.",
    "Over data sets only different people are evidence: the same trials under two names count once; people who are in "
    "two sets with other trials are for the reader to notice.",
    "Settings that were swept are one row where validation trials chose among them, else a row each.",
)


def write_comparison(places: Sequence[Path | str], *, out: Path | str, metric: str = "accuracy") -> str:
    """Compare all runs at or below `places`; write the report into `out` and return what it found.

    Writes ``report.md``, ``report.html``, ``table.tex``, ``table.csv`` (a row a model and set), ``pairs.csv`` (a row a
    pair), ``meta.csv`` (a row a pair, over data sets) and ``figures/``.
    """
    refuse_run_folder(Path(out), what="comparison", option="out")
    entries, left_out = gather(places)
    comparisons = compare(entries, metric=metric)
    folder = make_folder(Path(out))
    make_folder(folder / "figures")
    meta = meta_rows(comparisons)
    tables = {"table": result_rows(comparisons), "pairs": pair_rows(comparisons), "meta": meta}
    with styled():
        blocks = [*_blocks(comparisons, meta, left_out, folder), Heading("Files"), _files(tables)]
    _forget_figures(folder / "figures", kept={block.path for block in blocks if isinstance(block, Picture)})
    write_text(folder / "report.md", to_markdown(blocks, folder))
    write_text(folder / "report.html", to_html(blocks, _title(comparisons)))
    write_text(folder / "table.tex", latex([c for c in comparisons if not c.apart]))
    for name, table in tables.items():
        if len(table):
            write_text(folder / f"{name}.csv", table.to_csv(index=False))
        else:    # that of an earlier report
            (folder / f"{name}.csv").unlink(missing_ok=True)
    said = [text for c in comparisons if not c.apart for text in findings(c)] + meta_findings(meta)
    said += [*of_two_kinds(comparisons), *not_combined(comparisons)]
    apart = [f"Apart: {c.title}: {c.apart}." for c in comparisons if c.apart]
    lines = [*said, *apart, *_screen(left_out), f"Report: {folder / 'report.html'}"]
    return "\n".join(lines).replace("**", "").replace("`", "")


def _forget_figures(folder: Path, *, kept: set[Path]) -> None:
    """Remove those of an earlier report, which would pass for this one's."""
    for pattern in ("[0-9]*_*.png", "learning_*.png"):
        for path in set(folder.glob(pattern)) - kept:
            path.unlink()


def _screen(left_out: Sequence[str]) -> Iterator[str]:
    """A line a folder that was left out, but of equal reasons the first `MOST`: a search leaves hundreds of trials."""
    reasons: dict[str, list[str]] = {}
    for text in left_out:
        folder, _, reason = text.partition("`: ")
        reasons.setdefault(" ".join(reason.split()), []).append(folder)
    for reason, folders in reasons.items():
        yield from (f"Left out: {folder}: {reason}." for folder in folders[:MOST])
        if len(folders) > MOST:
            yield f"Left out: {len(folders) - MOST} more: {reason}."


def _blocks(comparisons: list[Comparison], meta: pd.DataFrame, left_out: list[str], out: Path) -> Iterator[Block]:
    main, apart = [c for c in comparisons if not c.apart], [c for c in comparisons if c.apart]
    yield Heading(_title(comparisons), level=1)
    yield Bullets([*(" ".join(findings(c)) for c in main), *meta_findings(meta), *not_combined(comparisons)])
    yield Heading("All scores")
    yield overview(main, out)
    if unlike := list(of_two_kinds(comparisons)):
        yield Bullets(unlike)
    if told := targets(main):
        yield Bullets(told)
    if known := meanings(comparisons):
        yield Folded("What differs between rows of one model", [Bullets([f"`{a}`: `{b}`" for a, b in known.items()])])
    if apart:
        yield Paragraph("**Not in this table, because they cannot be compared with it:**")
        yield Bullets([f"{c.title}, {_names(c)}: {c.apart}." for c in apart])
    if left_out:
        yield Folded(f"{counted(len(left_out), 'folder')} left out", [Bullets(left_out)])
    yield Folded("How to read this", [Bullets(METHOD)])
    for number, comparison in enumerate(comparisons, start=1):
        yield from section(comparison, out, name=f"{number}")
    if len(meta):
        yield from _over_sets(meta)
    yield Heading("Learning curve")
    yield from _learning(comparisons, out)


def _title(comparisons: Sequence[Comparison]) -> str:
    sets = list(dict.fromkeys(c.dataset for c in comparisons))
    models = len({label for c in comparisons for label in c.entries})
    named = ", ".join(sets) if len(sets) <= 3 else f"{len(sets)} data sets"
    return f"{counted(models, 'model')} on {named}"


def _files(tables: Mapping[str, pd.DataFrame]) -> Paragraph:
    """Which tables there are; an empty one is not written."""
    rows = {"table": "a row a model and set", "pairs": "a row a pair, all tests", "meta": "a row a pair over data sets"}
    told = " ".join(f"[{name}.csv]({name}.csv): {rows[name]}." for name, table in tables.items() if len(table))
    return Paragraph(
        f"{told} [table.tex](table.tex): the table for a paper. Each score links to its run folder, whose "
        "`predictions.npz` holds every logit."
    )


def _names(comparison: Comparison) -> str:
    return ", ".join(f"`{label}`" for label in comparison.entries)


def _over_sets(meta: pd.DataFrame) -> Iterator[Block]:
    """Stouffer's combination."""
    yield Heading("Over data sets")
    lines = [
        [f"{r['a']} − {r['b']}", r["protocol"], str(r["sets"]), str(r["n_subjects"]), f"{r['smd']:.2f}",
         p_text(r["p"]), p_text(r["holm"])]
        for r in meta.head(30).to_dict("records")
    ]    # fmt: skip
    told = (
        "Stouffer's combination of one-sided p (permutation below 20 subjects, else Wilcoxon), weighted by the root of "
        "the numbers of subjects, as MOABB does it; p two-sided. Effect: standardised mean difference. All pairs: "
        "`meta.csv`."
    )
    head = ["pair", "protocol", "sets", "subjects", "effect", "p", "Holm"]
    yield Table(head, lines, told)


def _learning(comparisons: Sequence[Comparison], out: Path) -> Iterator[Block]:
    """Score against training trials, for what differs in nothing else."""
    lines = learning_rows(comparisons)
    if not len(lines):
        yield Paragraph("None: every model was trained on one number of trials a run.")
        return
    unit = unit_of(comparisons[0].metric)
    for number, ((title, _), own) in enumerate(lines.groupby(["title", "test_hash"], sort=False), start=1):
        figure = figures.draw_learning(own, comparisons[0].metric)
        picture = save_light(figure, out / "figures" / f"learning_{number}.png")
        points = [f"{r['model']}: {r['n_train']:.0f} trials {unit.text(r['mean'])}" for r in own.to_dict("records")]
        told = f"{title}: scores and training trials, on the same test trials; bars: standard error over subjects."
        yield Picture(picture, told, "; ".join(points))
