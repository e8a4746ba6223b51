"""Worker processes that train: the cores of a CPU with a run at a time each, or GPUs with a stack at a time each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from eegdecode.runs import Claim, OnEpoch, Prediction, Run
from eegdecode.training.batches import Material
from eegdecode.training.collecting import collect, leave
from eegdecode.training.crew import count_cores, crew, how_to_start, start, submit
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.job import Job, job_folder, open_job
from eegdecode.training.loop import train_stack
from eegdecode.training.room import deal, stack_size, train_as_fits
from eegdecode.training.settings import DeepSettings
from eegdecode.trials import Trials

_told: SimpleQueue | None = None    # in a worker: where it tells of its epochs
_device = ""                        # in a worker: where it trains


def train_in_workers(
    settings: DeepSettings, model: partial, trials: Trials, stacks: Sequence[Sequence[Run]], *,
    frontend: FrontEnd, devices: Sequence[str], on_epoch: OnEpoch, claim: Claim = list,
) -> Iterator[Prediction]:    # fmt: skip
    """Train stacks in worker processes, one a device, and yield predictions as they are finished, in any order.

    Raises
    ------
    NoWorkersError
        Before the first run, if there can be no workers.
    RuntimeError
        If a worker was killed. What a worker raises is raised here, after what is finished was yielded, with the
        run and the device as a note.
    """
    with job_folder(settings, model, trials, frontend) as folder, _crew(folder, devices) as (pool, told):
        start(pool, len(devices), partial(_open, folder))
        if settings.mode == "vectorise":
            measured = submit(pool, _measure, folder, stacks)    # on one device: they are taken to be alike
            stacks = deal(stacks, size=measured.result(), n_devices=len(devices))
        begin = partial(submit, pool, _train, folder)
        yield from collect(begin, stacks, told, on_epoch, claim=claim, ahead=2 * len(devices))


@contextmanager
def _crew(folder: Path, devices: Sequence[str]) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue]]:
    """Workers with a device each."""
    context = how_to_start(preload=__name__)
    threads = max(1, min(torch.get_num_threads(), count_cores() // len(devices)))
    free = context.SimpleQueue()
    for device in devices:
        free.put(device)
    try:
        with crew(folder, len(devices), _begin, free, threads, context=context) as (pool, told):
            yield pool, told
    finally:
        free.close()


# ---- in a worker ----------------------------------------------------------------------------------------------------


def _begin(told: SimpleQueue, free: SimpleQueue, threads: int) -> None:
    """Take a free device."""
    global _told, _device
    _told, _device = told, free.get()
    torch.set_num_threads(threads)
    if _device.startswith("cuda:"):    # so that nothing is put on the first GPU by default
        torch.cuda.set_device(_device)


@lru_cache(maxsize=1)
def _open(folder: Path) -> tuple[Job, Material]:
    """Open the job; on a GPU its signals are copied to it."""
    job, trials, moments = open_job(folder)
    return job, Material.of(trials, per_trial=job.frontend.per_trial, device=_device, moments=moments)


def _measure(folder: Path, stacks: Sequence[Sequence[Run]]) -> int:
    """How many runs the device of this worker holds."""
    job, material = _open(folder)
    return stack_size(job.settings, partial(_train_stack, job, material), stacks, device=_device)


def _train(folder: Path, number: int, stack: Sequence[Run]) -> Path:
    """Train a stack, telling the parent of each epoch."""
    place = {id(run): i for i, run in enumerate(stack)}

    def tell(run: Run, row: Mapping[str, float]) -> None:
        assert _told is not None
        _told.put((number, place[id(run)], row))

    try:
        job, material = _open(folder)
        train = partial(_train_stack, job, material, job.settings, on_epoch=tell)
        predictions = list(train_as_fits(lambda runs: train(runs=runs), [stack], size=len(stack)))
        return leave(predictions, folder, number)
    except Exception as error:
        beside = f" and {len(stack) - 1} beside it" if len(stack) > 1 else ""
        error.add_note(f"(in run {stack[0].name()}{beside}, on {_device})")
        raise


def _train_stack(
    job: Job, material: Material, settings: DeepSettings, *, runs: Sequence[Run], on_epoch: OnEpoch
) -> list[Prediction]:    # fmt: skip
    return train_stack(
        settings, job.model, material, runs, frontend=job.frontend, mode=settings.mode, on_epoch=on_epoch
    )
