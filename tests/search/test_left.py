"""What a trial leaves behind: its values as they were, its folder for others, a reason where it failed."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.search import stub

from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import holder_of
from eegdecode.reporting.searches.figures import ABSENT, _heights
from eegdecode.reporting.searches.tables import MARKER, read_search_folder, settings_text
from eegdecode.runs import DIVERGED
from eegdecode.search import objective, repeats, work
from eegdecode.search.commands import obey
from eegdecode.search.final import chosen_by
from eegdecode.search.space import overrides, suggest
from eegdecode.search.study import open_study, table_of, try_one
from eegdecode.search.work import run_search
from eegdecode.training.keeper import Keeper


def test_the_folder_of_a_crashed_trial_is_free_before_another_worker_may_take_it(tmp_path, trials, monkeypatch):
    holders, given = [], repeats.give_again

    def note(study, trial):
        assert (tmp_path / "trials" / "0000" / ".held").exists()
        holders.append(holder_of(tmp_path / "trials" / "0000"))
        given(study, trial)

    monkeypatch.setattr(repeats, "give_again", note)
    with pytest.raises(RuntimeError, match="no trial has worked yet"):
        run_search(stub.search(tmp_path, typed=["trainer.kind=crash"]), stub.compose)
    assert holders == [{}] * 2


def test_values_of_the_winner_are_typed_as_they_were_suggested(tmp_path):
    """Where one trial lacks a setting, a column of a table would turn 2 into 2.0, and null into nan."""
    space = {"augment": {"choice": ["none", "noise"]}, "trainer.validation": {"choice": [None, 0.5]},
             "trainer.depth": {"choice": [1, 2], "when": {"augment": "noise"}}}    # fmt: skip
    search = stub.search(tmp_path, space, sampler="grid")
    study = open_study(search)
    for _ in range(6):
        try_one(study, lambda trial: (float(len(suggest(search.space, trial))),))
    typed = {" ".join(overrides(chosen_by(row, search))) for row in table_of(study, search).to_dict("records")}
    augments = ("none", ""), ("noise", " trainer.depth=1"), ("noise", " trainer.depth=2")
    assert typed == {f"augment={augment} trainer.validation={share}{depth}"
                     for share in ("null", "0.5") for augment, depth in augments}    # fmt: skip


def test_a_score_that_is_not_defined_is_told_as_such(tmp_path, trials, monkeypatch):
    monkeypatch.setattr(objective, "subject_means", lambda scores, column: scores["val_accuracy"] * np.nan)
    with pytest.raises(RuntimeError, match=r"no trial has worked yet.*metric=auroc is not defined on the validation"):
        run_search(stub.search(tmp_path, metric="auroc"), stub.compose)


def test_words_that_mean_nothing_are_refused(tmp_path):
    for task in ("status", "report"):
        with pytest.raises(ValueError, match=f"{task} takes the folder of a search, or nothing; got a out=b"):
            obey([task, "a", "out=b"], configs=tmp_path, compose=stub.compose)
    with pytest.raises(ValueError, match=r"stat is no task, and no sweep=NAME; did you mean status\?"):
        obey(["stat"], configs=tmp_path, compose=stub.compose)


def test_the_command_that_goes_on_is_the_last_that_was_typed(tmp_path, monkeypatch):
    """Not the first, with fewer trials, and not ``retry``."""
    made = {"settings": {}, "code": {}, "data": {}, "splits": ""}
    for n_trials, words in ((1, ["sweep=toy_search", "n_trials=1"]), (2, ["sweep=toy_search", "n_trials=2"]),
                            (2, ["retry", str(tmp_path)])):    # fmt: skip
        monkeypatch.setattr(sys, "argv", ["scripts/sweep.py", *words])
        work._claim(stub.search(tmp_path, n_trials=n_trials), stub.compose, made)
    assert read_json(tmp_path / MARKER)["command"] == "python scripts/sweep.py sweep=toy_search n_trials=2"


def test_null_that_was_chosen_is_not_taken_for_absent(tmp_path):
    """In a file both are nothing."""
    space = {"augment": {"choice": ["none", "noise"], "when": {}},
             "trainer.patience": {"choice": [None, 8, 16], "when": {"augment": ["noise"]}},
             "trainer.drop": {"choice": [None, 2], "when": {"trainer.patience": [None]}}}    # fmt: skip
    (tmp_path / MARKER).write_text(json.dumps({"space": space}))
    (tmp_path / "trials.csv").write_text(
        "state,why,augment,trainer.patience,trainer.drop\ndone,,noise,8.0,\ndone,,noise,,\ndone,,none,,\nfailed,,,,\n"
        "done,,noise,,2.0\n"
    )
    trials = read_search_folder(tmp_path).trials
    assert settings_text(trials.iloc[1], space) == "augment=noise trainer.patience=null trainer.drop=null"
    assert settings_text(trials.iloc[2], space) == "augment=none"
    assert settings_text(trials.iloc[3], space) == ""
    assert settings_text(trials.iloc[4], space) == "augment=noise trainer.patience=null trainer.drop=2"
    heights, ticks = _heights(trials["trainer.patience"], space["trainer.patience"])
    np.testing.assert_array_equal(heights, [0.5, 0.0, ABSENT, ABSENT, 0.0])
    assert [text for _, text in ticks] == ["null", "8", "16", "absent"]


def test_two_searches_share_a_database_and_no_trial(tmp_path, trials):
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    for name, lr in (("first", "0.01"), ("second", "0.02")):
        search = stub.search(tmp_path / name, {"trainer.depth": {"int": [1, 4]}}, typed=[f"trainer.lr={lr}"],
                             storage=shared, n_trials=2)    # fmt: skip
        assert run_search(search, stub.compose) == []
        assert run_search(search, stub.compose) == []    # goes on in its own
        assert pd.read_csv(tmp_path / name / "trials.csv")["state"].tolist() == ["done", "done"]
        assert len(list((tmp_path / name / "trials").iterdir())) == 2
    local = stub.search(tmp_path / "local", n_trials=1)
    run_search(local, stub.compose)
    with pytest.raises(ValueError, match=r"keeps its trials in storage=null, and storage=sqlite.* holds none of them"):
        run_search(replace(local, storage=shared), stub.compose)
    with pytest.raises(ValueError, match=r"storage=journal holds none of them: take the first"):
        run_search(replace(local, storage="journal"), stub.compose)
    names = [read_json(tmp_path / name / MARKER)["study"] for name in ("first", "second")]
    assert names[0] != names[1]
    assert all(name.startswith("toy_search-") for name in names)


def test_a_winner_that_diverges_with_fresh_seeds_has_no_score_and_a_report(tmp_path, trials, monkeypatch):
    fit = stub.StubTrainer.fit

    def diverges(self, model, trials, stacks, **about):
        for prediction in fit(self, model, trials, stacks, **about):
            gone = prediction.run.seed == 1001 and self.lr == 0.01
            yield replace(prediction, status=f"{DIVERGED} nan in epoch 2") if gone else prediction

    monkeypatch.setattr(stub.StubTrainer, "fit", diverges)
    search = stub.search(tmp_path, {"trainer.lr": {"choice": [0.001, 0.01]}}, sampler="grid")
    (said,) = run_search(search, stub.compose)
    assert re.fullmatch(r"no score in the final test: the winner diverged in 3 of 6 runs \(final/trial-\d+\)", said)
    assert said[4:] in (tmp_path / "report.md").read_text()
    assert "without a score in the test" in (tmp_path / "best.yaml").read_text()
    assert run_search(search, stub.compose) == [said]    # and the same again, for it is the same


def test_a_failed_trial_is_told_as_it_was_typed_and_without_what_it_lacks(tmp_path, trials):
    space = {"augment": {"choice": ["none", "noise"]}, "trainer.kind": {"choice": ["crash", "good"]},
             "trainer.depth": {"int": [2, 3], "when": {"augment": "noise"}}}    # fmt: skip
    said = run_search(stub.search(tmp_path, space, sampler="grid"), stub.compose)
    assert len(said) == 3
    assert sum("trainer.depth=2;" in line for line in said) == 1
    assert sum("trainer.depth" not in line for line in said) == 1


def test_status_takes_the_folder_as_the_search_does(tmp_path, trials, capsys):
    run_search(stub.search(tmp_path, n_trials=1), stub.compose)
    obey(["status", f"out_dir={tmp_path}"], configs=tmp_path, compose=stub.compose)
    assert "1 of 1 trials are over" in capsys.readouterr().out


def test_what_training_says_of_a_run_that_diverged_is_what_a_search_looks_for():
    keeper, row = Keeper(1, select="last", patience=None), {"epoch": 1.0, "running_loss": np.nan, "val_loss": np.nan}
    list(keeper.note(1, {name: np.array([value]) for name, value in row.items()}, state=dict))
    assert keeper.failures[0].startswith(DIVERGED)
    source = Path(stub.__file__).parents[2] / "src" / "eegdecode"
    assert [path.name for path in source.rglob("*.py") if f'"{DIVERGED}' in path.read_text()] == ["runs.py"]
