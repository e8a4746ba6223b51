import re

import pytest

from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand, stacks


def test_all_combinations_become_runs(make_trials):
    splits = WithinSession(folds=2)(make_trials().meta, validation=0)
    runs = expand(splits, Sweep(seeds=3, lr=[1e-3, 1e-4], drop=[0.1, 0.5]), seed=7)
    assert len(runs) == len(splits) * 3 * 4
    assert {run.seed for run in runs} == {7, 8, 9}
    assert len({run.name() for run in runs}) == len(runs)
    assert {run.seed for run in expand(splits, Sweep(seeds=[2, 5]), seed=7)} == {2, 5}


def test_one_value_is_a_list_of_one():
    assert Sweep(lr=0.1).numbers() == Sweep(lr=[0.1]).numbers() == [{"lr": 0.1}]
    assert Sweep().numbers() == [{}]


def test_stacks_hold_equal_numbers_of_trials(make_trials):
    meta = make_trials().meta
    uneven = meta.drop(index=range(5)).reset_index(drop=True)
    runs = expand(WithinSession(folds=2)(uneven, validation=0), Sweep(), seed=0)
    dealt = stacks(runs, size=3)
    assert sorted(run.name() for stack in dealt for run in stack) == sorted(run.name() for run in runs)
    for stack in dealt:
        assert len(stack) <= 3
        assert len({len(run.split.train) for run in stack}) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seeds": 0}, "at least 1"), ({"seeds": [1, 1]}, "twice"), ({"drop": [0.5, 0.5]}, "twice"),
     ({"drop": [1.0]}, "holds 1; dropout must be in"), ({"lr": [1e-3, 0.0]}, "holds 0; a rate is above 0"),
     ({"weight_decay": -1.0}, "holds -1; it must be"), ({"lr": float("nan")}, "holds nan"), ({"lr": []}, "empty list")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Sweep(**settings)


@pytest.mark.parametrize(("name", "value"), [
    ("seeds", "two"), ("seeds", 2.0), ("seeds", [0, 1.5]), ("lr", "fast"), ("lr", [1e-3, None]), ("drop", True),
])    # fmt: skip
def test_words_in_place_of_numbers_are_named(name, value):
    """As they come from the command line, where nothing checks types."""
    typed = Sweep()
    object.__setattr__(typed, name, value)
    with pytest.raises(ValueError, match=rf"sweep\.{name} must be a number.*, got {re.escape(repr(value))}"):
        typed.__post_init__()


def test_a_seed_below_0_is_named(make_trials):
    splits = WithinSession(folds=2)(make_trials().meta, validation=0)
    for sweep, seed in ((Sweep(), -1), (Sweep(seeds=[3, -1]), 0)):
        with pytest.raises(ValueError, match="seeds must be at least 0, got -1"):
            expand(splits, sweep, seed=seed)


def test_finished_runs_do_not_move_the_others_into_other_stacks(make_trials):
    runs = expand(WithinSession(folds=2)(make_trials().meta, validation=0.0), Sweep(), seed=0)
    whole = stacks(runs, size=3)
    left = stacks(runs, todo=[run for run in runs if run is not whole[0][0]], size=3)
    assert left[0] == whole[0][1:]
    assert left[1:] == whole[1:]
