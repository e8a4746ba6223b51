"""What a pruner is told of a trial, while its runs train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from eegdecode.runs import Prediction, Run

STEPS = 20    # parts of a trial's training at whose ends it is judged: each costs a write to the study
HALF = 0.5    # of a training, before which its curve tells nothing: see `Watch`


class Watch:
    """Follows the runs of a trial in place of a progress bar, and reports a value at each twentieth of its training.

    A trial is several runs (subjects, folds, seeds), and subjects differ more than settings do: a value may only be
    compared with that of the same runs in another trial. So the runs stand in a line, in the order of the
    experiment; those of a stack that trains side by side share a place in it. At step s the value is the mean
    validation accuracy of the runs whose end the first s twentieths of the line reach; before the first end, of those
    in work, from the half of their training on. Worker processes finish runs in any order; a step is reported as soon
    as all runs it needs are so far, so that the values are the same however many workers there are.

    A curve says little before its end. Over 164 searched settings of `sttransformer`, each trained to its end on 11
    subjects of `ssvep_exo`, the mean accuracy of all subjects has a rank correlation with the last one of 0 to 0.5,
    mostly 0.2, in the first two fifths of the steps, and of 0.5 at half. For as much work or less the first subject at
    its end has 0.57 (one drawn at random 0.31), three 0.64 (0.51), six 0.85 (0.76): ``benchmark.py pruning``. So runs
    one by one, as on a CPU, tell good settings from bad ones earlier than side by side (racing,
    Birattari et al., 2002).

    Parameters
    ----------
    report : callable
        Takes step (1 to `STEPS`) and value; what it raises ends the training.
    stack : int or None
        Runs that train side by side, 1: one by one; None: all that can.
    """

    def __init__(self, report: Callable[[int, float], None], *, stack: int | None) -> None:
        self.report, self.stack = report, stack
        self._curves: dict[str, list[tuple[float, float]]] = {}    # run -> (share of its epochs, accuracy)
        self._line: list[list[str]] = []
        self._step, self._epochs = 0, {}

    def __call__(self, epochs: Mapping[str, int], *, n_reused: int = 0) -> Watch:
        """Take the runs to train, as `ProgressBar` does. With runs that were done before, nothing is reported."""
        places: dict[int, list[str]] = {}
        for name, count in epochs.items():
            places.setdefault(count, []).append(name)    # stacks are of runs with equally many trials
        self._line = []
        for names in places.values():
            size = self.stack or len(names)
            self._line += [names[i : i + size] for i in range(0, len(names), size)]
        self._epochs, self._curves = dict(epochs), {name: [] for name in epochs}
        self._step = STEPS if n_reused else 0
        return self

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:    # fmt: skip
        """Do nothing."""

    def epoch(self, run: Run, row: Mapping[str, Any]) -> None:
        """Note an epoch of a run."""
        name, accuracy = run.name(), float(row.get("val_accuracy", np.nan))
        self._curves[name].append((float(row["epoch"]) / self._epochs[name], accuracy))
        self._look()

    def done(self, prediction: Prediction) -> None:
        """A run is at its end, maybe earlier than it might have been."""
        curve = self._curves[prediction.run.name()]
        curve.append((1.0, curve[-1][1] if curve else np.nan))
        self._look()

    def _look(self) -> None:
        while self._step < STEPS and (value := self._value(self._step + 1)) is not None:
            self._step += 1
            if not np.isnan(value):
                self.report(self._step, value)

    def _value(self, step: int) -> float | None:
        """The value at a step, NaN where there is none; None while a run that it needs is not so far."""
        n_runs = len(self._curves)
        reached, before, ended, halfway = step / STEPS * n_runs, 0, [], []
        for names in self._line:
            share = min(1.0, (reached - before) / len(names))
            if share <= 1e-9 or (ended and share < 1 - 1e-9):    # runs in work count for nothing beside ended ones
                break
            for name in names:
                curve = self._curves[name]
                if not curve or curve[-1][0] < share - 1e-9:
                    return None
                seen = [accuracy for at, accuracy in curve if at <= share + 1e-9]
                (ended if share > 1 - 1e-9 else halfway if share > HALF - 1e-9 else []).extend(seen[-1:])
            before += len(names)
        values = ended or halfway
        return float(np.mean(values)) if values else float("nan")
