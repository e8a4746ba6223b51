"""Worker processes: many small networks on the cores of a CPU, one run at a time each.

A worker ends when its parent does, however that ends: it reads from a pipe that nobody writes to, and whose
other end the parent alone holds.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread

import torch

from eegdecode.runs import Prediction, Run
from eegdecode.training.frontend import FrontEnd
from eegdecode.training.job import NoWorkersError, job_folder, open_job
from eegdecode.training.loop import OnEpoch, train_stack
from eegdecode.training.settings import DeepSettings
from eegdecode.trials import Trials

LOOK = 0.1    # s between two looks at what the workers tell
_told: SimpleQueue | None = None    # in a worker: where it tells of its epochs


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train_in_workers(
    settings: DeepSettings, model: partial, trials: Trials, runs: Sequence[Run], *,
    frontend: FrontEnd, n_workers: int, on_epoch: OnEpoch,
) -> Iterator[Prediction]:    # fmt: skip
    """Train runs in worker processes and yield the prediction of each as it is finished, in any order.

    Raises
    ------
    NoWorkersError
        Before the first run, if there can be no workers.
    RuntimeError
        If a worker was killed. What a worker raises is raised here, after what is finished was yielded.
    """
    if multiprocessing.current_process().daemon:
        raise NoWorkersError("this process is itself a worker that may have none")
    with job_folder(settings, model, trials, frontend) as folder, _crew(folder, n_workers) as (pool, told):
        _start(pool, folder, n_workers)
        with _no_interrupt():
            futures = [pool.submit(_train, folder, number, run) for number, run in enumerate(runs)]
        yield from _collect(futures, runs, told, on_epoch)


def _context() -> BaseContext:
    """Return how processes start: never by a fork of this one, which would copy the locks of torch's threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])    # torch is imported once
    return context


@contextmanager
def _crew(folder: Path, n_workers: int) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue]]:
    """The workers, and a queue that brings what they tell of each epoch. They end at once when this is left."""
    context = _context()
    threads = max(1, min(torch.get_num_threads(), count_cores() // n_workers))
    lifeline, held = context.Pipe(duplex=False)
    told = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        n_workers, mp_context=context, initializer=_begin, initargs=(folder, told, lifeline, threads)
    )
    try:
        yield pool, told
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        told.close()


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


def _collect(
    futures: Sequence[Future[Prediction]], runs: Sequence[Run], told: SimpleQueue, on_epoch: OnEpoch
) -> Iterator[Prediction]:    # fmt: skip
    """Yield predictions as they come and tell of epochs meanwhile; after a failure, what has come is still seen."""
    number = {future: i for i, future in enumerate(futures)}
    ready: queue.SimpleQueue[Future[Prediction]] = queue.SimpleQueue()
    for future in futures:
        future.add_done_callback(ready.put)
    failure = None
    for _ in futures:
        while (future := _look(ready, wait=failure is None)) is None and failure is None:
            _tell(told, runs, on_epoch)
        if future is None:
            break
        _tell(told, runs, on_epoch)    # a run's epochs before its end
        if error := future.exception():
            failure = failure or error
        else:
            yield replace(future.result(), run=runs[number[future]])
    if isinstance(failure, BrokenProcessPool):
        raise RuntimeError(
            "a worker process was killed, perhaps for want of memory: finished runs are kept, and the same command "
            "goes on with the others; trainer.workers=1 needs the least memory"
        ) from failure
    if failure is not None:
        raise failure


def _look(ready: queue.SimpleQueue[Future[Prediction]], *, wait: bool) -> Future[Prediction] | None:
    try:
        return ready.get(block=wait, timeout=LOOK)
    except queue.Empty:
        return None


def _tell(told: SimpleQueue, runs: Sequence[Run], on_epoch: OnEpoch) -> None:
    while not told.empty():
        number, row = told.get()
        on_epoch(runs[number], row)


# ---- in a worker ----------------------------------------------------------------------------------------------------


def _begin(folder: Path, told: SimpleQueue, lifeline: Connection, threads: int) -> None:
    """Set up this worker; the queue comes by inheritance, for it cannot be sent."""
    global _told
    _told = told
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    Thread(target=_end_with_parent, args=(lifeline, folder), daemon=True).start()


def _end_with_parent(lifeline: Connection, folder: Path) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _open(folder: Path) -> None:
    """Open the job and say nothing: what is wrong is raised."""
    open_job(folder)


def _train(folder: Path, number: int, run: Run) -> Prediction:
    """Train one run, telling the parent of each epoch."""
    job, material = open_job(folder)

    def tell(_: Run, row: Mapping[str, float]) -> None:
        assert _told is not None
        _told.put((number, row))

    (prediction,) = train_stack(
        job.settings, job.model, material, [run], frontend=job.frontend, mode="loop", on_epoch=tell
    )
    return prediction
