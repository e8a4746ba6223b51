"""A search from start to report, on an experiment that trains nothing."""

import json
import re
import resource
import signal
import time

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from tests.search import stub

from eegdecode.nested import Final, Nested
from eegdecode.protocols import CrossSession
from eegdecode.reporting.folders import hold, release
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.searches.page import write_page
from eegdecode.reporting.searches.tables import status_text
from eegdecode.search import alive
from eegdecode.search.commands import obey, retry, search_of
from eegdecode.search.final import winner
from eegdecode.search.journal import WholeLines
from eegdecode.search.pruners import HalvingOfNow, MedianOfNow
from eegdecode.search.repeats import repeat_failed
from eegdecode.search.study import TrialState, open_study, table_of, try_one, wake_the_dead
from eegdecode.search.work import run_search


def table(folder):
    return pd.read_csv(folder / "trials.csv")


def test_a_search_finds_the_rate_and_tests_its_winner_once(tmp_path, trials, capsys):
    folder = tmp_path / "found"
    assert run_search(stub.search(folder, n_trials=12), stub.compose) == []
    found = table(folder)
    assert (found["state"] == "done").sum() == 12
    assert found["default"].tolist() == [True] + [False] * 11    # the default settings are the first trial
    best = found.loc[found["score"].idxmax()]
    assert abs(np.log10(best["trainer.lr"]) + 2) < 0.5
    final = json.loads((folder / "final.json").read_text())
    assert final["winner"]["trial"] == best["trial"]
    assert final["seeds"] == [1000, 1001]
    report = (folder / "report.md").read_text()
    for text in ("fresh seeds (1000, 1001)", "looked at once", "optimism", "## By subject", "Wilcoxon", "fANOVA"):
        assert text in report
    assert {path.name for path in (folder / "figures").iterdir()} == {"history.png", "parallel.png", "importances.png"}
    assert (folder / "best.yaml").read_text().startswith("# @package _global_\n# Claim: The winner")
    assert yaml.safe_load((folder / "best.yaml").read_text())["trainer"]["lr"] == best["trainer.lr"]
    assert "[12/12]" in capsys.readouterr().out


def test_a_pipeline_that_holds_nothing_out_is_tested_too(tmp_path, trials, monkeypatch):
    """Its trainer has no ``validation``, which therefore cannot be typed."""
    without = {name: value for name, value in stub.CONFIG["trainer"].items() if name != "validation"}
    monkeypatch.setitem(stub.CONFIG, "trainer", without)
    assert run_search(stub.search(tmp_path / "found", n_trials=3), stub.compose) == []
    assert (tmp_path / "found" / "best.yaml").exists()


def test_no_trial_trains_on_a_test_trial_or_stores_one(tmp_path, trials):
    stub.LEARNED.clear()
    run_search(stub.search(tmp_path / "found", n_trials=3), stub.compose)
    tested = Final(Nested(CrossSession()))(trials.meta, validation=0.0)
    names = set(trials.meta["trial"].iloc[np.concatenate([split.test for split in tested])])
    for trial in sorted((tmp_path / "found" / "trials").iterdir()):
        kept = load_predictions(trial)
        assert len(kept) == 3
        seen = {name for one in kept for part in ("val", "test") for name in one.trials[part]}
        assert seen
        assert not seen & names
        assert not (trial / "report.md").exists()
    learned = [set(rows) for rows, protocol in stub.LEARNED if protocol.startswith("inner_")]
    assert len(learned) == 3 * 3
    assert not names & set().union(*learned)
    kept = load_predictions(tmp_path / "found" / "final" / "default")
    assert {name for one in kept for name in one.trials["test"]} == names
    assert len(kept) == 2 * 3


