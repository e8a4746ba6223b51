"""Worker processes that fit pipelines, a run at a time each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from eegdecode.runs import Claim, OnEpoch, Prediction, Run
from eegdecode.training.classical_fit import fit_run
from eegdecode.training.collecting import collect, leave
from eegdecode.training.crew import crew, how_to_start, start, submit
from eegdecode.training.job import job_folder, open_job
from eegdecode.trials import Trials

_told: SimpleQueue | None = None    # in a worker: where it tells that a run is fitted


def fit_in_workers(
    scale: float, model: partial, trials: Trials, runs: Iterable[Run], *, frontend: Any, n_workers: int,
    on_epoch: OnEpoch, claim: Claim,
) -> Iterator[Prediction]:    # fmt: skip
    """Fit runs in worker processes, and yield predictions as `workers.train_in_workers` does, with its errors."""
    context = how_to_start(preload=__name__)
    with (
        job_folder(scale, model, trials, frontend) as folder,
        crew(folder, n_workers, _begin, context=context) as (pool, told),
    ):
        start(pool, n_workers, partial(open_job, folder))
        begin = partial(submit, pool, _fit, folder)
        yield from collect(begin, [[run] for run in runs], told, on_epoch, claim=claim, ahead=2 * n_workers)


# ---- in a worker ----------------------------------------------------------------------------------------------------


def _begin(told: SimpleQueue) -> None:
    global _told
    _told = told


def _fit(folder: Path, number: int, stack: Sequence[Run]) -> Path:
    """Fit a run, the only one of its stack, and tell the parent."""
    assert _told is not None
    (run,) = stack
    try:
        job, trials, moments = open_job(folder)
        pipeline = job.model(sfreq=trials.signal.sfreq, classes=trials.classes)
        prediction = fit_run(pipeline, trials, run, scale=job.settings, frontend=job.frontend, moments=moments)
    except Exception as error:
        error.add_note(f"(in run {run.name()})")
        raise
    _told.put((number, 0, {"epoch": 1}))
    return leave([prediction], folder, number)
