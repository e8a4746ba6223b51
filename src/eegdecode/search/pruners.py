"""Which trials are stopped before their end; what they are judged by says `eegdecode.search.watch`."""

from __future__ import annotations

from copy import copy

import numpy as np
import optuna
from optuna import Study
from optuna.trial import FrozenTrial

from eegdecode.search.settings import Search
from eegdecode.search.watch import STEPS


def pruner_of(search: Search) -> optuna.pruners.BasePruner:
    """The pruner of a search."""
    if search.pruner == "median":    # nobody is judged by less than a third of its training
        return MedianOfNow(n_startup_trials=10, n_warmup_steps=STEPS // 3)
    if search.pruner == "halving":
        return HalvingOfNow()
    if search.pruner == "hyperband":    # a third goes on past 2, 6 and 18 steps; some are first judged at 6 or 18
        return optuna.pruners.HyperbandPruner(min_resource=2, max_resource=STEPS, reduction_factor=3)
    return optuna.pruners.NopPruner()


class MedianOfNow(optuna.pruners.MedianPruner):
    """The median rule on a trial's present value; Optuna's own takes the best of all its steps.

    The value of a step is the mean over the runs that are at their end by then (`Watch`), others at every step: a
    trial that begins with an easy subject would keep that value, and never be stopped.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial shall be stopped."""
        now = copy(trial)
        step = trial.last_step
        now.intermediate_values = {} if step is None else {step: trial.intermediate_values[step]}
        return bool(super().prune(study, now))


class HalvingOfNow(optuna.pruners.BasePruner):
    """Successive halving (ASHA; Li et al., 2020) among the last trials: a third goes on past 2, 6 and 12 steps.

    Optuna's own compares a trial with all that ever came so far, and lets level ones go on. But a sampler draws late
    trials where early ones were good, and small validation sets make many level: of 200 trials on ``ssvep_exo`` 165
    passed its first judgement, and 52 of the others were stopped at its last, after nine tenths of their training.

    What did worse: a race against the best so far on the runs that both have ended, each trial with an order of its own
    (SMAC; Hutter et al., 2011). On the same search it stopped nearly all, and told the sampler so little of them that
    no trial of 91 was better than its 17th, when it was ended.

    Parameters
    ----------
    rungs : tuple of int
        Steps at which trials are judged.
    factor : int
        Every ``factor``-th goes on.
    last : int
        Trials that one is compared with: those of the latest that came to its rung.
    """

    def __init__(self, *, rungs: tuple[int, ...] = (2, 6, 12), factor: int = 3, last: int = 20) -> None:
        self.rungs, self.factor, self.last = rungs, factor, last

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial shall be stopped; of level ones chance lets as many go on as may."""
        step = trial.last_step
        if step not in self.rungs:
            return False
        came = [other.intermediate_values[step] for other in study.get_trials(deepcopy=False)
                if other.number < trial.number and step in other.intermediate_values]    # fmt: skip
        rivals = np.array(came[-self.last :])
        if len(rivals) < self.factor:
            return False
        value = trial.intermediate_values[step]
        level = int((np.abs(rivals - value) <= 1e-9).sum())
        ahead = int((rivals > value + 1e-9).sum()) + int(np.random.default_rng(trial.number).integers(level + 1))
        return ahead + 1 > (len(rivals) + 1) / self.factor