def test_a_stopped_search_goes_on_to_its_total_and_a_second_look_is_told(tmp_path, trials):
    folder = tmp_path / "found"
    run_search(stub.search(folder, n_trials=2), stub.compose)
    looks = json.loads((folder / "final.json").read_text())["looks"]
    run_search(stub.search(folder, n_trials=2), stub.compose)
    assert len(table(folder)) == 2
    assert json.loads((folder / "final.json").read_text())["looks"] == looks
    run_search(stub.search(folder, n_trials=12), stub.compose)
    assert len(table(folder)) == 12
    assert len(json.loads((folder / "final.json").read_text())["looks"]) == 2
    assert "looked at for 2 winners" in (folder / "report.md").read_text()
    run_search(stub.search(folder, n_trials=13, sampler="random"), stub.compose)
    assert "; sampler tpe, then random, pruner " in (folder / "report.md").read_text()
    with pytest.raises(ValueError, match=r"holds another search .*share was 0\.2, now 0\.3"):
        run_search(stub.search(folder, share=0.3), stub.compose)
    kept = (folder / "final").rename(folder / "away")
    assert "tested: final/trial-" in (said := status_text(folder))
    assert ", begun and not done\ngo on, or join: " in said
    assert "was begun and is not done: `" in write_page(folder).read_text()
    kept.rename(folder / "final")
    (folder / "experiment.json").write_text("{}")
    with pytest.raises(ValueError, match="is a run folder, whose report this would replace"):
        run_search(stub.search(folder, n_trials=12), stub.compose)


def test_a_crashed_trial_is_recorded_and_tried_once_more(tmp_path, trials, capsys):
    folder, space = tmp_path / "found", {"trainer.kind": {"choice": ["good", "crash"]}}
    search = stub.search(folder, space, sampler="grid", n_trials=9)
    assert search.n_trials == 2
    (failure,) = run_search(search, stub.compose)
    found = table(folder)
    crashed = found[found["trainer.kind"] == "crash"]
    assert crashed["state"].tolist() == ["failed", "failed"]
    assert crashed["repeated"].tolist() == [True, False]
    assert set(crashed["folder"]) == {crashed["folder"].iloc[0]}    # nothing is trained twice
    assert "the kernel died" in failure
    assert f"sweep.py retry {folder}" in failure
    assert "Traceback" in (folder / crashed["folder"].iloc[0] / "error.txt").read_text()
    assert obey(["status", str(folder)], configs=tmp_path, compose=stub.compose) == ["1 trial(s) failed"]
    assert "trainer.kind=crash" in capsys.readouterr().out
    number = int(crashed["trial"].iloc[1])
    with pytest.raises(ValueError, match="trial 0 has not failed"):
        retry(folder, stub.compose, [0] if number else [1])
    retry(folder, stub.compose, [number])
    assert (table(folder)["trainer.kind"] == "crash").sum() == 3


def test_wrong_test_subjects_show_before_any_trial(tmp_path, trials):
    with pytest.raises(ValueError, match="test_subjects: no subject 9; there are 1, 2, 3"):
        run_search(stub.search(tmp_path / "found", test_subjects=[9]), stub.compose)
    assert not (tmp_path / "found").exists()


def test_when_nothing_works_the_search_stops_and_says_why(tmp_path, trials):
    with pytest.raises(RuntimeError, match=r"no trial has worked yet.*the kernel died.*error\.txt"):
        run_search(stub.search(tmp_path, typed=["trainer.kind=crash"], n_trials=50), stub.compose)
    assert len(table(tmp_path)) == 4


def test_a_setting_that_diverges_is_pruned_and_not_tried_again(tmp_path, trials):
    space = {"trainer.kind": {"choice": ["good", "diverge"]}}
    assert run_search(stub.search(tmp_path, space, sampler="grid", n_trials=9), stub.compose) == []
    found = table(tmp_path).set_index("trainer.kind")
    assert found.loc["diverge", "state"] == "pruned"
    assert "diverged: failed: loss is nan" in found.loc["diverge", "why"]


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_trials_that_fall_behind_are_stopped_before_their_end(tmp_path, trials, pruner):
    run_search(stub.search(tmp_path, n_trials=25, pruner=pruner, sampler="random"), stub.compose)
    found = table(tmp_path)
    pruned = found[found["state"] == "pruned"]
    assert len(pruned) > 0
    assert (pruned["step"] < 20).all()
    assert found.set_index("default").loc[True, "state"] == "done"    # what the winner is compared with
    assert pruned["why"].str.contains("/20 of its training").all()
    assert winner(found, search_of(tmp_path))["state"] == "done"
    folder = tmp_path / pruned["folder"].iloc[0]
    assert len(list((folder / "finished").glob("*.npz"))) < 3


