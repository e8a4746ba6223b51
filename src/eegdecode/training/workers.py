"""Worker processes: the cores of a CPU with a run at a time each, or several GPUs with a stack at a time each.

A worker ends when its parent does, however that ends: it reads from a pipe that nobody writes to, and whose
other end the parent alone holds.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread

import torch

from eegdecode.runs import Claim, Prediction, Run
from eegdecode.training.batches import Material
from eegdecode.training.collecting import collect
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.job import Job, NoWorkersError, job_folder, open_job
from eegdecode.training.loop import OnEpoch, train_stack
from eegdecode.training.room import deal, stack_size, train_as_fits
from eegdecode.training.settings import DeepSettings
from eegdecode.trials import Trials

_told: SimpleQueue | None = None    # in a worker: where it tells of its epochs
_device = ""                        # in a worker: where it trains


def count_cores() -> int:
    """Cores that this process may use: those of a job that shares its machine are in $EEGDECODE_CORES."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, int(os.environ.get("EEGDECODE_CORES") or there))


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
    if multiprocessing.current_process().daemon:
        raise NoWorkersError("this process is itself a worker that may have none")
    with job_folder(settings, model, trials, frontend) as folder, _crew(folder, devices) as (pool, told):
        _start(pool, folder, len(devices))
        if settings.mode == "vectorise":
            with _no_interrupt():
                measured = pool.submit(_measure, folder, stacks)    # on one device: they are taken to be alike
            stacks = deal(stacks, size=measured.result(), n_devices=len(devices))

        def begin(number: int, stack: Sequence[Run]) -> Future[Path]:
            with _no_interrupt():
                return pool.submit(_train, folder, number, stack)

        yield from collect(begin, stacks, told, on_epoch, claim=claim, ahead=2 * len(devices))


def _context() -> BaseContext:
    """Return how processes start: never by a fork of this one, which would copy the locks of torch's threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])    # torch is imported once
    return context


@contextmanager
def _crew(folder: Path, devices: Sequence[str]) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue]]:
    """The workers, and a queue that brings what they tell of each epoch. They end at once when this is left."""
    context = _context()
    threads = max(1, min(torch.get_num_threads(), count_cores() // len(devices)))
    lifeline, held = context.Pipe(duplex=False)
    told, free = context.SimpleQueue(), context.SimpleQueue()
    for device in devices:
        free.put(device)
    pool = ProcessPoolExecutor(
        len(devices), mp_context=context, initializer=_begin, initargs=(folder, told, free, lifeline, threads)
    )
    try:
        yield pool, told
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        told.close()
        free.close()


def _start(pool: ProcessPoolExecutor, folder: Path, n_workers: int) -> None:
    """Start the workers and let them open the job, which shows whether they can."""
    with _no_interrupt():
        opened = [pool.submit(_open, folder) for _ in range(n_workers)]
    try:
        for future in opened:
            future.result()
    except Exception as error:
        raise NoWorkersError(f"the workers do not start ({type(error).__name__}: {error})") from error


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all; ours comes when this ends."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in a worker ----------------------------------------------------------------------------------------------------


def _begin(folder: Path, told: SimpleQueue, free: SimpleQueue, lifeline: Connection, threads: int) -> None:
    """Set up this worker and take a free device; the queues come by inheritance, for they cannot be sent."""
    global _told, _device
    _told, _device = told, free.get()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    if _device.startswith("cuda:"):    # so that nothing is put on the first GPU by default
        torch.cuda.set_device(_device)
    Thread(target=_end_with_parent, args=(lifeline, folder), daemon=True).start()


def _end_with_parent(lifeline: Connection, folder: Path) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _open(folder: Path) -> None:
    """Open the job and say nothing: what is wrong is raised."""
    open_job(folder, _device)


def _measure(folder: Path, stacks: Sequence[Sequence[Run]]) -> int:
    """How many runs the device of this worker holds."""
    job, material = open_job(folder, _device)
    return stack_size(job.settings, partial(_train_stack, job, material), stacks, device=_device)


def _train(folder: Path, number: int, stack: Sequence[Run]) -> Path:
    """Train a stack, telling the parent of each epoch, and leave the predictions in a file.

    Through the pool's pipe they would come in several pieces, and a worker that ends between two of them, as all do
    at Ctrl-C, leaves the parent waiting for the rest for ever. The name of a file is one piece.
    """
    place = {id(run): i for i, run in enumerate(stack)}

    def tell(run: Run, row: Mapping[str, float]) -> None:
        assert _told is not None
        _told.put((number, place[id(run)], row))

    try:
        job, material = open_job(folder, _device)
        train = partial(_train_stack, job, material, job.settings, on_epoch=tell)
        predictions = list(train_as_fits(lambda runs: train(runs=runs), [stack], size=len(stack)))
        result = folder / f"result-{number}.pickle"
        result.write_bytes(pickle.dumps(predictions, pickle.HIGHEST_PROTOCOL))
        return result
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
