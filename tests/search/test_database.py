"""A study whose database breaks: in the middle of a question, after it was obeyed, or while it is taken back."""

import sqlite3
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import sqlalchemy
from filelock import FileLock
from optuna.pruners import MedianPruner
from optuna.storages._heartbeat import NullHeartbeatThread
from optuna.storages._rdb import storage as optunas
from sqlalchemy.exc import ProgrammingError
from tests.search import stub

from eegdecode.search import alive, database, objective, study
from eegdecode.search.database import Database
from eegdecode.search.repeats import repeat_failed
from eegdecode.search.study import TrialState, frozen, open_study, report, table_of, try_one, wake_the_dead
from eegdecode.search.waiting import NoAnswerError

BROKEN = "server closed the connection unexpectedly"


class Wire:
    """Between us and a database: it breaks at a question, a commit, the answer to one, or a rollback."""

    def __init__(self, here):
        self.dialect, self.broken, self.everywhere = here.engine.dialect, Counter(), False
        self.commit, self.rollback = self.dialect.do_commit, self.dialect.do_rollback
        self.dialect.do_commit, self.dialect.do_rollback = self._do_commit, self._do_rollback
        sqlalchemy.event.listen(here.engine, "before_cursor_execute", lambda *_: self._pass("question"))
        sqlalchemy.event.listen(here.engine, "handle_error", self._is_down)
        self.ways, self.rest, self.forever = (), 0, False

    def break_at(self, way, *, forever=False):
        """Break the next time, or from now on."""
        self.ways, self.rest, self.forever = (way,), 1, forever

    def mend(self):
        self.ways = ()

    def break_everywhere(self, here):
        """Break at the first place of whatever is asked; when it is asked again, at the second, and so on."""
        self.ways, self.everywhere = ("question", "commit", "answer"), True
        ask = here.ask

        def begin(question):
            self.rest = self.next = 1
            return ask(question)

        here.ask = begin

    def _do_commit(self, connection):
        self._pass("commit")
        self.commit(connection)
        self._pass("answer")

    def _do_rollback(self, connection):
        self._pass("rollback")
        self.rollback(connection)

    def _pass(self, way):
        if way not in self.ways:
            return
        self.rest -= 1
        if self.rest == 0 or self.forever:
            self.broken[way] += 1
            if self.everywhere:
                self.rest = self.next = self.next + 1
            raise sqlite3.OperationalError(BROKEN)

    def _is_down(self, context):
        context.is_disconnect = BROKEN in str(context.original_exception)


