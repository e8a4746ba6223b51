import itertools

import numpy as np
import pandas as pd
import pytest

from eegdecode.runs import Prediction, Run, Split
from eegdecode.search.watch import STEPS, Watch

EPOCHS = 10
RUNS = {name: Run(Split(*np.arange(3)[:, None], name, "s", 0, "toy"), seed=0) for name in "abcd"}
NAMES = tuple(RUNS)


def epochs(*names):
    return {RUNS[name].name(): EPOCHS for name in names}


def done(run):
    return Prediction(run=run, logits={}, history=pd.DataFrame(), best_epoch=0, n_params=0, seconds=0.0)


def tell(watch, order):
    """Each run's accuracy rises to its own height; ``order`` says whose turn it is."""
    heights, at = dict(zip(NAMES, (0.2, 0.4, 0.6, 0.8), strict=True)), dict.fromkeys(NAMES, 0)
    for name in order:
        at[name] += 1
        watch.epoch(RUNS[name], {"epoch": at[name], "val_accuracy": heights[name] * at[name] / EPOCHS})
        if at[name] == EPOCHS:
            watch.done(done(RUNS[name]))


def values(order, *, stack, **begin):
    told = {}
    watch = Watch(told.__setitem__, stack=stack)
    with watch(epochs(*NAMES), **begin) as bar:
        tell(bar, order)
    return told


def test_one_by_one_the_mean_of_finished_runs_grows():
    """A run in work counts from its half on, and only as long as none is at its end."""
    told = values([name for name in NAMES for _ in range(EPOCHS)], stack=1)
    assert list(told) == list(range(3, STEPS + 1))
    assert told[4] == pytest.approx(0.2 * 0.8)
    assert told[5] == told[9] == pytest.approx(0.2)
    assert told[10] == told[14] == pytest.approx(0.3)
    assert told[STEPS] == pytest.approx(0.5)


def test_a_step_is_told_as_soon_as_the_runs_that_count_have_ended():
    """The next run would be three fifths through at step 8; beside an ended one it counts for nothing."""
    told = values(["a"] * EPOCHS, stack=1)
    assert list(told) == list(range(3, 10))
    assert told[9] == pytest.approx(0.2)


def test_side_by_side_all_curves_rise_together_and_tell_nothing_before_half():
    told = values(list(NAMES) * EPOCHS, stack=None)
    assert list(told) == list(range(STEPS // 2, STEPS + 1))
    assert told[STEPS // 2] == pytest.approx(0.25)
    assert told[STEPS] == pytest.approx(0.5)
    assert (np.diff(list(told.values())) >= 0).all()


def test_stacks_one_after_the_other_tell_of_the_first_at_its_end():
    told = values(list("ab") * EPOCHS + list("cd") * EPOCHS, stack=2)
    assert list(told) == list(range(5, STEPS + 1))
    assert told[5] == pytest.approx(0.15)
    assert told[10] == told[19] == pytest.approx(0.3)
    assert told[STEPS] == pytest.approx(0.5)


def test_workers_in_any_order_tell_the_same():
    plain = values([name for name in NAMES for _ in range(EPOCHS)], stack=1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        order = rng.permutation([name for name in NAMES for _ in range(EPOCHS)]).tolist()
        assert values(order, stack=1) == plain


def test_with_runs_that_were_done_before_nothing_is_reported():
    assert values(list(itertools.chain(*[NAMES] * EPOCHS)), stack=None, n_reused=1) == {}


def test_what_the_report_raises_ends_the_training():
    def stop(step, value):
        raise KeyError(step)

    watch = Watch(stop, stack=None)(epochs(*NAMES))
    with pytest.raises(KeyError):
        tell(watch, list(NAMES) * EPOCHS)


def test_a_run_that_stops_early_counts_as_far_as_it_came():
    told = {}
    watch = Watch(told.__setitem__, stack=1)(epochs("a"))
    watch.epoch(RUNS["a"], {"epoch": 3, "val_accuracy": 0.7})
    watch.done(done(RUNS["a"]))
    assert told[STEPS] == 0.7
