"""An error as a user shall read it: what is wrong, in one line, without Hydra around it."""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.errors import InstantiationException
from omegaconf import MissingMandatoryValue

from eegdecode.launching.record import interrupted


def in_words(error: Exception) -> str:
    """What went wrong; of an error that nobody foresaw also its type, and how to see where: then it is raised."""
    if "HYDRA_FULL_ERROR" in os.environ:
        raise error
    cause = (isinstance(error, InstantiationException) and error.__cause__) or error
    if isinstance(cause, MissingMandatoryValue):
        return f"{str(cause).splitlines()[0]}; give it: {cause.full_key}=..."
    how = "" if isinstance(cause, ValueError | OSError) else f"({type(cause).__name__}); HYDRA_FULL_ERROR=1 shows where"
    return " ".join([str(error if how else cause), *getattr(cause, "__notes__", []), *([how] if how else [])])


def kept(reason: str, folder: str | None, command: Sequence[str] | None) -> str:
    """Why a job failed; where it left no result, its folder holds that for ``runs.py status`` and ``retry``."""
    if folder:
        from eegdecode.reporting.folders import note_error  # after an error alone, for it takes half a second

        with suppress(OSError):    # it is told in any case
            note_error(Path(folder), reason, command=shlex.join(command or ["python", *sys.argv]))
    return reason


@contextmanager
def told_in_words(left: str) -> Iterator[None]:
    """What is around the work of a command: plain lines of the log, an error in one line, what Ctrl-C has `left`."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("eegdecode").setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        sys.exit(f"error: {in_words(error)}")
    except KeyboardInterrupt:
        interrupted(left)
