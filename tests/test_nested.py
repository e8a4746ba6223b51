from dataclasses import replace

import numpy as np
import pytest

from eegdecode.calibration import Calibration
from eegdecode.nested import Final, Inner, InnerSplit, Nested
from eegdecode.protocols import CrossSession, CrossSubject, Pooled, WithinSession

PROTOCOLS = [
    WithinSession(folds=2), CrossSession(), CrossSession(test="each"), CrossSession(test=2), CrossSubject(),
    CrossSubject(folds=2), CrossSubject(later=True), Pooled(folds=3), Pooled(folds=None, n_test=18),
    CrossSession(sessions="run", name="cross_run"),
]    # fmt: skip


def parts(meta, protocol, **settings):
    nested = Nested(protocol, **settings)
    return Inner(nested)(meta, validation=0.2), Final(nested)(meta, validation=0.0)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
def test_no_trial_that_the_winner_is_tested_on_is_in_the_search(make_trials, protocol):
    meta = make_trials(n_subjects=6, n_sessions=3).meta
    inner, final = parts(meta, protocol)
    searched = np.concatenate([np.concatenate([s.train, s.val]) for s in inner])
    tested = np.concatenate([s.test for s in final])
    assert not np.intersect1d(searched, tested).size
    for split in inner:
        assert isinstance(split, InnerSplit)
        assert not np.intersect1d(split.train, split.test).size
        assert split.protocol == f"inner_{protocol.name}"
    assert {s.protocol for s in final} == {protocol.name}


def test_validation_leaves_out_what_the_test_leaves_out(make_trials):
    meta = make_trials(n_subjects=6, n_sessions=3).meta
    inner, final = parts(meta, CrossSession())
    assert len(inner) == len(final) == 6
    assert all(set(meta["session"].iloc[s.val]) == {"s1"} for s in inner)    # s2 is tested, s0 learned from
    inner, final = parts(meta, CrossSubject(later=True))
    assert len(final) == 6
    for split in inner:
        assert not set(meta["subject"].iloc[split.val]) & set(meta["subject"].iloc[split.train])
    validated = [name for s in inner for name in set(meta["subject"].iloc[s.val])]
    assert len(set(validated)) == 6    # subjects take turns
    one = make_trials(n_subjects=2, n_sessions=2).meta    # one training session: its last run, or trials
    for split in parts(one, CrossSession())[0]:
        assert set(one["session"].iloc[split.val]) == set(one["session"].iloc[split.train]) == {"s0"}


def test_where_all_is_tested_in_turn_some_subjects_are_searched_on_and_others_tested(make_trials):
    meta = make_trials(n_subjects=5).meta
    inner, final = parts(meta, CrossSubject())
    assert [s.subject for s in final] == ["4", "5"]
    assert [s.subject for s in inner] == ["1", "2", "3"]
    assert all(set(meta["subject"].iloc[s.train]) == set("12345") - {s.subject} for s in final)
    inner, final = parts(meta, WithinSession(folds=2), test_subjects=["1"])
    assert {s.subject for s in final} == {"1"}
    assert {s.subject for s in inner} == set("2345")


def test_no_run_of_a_search_may_begin_with_what_has_learned_its_subjects_test(make_trials):
    """A source that had learned the last session scored well on validation trials of the first."""
    meta = make_trials(n_subjects=2).meta
    nested = Nested(CrossSession())
    (final,) = [split.test for split in nested.final(meta, validation=0.0) if split.subject == "1"]
    (split,) = [split for split in Inner(nested)(meta, validation=0.0) if split.subject == "1"]
    assert set(split.unlearned) == {*split.test, *final}
    assert set(replace(split).unlearned) == set(split.unlearned)


def test_a_copy_of_a_test_trial_is_no_part_of_the_search(make_trials):
    meta = make_trials(n_subjects=3, n_sessions=2).meta
    meta["signal"] = np.arange(len(meta)).astype(str)
    tested = Final(Nested(CrossSession()))(meta, validation=0.0)[2].test[0]
    inner = Inner(Nested(CrossSession()))(meta, validation=0.2)
    copy = inner[0].train[0]
    meta.loc[copy, "signal"] = meta["signal"].iloc[tested]
    assert not any(copy in np.concatenate([s.train, s.val]) for s in Inner(Nested(CrossSession()))(meta, validation=0))


def test_what_cannot_be_nested_is_named(make_trials):
    meta = make_trials(n_subjects=1).meta
    with pytest.raises(ValueError, match="within_session tests what it learns from elsewhere"):
        Inner(Nested(WithinSession(folds=2)))(meta, validation=0.2)
    with pytest.raises(ValueError, match="calibration gives a score for each number of trials"):
        Inner(Nested(Calibration(trials=[0, 3])))(meta, validation=0.2)
    with pytest.raises(ValueError, match="no subject 9"):
        Inner(Nested(CrossSession(), test_subjects=["9"]))(meta, validation=0.2)
    with pytest.raises(ValueError, match=r"share=1\.5"):
        Nested(CrossSession(), share=1.5)
    with pytest.raises(ValueError, match=r"protocol.tested names who .* test_subjects="):
        Nested(CrossSubject(tested=["1"]))
    with pytest.raises(ValueError, match=r"test_subjects=\[\] names nobody"):
        Nested(CrossSession(), test_subjects=[])
    with pytest.raises(ValueError, match="the same trials"):
        InnerSplit(np.arange(3), np.arange(3, 5), np.arange(5, 7), "1", "s0", 0, "inner")
