"""Worker processes that end with their parent.

A worker ends when its parent does, however that ends: it reads from a pipe that nobody writes to, and whose
other end the parent alone holds.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from eegdecode.training.job import NoWorkersError

Result = TypeVar("Result")


def count_cores() -> int:
    """Cores that this process may use: those of a job that shares its machine are in $EEGDECODE_CORES."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, int(os.environ.get("EEGDECODE_CORES") or there))


def check_workers(workers: int | str | None) -> None:
    """Refuse what is no number of workers."""
    is_count = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    if workers not in (None, "auto") and not is_count:
        raise ValueError(f"trainer.workers must be auto or at least 1, got {workers!r}")


def how_to_start(preload: str) -> BaseContext:
    """Return how processes start: never by a fork of this one, which would copy the locks of torch's threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])    # what it imports is imported once
    return context


@contextmanager
def crew(
    folder: Path, n_workers: int, begin: Callable[..., None], *given: Any, context: BaseContext
) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue]]:    # fmt: skip
    """The workers, and a queue that brings what they tell of each epoch. They end at once when this is left.

    Each calls ``begin(told, *given)`` first. ``folder`` is removed by a worker whose parent has gone.

    Raises
    ------
    NoWorkersError
        If there can be none.
    """
    if multiprocessing.current_process().daemon:
        raise NoWorkersError("this process is itself a worker that may have none")
    lifeline, held = context.Pipe(duplex=False)
    told = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        n_workers, mp_context=context, initializer=_begin, initargs=(folder, lifeline, begin, told, *given)
    )
    try:
        yield pool, told
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        told.close()


def start(pool: ProcessPoolExecutor, n_workers: int, look: Callable[[], object]) -> None:
    """Start the workers and let each ``look`` at its job, which shows whether they can.

    Raises
    ------
    NoWorkersError
        If they cannot.
    """
    looks = [submit(pool, _quietly, look) for _ in range(n_workers)]
    try:
        for future in looks:
            future.result()
    except Exception as error:
        raise NoWorkersError(f"the workers do not start ({type(error).__name__}: {error})") from error


def submit(pool: ProcessPoolExecutor, call: Callable[..., Result], *given: Any) -> Future[Result]:
    """Hand work to a worker; one that is started for it never sees Ctrl-C."""
    with _no_interrupt():
        return pool.submit(call, *given)


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


def _begin(folder: Path, lifeline: Connection, begin: Callable[..., None], *given: Any) -> None:
    """Set this worker up; queues come by inheritance, for they cannot be sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begin(*given)
    Thread(target=_end_with_parent, args=(lifeline, folder), daemon=True).start()


def _end_with_parent(lifeline: Connection, folder: Path) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _quietly(look: Callable[[], object]) -> None:
    """Look and say nothing: what is wrong is raised."""
    look()
