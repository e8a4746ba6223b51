"""Jobs on a cluster with Slurm: one array of jobs, submitted by submitit, and watched so that a lost job is noticed."""

from __future__ import annotations

import importlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from eegdecode.launching.jobs import Ended, Job, run

ALIVE = {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED",
         "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING", "RESV_DEL_HOLD", "SPECIAL_EXIT"}    # fmt: skip
USUAL = {"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning"}    # reasons to wait
GOES_ON = "the same command goes on from its last state"
WHY = {    # what submitit says of a job whose time is up -> in words
    "'scontrol', 'requeue'": f"its time was up, and Slurm does not put it back into the queue; {GOES_ON}",
    "timed-out too many times": "its time limit came more often than hydra.launcher.again; give it more "
    f"hydra.launcher.minutes, or {GOES_ON}",
}
GRACE = 30.0    # s that a result may take to be seen on a file system of a network after its job has left the queue


class QueueState(NamedTuple):
    """What Slurm says of a job: ``PENDING`` and, why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Resumable:
    """A job that goes back into Slurm's queue at its time limit, and on from its last state (`trainer.save_every`)."""

    job: Job

    def __call__(self) -> Ended:
        """Run it."""
        return run(self.job)

    def checkpoint(self) -> Any:
        """Return what submitit submits again."""
        return _submitit().helpers.DelayedSubmission(self)


def run_on_slurm(
    jobs: Sequence[Job], *, cores: int = 2, gpus: int = 0, memory_gb: float | None = None, minutes: int = 240,
    partition: str | None = None, n_jobs: int = 100, again: int = 3, setup: Sequence[str] = (),
    sbatch: Mapping[str, Any] | None = None, poll: float = 5.0,
) -> Iterator[Ended]:    # fmt: skip
    """Submit jobs to Slurm as one array and yield how each ended, as it ends.

    Parameters
    ----------
    jobs : sequence of Job
    cores, gpus, memory_gb, minutes, partition
        What each job asks for; None leaves it to the cluster. Shortly before its minutes are over a job is stopped.
    n_jobs : int
        Jobs at a time, at most.
    again : int
        How often a job goes back into the queue at its time limit. That of a lost node does by itself.
    setup : sequence of str
        Shell commands before it, such as ``module load cuda``.
    sbatch : mapping
        Further options of sbatch by their long names: ``{account: lab}``. ``{no-requeue: true}`` keeps jobs that
        were stopped or lost out of the queue.
    poll : float
        s between two questions to the controller.
    """
    if minutes < 1 or again < 0:
        raise ValueError(f"hydra.launcher.minutes={minutes}, again={again}: give at least a minute, and 0 times")
    submitit, sbatch = _submitit(), dict(sbatch or {})
    folder = jobs[0].log.parent / "slurm"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=again)
    except RuntimeError as error:
        raise ValueError(f"launcher=slurm: {error} Its commands (sbatch, srun) are not here") from error
    asked = {
        "name": "eegdecode", "cpus_per_task": cores, "gpus_per_node": gpus or None, "mem_gb": memory_gb,
        "timeout_min": minutes, "slurm_partition": partition, "slurm_array_parallelism": n_jobs,
        "slurm_setup": list(setup) or None, "slurm_signal_delay_s": min(90, 12 * minutes),
        "slurm_additional_parameters": {**({} if "no-requeue" in sbatch else {"requeue": True}), **sbatch},
    }    # fmt: skip
    executor.update_parameters(**{name: value for name, value in asked.items() if value is not None})
    jobs = [replace(job, cores=cores) for job in jobs]
    try:
        with executor.batch():
            handles = [executor.submit(Resumable(job)) for job in jobs]
    except RuntimeError as error:    # submitit's FailedJobError: an unknown partition or account, too large an array
        raise ValueError(f"launcher=slurm: the jobs were refused: {' '.join(str(error).split())}") from error
    print(f"{len(jobs)} jobs in Slurm's queue, cores for each: {cores}; squeue shows them", flush=True)
    waiting = dict(zip((handle.job_id for handle in handles), zip(jobs, handles, strict=True), strict=True))
    try:
        yield from _watch(waiting, poll)
    finally:
        if waiting:
            subprocess.run(["scancel", *waiting], check=False)


def _watch(waiting: dict[str, tuple[Job, Any]], poll: float) -> Iterator[Ended]:
    """Yield jobs as they end, and take them out.

    submitit would ask sacct, which a cluster without accounting does not have, and a killed job would never end.
    """
    began, gone, said = time.monotonic(), {}, set()
    while waiting:
        states = _states(list(waiting))
        reasons = {state.reason for state in (states or {}).values() if state.name == "PENDING"}
        for reason in sorted(reasons - said - USUAL):
            said.add(reason)
            print(f"Slurm lets jobs wait: {reason}", flush=True)
        for number, (job, handle) in list(waiting.items()):
            if handle.paths.result_pickle.exists():
                ended = _result(job, handle, time.monotonic() - began)
            else:
                state = None if states is None else states.get(number, QueueState("NO LONGER KNOWN", ""))
                if state is None or state.name in ALIVE:
                    gone.pop(number, None)
                    continue
                if time.monotonic() - gone.setdefault(number, time.monotonic()) < min(GRACE, 3 * poll):
                    continue
                reason = f"lost by Slurm: {state.name.lower().replace('_', ' ')} (job {number}; {handle.paths.stderr})"
                ended = Ended(job, f"{reason}; {GOES_ON}", time.monotonic() - began)
            del waiting[number]
            yield ended
        time.sleep(poll if waiting else 0)


def _result(job: Job, handle: Any, seconds: float) -> Ended:
    try:
        return handle.result()
    except Exception as error:    # whatever it was in the job, as text
        text = str(error).strip() or type(error).__name__
        said = ([line for line in text.splitlines() if re.match(r"[\w.]*Error: ", line)] or text.splitlines())[-1]
        return Ended(job, next((words for sign, words in WHY.items() if sign in text), said), seconds)


def _states(numbers: Sequence[str]) -> dict[str, QueueState] | None:
    """State of each job that the controller still knows; None if it does not answer."""
    arrays = sorted({number.partition("_")[0] for number in numbers})
    ask = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T %r", f"--jobs={','.join(arrays)}"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {row[0]: QueueState(row[1], row[2]) for row in rows if len(row) == 3}


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise ValueError('launcher=slurm needs submitit: pip install -c constraints.txt -e ".[slurm]"') from error
