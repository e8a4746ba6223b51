"""A search whose study is in a real PostgreSQL: two workers join, the server goes down, hangs, or stays away."""

import time
from collections import Counter
from threading import Thread

import pytest
from tests.integration.postgres_here import absent, postgres
from tests.search import stub
from tests.search.stub import start

from eegdecode.search.commands import search_of
from eegdecode.search.study import open_study, table_of

reason = absent()
pytestmark = [pytest.mark.postgres, pytest.mark.skipif(bool(reason), reason=reason)]
N_TRIALS = 7
LONG = 300    # s that anything may take, for these tests run beside others


@pytest.fixture
def server():
    with postgres() as here:
        yield here


def workers(folder, server, *words, n=2):
    words = [f"storage={server.url}", f"n_trials={N_TRIALS}", "grace=3", *words]
    processes = [start(folder, *words, **{stub.DIARY: str(folder / "diary.txt")}) for _ in range(n)]
    for process in processes:
        process.said, process.reader = [], Thread(target=listen, args=(process,), daemon=True)
        process.reader.start()
    return processes


def listen(process):
    with process.stdout:
        for line in process.stdout:
            process.said.append(line)


def until(true, what, processes):
    """Wait; what the workers said is shown where it does not come."""
    end = time.monotonic() + LONG
    while not true():
        if time.monotonic() > end:
            for process in processes:
                process.kill()
            pytest.fail(f"no {what} within {LONG} s; " + "\n---\n".join("".join(process.said) for process in processes))
        time.sleep(0.02)


def until_trial(folder, number, processes):
    until((folder / "trials" / f"{number:04d}").exists, f"trial {number}", processes)


def complaints(server, processes):
    return sum(f"{server.url} does not answer: " in line for process in processes for line in process.said)


def ended(processes, code=0):
    until(lambda: all(process.poll() is not None for process in processes), "end", processes)
    for process in processes:
        process.reader.join()
    said = ["".join(process.said) for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), said
    assert "Traceback" not in "".join(said), said
    return said


def check(folder):
    """The search is complete, and no run of a trial was trained twice."""
    search = search_of(folder)
    study = open_study(search, create=False)
    table = table_of(study, search)
    study._storage._backend.engine.dispose()
    assert (table["state"] == "done").sum() == N_TRIALS, table
    assert table.loc[~table["repeated"], "state"].eq("done").all()
    assert len(list((folder / "trials").iterdir())) == N_TRIALS
    trained = Counter((folder / "diary.txt").read_text().splitlines())
    assert len(trained) == N_TRIALS * 3 + 2 * 2 * 3    # trials x subjects, winner and default x seeds x subjects
    assert set(trained.values()) == {1}, trained


def test_two_workers_wait_for_a_database_that_restarts_and_for_one_that_hangs(tmp_path, server):
    processes = workers(tmp_path, server)
    for number, away, back, new in [(2, server.stop, server.start, 2), (4, server.freeze, server.go_on, 1)]:
        # both hear of the restart; who sits in a lock hears of no hang
        until_trial(tmp_path, number, processes)
        before = complaints(server, processes)
        away()
        time.sleep(4)    # longer than signs of life may be missing
        until(lambda so=before + new: complaints(server, processes) >= so, "complaint", processes)
        assert [process.poll() for process in processes] == [None, None]
        back()
    said = ended(processes)
    check(tmp_path)
    for output in said:
        assert f"{server.url} answers again, after " in output
    assert "Report: " in "".join(said)


def test_a_database_that_stays_away_ends_the_workers_and_a_second_start_completes_the_search(tmp_path, server):
    processes = workers(tmp_path, server, "patience=2")
    until_trial(tmp_path, 2, processes)
    server.stop()
    for output in ended(processes, 1):
        assert f"error: {server.url} has not answered for " in output
        assert f"kept in {tmp_path}: when the database is back, the same command goes on" in output
    (refused,) = ended(workers(tmp_path, server, n=1), 1)
    assert "the study of toy_search cannot be opened: " in refused
    assert server.url in refused
    server.start()
    ended(workers(tmp_path, server, n=1))
    check(tmp_path)