def test_a_trial_is_judged_by_what_it_is_and_not_by_the_easy_subject_it_began_with():
    """Values are means over more and more runs: .9 of the first subject protects a trial that fails all others."""
    study, pruner = optuna.create_study(direction="maximize"), MedianOfNow(n_startup_trials=10, n_warmup_steps=6)
    curve = {step: 0.9 - 0.02 * step for step in range(1, 21)}    # an easy subject first
    for i in range(-6, 6):
        values = {step: value + 0.01 * i for step, value in curve.items()}
        study.add_trial(optuna.trial.create_trial(value=values[20], intermediate_values=values))
    trial = study.ask()
    stopped = []
    for step, value in curve.items():
        trial.report(0.91 if step < 5 else value - 0.2, step)
        stopped += [step] if pruner.prune(study, study.get_trials()[-1]) else []
    assert stopped[0] == 6
    good = study.ask()
    for step, value in curve.items():
        good.report(value + 0.1, step)
        assert not pruner.prune(study, study.get_trials()[-1])


def stopped_by_halves(values):
    """Which trials are stopped at their first judgement, if each comes there with its value."""
    study, pruner, stopped = optuna.create_study(direction="maximize"), HalvingOfNow(), []
    for value in values:
        trial = study.ask()
        trial.report(0.0, 1)
        assert not pruner.prune(study, study.get_trials()[-1])
        trial.report(float(value), 2)
        stopped.append(pruner.prune(study, study.get_trials()[-1]))
    return np.array(stopped)


def test_by_halves_a_third_goes_on_however_good_the_sampler_has_become():
    """Among all that ever came nearly every late trial would be one of the best; among level ones all would go on."""
    rng = np.random.default_rng(0)
    assert not stopped_by_halves([0.5, 0.1, 0.1]).any()    # too few to compare with
    for values in (np.linspace(0, 1, 200) + rng.normal(0, 0.2, 200), np.full(200, 0.8)):
        assert 0.55 < stopped_by_halves(values)[20:].mean() < 0.8
    assert not stopped_by_halves([*rng.uniform(0, 0.8, 50), 0.9])[-1]    # ahead of all
    assert stopped_by_halves([*rng.uniform(0.5, 1, 50), 0.4])[-1]    # behind all


@pytest.mark.parametrize("sampler", ["cmaes", "tpe", "random"])
def test_samplers_and_conditions(tmp_path, trials, sampler):
    space = {**stub.SPACE, "augment": {"choice": ["none", "noise"]},
             "augment.noise": {"float": [0.1, 0.5], "when": {"augment": "noise"}}}    # fmt: skip
    run_search(stub.search(tmp_path, space, sampler=sampler, n_trials=8), stub.compose)
    found = table(tmp_path)
    assert (found["augment.noise"].notna() == (found["augment"] == "noise")).all()
    assert found["trainer.lr"].between(1e-4, 1e-1).all()


def test_several_objectives(tmp_path, trials, capsys):
    objectives = {"n_params": "minimize", "score": "maximize", "seconds": "minimize"}
    run_search(stub.search(tmp_path, objectives=objectives, n_trials=8), stub.compose)
    found = table(tmp_path)
    assert (found["n_params"] == 10100 * found["trainer.depth"]).all()
    best = winner(found, search_of(tmp_path))
    assert best["score"] == found["score"].max()
    assert f"best {best['score']:.4g} (trial {best['trial']})" in capsys.readouterr().out
    assert (tmp_path / "figures" / "front.png").exists()
    report = (tmp_path / "report.md").read_text()
    for row in found.to_dict("records"):
        assert f"| {row['trial']} | {row['n_params']:.0f} | {row['score']:.4g} |" in report    # and not 1.01e+04
    cheaper = [row["trial"] for row in found.to_dict("records") if row["n_params"] < best["n_params"]]
    (said,) = re.findall("no other one in all objectives: trials (.*). The winner is the best by score", report)
    assert str(best["trial"]) in said.split(", ")
    assert set(said.split(", ")) & set(map(str, cheaper))