class Clock:
    """Time that passes while somebody sleeps."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def here(tmp_path, clock, monkeypatch):
    """Return a database that counts as a server, so that it is asked again."""
    monkeypatch.setattr(database, "time", clock)
    monkeypatch.setattr(optunas, "time", SimpleNamespace(sleep=lambda seconds: None))
    with pytest.warns(Warning, match="experimental"):
        found = Database(stub.search(tmp_path))
    found.local = False
    monkeypatch.setattr(alive, "GRACE", 0)
    monkeypatch.setattr(study, "_storage", lambda search: found)
    monkeypatch.setattr(study, "get_heartbeat_thread", lambda trial, storage: NullHeartbeatThread())
    yield found
    found.remove_session()
    found.engine.dispose()


@pytest.fixture
def wire(here):
    return Wire(here)


@pytest.fixture
def joined(here, tmp_path):
    found = open_study(stub.search(tmp_path))
    found._thread_local.in_optimize_loop = True
    return found


def good(trial):
    trial.study._storage.record_heartbeat(trial._trial_id)
    assert not report(trial, 1, 0.25)
    trial.set_user_attr("training", trial.suggest_float("trainer.lr", 1e-4, 1e-1, log=True))
    trial.study._storage.record_heartbeat(trial._trial_id)
    return (0.5,)


def bad(trial):
    trial.suggest_float("trainer.lr", 1e-4, 1e-1, log=True)
    trial.set_user_attr("why", "the kernel died")
    raise RuntimeError("the kernel died")


def live(search):
    """All that a search asks of a study: the default done, a trial that crashes and one that dies done again."""
    found = open_study(search, default={"trainer.lr": 0.01})
    try_one(found, good)
    try_one(found, bad)
    repeat_failed(found)
    try_one(found, good)
    found.ask()    # and dies
    wake_the_dead(found)
    repeat_failed(found)
    try_one(found, good)
    return table_of(found, search)


def test_wherever_a_connection_breaks_the_study_is_what_it_would_have_been(here, wire, tmp_path):
    wire.break_everywhere(here)
    found = live(stub.search(tmp_path))
    assert found["state"].tolist() == ["done", "failed", "done", "failed", "done"]
    assert found["repeated"].tolist() == [False, True, False, True, False]
    assert found["default"].tolist() == [True, False, False, False, False]
    assert found["trainer.lr"].notna().tolist() == [True, True, True, False, True]
    assert (found["training"] == found["trainer.lr"]).tolist() == [True, False, True, False, True]
    assert min(wire.broken.values()) > 20, wire.broken


def test_a_connection_that_breaks_while_a_question_is_taken_back(here, wire, joined):
    wire.break_at("rollback")
    with pytest.raises(KeyError):
        here.get_trial(1000)    # there is none, and so the transaction is rolled back
    assert wire.broken == {"rollback": 1}


def test_a_trial_is_taken_once(here, joined):
    joined.enqueue_trial({"trainer.lr": 0.01})
    (waiting,) = here.get_all_trials(joined._study_id)
    assert here.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    assert not here.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)


def test_patience_begins_with_the_first_question_that_is_not_answered(here, wire, clock, joined, capsys):
    clock.sleep(here.patience + 1)    # a worker that trained, or waited for its turn
    wire.break_at("question")
    assert here.get_all_studies()
    wire.break_at("question", forever=True)
    here.patience = 10
    with pytest.raises(NoAnswerError, match=f"has not answered for 15 s .*{BROKEN}.*the same command goes on"):
        here.get_all_studies()    # after 0, 1, 3, 7 and 15 s
    with pytest.raises(NoAnswerError):
        here.get_all_studies()
    assert wire.broken == {"question": 1 + 5 + 1}    # nobody waits twice
    wire.mend()
    assert here.get_all_studies()
    said = capsys.readouterr().out
    assert said.count(f"does not answer: (sqlite3.OperationalError) {BROKEN}") == 2
    assert [line.split()[-2] for line in said.splitlines() if "answers again" in line] == ["1", "15"]


def test_an_error_that_is_no_silence_is_not_waited_for(here):
    def wrong():
        raise ProgrammingError("select x", None, Exception("there is no column x"))

    with pytest.raises(ProgrammingError, match="there is no column x"):
        here.ask(wrong)
    assert here.away is None


def test_a_training_does_not_wait_for_a_database_that_goes_away_while_it_is_judged(here, wire, clock, joined):
    trial = joined.ask()
    reported = trial.report

    def report_and_lose(value, step):
        reported(value, step)
        wire.break_at("question", forever=True)

    trial.report = report_and_lose
    joined.pruner = MedianPruner(n_startup_trials=0)
    began = clock.now
    assert not report(trial, 1, 0.25)
    assert clock.now == began
    wire.mend()


def test_who_was_not_heard_while_the_database_was_away_is_not_dead(here, wire, clock, joined, monkeypatch):
    monkeypatch.setattr(alive, "GRACE", 0.1)    # times a heartbeat of 1 s
    trial = joined.ask()
    time.sleep(0.2)
    wire.break_at("question")
    assert here.get_trial(trial._trial_id).state == TrialState.RUNNING
    assert here.get_stale(joined._study_id) == []
    clock.sleep(0.2)
    assert here.get_stale(joined._study_id) == [trial._trial_id]


def test_a_trial_whose_database_was_given_up_begins_anew(here, joined):
    def unanswered(trial):
        raise NoAnswerError("the database has not answered")

    for number in range(3):
        with pytest.raises(NoAnswerError):
            try_one(joined, unanswered)
        repeat_failed(joined, begins=True)
        assert [trial.state for trial in joined.trials] == [TrialState.FAIL] * (number + 1) + [TrialState.WAITING]


def test_a_trial_is_held_before_the_database_is_asked_for_its_settings(joined, tmp_path, monkeypatch):
    held = []

    def away(space, trial):
        held.append(alive.still_held(tmp_path, frozen(trial)))
        raise NoAnswerError("the database has not answered")

    monkeypatch.setattr(objective, "suggest", away)
    run = objective.Objective(stub.search(tmp_path), stub.compose, FileLock(tmp_path / ".dealing"))
    with pytest.raises(NoAnswerError):
        try_one(joined, run)
    assert held == [True]
