from itertools import combinations

import numpy as np
import pytest

from eegdecode.folds import hold_out
from eegdecode.protocols import CrossSession, CrossSubject, Pooled, WithinSession
from eegdecode.runs import Split

PROTOCOLS = [
    WithinSession(folds=4), WithinSession(folds=4, blocks=True), CrossSession(), CrossSession(test="each"),
    CrossSession(test=["s1"]), CrossSession(test=2), CrossSubject(), CrossSubject(folds=2), CrossSubject(later=True),
    Pooled(folds=4), Pooled(folds=None, n_test=18, name="pooled_one_split"),
]    # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_every_protocol_keeps_the_parts_apart(make_trials, protocol, validation):
    meta = make_trials(n_subjects=4, n_sessions=3).meta
    splits = protocol(meta, validation=validation)
    assert len({(s.subject, s.session, s.fold) for s in splits}) == len(splits)
    for split in splits:
        parts = [split.train, split.val, split.test]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        assert (len(split.val) > 0) == (validation > 0)
        if validation:
            share = len(split.val) / (len(split.val) + len(split.train))
            assert 0.1 < share < 0.4
        for part in parts:
            assert len(part) == 0 or set(meta["label"].iloc[part]) == {0, 1, 2}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
def test_labels_of_test_trials_alter_no_cross_split(make_trials, protocol):
    """Sessions and subjects are told apart by the table alone; within a session, folds are stratified."""
    if protocol.name in ("within_session", "pooled"):
        pytest.skip("stratified folds look at the labels of the session, as MOABB's do")
    meta = make_trials(n_subjects=4, n_sessions=3).meta
    before = protocol(meta, validation=0.2)[0]
    changed = meta.copy()
    changed.loc[before.test, "label"] = (changed.loc[before.test, "label"] + 1) % 3
    after = protocol(changed, validation=0.2)[0]
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(before, part), getattr(after, part))


def test_within_session_stays_within(make_trials):
    meta = make_trials().meta
    splits = WithinSession(folds=4)(meta, validation=0.2)
    assert len(splits) == 2 * 2 * 4
    for split in splits:
        rows = np.concatenate([split.train, split.val, split.test])
        assert set(meta["subject"].iloc[rows]) == {split.subject}
        assert set(meta["session"].iloc[rows]) == {split.session}


def test_shuffled_folds_are_moabbs(make_trials):
    from sklearn.model_selection import StratifiedKFold

    meta = make_trials(n_subjects=1, n_sessions=1).meta
    ours = [set(s.test) for s in WithinSession(folds=5)(meta, validation=0)]
    y = meta["label"].to_numpy()
    theirs = [set(test) for _, test in StratifiedKFold(5, shuffle=True, random_state=42).split(y, y)]
    assert ours == theirs


def test_blocks_are_contiguous(make_trials):
    meta = make_trials(n_subjects=1, n_sessions=1, n_trials=96).meta
    meta["label"] = np.random.default_rng(0).permutation(meta["label"])
    for split in WithinSession(folds=4, blocks=True)(meta, validation=0):
        assert np.ptp(split.test) == len(split.test) - 1


def test_pooled_folds_test_every_trial_of_a_subject_once(make_trials):
    meta = make_trials(n_sessions=3).meta
    splits = Pooled(folds=4)(meta, validation=0.2)
    assert len(splits) == 2 * 4
    for split in splits:
        rows = np.concatenate([split.train, split.val, split.test])
        assert set(meta["subject"].iloc[rows]) == {split.subject}
        assert split.session == "s0+s1+s2"
        for part in (split.train, split.test):
            assert set(meta["session"].iloc[part]) == {"s0", "s1", "s2"}
    tested = np.concatenate([split.test for split in splits])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(meta)))


def test_one_split_of_pooled_sessions(make_trials):
    meta = make_trials(n_sessions=2, n_trials=36).meta
    splits = Pooled(folds=None, n_test=20, name="pooled_one_split")(meta, validation=0.0)
    assert [(s.subject, s.fold, len(s.train), len(s.test)) for s in splits] == [("1", 0, 52, 20), ("2", 0, 52, 20)]
    other = Pooled(folds=None, n_test=20, shuffle_seed=1)(meta, validation=0.0)
    assert set(other[0].test) != set(splits[0].test)


