"""A search that goes on does not rank old trials against those of another version."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.search import stub

import eegdecode.experiment
from eegdecode.reporting.checkpoints import write_checkpoint
from eegdecode.reporting.disk import read_json, write_json
from eegdecode.reporting.searches.tables import MARKER
from eegdecode.search import versions
from eegdecode.search.commands import obey, retry
from eegdecode.search.work import run_search


@pytest.fixture
def begun(tmp_path, trials):
    """A search of two trials, over and tested."""
    run_search(stub.search(tmp_path, n_trials=2), stub.compose)
    return tmp_path


def assert_refused(folder, said, **options):
    """Going on is refused, and nothing of the search is changed."""
    before = {name: (folder / name).read_bytes() for name in (MARKER, "trials.csv", "final.json", "best.yaml")}
    trained = len(stub.LEARNED)
    with pytest.raises(ValueError, match=rf"{said}.*ranked with them\. Begin a search of its own with out_dir="):
        run_search(stub.search(folder, n_trials=4, **options), stub.compose)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert len(stub.LEARNED) == trained


def test_a_default_that_has_changed_is_told_and_refused(begun, monkeypatch, capsys):
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.001)
    assert_refused(begun, r"trainer\.pause was 0\.0, now 0\.001")
    assert obey(["status", str(begun)], configs=begun, compose=stub.compose) == []
    assert obey(["report", str(begun)], configs=begun, compose=stub.compose) == []
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.0)
    assert run_search(stub.search(begun, n_trials=4), stub.compose) == []    # the version of before goes on
    assert len(pd.read_csv(begun / "trials.csv")) == 4


def test_the_default_of_what_is_searched_counts_for_the_default_is_tested(begun, monkeypatch):
    monkeypatch.setitem(stub.CONFIG["trainer"], "lr", 0.002)
    assert_refused(begun, r"trainer\.lr was 0\.001, now 0\.002")


def test_code_that_has_changed_is_refused(begun, monkeypatch):
    monkeypatch.setattr(versions, "training_sources", lambda: "edited")
    assert_refused(begun, "the code of training/ or the layers that networks share is another")


def test_a_network_that_has_changed_is_refused(begun, monkeypatch):
    about = read_json(begun / MARKER)
    assert "tests.search.stub.stub_model" in about["made_with"]["code"]
    monkeypatch.setattr(versions, "version", lambda name: "9.0+cpu")
    assert_refused(begun, r"torch was [\d.]+, now 9\.0")
    about["made_with"]["code"]["tests.search.stub.stub_model"] = "edited"
    write_json(begun / MARKER, about)
    monkeypatch.undo()
    monkeypatch.setattr(eegdecode.experiment, "load_trials", lambda dataset, preprocess: stub.toy_trials())
    assert_refused(begun, r"the code of tests\.search\.stub\.stub_model is another")


def test_other_data_are_refused(begun, trials, monkeypatch):
    other = replace(trials, fingerprints={**trials.fingerprints, "2": "other"})
    monkeypatch.setattr(eegdecode.experiment, "load_trials", lambda dataset, preprocess: other)
    assert_refused(begun, "the trials of subject 2 are others .*EEGDECODE_CACHE")


def test_other_splits_are_refused(begun):
    about = read_json(begun / MARKER)
    about["made_with"]["splits"] = "other"
    write_json(begun / MARKER, about)
    assert_refused(begun, "the splits are others")


def source(folder, weight):
    """A folder to begin from, with one checkpoint."""
    about = {"key": "k", "subject": "1", "seed": 0, "learned_from": "", "model": {}}
    write_checkpoint(folder / "checkpoints", "run", {"w": np.array([weight])}, about)
    return str(folder)


def test_checkpoints_to_begin_from_count_by_what_is_in_them_and_not_by_their_place(tmp_path, trials, monkeypatch):
    monkeypatch.setitem(stub.CONFIG, "model", {"init_from": None})
    here, folder = source(tmp_path / "here", 1.0), tmp_path / "search"
    run_search(stub.search(folder, n_trials=2, typed=[f"model.init_from={here}"]), stub.compose)
    moved = source(tmp_path / "there", 1.0)
    assert run_search(stub.search(folder, n_trials=3, typed=[f"model.init_from={moved}"]), stub.compose) == []
    assert len(pd.read_csv(folder / "trials.csv")) == 3
    source(tmp_path / "here", 2.0)    # trained anew, in the same place
    said = r"model\.init_from was checkpoints \w+, now checkpoints \w+"
    assert_refused(folder, said, typed=[f"model.init_from={here}"])
    assert_refused(folder, r"model\.init_from was checkpoints \w+, now None")


def test_checkpoints_that_are_searched_count_by_what_is_in_them(tmp_path, trials, monkeypatch, capsys):
    monkeypatch.setitem(stub.CONFIG, "model", {"init_from": None})
    places = [source(tmp_path / name, weight) for name, weight in (("a", 1.0), ("b", 2.0))]
    space = {"model.init_from": {"choice": places}}
    run_search(stub.search(tmp_path / "search", space, sampler="grid"), stub.compose)
    source(tmp_path / "b", 3.0)
    run_search(stub.search(tmp_path / "search", space, sampler="grid"), stub.compose)
    assert f"(model.init_from (model.init_from={places[1]}) was checkpoints " in capsys.readouterr().out


def test_a_search_that_is_over_is_shown_and_nothing_is_trained(begun, monkeypatch, capsys):
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.001)
    trained = len(stub.LEARNED)
    assert run_search(stub.search(begun, n_trials=2), stub.compose) == []
    said = capsys.readouterr().out
    assert "is over, and was made with another version (trainer.pause was 0.0, now 0.001): nothing is trained" in said
    assert "Report:" in said
    assert len(stub.LEARNED) == trained


def test_a_failed_trial_is_not_given_out_again_to_be_done_by_another_version(tmp_path, trials, monkeypatch):
    space = {"trainer.kind": {"choice": ["good", "crash"]}}
    run_search(stub.search(tmp_path, space, sampler="grid"), stub.compose)
    found = pd.read_csv(tmp_path / "trials.csv")
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.001)
    with pytest.raises(ValueError, match="were made with another version"):
        retry(tmp_path, stub.compose)
    obey(["status", str(tmp_path)], configs=tmp_path, compose=stub.compose)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == len(found)


def test_where_and_how_it_is_computed_may_differ(begun, monkeypatch):
    for name, value in (("device", "cuda"), ("out_dir", "elsewhere"), ("run_store", "/mnt/runs")):
        monkeypatch.setitem(stub.CONFIG, name, value)
    monkeypatch.setitem(stub.CONFIG, "logger", {"project": "eeg"})
    assert run_search(stub.search(begun, n_trials=3), stub.compose) == []
    assert len(pd.read_csv(begun / "trials.csv")) == 3


def test_a_search_of_an_older_version_goes_on_with_a_warning_and_is_held_from_then_on(begun, monkeypatch, capsys):
    about = read_json(begun / MARKER)
    del about["made_with"]
    (begun / MARKER).write_text(json.dumps(about))
    obey(["report", str(begun)], configs=begun, compose=stub.compose)
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.001)
    assert run_search(stub.search(begun, n_trials=3), stub.compose) == []
    assert "does not say with which settings, code and data its trials were made" in capsys.readouterr().out
    monkeypatch.setitem(stub.CONFIG["trainer"], "pause", 0.002)
    assert_refused(begun, r"trainer\.pause was 0\.001, now 0\.002")


def test_many_changes_are_not_all_named():
    then = {"settings": {str(i): 0 for i in range(9)}, "code": {}, "data": {}, "splits": ""}
    now = {**then, "settings": {str(i): 1 for i in range(1, 10)}}
    assert versions.changes(then, now) == (
        "0 was 0, and is gone; 1 was 0, now 1; 2 was 0, now 1; 3 was 0, now 1; and 6 more"
    )
    assert versions.changes(then, then) == ""
