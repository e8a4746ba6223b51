"""A study in a database, SQLite or a server: it may be away for a while, and trainings go on without it."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from eegdecode.reporting.disk import clear_errors
from eegdecode.search import alive
from eegdecode.search.settings import Search
from eegdecode.search.waiting import NoAnswerError, in_a_hurry

LONGEST = 30.0    # s between two attempts to reach a database
CONNECT = 10      # s that a connection may take
SILENCE = 20.0    # s after which a database that has taken a question and says nothing is hung up on
ASKED = (    # what Optuna asks of a database
    "create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "_set_trial_param", "get_trial_id_from_study_id_trial_number", "get_trial", "_get_trials",
    "set_trial_user_attr", "set_trial_system_attr", "_get_stale_trial_ids",
)    # fmt: skip
WAITED = (OperationalError, InterfaceError, DBAPIError)    # and whatever else breaks a connection
CREATED, CHANGED = "created_by", "changed_by"    # attributes of a trial: the questions that did it
Answer = TypeVar("Answer")


class Database(RDBStorage):
    """A database that may be away for a while: what is asked of it is asked again, with growing pauses.

    A connection may break before a question, in the middle of it, or after it was obeyed, with the answer lost. So a
    question is a transaction, whose session is thrown away if it fails, and the two that must not be obeyed twice, to
    create a trial and to change its state, leave their mark in it: asked again, they find it.

    `Search.patience` seconds after the first of the questions without an answer the database is given up with
    `NoAnswerError`. Signs of life and values for the pruner are not waited for: a training goes on without it.
    """

    def __init__(self, search: Search) -> None:
        self.folder, self.patience = search.folder, search.patience
        self.name = search.storage or str(search.folder / "study.db")
        self.away: float | None = None    # since when; `back` is when it answered again
        self.back, self._turn, self._unsure = -float("inf"), threading.Lock(), set[str]()
        url = search.storage or f"sqlite:///{search.folder / 'study.db'}"
        self.local = url.startswith("sqlite")
        options: dict[str, Any] = {"connect_args": {"timeout": 60}}
        if not self.local:
            options = {"pool_pre_ping": True, "pool_events": [(_hang_up_on_silence, "connect")]}
        if url.startswith("postgres"):
            url = f"postgresql+psycopg://{url.partition('://')[2]}"
            options["connect_args"] = {"connect_timeout": CONNECT}
        super().__init__(
            url, engine_kwargs=options, heartbeat_interval=search.heartbeat,
            grace_period=alive.GRACE * search.heartbeat,
        )    # fmt: skip

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer, or but once within `asked_once`."""
        if in_a_hurry():
            return self.ask_once(question)
        began, pause = time.monotonic(), 1.0
        while True:
            try:
                return self.ask_once(question)
            except StorageInternalError as error:
                silent = time.monotonic() - min(began, self.away or began)
                if silent > self.patience:
                    raise NoAnswerError(
                        f"{self.name} has not answered for {silent:.0f} s ({error}). Every run that was trained is "
                        f"kept in {self.folder}: when the database is back, the same command goes on; "
                        "patience=SECONDS waits longer"
                    ) from error
            time.sleep(min(pause, LONGEST, self.patience))
            pause *= 2

    def ask_once(self, question: Callable[[], Answer]) -> Answer:
        """Ask; say when the answers stop and when they come again.

        Raises
        ------
        StorageInternalError
            With the reason, if waiting may help.
        """
        began = time.monotonic()
        try:
            answer = question()
        except (StorageInternalError, SQLAlchemyError) as error:    # Optuna lets those of a rollback through
            self.remove_session()
            said = self._reason_to_wait(error)
            with self._turn:
                if self.away is None:
                    print(f"{self.name} does not answer: {said}. Asked again for {self.patience} s; trainings go on",
                          flush=True)    # fmt: skip
                    self.away = began
            raise StorageInternalError(said) from error
        with self._turn:
            if self.away is not None:
                print(f"{self.name} answers again, after {time.monotonic() - self.away:.0f} s", flush=True)
                self.away, self.back = None, time.monotonic()
        return answer

    def _reason_to_wait(self, error: Exception) -> str:
        """What the database says, in a line; raises an error that no waiting mends."""
        fault = _first_fault(error)
        said = str(fault or error.__cause__ or error).splitlines()[0]
        if self.local and "locked" not in said:
            with clear_errors(Path(self.name)):
                raise OSError(errno.ENOSPC if "full" in said else errno.EIO, f"{self.name}: {said}") from error
        if fault is None:
            raise error
        return said

    def record_heartbeat(self, trial_id: int) -> None:
        """Give a sign of life; if that cannot be noted, the next time will."""
        with suppress(StorageInternalError, OSError):
            self.ask_once(lambda: RDBStorage.record_heartbeat(self, trial_id))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Note a value for the pruner; raises where the database does not answer."""
        self.ask_once(lambda: RDBStorage.set_trial_intermediate_value(self, trial_id, step, intermediate_value))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End or begin a trial; tells whether it was this question that did it, be it at the first try."""
        mark = uuid.uuid4().hex
        return self.ask(lambda: self._change_state(trial_id, state, values, mark))

    def _change_state(self, trial_id: int, state: TrialState, values: Sequence[float] | None, mark: str) -> bool:
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            last: Any = models.TrialSystemAttributeModel.find_by_trial_and_key(trial, CHANGED, session)
            if last is not None and last.value_json == json.dumps(mark):
                return True
            self.check_trial_is_updatable(trial_id, trial.state)
            if state == TrialState.RUNNING and trial.state != TrialState.WAITING:
                return False
            self._set_trial_attr_without_commit(session, models.TrialSystemAttributeModel, trial_id, CHANGED, mark)
            return RDBStorage.set_trial_state_values(self, trial_id, state, values)    # same session: it commits both

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        template, mark = copy(template_trial or create_trial(state=TrialState.RUNNING)), uuid.uuid4().hex
        template.system_attrs = {**template.system_attrs, CREATED: mark}
        try:
            return self.ask(lambda: RDBStorage._create_new_trial(self, study_id, template))
        finally:
            self._unsure.discard(mark)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial, session: Session
    ) -> models.TrialModel:    # fmt: skip
        """Find a trial whose creation was asked for before, or make one; nobody else makes one meanwhile."""
        mark = template_trial.system_attrs[CREATED]
        if mark in self._unsure:
            notes = models.TrialModel.system_attributes
            found = session.query(models.TrialModel).filter(
                models.TrialModel.study_id == study_id, notes.any(key=CREATED, value_json=json.dumps(mark))
            ).one_or_none()    # fmt: skip
            if found is not None:
                return found
        self._unsure.add(mark)
        return super()._get_prepared_new_trial(study_id, template_trial, session)

    def get_stale(self, study_id: int) -> list[int]:
        """Running trials without a sign of life, or that never gave any; their folders are in nobody's hands.

        None for a while after the database was away, for then nothing was heard of those that live either.
        """
        grace = alive.GRACE * (self.heartbeat_interval or 0)
        if time.monotonic() - self.back < grace:
            return []
        silent = [self.get_trial(trial_id) for trial_id in RDBStorage._get_stale_trial_ids(self, study_id)]
        late = datetime.now() - timedelta(seconds=grace)
        with _create_scoped_session(self.scoped_session) as session:
            mute = session.query(models.TrialModel.trial_id).filter(
                models.TrialModel.study_id == study_id, models.TrialModel.state == TrialState.RUNNING,
                ~models.TrialModel.heartbeats.any(),
            ).all()    # fmt: skip
        never = [self.get_trial(trial_id) for (trial_id,) in mute]
        silent += [trial for trial in never if trial.datetime_start and trial.datetime_start < late]
        return [trial._trial_id for trial in silent if not alive.still_held(self.folder, trial)]


