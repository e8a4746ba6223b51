from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from eegdecode.reporting.comparison import gallery
from eegdecode.reporting.comparison.figures import words
from eegdecode.reporting.comparison.frames import learning_rows, result_rows
from eegdecode.reporting.comparison.gather import gather
from eegdecode.reporting.comparison.groups import compare
from eegdecode.reporting.comparison.overview import escape
from eegdecode.reporting.comparison.sets import meta_rows, not_combined
from eegdecode.reporting.comparison.write import write_comparison
from eegdecode.reporting.style import save
from eegdecode.reporting.tables import read_scores

from .conftest import MakeFolder
from .test_page import check

ROOT = Path(__file__).parents[3]


@pytest.fixture
def filled(make_folder: MakeFolder, place: Path) -> Path:
    """Two sets; on the first a transductive, an incomplete and an incomparable model."""
    for name, skill in (("eegnet", 1.0), ("ts_lr", 0.5)):
        make_folder(f"toy/{name}", skill=skill, seeds=[0, 1], transductive=name == "ts_lr")
        make_folder(f"other/{name}", skill=skill, dataset="other_set", n_subjects=4)
    make_folder("toy/half", keep=4)
    make_folder("toy/apart", data="1")
    return place


def test_everything_is_written_and_every_link_leads_somewhere(filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "a report"
    said = write_comparison([filled], out=out)
    assert "On toy · cross_run eegnet has the best mean" in said
    assert "Apart: toy · cross_run: other trials" in said
    assert {path.name for path in out.iterdir()} == {
        "report.md", "report.html", "table.tex", "table.csv", "pairs.csv", "meta.csv", "figures",
    }  # fmt: skip
    seen = check((out / "report.html").read_text())
    ids = {attrs["id"] for _, attrs in seen if "id" in attrs}
    links = [attrs["href"] for tag, attrs in seen if tag == "a"]
    assert all(link[1:] in ids if link.startswith("#") else (out / unquote(link)).exists() for link in links)
    for folder in ("toy/eegnet", "toy/half", "toy/apart", "other/ts_lr"):
        assert any((out / unquote(link)).resolve() == (filled / folder).resolve() for link in links)
    text = (out / "report.md").read_text()
    assert "python scripts/train.py model=toy/eegnet" in text
    assert "[4/6](" in text
    assert "TRANSDUCTIVE" in text
    assert all(attrs["alt"] for tag, attrs in seen if tag == "img")


def test_numbers_are_those_of_the_run_folders(filled: Path) -> None:
    table = result_rows(compare(gather([filled])[0])).set_index(["dataset", "model"])
    row = table.loc[("toy", "eegnet")]
    means = read_scores(filled / "toy/eegnet").groupby("subject")["test_accuracy"].mean()
    assert row["mean"] == pytest.approx(means.mean())
    assert row["deviation_subjects"] == pytest.approx(means.std(ddof=1))
    assert (row["n_subjects"], row["n_seeds"], row["n_done"], row["n_expected"]) == (6, 2, 12, 12)
    assert row["best"]
    assert row["n_params"] == 8684
    half = table.loc[("toy", "half")]
    assert pd.isna(half["mean"])
    assert (half["n_done"], half["n_expected"]) == (4, 6)
    assert "multiply_adds" not in table


def test_costs_that_a_folder_notes_are_shown_and_told(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder("one")
    scores = pd.read_csv(folder / "scores.csv")
    scores.assign(peak_memory_mb=512.0).to_csv(folder / "scores.csv", index=False)
    table = result_rows(compare(gather([folder])[0]))
    assert table["peak_memory_mb"].tolist() == [512]
    assert "energy_wh" not in table
    write_comparison([folder], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "peak memory on a CPU is of the whole process" in text
    assert "multiply-adds of a forward pass" not in text


def test_what_a_numbered_row_is_stands_below_the_scores(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for i in range(2):
        trainer = {"lr": 0.1 + i, "epochs": 5 + i, "batch_size": 8 + i, "drop": 0.5 * i}
        make_folder(f"row{i}", model="eegnet", config={"trainer": trainer})
    write_comparison([place], out=tmp_path / "out")
    top = (tmp_path / "out" / "report.md").read_text().split("## toy")[0]
    assert "- `eegnet (1)`: `trainer.batch_size=8, trainer.drop=0, trainer.epochs=5, trainer.lr=0.1`" in top


def test_times_of_unlike_machines_are_told_to_compare_nothing(make_folder: MakeFolder, place: Path) -> None:
    make_folder("a", device="cpu")
    make_folder("b", device="cpu (1 threads), cpu (1 threads)")
    (alike,) = compare(gather([place])[0])
    assert gallery.unlike_machines(alike) == ""
    make_folder("c", device="cuda (NVIDIA H200)")
    (unlike,) = compare(gather([place])[0])
    told = " Only times and memory of one machine compare: `c` on cuda (NVIDIA H200); the others on cpu."
    assert gallery.unlike_machines(unlike) == told
    write_comparison([place], out=place / "out")
    text = (place / "out" / "report.md").read_text()
    assert text.count(told) == 2    # below the table and the figure of seconds


def test_sets_are_combined_within_a_protocol_and_without_what_is_apart(filled: Path) -> None:
    meta = meta_rows(compare(gather([filled])[0]))
    assert len(meta) == 1
    assert meta.loc[0, ["a", "b", "sets", "n_subjects"]].tolist() == ["eegnet", "ts_lr", 2, 10]


def test_the_same_trials_under_two_names_count_once(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for name in ("toy", "files"):
        for model, skill in (("eegnet", 1.0), ("ts_lr", 0.5)):
            make_folder(f"{name}/{model}", skill=skill, dataset=name)
    comparisons = compare(gather([place])[0])
    assert meta_rows(comparisons).empty
    assert list(not_combined(comparisons)) == [
        "Over data sets, **cross_run**: toy has the same trials as files, which counts once."
    ]
    assert "toy has the same trials as files" in write_comparison([place], out=tmp_path / "out")


def test_protocols_over_sessions_have_names_of_their_own(make_folder: MakeFolder, place: Path) -> None:
    """Later sessions in training or not are two questions, of which no set may answer the one and another the other."""
    for name, test in (("a", "last"), ("b", "each"), ("c", 2), ("d", 3), ("e", ["x", "y"])):
        config = {"protocol": {"test": test}}
        make_folder(f"{name}/eegnet", dataset=name, data=name, protocol="cross_session", config=config, skill=1.0)
        make_folder(f"{name}/ts_lr", dataset=name, data=name, protocol="cross_session", config=config)
    comparisons = compare(gather([place])[0])
    assert [c.protocol for c in comparisons] == [
        "cross_session", "leave_one_session_out", "last_two_sessions", "last_3_sessions", "cross_session (x/y)",
    ]    # fmt: skip
    assert meta_rows(comparisons).empty


def test_a_set_of_one_subject_calls_nobody_worse(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for name, skill in (("eegnet", 1.0), ("ts_lr", 0.5)):
        make_folder(f"toy/{name}", skill=skill, n_subjects=9)
        make_folder(f"one/{name}", skill=skill, dataset="one", data="1", n_subjects=1)
    comparisons = compare(gather([place])[0])
    by_set = {c.dataset: c.level for c in comparisons}
    assert by_set == {"toy": [], "one": ["ts_lr"]}
    write_comparison([place], out=tmp_path / "out")
    for name in ("report.md", "table.tex"):
        assert "With one subject nothing can be tested: one" in (tmp_path / "out" / name).read_text()


def test_figures_of_an_earlier_report_are_removed(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for name in ("eegnet", "ts_lr"):
        make_folder(f"toy/{name}")
        make_folder(f"two/{name}", dataset="two", data="2")
    write_comparison([place], out=tmp_path / "out")
    before = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"1_subjects.png", "2_subjects.png"} <= before
    (tmp_path / "out" / "figures" / "mine.png").write_bytes(b"")
    write_comparison([place / "toy"], out=tmp_path / "out")
    after = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert after == {name for name in before if name.startswith("1_")} | {"mine.png"}


def test_rows_of_one_name_that_are_other_trainings_under_another_protocol_are_told(
    make_folder: MakeFolder, place: Path, tmp_path: Path
) -> None:    # fmt: skip
    for protocol, updates in (("cross_run", 2000), ("within_session", 500)):
        make_folder(f"{protocol}/eegnet", protocol=protocol, config={"trainer": {"updates": updates}})
        make_folder(f"{protocol}/ts_lr", protocol=protocol)
    told = "eegnet under within_session is another training than under cross_run (trainer.updates is 500, there 2000)."
    assert f"On toy, {told}" in write_comparison([place], out=tmp_path / "out")
    assert told in (tmp_path / "out" / "report.md").read_text().split("## toy")[0].replace("`", "")


def test_rows_of_one_name_with_other_settings_are_not_combined_and_that_is_said(
    make_folder: MakeFolder, place: Path, tmp_path: Path
) -> None:    # fmt: skip
    for name, lr in (("toy", 0.1), ("other", 0.2), ("new", 0.2)):
        make_folder(f"{name}/eegnet", dataset=name, data=name[0], skill=1.0, config={"trainer": {"lr": lr}})
        make_folder(f"{name}/ts_lr", dataset=name, data=name[0])
    comparisons = compare(gather([place])[0])
    meta = meta_rows(comparisons)
    assert meta[["a", "b", "sets"]].to_numpy().tolist() == [["eegnet", "ts_lr", 2]]
    (said,) = not_combined(comparisons)
    assert "`eegnet` on toy is another row than on new (`trainer.lr` is 0.1, there 0.2)" in said
    assert said.replace("*", "").replace("`", "") in write_comparison([place], out=tmp_path / "out")
    assert said in (tmp_path / "out" / "report.md").read_text()


def test_rows_whose_numbers_changed_places_on_another_set_are_combined_with_themselves(
    make_folder: MakeFolder, place: Path
) -> None:    # fmt: skip
    for name, folders in (("toy", ("a", "b")), ("other", ("b", "a"))):    # two folders of one name to start from
        for i, source in enumerate(folders):
            make_folder(f"{name}/{i}", model="eegnet", dataset=name, data=name[0], skill=float(source == "a"),
                        config={"model": {"init_from": f"/{source}/run"}})    # fmt: skip
    comparisons = compare(gather([place])[0])
    assert [list(c.entries) for c in comparisons] == [["eegnet (init_from=run)", "eegnet (init_from=run) #2"]] * 2
    (row,) = meta_rows(comparisons).to_dict("records")
    scores = {(c.dataset, label): c.scores[label] for c in comparisons for label in c.scores}
    better = scores["toy", "eegnet (init_from=run)"] - scores["toy", "eegnet (init_from=run) #2"]
    assert better.mean() > 0
    assert row["p"] < 0.01    # label by label the two sets would speak against each other


def test_a_source_of_each_data_set_is_no_other_setting(make_folder: MakeFolder, place: Path) -> None:
    for name in ("toy", "other"):
        config = {"model": {"init_from": f"runs/{name}/pretrained"}}
        make_folder(f"{name}/eegnet", dataset=name, data=name[0], skill=1.0, config=config)
        make_folder(f"{name}/ts_lr", dataset=name, data=name[0])
    assert len(meta_rows(compare(gather([place])[0]))) == 1


def test_learning_curve_of_what_differs_in_training_trials_alone(make_folder: MakeFolder, place: Path) -> None:
    make_folder("much", model="eegnet", train=[0, 1, 2], val=[])
    make_folder("less", model="eegnet", train=[0, 1], val=[])
    make_folder("other", model="ts_lr", train=[0, 1, 2], val=[])
    lines = learning_rows(compare(gather([place])[0]))
    assert sorted(lines["n_train"]) == [48, 72]
    assert set(lines["model"]) == {"eegnet"}


def test_learning_curve_of_target_trials(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    make_folder("eegnet", trials=[1, 3, 5], val=[], seeds=[0])
    make_folder("more", model="eegnet", trials=[1, 3, 5], val=[], seeds=[1], keep=16)    # of 5 some are missing
    folder = make_folder("ts_lr", trials=[3, 5], lrs=[0.1, 0.2], val=[])    # nothing chooses a rate
    comparisons = compare(gather([place])[0])
    lines = learning_rows(comparisons).groupby("model")["n_train"].apply(list).to_dict()
    assert lines == {"ts_lr (lr=0.1)": [12, 20], "ts_lr (lr=0.2)": [12, 20]}
    lines = learning_rows(compare(gather([place / "eegnet", folder])[0]))
    first = lines[lines["model"] == "eegnet"]
    assert first["n_train"].tolist() == [4, 12, 20]
    scores = read_scores(place / "eegnet").groupby("trials")["test_accuracy"].mean()
    assert first["mean"].tolist() == pytest.approx(scores.tolist())
    (comparison,) = compare(gather([place / "eegnet", folder])[0])    # zero-shot has no rival, the most trials have
    assert set(comparison.entries) == {"eegnet", "ts_lr (lr=0.1)", "ts_lr (lr=0.2)"}
    assert len(set(lines["test_hash"])) == 1    # one figure
    write_comparison([place / "eegnet"], out=tmp_path / "out")
    assert "![eegnet: 4 trials" in (tmp_path / "out" / "report.md").read_text()


def test_an_experiment_that_has_just_begun_is_reported(make_folder: MakeFolder, tmp_path: Path) -> None:
    said = write_comparison([make_folder("one", keep=0)], out=tmp_path / "out")
    assert "no model has all of its runs yet" in said
    assert "[0/6](" in (tmp_path / "out" / "report.md").read_text()


def test_one_subject_is_reported_without_tests(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    make_folder("one", n_subjects=1)
    make_folder("two", n_subjects=1)
    said = write_comparison([place], out=tmp_path / "out")
    assert "With one subject nothing can be tested" in said
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Metric: accuracy. 1 subject, 24 test trials." in text
    assert "![Score of 1 subject under each model." in text
    assert not (tmp_path / "out" / "pairs.csv").exists()


def test_what_an_earlier_report_left_is_removed_and_not_linked(
    make_folder: MakeFolder, place: Path, tmp_path: Path
) -> None:
    make_folder("toy/one")
    make_folder("toy/two", skill=1.0)
    for name in ("one", "two"):
        make_folder(f"other/{name}", dataset="other_set")
    write_comparison([place], out=tmp_path / "out")
    (tmp_path / "out" / "notes.txt").touch()
    write_comparison([place / "toy" / "one"], out=tmp_path / "out")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"report.md", "report.html", "table.tex", "table.csv", "figures", "notes.txt"}
    assert "pairs.csv](" not in (tmp_path / "out" / "report.md").read_text()


def test_no_interval_of_nothing_is_written(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):    # which answer alike
        make_folder(name)
    write_comparison([place], out=tmp_path / "out")
    assert "nan" not in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize("metric", ["kappa", "f1_macro", "auroc"])
def test_every_number_has_the_unit_of_its_metric(
    make_folder: MakeFolder, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:    # fmt: skip
    for name, skill in (("good", 1.0), ("poor", -1.0)):
        make_folder(name, skill=skill, seeds=[0, 1], n_subjects=7)
    make_folder("poor_more", model="poor", skill=-0.5, n_subjects=7, train=(0,), val=(1, 2))
    axes = []
    monkeypatch.setattr(gallery, "save", lambda figure, path: axes.append(figure) or save(figure, path))
    said = write_comparison([place], out=tmp_path / "out", metric=metric)
    page, paper = ((tmp_path / "out" / name).read_text() for name in ("report.md", "table.tex"))
    means = result_rows(compare(gather([place])[0], metric=metric)).set_index("model")["mean"]
    labels = [text for figure in axes for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel())]
    score = [text for text in labels if words(metric) in text]
    assert len(score) >= 3
    if metric == "kappa":
        assert f"(kappa) good has the best mean ({means['good']:.3f}), of" in said
        assert not re.search(r"\d %", re.sub(r"(5|80|95) %", "", said))
        assert not re.search(r"mean %|kappa in %|points", page)
        assert "kappa in" not in paper
        assert not any("%)" in text or "points" in text for text in score)
    else:
        assert f"has the best mean ({100 * means['good']:.1f} %), of" in said
        assert "| mean % |" in page
        assert rf"{words(metric)} in \% $\pm$" in paper
        assert all("(%)" in text or "points of" in text for text in score)


def test_a_run_folder_keeps_its_own_report(make_folder: MakeFolder, place: Path) -> None:
    folder = make_folder("one")
    with pytest.raises(ValueError, match=r"is a run folder, and a comparison would lie .* give another out$"):
        write_comparison([place], out=folder)
    assert not (folder / "report.html").exists()


def test_latex_table(filled: Path, tmp_path: Path) -> None:
    write_comparison([filled], out=tmp_path / "out")
    text = (tmp_path / "out" / "table.tex").read_text()
    assert r"\toprule" in text
    assert r"ts\_lr & " in text
    assert r"\shortstack{other\_set\\cross\_run}" in text
    assert r"$^{\mathrm{T}}$" in text
    assert r"\textbf{" in text
    assert text.count("{") == text.count("}")
    assert escape("50 % & a_b #1 ~^\\") == r"50 \% \& a\_b \#1 \~{}\^{}\textbackslash{}"


def run_door(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import runpy, sys; sys.argv = ['report.py', *sys.argv[1:]]\n"
        f"try: runpy.run_path({str(ROOT / 'scripts' / 'report.py')!r}, run_name='__main__')\n"
        "finally: print('heavy:', *({'torch', 'mne', 'moabb', 'hydra'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "scripts"))}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)


def test_the_door_needs_neither_torch_nor_hydra(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    make_folder("one")
    done = run_door(place, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "reports" / f"{place.parent.name}_runs" / "report.html").exists()
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nowhere"], "error: nowhere is no folder"),
        (["out=x"], "give at least one folder"),
        ([".", "ou=x"], "no option ou; there are out, metric"),
        ([".", "metric=speed"], "error: no run folder"),
        ([".", "out="], "out= says nothing"),
    ],
)
def test_the_door_says_what_is_wrong(words: list[str], error: str, tmp_path: Path) -> None:
    done = run_door(*words, cwd=tmp_path)
    assert done.returncode != 0
    assert error in done.stderr
    assert "Traceback" not in done.stderr
