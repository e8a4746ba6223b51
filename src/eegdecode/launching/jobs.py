"""A job of a sweep is a command that anybody can type again, run in a process of its own, with a log of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOM = 2**16    # bytes of a disk with less free are too few for a log
GRACE = 60.0    # s that an interrupted job has for its results and its report
CARRIED = ("EEGDECODE_", "HF_", "MNE_", "PYTHON", "WANDB_")    # variables that a job has wherever it runs
SECRET = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")    # but never those: a job of a cluster lies on a shared disk


def _carried() -> dict[str, str]:
    """Variables of this process that are a job's, too."""
    own = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
    return {name: value for name, value in own.items() if not name.upper().endswith(SECRET)}


@dataclass(frozen=True)
class Job:
    """One command of a sweep.

    Parameters
    ----------
    script : str
        The Python file to run.
    arguments : tuple of str
        What is typed behind it.
    log : Path
        Where its output goes; on several machines in a folder that they share, as the working directory.
    cores : int
        Cores that it may use: threads of numerical libraries and workers of the trainer.
    folder : str
        Working directory.
    environment : mapping
        Variables it is given beside those of the place where it runs: by default those of this process that are
        `CARRIED`, without keys and passwords (`SECRET`). Where a job does not inherit those either, wandb reads
        ``~/.netrc`` (``wandb login`` writes it) and Hugging Face's hub its own file.
    """

    script: str
    arguments: tuple[str, ...]
    log: Path
    cores: int = 1
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(default_factory=_carried)

    def __post_init__(self) -> None:
        if self.cores < 1:
            raise ValueError(f"a job needs at least one core, got {self.cores}")

    @property
    def command(self) -> str:
        """As it is typed."""
        script = Path(self.script)
        near = script.relative_to(self.folder) if script.is_relative_to(self.folder) else script
        return shlex.join(["python", str(near), *self.arguments])


@dataclass(frozen=True)
class Ended:
    """How a job ended: ``reason`` is empty if it did what it should."""

    job: Job
    reason: str
    seconds: float


def run(job: Job) -> Ended:
    """Run a job here and wait for its end.

    A process of a group of its own, so that Ctrl-C in a terminal reaches the sweep alone, which then interrupts each
    job once. On Linux it dies with the process that waits for it, however that dies: what is lost is started again
    elsewhere, and must not find its folder in use.
    """
    began = time.monotonic()
    try:
        reason = reason_of(_wait_for(job), job.log)
    except OSError as error:    # no room for its log, no such folder here: the others need not end with it
        reason = f"it cannot be started here: {error}"
    return Ended(job, reason, time.monotonic() - began)


def _wait_for(job: Job) -> int:
    """Run a job and give its exit code."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    cores = {name: str(job.cores) for name in ("OMP_NUM_THREADS", "EEGDECODE_CORES")}
    environment = {**os.environ, **job.environment, **cores}
    with job.log.open("ab") as log:    # a job may be begun again
        process = subprocess.Popen(
            [*_mortal(), sys.executable, job.script, *job.arguments], cwd=job.folder, start_new_session=True,
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )    # fmt: skip
        with _noted(process):
            return process.wait()


def reason_of(code: int, log: Path) -> str:
    """Why a job failed, in a line: the error that its log ends with, the signal that killed it; empty if it did not."""
    if code == 0:
        return ""
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(\w+\.)*\w*[Ee]rror: ", line)]
    if not told and shutil.disk_usage(log.parent).free < ROOM:    # nor could it say so
        return f"exit code {code}; the disk of its log, {log}, is full"
    return (told or lines or [f"exit code {code}"])[-1].strip().removeprefix("error: ")


_running: set[subprocess.Popen] = set()


def interrupt() -> None:
    """Let every job that this process runs write what is finished and end, as Ctrl-C does, and wait for it.

    Jobs die with this process, and so it must not be gone before them; a second Ctrl-C does not wait.
    """
    there, until = tuple(_running), time.monotonic() + GRACE
    for process in there:
        process.send_signal(signal.SIGINT)
    for process in there:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))


@contextmanager
def _noted(process: subprocess.Popen) -> Iterator[None]:
    _running.add(process)
    try:
        yield
    except BaseException:
        process.kill()    # this process ends without waiting: so must the job
        raise
    finally:
        _running.discard(process)


def _mortal() -> list[str]:
    """What to put before a command that shall die with the thread that waits for it, where the system has that.

    Not a ``preexec_fn``: Python code between fork and exec may hang where there are threads.
    """
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    return [program, "--pdeathsig", "KILL", "--"] if program else []


def follow(jobs: Sequence[Job], ends: Iterator[Ended]) -> list[str]:
    """Tell how each job ended as soon as it has, and return those that failed, each with its command and log."""
    failures = []
    for number, end in enumerate(ends, start=1):
        place = f"[{number}/{len(jobs)}]"
        if end.reason:
            failures.append(f"{end.reason}\n  command: {end.job.command}\n  log: {end.job.log}")
            print(f"{place} FAILED after {end.seconds:.0f} s: {failures[-1]}", flush=True)
        else:
            print(f"{place} done in {end.seconds:.0f} s: {shlex.join(end.job.arguments)}", flush=True)
    return failures
