from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from eegdecode.identity import COMPUTING
from eegdecode.reporting.comparison.gather import _NAMED_BY, gather
from eegdecode.reporting.comparison.groups import subject_scores
from eegdecode.reporting.comparison.reading import find_folders
from eegdecode.reporting.results import load_results
from eegdecode.reporting.tables import read_scores
from eegdecode.search.settings import NOT_IDENTITY
from eegdecode.training.classical import ClassicalTrainer
from eegdecode.training.deep import DeepTrainer

from .conftest import MakeFolder

CONFIGS = Path(__file__).parents[3] / "configs"


def test_folders_are_found_at_any_depth_and_once(make_folder: MakeFolder, place: Path) -> None:
    one, other = make_folder("a/b/one"), make_folder("two")
    assert find_folders([place, other]) == [one, other]
    assert find_folders([one]) == [one]


def test_run_folders_behind_links_are_found_once(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    one = make_folder("toy/one")
    links = tmp_path / "links"
    links.mkdir()
    (links / "a").symlink_to(one)
    (links / "back").symlink_to(links)
    assert find_folders([links]) == [links / "a"]
    assert find_folders([place, links]) == [one]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder"):
        gather([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match=r"no run folder with results .*experiment.json"):
        gather([tmp_path])


def test_a_folder_without_results_is_left_out_in_words(make_folder: MakeFolder, place: Path) -> None:
    make_folder("one")
    (make_folder("two") / "scores.csv").unlink()
    entries, left_out = gather([place])
    assert [entry.model for entry in entries] == ["one"]
    assert "two" in left_out[0]


def test_seeds_in_folders_of_their_own_are_one_row(make_folder: MakeFolder, place: Path) -> None:
    make_folder("first", model="eegnet", seeds=[0, 1])
    make_folder("second", model="eegnet", seeds=[2])
    (entry,), _ = gather([place])
    assert len(entry.folders) == 2
    assert len(entry.runs) == entry.n_expected == 18
    assert set(entry.runs["seed"]) == {0, 1, 2}
    assert entry.commands == ("python scripts/train.py model=first", "python scripts/train.py model=second")


def test_seeds_of_several_versions_are_told(make_folder: MakeFolder, place: Path) -> None:
    for i, torch in enumerate(("2.11.0", "2.13.0")):
        make_folder(f"seed{i}", model="eegnet", seeds=[i], versions={"torch": torch, "mne": str(i)}, git_commit="abc")
    (entry,), _ = gather([place])
    assert len(entry.runs) == 12
    assert entry.notes == ("seeds of torch 2.11.0 and 2.13.0",)


def test_trials_of_a_search_are_no_results(make_folder: MakeFolder, place: Path) -> None:
    make_folder("mine")
    make_folder("search/trials/0001", model="eegnet", protocol="inner_cross_run")
    entries, left_out = gather([place])
    assert [entry.model for entry in entries] == ["mine"]
    assert "what it calls a test are its validation trials" in left_out[0]


def test_the_same_runs_again_count_once(make_folder: MakeFolder, place: Path) -> None:
    make_folder("first", model="eegnet")
    make_folder("second", model="eegnet", keep=3)
    (entry,), left_out = gather([place])
    assert len(entry.runs) == entry.n_expected == 6
    assert "second" in left_out[0]
    assert "same runs" in left_out[0]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_fewer_of_the_same_runs_are_no_row_beside_all_of_them(
    make_folder: MakeFolder, place: Path, names: tuple[str, str]
) -> None:
    make_folder(names[0], model="eegnet", seeds=[0, 1])
    make_folder(names[1], model="eegnet", seeds=[0, 1, 2])
    (entry,), left_out = gather([place])
    assert (len(entry.runs), entry.folders[0].name) == (18, names[1])
    assert left_out == [f"`{place / names[0]}`: holds the same runs as `{place / names[1]}`"]


def test_a_folder_of_another_seed_that_has_just_begun_is_named(make_folder: MakeFolder, place: Path) -> None:
    make_folder("first", model="eegnet")
    make_folder("second", model="eegnet", seeds=[1], keep=0)
    (entry,), left_out = gather([place])
    assert entry.complete
    assert left_out == [f"`{place / 'second'}`: none of its runs is done yet; others of this row are"]


def test_a_planned_seed_counts_as_missing(make_folder: MakeFolder, place: Path) -> None:
    make_folder("first", model="eegnet", config={"seed": 0, "sweep": {"seeds": 1}})
    make_folder("second", model="eegnet", seeds=[1], keep=0, config={"seed": 1, "sweep": {"seeds": 1}})
    (entry,), left_out = gather([place])
    assert (len(entry.runs), entry.n_expected, left_out) == (6, 12, [])


def test_the_same_seeds_under_other_code_are_rows_of_their_own(make_folder: MakeFolder, place: Path) -> None:
    folders = [make_folder(name, model="eegnet") for name in ("before", "after")]
    scores = (folders[1] / "scores.csv").read_text().splitlines()
    (folders[1] / "scores.csv").write_text("\n".join([scores[0], *(row[:-4] + "0000" for row in scores[1:])]) + "\n")
    entries, _ = gather([place])
    assert [entry.settings["folder"] for entry in entries] == ["after", "before"]


def test_seeds_are_averaged_before_folds(make_folder: MakeFolder) -> None:
    folder = make_folder("one", seeds=[0, 1, 2])
    (entry,), _ = gather([folder])
    expected = read_scores(folder).groupby("subject")["test_accuracy"].mean()
    assert subject_scores(entry.runs, "accuracy").to_dict() == pytest.approx(expected.to_dict())


def test_of_swept_settings_validation_chooses_one(make_folder: MakeFolder) -> None:
    folder = make_folder("one", lrs=[1e-3, 1e-4])
    (entry,), _ = gather([folder])
    assert entry.runs["lr"].nunique() == 1
    assert set(entry.runs["key"]) == set(load_results(folder).setting()["key"])
    assert "of 2 settings the one best on validation trials" in entry.notes[0]


def test_without_validation_each_setting_is_a_row(make_folder: MakeFolder) -> None:
    entries, _ = gather([make_folder("one", lrs=[1e-3, 1e-4], train=[0, 1, 2], val=[])])
    assert [entry.settings["trainer.lr"] for entry in entries] == [1e-3, 1e-4]
    assert all(entry.complete for entry in entries)


def test_settings_are_flat_and_how_it_is_computed_is_none_of_them(make_folder: MakeFolder) -> None:
    config = {
        "trainer": {"lr": 1e-3, "workers": 2, "device": "cpu"},
        "preprocess": {"l_freq": 4.0},
        "seed": 0,
        "dataset": {"name": "Toy2020"},
    }
    (entry,), _ = gather([make_folder("one", config=config, dataset="moabb")])
    assert entry.settings == {"trainer.lr": 1e-3}
    assert entry.around == {"preprocess.l_freq": 4.0, "dataset.name": "Toy2020"}
    assert entry.dataset == "moabb (Toy2020)"


def test_a_number_that_was_typed_otherwise_is_no_other_setting(make_folder: MakeFolder, place: Path) -> None:
    for name, seed, number in (("first", 0, 0.0), ("second", 1, 0)):
        config = {"trainer": {"validation": number, "betas": [number, 0.5]}, "dataset": {"scale": number}}
        make_folder(name, model="eegnet", seeds=[seed], config=config)
    (entry,), _ = gather([place])
    assert set(entry.runs["seed"]) == {0, 1}


def test_heads_of_a_network_that_does_not_attend_are_no_setting(make_folder: MakeFolder, place: Path) -> None:
    """They were noted before they were refused."""
    for name, seed, heads in (("before", 0, {"heads": 4}), ("now", 1, {"heads": None})):
        config = {"model": {**heads, "block": {"kernel": "off"}}}
        make_folder(name, model="sttransformer", seeds=[seed], config=config)
    (entry,), _ = gather([place])
    assert set(entry.runs["seed"]) == {0, 1}


def test_what_says_how_runs_are_computed_is_no_setting_of_a_row() -> None:
    """Nor may it keep workers out of a search: what no run's key knows is named in one place."""
    hidden = {f.name for f in fields(DeepTrainer) if not f.repr} - {"states", "augment"}
    assert set(COMPUTING) == hidden
    assert {f.name for f in fields(ClassicalTrainer) if not f.repr} <= {*COMPUTING, "seeds"}
    assert {f"trainer.{name}" for name in COMPUTING} <= set(NOT_IDENTITY)


def test_sets_that_one_choice_stands_for_are_told_apart_by_a_setting_that_there_is() -> None:
    for name, path in _NAMED_BY.items():
        config = yaml.safe_load((CONFIGS / "dataset" / f"{name}.yaml").read_text())
        assert path.removeprefix("dataset.") in config
