"""A search whose study is in a real PostgreSQL: two workers join, the server goes down, hangs, or stays away."""

import time
from collections import Counter

import pytest
from tests.integration.postgres_here import absent, postgres
from tests.search import stub
from tests.search.test_work import start

from eegdecode.search.commands import search_of
from eegdecode.search.study import open_study, table_of

reason = absent()
pytestmark = [pytest.mark.postgres, pytest.mark.skipif(bool(reason), reason=reason)]
N_TRIALS = 7


@pytest.fixture
def server():
    with postgres() as here:
        yield here


def workers(folder, server, *words, n=2):
    words = [f"storage={server.url}", f"n_trials={N_TRIALS}", "grace=3", *words]
    return [start(folder, *words, **{stub.DIARY: str(folder / "diary.txt")}) for _ in range(n)]


def until_trial(folder, number, processes):
    """Wait until a worker has it; what the workers said is shown where none takes it."""
    end = time.monotonic() + 90
    while not (folder / "trials" / f"{number:04d}").exists():
        if time.monotonic() > end:
            for process in processes:
                process.kill()
            said = [process.communicate()[0] for process in processes]
            pytest.fail(f"no trial {number} within 90 s; " + "\n---\n".join(said))
        time.sleep(0.02)


def ended(processes, code=0):
    said = [process.communicate(timeout=150)[0] for process in processes]
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
    for number, away, back in [(2, server.stop, server.start), (4, server.freeze, server.go_on)]:
        until_trial(tmp_path, number, processes)
        away()
        time.sleep(4)    # both are at the end of their trials, and wait
        assert [process.poll() for process in processes] == [None, None]
        back()
    said = ended(processes)
    check(tmp_path)
    assert "".join(said).count(f"{server.url} does not answer: ") >= 3    # both the restart; who sat in a lock no hang
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
