"""Runs for tests of trainers."""

from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand


def some_runs(trials, n=4, *, validation=0.25, **sweep):
    """The first runs of four folds within each session; all of them where ``n`` is None."""
    return expand(WithinSession(folds=4)(trials.meta, validation=validation), Sweep(**sweep), seed=0)[:n]
