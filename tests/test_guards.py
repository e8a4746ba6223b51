from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from eegdecode.guards import guarded
from eegdecode.protocols import CrossSession, CrossSubject, WithinSession
from eegdecode.trials import signal_digests


@pytest.fixture
def meta(make_trials):
    trials = make_trials()
    return trials.meta.assign(signal=signal_digests(trials.X))


def copied(meta, source, target):
    """The trial ``source`` stands under the name of ``target``, too."""
    signal = meta["signal"].where(meta["trial"] != target, meta.set_index("trial").loc[source, "signal"])
    return meta.assign(signal=signal)


@pytest.mark.parametrize(
    ("protocol", "source", "target"),
    [
        (CrossSubject, "1/0/0", "2/1/3"),
        (CrossSession, "1/0/0", "1/1/3"),
        (WithinSession, "1/0/0", "1/0/21"),
    ],
)
def test_equal_trials_on_both_sides_are_named_dropped_or_told(meta, protocol, source, target):
    protocol_of = {WithinSession: lambda **k: WithinSession(blocks=True, **k)}.get(protocol, protocol)
    clean = protocol_of()(meta, validation=0)
    twins = copied(meta, source, target)
    with pytest.raises(ValueError, match=r"have the same signal.*protocol\.duplicates=drop") as caught:
        protocol_of()(twins, validation=0)
    assert source in str(caught.value)
    assert target in str(caught.value)
    with pytest.warns(RuntimeWarning, match="the score is too good"):
        assert len(protocol_of(duplicates="warn")(twins, validation=0)) == len(clean)
    dropped = protocol_of(duplicates="drop")(twins, validation=0)
    signal = twins["signal"].to_numpy()
    for before, after in zip(clean, dropped, strict=True):
        np.testing.assert_array_equal(before.test, after.test)
        assert not set(signal[after.train]) & set(signal[after.test])
        assert len(before.train) - len(after.train) in (0, 1)


def test_copies_within_training_and_validation(meta):
    twins = copied(meta, "1/0/0", "1/0/3")
    signal, refused = twins["signal"].to_numpy(), 0
    for seed in range(20):    # the two are dealt to one side, or to both
        try:
            CrossSession(shuffle_seed=seed)(twins, validation=0.5)
        except ValueError as error:
            refused += "validated on" in str(error)
        for split in CrossSession(shuffle_seed=seed, duplicates="drop")(twins, validation=0.5):
            assert not set(signal[split.train]) & set(signal[split.val])
    assert 2 < refused < 18


def test_a_split_that_loses_all_its_validation_trials_is_named(meta):
    """A training that stops by their loss would stop at once."""
    split = CrossSession()(meta, validation=0.2)[0]
    names = meta["trial"].to_numpy()
    twins = meta
    for trial, test in zip(split.val, split.test, strict=False):
        twins = copied(twins, names[test], names[trial])
    with pytest.raises(ValueError, match=r"leaves none: hold out more \(trainer.validation\)"):
        guarded([split], twins, duplicates="drop")
    assert len(guarded([replace(split, val=split.val[:0])], twins, duplicates="drop")) == 1


def test_copies_on_one_side_are_no_matter(meta):
    assert CrossSession()(copied(meta, "1/0/0", "1/0/3"), validation=0)


@pytest.mark.parametrize("side", ["s0", "s1"])
def test_a_class_on_one_side_only(meta, side):
    one_less = meta[~((meta["session"] == side) & (meta["label"] == 2))].reset_index(drop=True)
    missing = "training" if side == "s0" else "test"
    with pytest.raises(ValueError, match=f"no {missing} trial of class number 2"):
        CrossSession()(one_less, validation=0)


def test_sessions_out_of_time_by_name_or_by_date(meta):
    renamed = meta.assign(session=meta["session"].map({"s0": "10", "s1": "9"}))
    with pytest.raises(ValueError, match=r"sessions stand as 10, 9.*protocol\.test"):
        CrossSession()(renamed, validation=0)
    dated = meta.assign(recorded=np.where(meta["session"] == "s0", 2000.0, 1000.0))
    with pytest.raises(ValueError, match="session s0 stands before session s1, but its recordings are dated after"):
        CrossSession()(dated, validation=0)
    assert CrossSession(test=["s1"])(dated, validation=0)
    for recorded in (np.nan, 1000.0):    # no date, or one for all: no evidence
        assert CrossSession()(meta.assign(recorded=recorded), validation=0)


@pytest.mark.parametrize("names", [("test", "train"), ("post", "pre"), ("E", "T"), ("day1_post", "day1_pre")])
def test_sessions_that_nothing_orders_are_not_split_by_time(meta, names):
    """They stand as words do: training would be the test session."""
    named = meta.assign(session=meta["session"].map(dict(zip(("s0", "s1"), names, strict=True))))
    for undated in (named, named.assign(recorded=np.nan), named.assign(recorded=1000.0)):
        with pytest.raises(ValueError, match=rf"sessions {names[0]} and {names[1]} came first.*protocol\.test"):
            CrossSession()(undated, validation=0)
        assert CrossSession(test=[names[1]])(undated, validation=0)
        assert CrossSession(test="each")(undated, validation=0)
    dated = named.assign(recorded=np.where(named["session"] == names[0], 1000.0, 2000.0))
    assert CrossSession()(dated, validation=0)


@pytest.mark.parametrize("names", [("2", "02"), ("2", "sub-2"), ("S2", "002")])
def test_one_subject_under_two_names(meta, names):
    renamed = meta.assign(subject=meta["subject"].map(dict(zip("12", names, strict=True))))
    with pytest.raises(ValueError, match="look like one under two names"):
        CrossSubject()(renamed, validation=0)


def test_a_table_without_digests_is_split_as_before(make_trials):
    table = make_trials().meta
    assert isinstance(table, pd.DataFrame)
    assert len(CrossSubject()(table, validation=0)) == 2


def test_a_typo_is_named():
    with pytest.raises(ValueError, match=r"protocol\.duplicates='ignore'"):
        CrossSubject(duplicates="ignore")
