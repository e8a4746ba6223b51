from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from eegdecode.reporting.comparison.findings import entry_notes, findings, meta_findings, p_text
from eegdecode.reporting.comparison.gather import gather
from eegdecode.reporting.comparison.groups import compare
from eegdecode.reporting.comparison.write import write_comparison

from .conftest import MakeFolder


def said(place: Path) -> str:
    (comparison,) = compare(gather([place])[0])
    return " ".join(findings(comparison))


def test_the_result_and_how_much_could_be_seen(make_folder: MakeFolder, place: Path) -> None:
    for name, skill in (("best", 1.5), ("close", 1.45), ("bad", -1.0)):
        make_folder(name, skill=skill, n_subjects=9)
    text = said(place)
    assert "`best` has the best mean (" in text
    assert "Not established to be worse: `close` (" in text
    assert "Established to be worse: `bad`." in text
    assert "With 9 subjects a true difference from the best must be about" in text


def test_nothing_is_reckoned_from_models_that_answer_alike(make_folder: MakeFolder, place: Path) -> None:
    for name in ("one", "two"):
        make_folder(name, n_subjects=9)
    assert "true difference" not in said(place)


def test_too_few_subjects_establish_nothing_and_it_is_said(make_folder: MakeFolder, place: Path) -> None:
    for name, skill in (("best", 3.0), ("bad", -1.0)):
        make_folder(name, skill=skill, n_subjects=4)
    text = said(place)
    assert "4 subjects are too few to establish anything between 2 models" in text
    assert "p times the number of other models is .125" in text
    assert "stablished to be worse" not in text


def test_one_subject_one_model_and_none(make_folder: MakeFolder, place: Path) -> None:
    make_folder("half", keep=2)
    assert "no model has all of its runs yet" in said(place)
    make_folder("whole")
    assert "there is no other to compare it with" in said(place)
    assert "`half` (2/6 runs)" in said(place)


def test_runs_that_are_done_and_have_no_such_score_are_not_called_missing(make_folder: MakeFolder, place: Path) -> None:
    make_folder("half", keep=2)
    make_folder("whole")
    entries, _ = gather([place])
    blank = [replace(e, runs=e.runs.assign(test_auroc=e.runs["test_auroc"].where(e.runs.index > 0))) for e in entries]
    why = "auroc is not defined in 1, where a class has no test trial"
    (comparison,) = compare(blank, metric="auroc")
    assert f"no model has this score in all of its runs: `whole` (5/6 runs; {why})" in " ".join(findings(comparison))
    (comparison,) = compare([blank[0], entries[1]], metric="auroc")
    assert f"in no test: `half` (1/6 runs; {why})" in " ".join(findings(comparison))


def test_a_model_at_chance_is_named(make_folder: MakeFolder, place: Path) -> None:
    make_folder("guesses", skill=-2.5)
    make_folder("knows", skill=2.0)
    assert re.search(r"No better than guessing, which exceeds [\d.]+ % in 5 % of cases: `guesses`", said(place))
    assert said(place).endswith("`guesses`.")


def test_notes_of_a_row(make_folder: MakeFolder) -> None:
    folder = make_folder("one", transductive=True, watch_test=True, select="best_val", keep=5)
    (entry,), _ = gather([folder])
    text = "; ".join(entry_notes(entry))
    for part in ("TRANSDUCTIVE", "holds out 24 of its 72 training trials", "LEAKY", "chose the epoch", "1 run missing"):
        assert part in text


def test_a_row_that_began_with_trained_networks_says_so(
    make_folder: MakeFolder, place: Path, tmp_path: Path
) -> None:    # fmt: skip
    make_folder("tuned", skill=1.0, init_from={"folder": "runs/others", "loaded": "18 weights"})
    make_folder("fresh")
    write_comparison([place], out=tmp_path / "out")
    text, table = ((tmp_path / "out" / name).read_text() for name in ("report.md", "table.tex"))
    assert "STARTED FROM TRAINED NETWORKS (`runs/others`)" in text
    assert text.count("ˢ") == 2    # of the one cell, and what it means
    assert r"$^{\mathrm{S}}$" in table
    rows = pd.read_csv(tmp_path / "out" / "table.csv").set_index("model")
    assert rows.loc["tuned", "init_from"] == "runs/others"
    assert pd.isna(rows.loc["fresh", "init_from"])


def test_a_transductive_row_is_not_best_without_a_word(make_folder: MakeFolder, place: Path) -> None:
    make_folder("seen", skill=2.0, n_subjects=9, transductive=True)
    make_folder("unseen", skill=1.0, n_subjects=9)
    make_folder("bad", n_subjects=9)
    text = said(place)
    assert "`unseen` has the best mean (90.3 %), of 2 models. Beside them and in no test against the best, for" in text
    assert "has seen unlabelled test trials: `seen` (" in text
    assert "Established to be worse: `bad`." in text
    make_folder("bad", n_subjects=9, transductive=True)
    shutil.rmtree(place / "seen")
    assert "TRANSDUCTIVE" not in said(place)


@pytest.mark.parametrize(("p", "text"), [(0.0312, ".031"), (1e-5, "< .001"), (1.0, "1"), (float("nan"), "–")])
def test_p_as_text(p: float, text: str) -> None:
    assert p_text(p) == text


def test_what_holds_over_sets() -> None:
    columns = ["protocol", "a", "b", "sets", "n_subjects", "smd", "p", "holm"]
    rows = [["x", "a", "b", 2, 20, 1.0, 0.001, 0.002], ["x", "a", "c", 2, 20, 0.1, 0.4, 0.4]]
    meta = pd.DataFrame(rows, columns=columns)
    assert meta_findings(meta) == ["Over all data sets, **x** (Stouffer, Holm over 2 pairs): `a` over `b` (p .002)."]
    assert meta_findings(meta[:0]) == []
