"""A study in a file that nodes share: no half lines, and signs of life."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage, journal
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal._file import get_lock_file
from optuna.trial import FrozenTrial, TrialState

from eegdecode.reporting.disk import clear_errors
from eegdecode.search import alive

LOCKED = 30    # s after which the lock of a process that writes a line counts as left by one that was killed


class WholeLines(journal.JournalFileBackend):
    """A journal in which a full disk leaves no half line, for that would make it unreadable.

    The lock is a file of its own (NFS 3 and later). Optuna's default, a link to the journal, leads nowhere where the
    path is relative or a node mounts the disk elsewhere; then the lock of a process that was killed is waited for
    without end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), journal.JournalFileOpenLock(str(path), grace_period=LOCKED))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines whole or not at all."""
        path, text = Path(self._file_path), "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with clear_errors(path), get_lock_file(self._lock), path.open("ab", buffering=0) as file:
            end, rest = file.tell(), memoryview(text.encode())
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                os.truncate(path, end)
                raise


class BeatingJournal(JournalStorage, BaseHeartbeat):
    """A journal file whose running trials give signs of life, as those of Optuna's databases do.

    The clocks of all nodes must agree to within the time after which a trial counts as dead.
    """

    def __init__(self, path: Path, *, interval: int) -> None:
        super().__init__(WholeLines(path))
        self.path, self.interval = path, interval

    def record_heartbeat(self, trial_id: int) -> None:
        """Note the time beside the trial; if it cannot be noted, the next time will, or the trial was taken from us."""
        with suppress(OSError, UpdateFinishedTrialError):
            self.set_trial_system_attr(trial_id, "beat", time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        silent = [trial for trial in running if time.time() - _sign_of_life(trial) > alive.GRACE * self.interval]
        return [trial._trial_id for trial in silent if not alive.still_held(self.path.parent, trial)]

    def get_heartbeat_interval(self) -> int | None:
        """Seconds between two signs of life."""
        return self.interval

    def get_heartbeat_stale_trial_callback(self) -> None:
        """What is done about a trial that died: see `eegdecode.search.repeats`."""


def _sign_of_life(trial: FrozenTrial) -> float:
    began = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    return max(began, float(trial.system_attrs.get("beat", 0)))