def test_a_metric_that_is_no_share_is_not_written_as_one(tmp_path, trials):
    run_search(stub.search(tmp_path, metric="kappa", n_trials=2), stub.compose)
    (line,) = [line for line in (tmp_path / "best.yaml").read_text().splitlines() if line.startswith("# Number")]
    assert re.fullmatch(r"# Number: test kappa -?0\.\d{3}, mean .*; validation -?0\.\d{3} in the search", line)


@pytest.fixture
def dead(tmp_path, monkeypatch):
    """Return a factory of studies whose only worker took a trial and died."""
    monkeypatch.setattr(alive, "GRACE", 1)

    def make(storage, *, beat=True):
        search = stub.search(tmp_path, storage=storage, n_trials=2)
        study = open_study(search)
        with pytest.warns(UserWarning, match="Heartbeat"):
            trial = study.ask()
        if beat:
            study._storage.record_heartbeat(trial._trial_id)
        return search, study

    return make


@pytest.mark.parametrize("storage", [None, "journal"])
@pytest.mark.parametrize("beat", [True, False], ids=["later", "at once"])
def test_the_trial_of_a_process_that_died_is_done_by_another(tmp_path, trials, dead, storage, beat):
    search, _ = dead(storage, beat=beat)
    assert run_search(search, stub.compose) == []
    found = table(tmp_path)
    assert found["state"].tolist().count("done") == 2
    assert found.loc[0, ["state", "repeated", "why"]].tolist() == ["failed", True, "its process died"]
    assert (found["folder"] == "trials/0000").sum() == 2


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_silent_trial_whose_folder_is_held_is_not_dead(tmp_path, dead, storage):
    search, study = dead(storage)
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    assert hold(folder)
    time.sleep(2.1)    # a database that was away heard nothing of it
    wake_the_dead(study)
    assert table_of(study, search)["state"].tolist() == ["running"]
    release(folder)
    wake_the_dead(study)
    repeat_failed(study)
    assert table_of(study, search)["state"].tolist() == ["failed", "waiting"]


def test_a_worker_whose_trial_was_taken_meanwhile_goes_on(tmp_path):
    study = open_study(stub.search(tmp_path))

    def slow(trial):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return (0.5,)

    assert try_one(study, slow).state == TrialState.FAIL
    assert try_one(study, lambda trial: (0.5,)).state == TrialState.COMPLETE


def test_a_full_disk_leaves_no_half_line_in_a_journal(tmp_path):
    lines = WholeLines(tmp_path / "journal")
    lines.append_logs([{"number": 0}])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))    # bytes of a file
    try:
        with pytest.raises(OSError, match="journal: the disk is full"):
            lines.append_logs([{"number": 1}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    lines.append_logs([{"number": 2}])
    assert list(lines.read_logs(0)) == [{"number": 0}, {"number": 2}]


def test_a_killed_worker_and_two_that_join(tmp_path):
    """Killed in its second trial; two others do that trial again and the rest, and no more than the total."""
    first = stub.start(tmp_path, "storage=journal", "n_trials=8")
    until = time.monotonic() + 60
    while not (tmp_path / "trials" / "0001").exists() and time.monotonic() < until:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    others = [stub.start(tmp_path, "storage=journal", "n_trials=8") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in others]
    assert [process.returncode for process in others] == [0, 0], said
    found = table_of(open_study(search_of(tmp_path), create=False), search_of(tmp_path))
    assert (found["state"] == "done").sum() == 8
    assert found.loc[found["state"] == "failed", "why"].tolist() == ["its process died"]
    assert len(list((tmp_path / "trials").iterdir())) == 8
    assert "Report:" in "".join(said)
    assert all("trial" in output for output in said)
