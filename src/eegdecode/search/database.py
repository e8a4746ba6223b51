"""A study in a database, SQLite or a server: it may be away for a while, and trainings go on without it."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState

from eegdecode.reporting.disk import clear_errors
from eegdecode.search import alive
from eegdecode.search.settings import Search

LONGEST = 30.0    # s between two attempts to reach a database
CONNECT = 10      # s that a connection may take
SILENCE = 20.0    # s after which a database that has taken a question and says nothing is hung up on
ASKED = (    # what Optuna asks of a database
    "create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "_create_new_trial", "_set_trial_param", "get_trial_id_from_study_id_trial_number", "get_trial",
    "_get_trials", "set_trial_user_attr", "set_trial_system_attr", "_get_stale_trial_ids",
)    # fmt: skip
Answer = TypeVar("Answer")


class NoAnswerError(OSError):
    """A database that has not answered for longer than anybody wanted to wait."""


class Database(RDBStorage):
    """A database that may be away for a while: what is asked of it is asked again, with growing pauses.

    `Search.patience` seconds after its last answer it is given up with `NoAnswerError`. Signs of life and values for
    the pruner are not waited for: a training goes on without its database.
    """

    def __init__(self, search: Search, callback: alive.Callback) -> None:
        self.folder, self.patience = search.folder, search.patience
        self.name = search.storage or str(search.folder / "study.db")
        self.away, self.answered, self._turn = False, time.monotonic(), threading.Lock()
        url = search.storage or f"sqlite:///{search.folder / 'study.db'}"
        options: dict[str, Any] = {"connect_args": {"timeout": 60}}
        if not url.startswith("sqlite"):
            options = {"pool_pre_ping": True, "pool_events": [(_hang_up_on_silence, "connect")]}
        if url.startswith("postgres"):
            url = f"postgresql+psycopg://{url.partition('://')[2]}"
            options["connect_args"] = {"connect_timeout": CONNECT}
        super().__init__(
            url, engine_kwargs=options, heartbeat_interval=search.heartbeat,
            grace_period=alive.GRACE * search.heartbeat, heartbeat_stale_trial_callback=callback,
        )    # fmt: skip

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer."""
        pause = 1.0
        while True:
            try:
                return self.ask_once(question)
            except StorageInternalError as error:
                reason = self._reason_to_wait(error)
                silent = time.monotonic() - self.answered
                if silent > self.patience:
                    raise NoAnswerError(
                        f"{self.name} has not answered for {silent:.0f} s ({reason}). Every run that was trained is "
                        f"kept in {self.folder}: when the database is back, the same command goes on; "
                        "patience=SECONDS waits longer"
                    ) from error
            time.sleep(min(pause, LONGEST, self.patience))
            pause *= 2

    def ask_once(self, question: Callable[[], Answer]) -> Answer:
        """Ask; say when the answers stop and when they come again."""
        try:
            answer = question()
        except StorageInternalError as error:
            with self._turn:
                if not self.away:
                    print(f"{self.name} does not answer: {self._reason_to_wait(error)}. Asked again for "
                          f"{self.patience} s; trainings go on", flush=True)    # fmt: skip
                self.away = True
            raise
        with self._turn:
            if self.away:
                print(f"{self.name} answers again, after {time.monotonic() - self.answered:.0f} s", flush=True)
            self.away, self.answered = False, time.monotonic()
        return answer

    def _reason_to_wait(self, error: StorageInternalError) -> str:
        """What the database says, in a line; raises an error that no waiting mends."""
        said = str(error.__cause__).splitlines()[0]
        if self.engine.dialect.name == "sqlite" and "locked" not in said:
            with clear_errors(Path(self.name)):
                raise OSError(errno.ENOSPC if "full" in said else errno.EIO, f"{self.name}: {said}") from error
        if type(error.__cause__).__name__ not in ("OperationalError", "InterfaceError", "DBAPIError"):
            raise error
        return said

    def record_heartbeat(self, trial_id: int) -> None:
        """Give a sign of life; if that cannot be noted, the next time will."""
        with suppress(StorageInternalError, OSError):
            self.ask_once(lambda: RDBStorage.record_heartbeat(self, trial_id))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Note a value for the pruner; raises where the database does not answer."""
        self.ask_once(lambda: RDBStorage.set_trial_intermediate_value(self, trial_id, step, intermediate_value))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """End or begin a trial. The answer to the first question may have been lost, not the question."""
        try:
            return self.ask(lambda: RDBStorage.set_trial_state_values(self, trial_id, state, values))
        except UpdateFinishedTrialError:
            if self.get_trial(trial_id).state == state != TrialState.FAIL:
                return True
            raise

    def get_stale(self, study_id: int) -> list[int]:
        """Running trials without a sign of life, or that never gave any; their folders are in nobody's hands."""
        silent = [self.get_trial(trial_id) for trial_id in RDBStorage._get_stale_trial_ids(self, study_id)]
        late = datetime.now() - timedelta(seconds=alive.GRACE * (self.heartbeat_interval or 0))
        with _create_scoped_session(self.scoped_session) as session:
            mute = session.query(models.TrialModel.trial_id).filter(
                models.TrialModel.study_id == study_id, models.TrialModel.state == TrialState.RUNNING,
                ~models.TrialModel.heartbeats.any(),
            ).all()    # fmt: skip
        never = [self.get_trial(trial_id) for (trial_id,) in mute]
        silent += [trial for trial in never if trial.datetime_start and trial.datetime_start < late]
        return [trial._trial_id for trial in silent if not alive.still_held(self.folder, trial)]


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
