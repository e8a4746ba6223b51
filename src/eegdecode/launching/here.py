"""Jobs side by side on this machine. joblib's threads wait for them; a job that is killed takes no other with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import joblib

from eegdecode.launching.jobs import Ended, Job, interrupt, run


def run_here(jobs: Sequence[Job], *, n_jobs: int = -1, cores: int | None = None) -> Iterator[Ended]:
    """Run jobs in processes of this machine and yield how each ended, as it ends.

    Parameters
    ----------
    jobs : sequence of Job
    n_jobs : int
        Jobs at a time; -1: one a core, as joblib has it.
    cores : int or None
        Cores of a job; None shares those of the machine out among ``n_jobs``.
    """
    if n_jobs == 0 or (cores is not None and cores < 1):
        raise ValueError(f"hydra.launcher.n_jobs and cores must not be 0, got n_jobs={n_jobs}, cores={cores}")
    there = _count_cores()
    at_once = min(n_jobs if n_jobs > 0 else max(1, there + 1 + n_jobs), len(jobs))
    share = cores or max(1, there // at_once)
    print(f"{len(jobs)} jobs, {at_once} at a time on this machine, cores for each: {share}", flush=True)
    ended = threading.Event()

    def start(job: Job) -> Ended:
        return Ended(job, "not begun: the sweep was interrupted", 0.0) if ended.is_set() else run(job)

    parallel = joblib.Parallel(n_jobs=at_once, backend="threading", return_as="generator_unordered")
    results = cast(Iterator[Ended], parallel(joblib.delayed(start)(replace(job, cores=share)) for job in jobs))
    try:
        yield from results
    finally:
        ended.set()
        interrupt()


def _count_cores() -> int:
    """Cores that this process may use: of a job that shares its machine those in $EEGDECODE_CORES, as of a trainer."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, int(os.environ.get("EEGDECODE_CORES") or there))
