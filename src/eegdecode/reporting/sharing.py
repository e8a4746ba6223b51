"""One experiment among others that share its runs: what it takes from the library, claims, publishes and waits for."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from eegdecode.reporting.library import Library
from eegdecode.reporting.outcomes import Outcome
from eegdecode.runs import Run

LOOKS = (0.2, 5.0)    # s between two looks at what others train, at first and later
LENDERS = 3           # run folders that are named of those that runs come from

log = logging.getLogger(__name__)


class Sharing:
    """Runs of one experiment in a library.

    Parameters
    ----------
    library : Library
    folder : path
        The run folder.
    keys : mapping
        Name of each run -> its key.
    fits : callable
        Whether an outcome can be that of a run.
    taken : callable
        Told of each run that comes from the library, with its outcome.
    """

    def __init__(
        self, library: Library, folder: Path, *, keys: Mapping[str, str], fits: Callable[[Run, Outcome], bool],
        taken: Callable[[Run, Outcome], None],
    ) -> None:    # fmt: skip
        self.library, self.folder, self.keys, self.fits, self.taken = library, folder, keys, fits, taken
        self._begun: set[str] = set()    # names of the runs that this process has tried, tries or has taken

    def claim(self, runs: Sequence[Run]) -> list[Run]:
        """Those of some runs that this process is to train now: nobody else trains them or has done so meanwhile."""
        mine = [run for run in runs if self.library.claim(self.keys[run.name()])]
        self._begun |= {run.name() for run in mine}
        return self.take(mine)

    def wait(self, runs: Sequence[Run]) -> list[Run]:
        """Those of some runs that others had in work and left undone; it waits until there are any, or none in work."""
        left, pause = [run for run in runs if run.name() not in self._begun], LOOKS[0]
        while left := self.take(left):
            free = [run for run in left if not self.library.is_claimed(self.keys[run.name()])]
            if free:
                return free
            if pause == LOOKS[0]:
                log.info("waiting for %d runs that other processes train", len(left))
            time.sleep(pause)
            pause = min(2 * pause, LOOKS[1])
        return []

    def take(self, runs: Sequence[Run]) -> list[Run]:
        """Put what the library has into the run folder and say who trained it; gives the runs that it has not."""
        left, lenders = [], Counter[str]()
        for run in runs:
            key = self.keys[run.name()]
            outcome = self.library.take(key, self.folder, fits=lambda outcome, run=run: self.fits(run, outcome))
            if outcome is None:
                left.append(run)
                continue
            self.library.free(key)
            self._begun.add(run.name())
            self.taken(run, outcome)
            lenders[outcome.folder] += 1
        if lenders:
            who = ", ".join(f"{folder} ({n})" for folder, n in lenders.most_common(LENDERS))
            who += f" and {len(lenders) - LENDERS} more" if len(lenders) > LENDERS else ""
            log.info("%d of %d runs were trained before, by %s", lenders.total(), len(self.keys), who)
        return left

    def end(self, run: Run, outcome: Outcome) -> None:
        """Publish a run that this process has tried, if it is done, and let go of it."""
        self._begun.add(run.name())
        if outcome.done:
            self.library.publish(outcome, self.folder)
        self.library.free(outcome.key)