def test_cross_session_learns_from_earlier_sessions(make_trials):
    meta = make_trials(n_sessions=3).meta
    for split in CrossSession()(meta, validation=0.2):
        assert set(meta["session"].iloc[split.test]) == {"s2"}
        assert set(meta["session"].iloc[split.train]) == {"s0", "s1"}
    assert len(CrossSession(test="each")(meta, validation=0)) == 2 * 3


def test_the_last_two_sessions(make_trials):
    meta = make_trials(n_sessions=5).meta
    for split in CrossSession(test=2)(meta, validation=0):
        assert split.session == "s3+s4"
        assert set(meta["session"].iloc[split.train]) == {"s0", "s1", "s2"}
    with pytest.raises(ValueError, match=r"protocol.test=\['s0', 's1'\] does not fit subject 1"):
        CrossSession(test=2)(make_trials(n_sessions=2).meta, validation=0)


@pytest.mark.parametrize(("n_sessions", "last"), [(1, "1"), (2, "s1-1")])
def test_runs_stand_in_for_sessions(make_trials, n_sessions, last):
    meta = make_trials(n_sessions=n_sessions).meta
    meta = meta.assign(run=np.tile(np.repeat(["0", "1"], 12), 2 * n_sessions))
    for split in CrossSession(sessions="run", name="cross_run")(meta, validation=0.2):
        tested, learned = meta.iloc[split.test], meta.iloc[split.train]
        assert split.session == last
        assert split.protocol == "cross_run"
        assert set(tested["run"]) == {"1"}
        assert len(tested) == 12
        assert len(learned.merge(tested, on=["subject", "session", "run"])) == 0


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_windows_of_one_cue_stand_on_one_side(make_trials, protocol, validation):
    """Windows are split as their cues would be, had each one window."""
    meta = make_trials(n_subjects=4, n_sessions=3).meta
    windows = meta.loc[meta.index.repeat(3)].reset_index(drop=True)
    windows["group"] = windows["trial"]
    windows["trial"] += np.tile(["/0", "/1", "/2"], len(meta))
    pairs = zip(protocol(meta, validation=validation), protocol(windows, validation=validation), strict=True)
    for whole, cut in pairs:
        sides = [set(windows["group"].iloc[part]) for part in (cut.train, cut.val, cut.test)]
        assert not any(one & other for one, other in combinations(sides, 2))
        assert sides == [set(meta["trial"].iloc[part]) for part in (whole.train, whole.val, whole.test)]
        assert sum(map(len, (cut.train, cut.val, cut.test))) == 3 * sum(map(len, (whole.train, whole.val, whole.test)))


def test_cross_subject_never_sees_the_subject(make_trials):
    meta = make_trials(n_subjects=5).meta
    splits = CrossSubject()(meta, validation=0.2)
    assert [s.subject for s in splits] == ["1", "2", "3", "4", "5"]
    for split in [*splits, *CrossSubject(folds=2)(meta, validation=0.2)]:
        learned = set(meta["subject"].iloc[np.concatenate([split.train, split.val])])
        assert learned.isdisjoint(split.subject.split("+"))


def test_some_subjects_are_tested_as_they_are_among_all(make_trials):
    meta = make_trials(n_subjects=4).meta
    whole = {split.subject: split for split in CrossSubject()(meta, validation=0.2)}
    some = CrossSubject(tested=[3, "1"])(meta, validation=0.2)
    assert [split.subject for split in some] == ["1", "3"]
    for split in some:    # fold and trials: so that a run is the same run
        assert split.fold == whole[split.subject].fold
        for part in ("train", "val", "test"):
            np.testing.assert_array_equal(getattr(split, part), getattr(whole[split.subject], part))


def test_later_sessions_of_others_are_not_learned_from(make_trials):
    meta = make_trials(n_subjects=4, n_sessions=3).meta
    for split in CrossSubject(later=True)(meta, validation=0.2):
        learned, tested = meta.iloc[np.concatenate([split.train, split.val])], meta.iloc[split.test]
        assert set(learned["session"]) == {"s0", "s1"}
        assert set(tested["session"]) == {"s2"} == {split.session}
        assert len(set(learned["subject"])) == 3
        assert split.subject not in set(learned["subject"])


