"""How long a database that is away is waited for: as long as the search says, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.local()


class NoAnswerError(OSError):
    """A database that has not answered for longer than anybody wanted to wait."""


@contextmanager
def asked_once() -> Iterator[None]:
    """What this thread asks within is asked once: a training does not wait for a database."""
    _thread.hurried = True
    try:
        yield
    finally:
        _thread.hurried = False


def in_a_hurry() -> bool:
    """Whether this thread is within `asked_once`."""
    return getattr(_thread, "hurried", False)
