"""Folders that are damaged: the report names them with the reason, and is made of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting.comparison.gather import gather
from eegdecode.reporting.comparison.write import write_comparison

from .conftest import MakeFolder


def write(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    write(folder, name, content[: len(content) // 2])


def without(folder: Path, key: str) -> None:
    marker = json.loads((folder / "experiment.json").read_text())
    del marker[key]
    write(folder, "experiment.json", json.dumps(marker))


def with_(folder: Path, **changes: object) -> None:
    marker = json.loads((folder / "experiment.json").read_text())
    write(folder, "experiment.json", json.dumps({**marker, **changes}))


def with_facts(folder: Path, **changes: object) -> None:
    with_(folder, facts={**json.loads((folder / "experiment.json").read_text())["facts"], **changes})


def with_scores(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(folder / "scores.csv", dtype=str)).to_csv(folder / "scores.csv", index=False)


def other_subject(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.assign(subject=["99", *scores["subject"][1:]])


def last_in_place_of_first(scores: pd.DataFrame, **changes: str) -> pd.DataFrame:
    return pd.concat([scores[1:], scores[-1:].assign(key="0" * 32, **changes)])


LEFT_OUT = {
    "nothing written": (lambda f: write(f, "experiment.json", '{"key": "x"}'), "no run was written yet"),
    "cut marker": (lambda f: cut(f, "experiment.json"), "experiment.json cannot be read"),
    "marker without facts": (lambda f: without(f, "facts"), "experiment.json has no facts"),
    "marker without hash": (lambda f: without(f, "data_hash"), "experiment.json has no data_hash"),
    "marker of a list": (lambda f: write(f, "experiment.json", "[1]"), "experiment.json cannot be read"),
    "facts of a list": (lambda f: with_(f, facts=[1]), "experiment.json is damaged: facts is [1]"),
    "no classes": (lambda f: with_(f, classes=[]), "classes is []"),
    "no hash": (lambda f: with_(f, data_hash=None), "data_hash is None"),
    "expected without n": (lambda f: with_(f, expected=[{"subject": "1"}]), "a row of expected is without subject, n"),
    "another number": (lambda f: with_(f, numbers=["lr"]), "a row of expected is without subject, n, lr"),
    "source without folder": (lambda f: with_facts(f, init_from={"x": 1}), "facts.init_from has no folder"),
    "a subject of nobody": (lambda f: with_scores(f, other_subject), "1 runs of subject 99, of 0"),
    "a subject twice": (lambda f: with_scores(f, last_in_place_of_first), "stands in it twice"),
    "a subject too often": (lambda f: with_scores(f, lambda s: last_in_place_of_first(s, fold="7")), "2 runs of"),
    "per cent": (lambda f: with_scores(f, lambda s: s.assign(test_accuracy="66.7")), "test_accuracy is 66.7, not"),
    "infinite": (lambda f: with_scores(f, lambda s: s.assign(test_nll="inf")), "test_nll is inf"),
    "no scores": (lambda f: (f / "scores.csv").unlink(), "no run was written yet"),
    "empty scores": (lambda f: write(f, "scores.csv", ""), "scores.csv"),
    "binary scores": (lambda f: write(f, "scores.csv", b"\xff\xfe\x00\x01" * 90), "scores.csv"),
    "other table": (lambda f: write(f, "scores.csv", "a,b\n1,2\n"), "scores.csv has no column key"),
    "words for numbers": (
        lambda f: write(f, "scores.csv", (f / "scores.csv").read_text().replace(",1.5,", ",fast,")), "scores.csv",
    ),
    "broken settings": (lambda f: write(f, "config.yaml", "a: [1"), "config.yaml"),
    "settings of a list": (lambda f: write(f, "config.yaml", "- 1"), "config.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("damage", LEFT_OUT)
def test_a_damaged_folder_is_left_out_with_the_reason(make_folder: MakeFolder, place: Path, damage: str) -> None:
    make_folder("whole")
    spoil, reason = LEFT_OUT[damage]
    spoil(make_folder("sick"))
    entries, (left_out,) = gather([place])
    assert [entry.model for entry in entries] == ["whole"]
    assert "sick`" in left_out
    assert reason in left_out


def test_with_damaged_folders_alone_each_is_told(make_folder: MakeFolder, place: Path) -> None:
    write(make_folder("sick"), "scores.csv", "a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"(?s)no run folder with results.*sick.*scores.csv has no column key"):
        gather([place])


def test_the_screen_names_what_is_left_out(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    make_folder("whole")
    write(make_folder("sick"), "scores.csv", "a,b\n1,2\n")
    write(make_folder("encoder"), "experiment.json", '{"kind": "pretraining"}')
    (tmp_path / "empty").mkdir()
    for number in range(7):
        write(make_folder(f"young{number}"), "experiment.json", '{"key": "x"}')
    lines = write_comparison([place, tmp_path / "empty"], out=tmp_path / "out").splitlines()
    told = [line for line in lines if line.startswith("Left out: ")]
    assert told[:2] == [
        f"Left out: {place / 'encoder'}: holds a pretraining, which has no test scores.",
        f"Left out: {place / 'sick'}: scores.csv has no column key.",
    ]    # fmt: skip
    assert f"Left out: {tmp_path / 'empty'}: no run folder at or below it." in told
    assert "Left out: 2 more: no run was written yet, or scores.csv is missing." in told
    assert len(told) == 3 + 5 + 1


@pytest.mark.parametrize(
    "spoil",
    [lambda f: cut(f, "predictions.npz"), lambda f: write(f, "predictions.npz", ""),
     lambda f: write(f, "predictions.npz", "no archive")],
    ids=["cut", "empty", "text"],
)  # fmt: skip
def test_damaged_predictions_cost_the_figures_of_answers_alone(
    make_folder: MakeFolder, place: Path, tmp_path: Path, spoil
) -> None:
    make_folder("whole", seeds=[0, 1])
    spoil(make_folder("sick", seeds=[0, 1]))
    write_comparison([place], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Confusion matrices of whole." in text
    assert "`sick` is not in the figures of answers: " in text
    assert "predictions.npz cannot be read" in text
    assert "| [sick](" in text


def without_answers(folder: Path) -> None:
    """Logits that are no numbers beside scores that are."""
    kept = dict(np.load(folder / "predictions.npz"))
    kept["test_logits"][0, 0] = np.nan
    np.savez(folder / "predictions.npz", **kept)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(lambda f: (f / "predictions.npz").unlink(), "predictions.npz is missing"),
     (without_answers, "predictions.npz holds no answer to each trial of sub-1")],
    ids=["missing", "no numbers"],
)  # fmt: skip
def test_a_model_that_is_in_no_figure_of_answers_is_named(
    make_folder: MakeFolder, place: Path, tmp_path: Path, spoil, why: str
) -> None:
    make_folder("whole", seeds=[0, 1])
    spoil(make_folder("sick", seeds=[0, 1]))
    write_comparison([place], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert f"`sick` is not in the figures of answers: {why}" in text
    assert "more models are not shown" not in text