@pytest.mark.parametrize(
    ("protocol", "subjects", "sessions", "message"),
    [
        (WithinSession(folds=9), 1, 1, "only 8 trials, fewer than protocol.folds=9"),
        (Pooled(folds=17), 1, 2, "only 16 trials, fewer than protocol.folds=17"),
        (Pooled(folds=None), 1, 2, "has 48 trials; protocol.n_test=60 leaves none"),
        (CrossSession(), 1, 1, "one session only"),
        (CrossSession(sessions="run"), 1, 1, "one run only"),
        (CrossSession(test=["s9"]), 1, 2, "whose sessions are"),
        (CrossSubject(), 1, 2, "at least two subjects"),
        (CrossSubject(later=True), 2, 1, "no train trials"),
        (CrossSubject(folds=3), 2, 1, "as many as folds"),
        (CrossSubject(tested=["7"]), 2, 1, "protocol.tested names 7; there are 1, 2"),
    ],
)
def test_what_cannot_be_split_is_named(make_trials, protocol, subjects, sessions, message):
    meta = make_trials(n_subjects=subjects, n_sessions=sessions).meta
    with pytest.raises(ValueError, match=message):
        protocol(meta, validation=0.2)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="folds must be at least 2, got 1"):
        WithinSession(folds=1)
    for wrong in ({"tested": "1"}, {"tested": []}, {"tested": [1], "folds": 2}):
        with pytest.raises(ValueError, match=r"protocol.tested=.* must be a list of subjects"):
            CrossSubject(**wrong)
    with pytest.raises(ValueError, match="folds must be at least 2 or null, got 1"):
        Pooled(folds=1)
    with pytest.raises(ValueError, match="n_test must be at least 1, got 0"):
        Pooled(n_test=0)
    with pytest.raises(ValueError, match="n_test=20 is of the one split"):
        Pooled(n_test=20)
    with pytest.raises(ValueError, match="got 'first'"):
        CrossSession(test="first")
    with pytest.raises(ValueError, match="test=0 must be at least 1"):
        CrossSession(test=0)
    with pytest.raises(ValueError, match="sessions must be session or run, got 'runs'"):
        CrossSession(sessions="runs")


def test_hold_out_is_stratified_and_blocks_come_last(make_trials):
    meta = make_trials(n_subjects=1, n_sessions=1, n_trials=30).meta
    train, val = hold_out(np.arange(30), meta, 0.2, seed=0, blocks=True)
    assert val.min() > train.max()
    _, val = hold_out(np.arange(30), meta, 0.2, seed=0)
    assert meta["label"].iloc[val].value_counts().max() <= 3


def test_blocks_that_show_each_class_once_have_validation_trials(make_trials):
    """Six blocks of twelve targets, as SSVEP sets have them: none of one trial can be held out, but of the six."""
    meta = make_trials(n_subjects=2, n_sessions=6, n_trials=12, n_classes=3).meta
    meta = meta.assign(label=np.arange(len(meta)) % 12)
    train, val = hold_out(np.arange(len(meta)), meta, 0.2, seed=0)
    assert len(val) / len(meta) == pytest.approx(0.2, abs=0.06)
    assert meta.iloc[train].groupby(["subject", "label"]).size().min() >= 4
    _, last = hold_out(np.arange(len(meta)), meta, 0.2, seed=0, blocks=True)
    assert set(meta["session"].iloc[last]) == {"s5"}
    with pytest.raises(ValueError, match=r"72 training trials are too few .* of each class of a subject"):
        hold_out(np.arange(72), meta.assign(label=np.arange(len(meta))), 0.2, seed=0)


def test_a_rare_class_of_many_sessions_is_validated_too(make_trials):
    meta = make_trials(n_subjects=1, n_sessions=10, n_trials=20).meta
    meta = meta.assign(label=(np.arange(len(meta)) % 20 == 0).astype(int))
    _, val = hold_out(np.arange(len(meta)), meta, 0.2, seed=0)
    assert meta["label"].iloc[val].sum() == 2


def test_a_trial_on_two_sides_is_an_error():
    with pytest.raises(ValueError, match="two sides"):
        Split(np.array([0, 1]), np.array([], int), np.array([1]), "1", "a", 0, "mine")
    with pytest.raises(ValueError, match="no test trials"):
        Split(np.array([0, 1]), np.array([], int), np.array([], int), "1", "a", 0, "mine")


def test_the_last_session_of_others_is_the_last_in_time(make_trials):
    """Else the test would be on an earlier session than the ones that are learned from."""
    meta = make_trials(n_subjects=3).meta
    names = dict(zip(dict.fromkeys(meta["session"]), ("1test", "0train"), strict=False))
    with pytest.raises(ValueError, match="subject 1: the sessions stand as 1test, 0train, out of time"):
        CrossSubject(later=True)(meta.assign(session=meta["session"].map(names)), validation=0.0)
