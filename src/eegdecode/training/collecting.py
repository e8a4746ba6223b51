"""What comes back from worker processes: predictions and what is told of epochs, while more work is handed out."""

from __future__ import annotations

import pickle
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from eegdecode.runs import Claim, OnEpoch, Prediction, Run

LOOK = 0.1    # s between two looks at what the workers tell


def collect(
    begin: Callable[[int, Sequence[Run]], Future[Path]], stacks: Sequence[Sequence[Run]], told: SimpleQueue,
    on_epoch: OnEpoch, *, claim: Claim, ahead: int,
) -> Iterator[Prediction]:    # fmt: skip
    """Begin ``ahead`` stacks, as many anew as end, and yield predictions as they come; tell of epochs meanwhile.

    After a failure nothing is begun, and what has come is still seen.
    """
    ready: queue.SimpleQueue[Future[Path]] = queue.SimpleQueue()
    number, sent, left, failure = {}, {}, iter(stacks), None
    while True:
        while failure is None and len(number) < ahead and (stack := next(left, None)) is not None:
            if stack := claim(stack):
                try:
                    future = begin(len(sent), stack)
                except BrokenProcessPool as error:
                    failure = error
                    break
                number[future], sent[len(sent)] = len(sent), stack
                future.add_done_callback(ready.put)
        if not number:
            break
        while (future := _look(ready, wait=failure is None)) is None and failure is None:
            _tell(told, sent, on_epoch)
        if future is None:
            break
        _tell(told, sent, on_epoch)    # a run's epochs before its end
        stack = sent[number.pop(future)]
        if error := future.exception():
            failure = failure or error
        else:
            results: list[Prediction] = pickle.loads(future.result().read_bytes())
            future.result().unlink()
            yield from (replace(p, run=run) for p, run in zip(results, stack, strict=True))
    if isinstance(failure, BrokenProcessPool):
        raise RuntimeError(
            "a worker process was killed, perhaps for want of memory: finished runs are kept, and the same command "
            "goes on with the others; trainer.workers=1 needs the least memory"
        ) from failure
    if failure is not None:
        raise failure


def leave(predictions: Sequence[Prediction], folder: Path, number: int) -> Path:
    """Leave a stack's predictions, in a worker, in a file for `collect`.

    Through the pool's pipe they would come in several pieces, and a worker that ends between two of them, as all do
    at Ctrl-C, leaves the parent waiting for the rest for ever. The name of a file is one piece.
    """
    result = folder / f"result-{number}.pickle"
    result.write_bytes(pickle.dumps(predictions, pickle.HIGHEST_PROTOCOL))
    return result


def _look(ready: queue.SimpleQueue[Future[Path]], *, wait: bool) -> Future[Path] | None:
    try:
        return ready.get(block=wait, timeout=LOOK)
    except queue.Empty:
        return None


def _tell(told: SimpleQueue, stacks: Mapping[int, Sequence[Run]], on_epoch: OnEpoch) -> None:
    while not told.empty():
        number, place, row = told.get()
        on_epoch(stacks[number][place], row)
