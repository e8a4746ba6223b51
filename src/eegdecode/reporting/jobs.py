"""Jobs as their run folders tell of them: what is done, failed, in work or waiting, and the command that goes on."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eegdecode.reporting.commands import command_for
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import ERROR, MARKER, PRETRAINING, SUMMARY, holder_of
from eegdecode.reporting.tables import read_scores

STATES = ("failed", "waiting", "in work", "pruned", "done")


@dataclass(frozen=True)
class JobFolder:
    """One run folder, and how far the job is that writes into it.

    Attributes
    ----------
    state : {"done", "in work", "failed", "waiting", "pruned"}
        ``failed``: runs were tried and have failed; ``waiting``: nobody works on what is left; ``pruned``: a trial that
        its search has stopped, so that nothing is left of it.
    n_done, n_expected : int
        Runs.
    command, log : str
        What goes on with it in this folder, typed where it was typed before, and the file that its output went to;
        empty if unknown.
    reason : str
        What went wrong in the first run that failed, who works in the folder, or why the trial was stopped.
    """

    folder: Path
    state: str
    n_done: int
    n_expected: int
    command: str = ""
    log: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """A line, and of a job that has failed or waits its command and log."""
        text = f"{self.state:8} {self.n_done}/{self.n_expected} runs  {self.folder}"
        text += f"\n  {self.reason}" if self.reason else ""
        if self.state in ("failed", "waiting"):
            text += f"\n  command: {self.command}" if self.command else ""
            text += f"\n  log: {self.log}" if self.log else ""
        return text


def list_jobs(places: Sequence[Path | str]) -> list[JobFolder]:
    """Look at every run folder at or below some folders; those that need somebody come first."""
    for place in places:
        if not Path(place).is_dir():
            raise ValueError(f"{place} is no folder; give run folders, or folders with run folders below")
    marks = (MARKER, ERROR)
    found = {mark.parent for place in places for name in marks for mark in Path(place).rglob(name)}    # as typed
    return sorted(map(look, found), key=lambda job: (STATES.index(job.state), str(job.folder)))


def look(folder: Path) -> JobFolder:
    """Look at one run folder, also while others write into it."""
    if not (folder / MARKER).exists():
        error = read_json(folder / ERROR)
        command, moved = command_for(folder, str(error.get("command", "")))
        return JobFolder(folder, "failed", 0, 0, command, "", _joined(str(error.get("reason", "")), moved))
    marker = read_json(folder / MARKER)
    encoders = read_json(folder / SUMMARY) if marker.get("kind") == PRETRAINING else {}    # they have no scores
    n_expected = encoders.get("n_expected") or sum(row["n"] for row in marker.get("expected", []))
    damaged, tried = f"{MARKER} is damaged; the same command makes it anew" if not marker else "", None
    try:
        tried = read_scores(folder)["status"] if (folder / "scores.csv").exists() else None
    except (KeyError, ValueError):    # one folder must not hide the others
        damaged = "scores.csv is damaged; the same command makes it anew"
    n_done = encoders.get("n_done", 0) if tried is None else int((tried == "done").sum())
    bad = [] if tried is None else tried[tried != "done"].tolist()
    holder, trial = holder_of(folder), _trial(folder)
    if n_expected and n_done == n_expected:
        state, reason = "done", ""
    elif holder:
        state, reason = "in work", f"process {holder.get('pid')} on {holder.get('host')}"
    elif trial.get("state") in ("pruned", "failed"):
        state, reason = str(trial["state"]), str(trial["why"])
    else:
        state, reason = ("failed", f"{bad[0]} ({len(bad)} runs)") if bad and marker else ("waiting", damaged)
    facts, search = marker.get("facts", {}), folder.parent.parent
    command, log = facts.get("command") or "", facts.get("log") or ""
    if trial and state == "failed":    # the search itself goes on without it
        command = shlex.join(["python", "scripts/sweep.py", "retry", str(search), trial["trial"]])
        log = folder / "error.txt"
    elif state in ("failed", "waiting"):
        command, moved = command_for(folder, str(command))
        reason = _joined(reason, moved)
    return JobFolder(folder, state, n_done, n_expected, command, str(log), reason)


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))


def _trial(folder: Path) -> dict[str, str]:
    """What its search says of the trial in a folder; empty where there is no search."""
    folder = folder.absolute()    # `.` has no name and no parents
    table = folder.parent.parent / "trials.csv"
    if folder.parent.name != "trials" or not table.exists():
        return {}
    trials = pd.read_csv(table, usecols=["trial", "folder", "state", "why"], dtype=str, keep_default_na=False)
    last = trials[trials["folder"] == f"trials/{folder.name}"].tail(1)    # those before it were repeated
    return {str(name): str(value) for row in last.to_dict("records") for name, value in row.items()}


def without_jobs(places: Sequence[Path | str], jobs: Sequence[JobFolder]) -> list[str]:
    """Say which of the folders that were looked through hold no job."""
    return [f"{place} holds no job: no run folder at or below it" for place in places
            if not any(job.folder.is_relative_to(place) for job in jobs)]    # fmt: skip


def summary(jobs: Sequence[JobFolder]) -> str:
    """Count jobs and runs."""
    counts = ", ".join(f"{n} {state}" for state in STATES if (n := sum(job.state == state for job in jobs)))
    return f"{len(jobs)} jobs: {counts or 'none'}; {sum(j.n_done for j in jobs)}/{sum(j.n_expected for j in jobs)} runs"


def retry(jobs: Sequence[JobFolder]) -> Iterator[str]:
    """Type the commands of jobs that have failed or wait again, one after the other, and look again.

    Jobs of one multirun share their command. Yields the commands that fail, and what then still waits or has failed.
    """
    left = [job for job in jobs if job.state in ("failed", "waiting")]
    for command in dict.fromkeys(job.command for job in left if job.command):
        print(f"$ {command}", flush=True)
        words = shlex.split(command)
        code = subprocess.run([sys.executable, *words[1:]] if words[0] == "python" else words).returncode
        if code:
            yield f"{command} (exit code {code})"
    for job in (look(job.folder) for job in left):
        if job.state in ("failed", "waiting"):
            why = job.reason or "its command is not known" * (not job.command)
            words = "has failed" if job.state == "failed" else "still waits"
            yield _joined(f"{job.folder} {words}, {job.n_done}/{job.n_expected} runs are done", why)
