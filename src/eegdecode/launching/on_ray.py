"""Jobs on Ray: a cluster that runs already, or one that is started on this machine for the sweep."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from eegdecode.launching.jobs import Ended, Job, run


def run_on_ray(
    jobs: Sequence[Job], *, address: str | None = None, cores: int = 1, gpus: float = 0, again: int = 2,
) -> Iterator[Ended]:    # fmt: skip
    """Give jobs to Ray as tasks and yield how each ended, as it ends.

    Parameters
    ----------
    jobs : sequence of Job
    address : str or None
        ``host:port`` of a head or ``auto``; None takes ``$RAY_ADDRESS``, a Ray that was started on this machine, or
        starts one here.
    cores, gpus
        What each job asks for; of a GPU a share too.
    again : int
        How often a job whose worker or node was lost is started again elsewhere. One that fails by itself is not.
    """
    ray = _ray()
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        raise ValueError(f"launcher=ray: no Ray answers at hydra.launcher.address={address} ({error})") from error
    try:
        there = ray.cluster_resources()
        if there.get("CPU", 0) < cores or there.get("GPU", 0) < gpus:
            raise ValueError(f"hydra.launcher.cores={cores}, gpus={gpus}: Ray has {there.get('CPU', 0):.0f} cores and "
                             f"{there.get('GPU', 0):.0f} GPUs in all, so no job would begin")    # fmt: skip
        print(f"{len(jobs)} jobs on Ray, {there.get('CPU', 0):.0f} cores in all, for each: {cores}", flush=True)
        start = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=again)(run)
        waiting = {start.remote(replace(job, cores=cores)): job for job in jobs}
        while waiting:
            (task,), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(task)
            try:
                yield ray.get(task)
            except ray.exceptions.RayError as error:
                yield Ended(job, f"lost by Ray: {type(error).__name__}, {str(error).strip().splitlines()[0]}", 0.0)
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ValueError('launcher=ray needs ray: pip install -c constraints.txt -e ".[ray]"') from error