def _first_fault(error: BaseException | None) -> DBAPIError | None:
    """What broke the connection, or made the database refuse; None if it was something else.

    Optuna asks on in a transaction that is broken (`_get_trials`), and what is raised then says that alone.
    """
    while error is not None:
        if isinstance(error, DBAPIError) and (type(error) in WAITED or error.connection_invalidated):
            return error
        error = error.__cause__ if isinstance(error, StorageInternalError) else error.__context__
    return None


def _patient(name: str) -> Callable[..., Any]:
    question = getattr(RDBStorage, name) if name != "_get_stale_trial_ids" else Database.get_stale

    @wraps(question)
    def ask(self: Database, *args: Any, **kwargs: Any) -> Any:
        return self.ask(lambda: question(self, *args, **kwargs))

    return ask


for _name in ASKED:
    setattr(Database, _name, _patient(_name))


def _hang_up_on_silence(connection: Any, record: Any) -> None:
    """Let a question to a PostgreSQL that is stopped, or behind a dead wire, fail; psycopg would wait for ever."""
    if not hasattr(connection, "wait"):
        return
    wait = connection.wait

    def hang_up() -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def timed(*args: Any, **kwargs: Any) -> Any:
        timer = threading.Timer(SILENCE, hang_up)
        timer.daemon = True
        timer.start()
        try:
            return wait(*args, **kwargs)
        finally:
            timer.cancel()

    connection.wait = timed
