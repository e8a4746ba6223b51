"""Workers of a search that are killed: whatever they were at, nothing is lost, doubled or half-written."""

import json
import random
import signal
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.search import stub

from eegdecode.reporting.searches.tables import status_text
from eegdecode.search import repeats, work
from eegdecode.search.commands import search_of
from eegdecode.search.journal import BeatingJournal, WholeLines
from eegdecode.search.repeats import repeat_failed
from eegdecode.search.study import open_study, table_of, try_one
from eegdecode.search.work import run_search

KILLS = 10    # for each of two storages


@pytest.mark.parametrize("storage", ["storage=journal", "storage=null"])
def test_a_search_that_is_killed_ten_times_at_random_moments(tmp_path, storage, monkeypatch):
    """In a relative folder, as users have it; whoever is killed is followed by another at once."""
    monkeypatch.chdir(tmp_path)
    seed = random.randrange(10**6)
    print(f"moments drawn with seed {seed}")
    moments, codes = random.Random(seed), []
    words, diary = (storage, "n_trials=25", "grace=1"), tmp_path / "diary"
    for _ in range(KILLS):
        process = stub.start("found", *words, EEGDECODE_DIARY=str(diary))
        until = time.monotonic() + 30
        before = diary.read_text() if diary.exists() else ""
        while process.poll() is None and time.monotonic() < until and (
            not diary.exists() or diary.read_text() == before
        ):    # fmt: skip
            time.sleep(0.02)    # Python and Optuna are imported
        time.sleep(moments.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0]
        codes.append(process.returncode)
        assert codes[-1] in (-signal.SIGKILL, 0), said    # nobody fails by what another one has left
    last = stub.start("found", *words, EEGDECODE_DIARY=str(diary))
    said = last.communicate(timeout=300)[0]
    assert last.returncode == 0, said
    killed = codes.count(-signal.SIGKILL)
    assert killed >= 3    # where this machine is so fast that the search was over, there was nobody to kill
    found = table_of(open_study(search_of(Path("found")), create=False), search_of(Path("found")))
    counted = found[~found["repeated"]]
    assert counted["state"].tolist() == ["done"] * 25
    assert set(found.loc[found["repeated"], "why"]) <= {"its process died"}
    assert len(json.loads(Path("found/final.json").read_text())["looks"]) == 1
    for path in Path("found").rglob("*.json"):
        json.loads(path.read_text())
    for path in Path("found").rglob("*.yaml"):
        yaml.safe_load(path.read_text())
    again = sum(n - 1 for n in Counter(diary.read_text().splitlines()).values())
    assert again <= killed    # a kill costs the run in work at most
    assert "Report:" in said


def test_the_lock_of_a_killed_process_is_found_from_a_relative_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("found").mkdir()
    lines = WholeLines(Path("found/study.journal"))
    lines._lock.grace_period = 1
    lines._lock.acquire()    # and is killed
    began = time.monotonic()
    lines.append_logs([{"number": 0}])
    assert 1 <= time.monotonic() - began < 10
    assert list(lines.read_logs(0)) == [{"number": 0}]


def test_a_trial_that_others_took_does_not_end_the_signs_of_life(tmp_path):
    study = open_study(stub.search(tmp_path, storage="journal"))
    number = try_one(study, lambda trial: (0.5,)).number
    assert isinstance(study._storage, BeatingJournal)
    study._storage.record_heartbeat(study.trials[number]._trial_id)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is noted of why."""


def die(trial):
    raise Killed


def crash(trial):
    trial.set_user_attr("why", "the kernel died")
    raise RuntimeError


def fail(study, how):
    with pytest.raises(Killed) if how is die else nullcontext():
        try_one(study, how)
    repeat_failed(study)


def test_a_death_does_not_count_as_the_crash_and_a_crash_is_repeated_once(tmp_path):
    search = stub.search(tmp_path, storage="journal")
    study = open_study(search)
    for how in (die, crash, die, crash):
        fail(study, how)
    found = table_of(study, search)
    assert found["state"].tolist() == ["failed"] * 4
    assert found["repeated"].tolist() == [True, True, True, False]
    assert found["why"].tolist() == ["its process died", "the kernel died"] * 2    # of each, not of the one before
    repeat_failed(study, begins=True)
    assert len(study.trials) == 4    # it has crashed twice


def test_a_trial_that_kills_its_process_costs_four_of_them_and_one_more_each_start(tmp_path):
    search = stub.search(tmp_path, storage="journal")
    study = open_study(search)
    for _ in range(repeats.DEATHS):
        fail(study, die)
    assert table_of(study, search)["state"].tolist() == ["failed"] * repeats.DEATHS
    repeat_failed(study, begins=True)
    assert table_of(study, search)["state"].tolist() == ["failed"] * repeats.DEATHS + ["waiting"]


def test_who_is_killed_before_a_failed_trial_is_given_out_again_loses_nothing(tmp_path, monkeypatch):
    stub.without_data(monkeypatch.setattr)
    process = stub.start(tmp_path, "storage=journal", "n_trials=1")
    process.communicate()
    study = open_study(search_of(tmp_path), create=False)
    try_one(study, crash)    # and nobody gives it out again
    process = stub.start(tmp_path, "storage=journal", "n_trials=3")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    found = table_of(study, search_of(tmp_path))
    assert found["state"].tolist() == ["done", "failed", "done", "done"]
    assert found["repeated"].tolist() == [False, True, False, False]


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_trial_that_was_interrupted_is_called_so_and_given_out_again(tmp_path, monkeypatch, storage, capsys):
    stub.without_data(monkeypatch.setattr)
    search, fit = stub.search(tmp_path, storage=storage, n_trials=2), stub.StubTrainer.fit

    def interrupt(self, *parts, **about):
        raise KeyboardInterrupt

    monkeypatch.setattr(stub.StubTrainer, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_search(search, stub.compose)
    found = pd.read_csv(tmp_path / "trials.csv")
    assert found["state"].tolist() == ["interrupted", "waiting"]
    assert found["repeated"].tolist() == [True, False]
    assert found.loc[0, "why"].startswith("Ctrl-C: it is given out again")
    assert "interrupted; the trial in work is given out again" in capsys.readouterr().out
    monkeypatch.setattr(work, "repeat_failed", lambda study, **about: None)    # as where its turn never came
    with pytest.raises(KeyboardInterrupt):
        run_search(search, stub.compose)
    said = status_text(tmp_path)    # that nothing failed, which would ask for a retry
    assert "0 of 2 trials are over (0 done, 0 pruned, 0 failed, 0 running, 0 waiting, 1 interrupted)" in said
    assert "failed:" not in said
    monkeypatch.undo()
    stub.without_data(monkeypatch.setattr)
    monkeypatch.setattr(stub.StubTrainer, "fit", fit)
    assert run_search(search, stub.compose) == []
    found = table_of(open_study(search, create=False), search)
    assert found["state"].tolist() == ["interrupted", "interrupted", "done", "done"]
    assert not set(found["why"]) & {"its process died"}
