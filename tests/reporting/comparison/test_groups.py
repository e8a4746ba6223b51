from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eegdecode.reporting.comparison.gather import gather
from eegdecode.reporting.comparison.groups import Comparison, compare
from eegdecode.reporting.comparison.write import write_comparison

from .conftest import MakeFolder


def comparisons_of(place: Path, **options: str) -> list[Comparison]:
    return compare(gather([place])[0], **options)


def test_equal_tests_and_pools_are_compared_whatever_is_held_out(make_folder: MakeFolder, place: Path) -> None:
    make_folder("one", train=[0, 1], val=[2])
    make_folder("two", train=[0, 1, 2], val=[])
    (comparison,) = comparisons_of(place)
    assert set(comparison.scores.columns) == {"one", "two"}
    assert comparison.apart == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"data": "1"}, "other trials"),
        ({"data": "1", "config": {"preprocess": {"l_freq": 8.0}}}, "`preprocess.l_freq` is 8, there 4"),
        ({"test": [2], "val": []}, "tested on other trials"),
        ({"train": [0], "val": []}, "trained on another pool"),
        ({"train": [0], "val": [], "old": True}, "does not note its pool"),
        ({"data": "1", "versions": {"mne": "1.11"}}, "mne is 1.11, there 1.10"),
        ({"data": "1", "config": {"preprocess": {"l_freq": 4.0, "notch": None}}}, "no setting differs"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_stands_apart_and_says_why(
    other: dict, why: str, make_folder: MakeFolder, place: Path
) -> None:
    config = {"preprocess": {"l_freq": 4.0}}
    make_folder("one", config=config, versions={"mne": "1.10"})
    make_folder("two", config=config, versions={"mne": "1.10"})
    make_folder("three", **{"config": config, "versions": {"mne": "1.10"}, **other})
    main, apart = comparisons_of(place)
    assert set(main.entries) == {"one", "two"}
    assert set(apart.entries) == {"three"}
    assert why in apart.apart


def test_folders_from_before_the_pool_was_noted_are_matched_by_their_splits(
    make_folder: MakeFolder, place: Path
) -> None:
    make_folder("one", old=True)
    make_folder("two")
    (comparison,) = comparisons_of(place)
    assert len(comparison.entries) == 2


def test_data_sets_and_protocols_are_columns_of_their_own(make_folder: MakeFolder, place: Path) -> None:
    make_folder("one")
    make_folder("two", dataset="other")
    make_folder("three", protocol="another")
    assert [c.title for c in comparisons_of(place)] == ["toy · cross_run", "toy · another", "other · cross_run"]
    assert not any(c.apart for c in comparisons_of(place))


def test_one_model_under_two_settings_gets_names_that_say_the_difference(make_folder: MakeFolder, place: Path) -> None:
    base = {"trainer": {"lr": 1e-3, "epochs": 5}}
    make_folder("a", model="eegnet", config=base)
    make_folder("b", model="eegnet", config={"trainer": {"lr": 3e-4, "epochs": 5}})
    make_folder("c", model="csp_lda", config=base)
    (comparison,) = comparisons_of(place)
    assert set(comparison.entries) == {"eegnet (lr=0.001)", "eegnet (lr=0.0003)", "csp_lda"}


def test_a_swept_number_is_named_beside_the_one_that_it_replaces(make_folder: MakeFolder, place: Path) -> None:
    """The row with the default was called `lr=None`."""
    base = {"trainer": {"lr": 1e-3, "epochs": 5}}
    nothing_chooses = {"train": [0, 1, 2], "val": []}
    make_folder("a", model="eegnet", config=base, **nothing_chooses)
    make_folder("b", model="eegnet", config=base, lrs=[0.1, 0.01], **nothing_chooses)
    (comparison,) = comparisons_of(place)
    assert set(comparison.entries) == {"eegnet (lr=0.001)", "eegnet (lr=0.1)", "eegnet (lr=0.01)"}


def test_rows_of_other_choices_are_named_by_them_and_by_settings_within(make_folder: MakeFolder, place: Path) -> None:
    csp = {"_target_": "eegdecode.training.spatial_filters.CSP", "over": None, "n": 4}
    for name, frontend, choice in [
        ("a", {"_target_": "eegdecode.training.frontend.Whiten"}, "whiten"), ("b", csp, "csp"),
        ("c", {**csp, "n": 8}, "csp"), ("d", {}, "none"),
    ]:    # fmt: skip
        make_folder(name, model="net", config={"frontend": frontend}, frontend=choice)
    (comparison,) = comparisons_of(place)
    assert set(comparison.entries) == {
        "net (frontend=whiten)", "net (frontend=csp, n=4)", "net (frontend=csp, n=8)", "net (frontend=none)",
    }    # fmt: skip


def test_rows_that_start_from_others_are_named_by_the_folder(make_folder: MakeFolder, place: Path) -> None:
    others = "data/runs/others"
    for name, source, how in (("a", None, "full"), ("b", others, "full"), ("c", others, "head")):
        config = {"model": {"init_from": source}, "trainer": {"fine_tune": how}}
        make_folder(name, model="net", config=config)
    (comparison,) = comparisons_of(place)
    started = {f"net (init_from=others, fine_tune={how})" for how in ("full", "head")}
    assert set(comparison.entries) == {"net", *started}


@pytest.mark.parametrize("values", [("runs/a/masked", "runs/b/masked"), ("x" * 40 + "1", "x" * 40 + "2")])
def test_no_row_is_lost_where_two_names_would_be_one(
    make_folder: MakeFolder, place: Path, values: tuple[str, str]
) -> None:
    for i, value in enumerate(values):
        make_folder(f"{i}", model="net", skill=i, config={"model": {"init_from": value}})
    (comparison,) = compare(gather([place])[0])
    first, second = comparison.entries
    assert second == f"{first} #2"
    assert set(comparison.scores) == {first, second}
    assert comparison.meanings == {first: "", second: f"model.init_from={values[1]}"}


def test_what_a_number_stands_for_is_told(make_folder: MakeFolder, place: Path, tmp_path: Path) -> None:
    for i in (1, 2):
        config = {"trainer": {"lr": i / 1000, "clip": i}, "model": {"drop": i, "width": i}}
        make_folder(f"{i}", model="net", config=config)
    write_comparison([place], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "; differs in `model.drop=1, model.width=1, trainer.clip=1, trainer.lr=0.001`" in text


def test_an_incomplete_model_has_no_mean_and_is_in_no_test(make_folder: MakeFolder, place: Path) -> None:
    for name, skill in (("best", 3.0), ("good", 1.0), ("failed", 2.0)):
        make_folder(name, skill=skill, seeds=[0, 1], n_failed=1 if name == "failed" else 0)
    make_folder("half", skill=2.0, seeds=[0, 1], keep=5)
    (comparison,) = comparisons_of(place)
    assert list(comparison.scores.columns) == ["best", "good"]
    assert len(comparison.pairs) == 1
    assert comparison.n_done(comparison.entries["half"]) == 5
    assert comparison.n_done(comparison.entries["failed"]) == 11


def test_the_best_is_first_and_those_level_with_it_are_named(make_folder: MakeFolder, place: Path) -> None:
    for name, skill in (("best", 1.5), ("close", 1.45), ("bad", -1.0)):
        make_folder(name, skill=skill, n_subjects=9)
    (comparison,) = comparisons_of(place)
    assert comparison.best == "best"
    assert comparison.level == ["close"]
    assert comparison.ranks is not None
    assert comparison.ranks.ranks.index[-1] == "bad"


def test_chance_belongs_to_the_metric(make_folder: MakeFolder, place: Path) -> None:
    make_folder("one")
    (of_accuracy,), (of_auroc,) = comparisons_of(place), comparisons_of(place, metric="auroc")
    assert of_accuracy.n_test == 6 * 24
    assert of_accuracy.chance[0] == 0.25
    assert of_accuracy.chance[1] > 0.25
    assert of_auroc.chance[0] == 0.5
    assert np.isnan(of_auroc.chance[1])
    with pytest.raises(ValueError, match=r"metric must be one of .*got 'speed'"):
        comparisons_of(place, metric="speed")
