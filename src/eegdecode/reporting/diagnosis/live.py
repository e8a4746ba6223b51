"""Diagnosis while runs train: illness that can be told before the end is told, and nothing that may still pass.

The rules are those of the finished course, applied to the curves so far. Of their verdicts some say nothing half-way
(too few steps, under-fitting), and some rest on answers that come at the end. Told is one of `TOLD` that stands first
at `STABLE` looks in a row: slow learners are stuck for a while. On its way no healthy training of
``notebooks/benchmarks/diagnosis_suite.npz`` is called sick (``tests/reporting/diagnosis/test_live.py``).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.diagnosis.diagnose import diagnose
from eegdecode.reporting.diagnosis.remedies import explaining, fitting
from eegdecode.reporting.diagnosis.verdicts import Diagnosis
from eegdecode.reporting.stats import chance_level
from eegdecode.runs import Run

LOOKS = 20      # in a training, evenly, at most
SHARE = 0.02    # of the time since the start, at most: a hundred short runs side by side are looked at less often
LOOK = 0.01     # s that one takes, as long as none was timed
STABLE = 3      # looks in a row
FROM = 0.1      # of the epochs: before, rates still rise
TOLD = {        # verdict -> share of the epochs from which on it is believed
    "diverged": FROM, "rate too high": FROM, "input scale": FROM, "dead parameters": FROM, "rate too low": FROM,
    "vanishing gradients": FROM, "exploding gradients": FROM, "stuck": 0.25,
    "over-regularised": 0.5,    # earlier, a decay of 10 was told that did no harm: it falls with the rate
}    # fmt: skip
MOST_TOLD = 3    # runs with the same verdict that are told of one by one

log = logging.getLogger(__name__)


class LiveDiagnosis:
    """Follows the epochs of all runs.

    Parameters
    ----------
    epochs : mapping
        Name of each run -> its epochs, at most.
    labels : ndarray of int
        Of all trials; test trials give the level of chance alone.
    n_classes : int
    settings : mapping, optional
        What the experiment was made with, see `typed_settings`; a run's own numbers replace them.
    share : float
        Of the time since the start that looks may take.

    Attributes
    ----------
    verdicts : dict of str to str
        Name of a run -> what was told of it.
    """

    def __init__(
        self, epochs: Mapping[str, int], *, labels: np.ndarray, n_classes: int,
        settings: Mapping[str, Any] | None = None, share: float = SHARE,
    ) -> None:    # fmt: skip
        self.epochs, self.labels, self.n_classes, self.settings = epochs, labels, n_classes, settings or {}
        self.share, self._began, self._spent, self._last = share, time.monotonic(), 0.0, LOOK
        self.verdicts: dict[str, str] = {}
        self._rows: dict[str, list[Mapping[str, float]]] = {}
        self._last_looks: dict[str, tuple[str, int]] = {}    # the verdict of the last looks, and of how many
        self._told: Counter[str] = Counter()

    def epoch(self, run: Run, row: Mapping[str, float]) -> None:
        """Take an epoch of a run and tell, once, what it suffers from. It never fails a training."""
        name = run.name()
        epoch, epochs = int(row["epoch"]), self.epochs[name]
        if epoch >= epochs:
            self._rows.pop(name, None)
        if name in self.verdicts or epoch >= epochs:
            return
        rows = self._rows.setdefault(name, [])
        before = int(rows[-1]["epoch"]) if rows else 0
        rows.append(row)
        if LOOKS * epoch // epochs == LOOKS * before // epochs:
            return
        now = time.monotonic()
        if self._spent + self._last > self.share * (now - self._began):
            return
        try:
            finding = self._look(run, pd.DataFrame(rows))
            self._last = time.monotonic() - now
            self._spent += self._last
        except Exception as error:
            log.debug("no diagnosis of %s: %s", name, error)
            return
        if finding is not None and epoch >= TOLD[finding.verdict] * epochs and self._stable(name, finding):
            self._tell(name, finding, f"epoch {epoch} of {epochs}")

    def _look(self, run: Run, history: pd.DataFrame) -> Diagnosis | None:
        """Return the finding that explains most, if it is one that may be told."""
        split = run.split
        score: dict[str, Any] = {f"n_{part}": len(getattr(split, part)) for part in ("train", "val", "test")}
        score["chance"] = chance_level(self.labels[split.test], self.n_classes)
        own = {name: run.numbers[name] for name in ("weight_decay", "drop") if name in run.numbers}
        first = diagnose(history, score, n_classes=self.n_classes, settings={**explaining(self.settings), **own})[0]
        if first.verdict in TOLD:
            return first
        self._last_looks.pop(run.name(), None)
        return None

    def _stable(self, name: str, finding: Diagnosis) -> bool:
        before, n = self._last_looks.get(name, ("", 0))
        self._last_looks[name] = finding.verdict, (n + 1 if before == finding.verdict else 1)
        return self._last_looks[name][1] >= STABLE

    def _tell(self, name: str, finding: Diagnosis, when: str) -> None:
        self.verdicts[name] = finding.verdict
        del self._rows[name]
        self._told[finding.verdict] += 1
        if self._told[finding.verdict] <= MOST_TOLD:
            said = replace(finding, remedy=fitting(finding.remedy, self.settings)).sentence()
            log.warning("%s, %s: %s", name, when, said)
        elif self._told[finding.verdict] == MOST_TOLD + 1:
            log.warning("%s, %s: %s, as others before; the report will count them", name, when, finding.verdict)

