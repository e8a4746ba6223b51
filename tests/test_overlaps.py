from functools import partial

import numpy as np
import pytest

from eegdecode.calibration import Calibration
from eegdecode.nested import Final, Inner, Nested
from eegdecode.overlaps import share_of_shared, sharing
from eegdecode.protocols import CrossSession, CrossSubject, Pooled, WithinSession


def windows(make_trials, length, **settings):
    """Trials whose windows begin every 10 samples."""
    meta = make_trials(**settings).meta
    begin = 10 * meta.groupby("subject").cumcount()
    return meta.assign(begin=begin, end=begin + length)


def samples(meta, rows):
    return {(meta["subject"][i], sample) for i in rows for sample in range(meta["begin"][i], meta["end"][i])}


@pytest.mark.parametrize("length", [5, 10, 11, 12, 35, 120])
def test_sharing_is_what_sets_of_samples_say(make_trials, length):
    meta, rng = windows(make_trials, length), np.random.default_rng(0)
    rows, others = np.split(rng.permutation(len(meta))[:30], [10])
    slack = max(1, length // 50)
    told = [any(len(samples(meta, [row]) & samples(meta, [other])) > slack for other in others) for row in rows]
    np.testing.assert_array_equal(sharing(meta, rows, others), told)
    shuffled = meta.sample(frac=1, random_state=0, ignore_index=True)
    assert (share_of_shared(meta) > 0) == (share_of_shared(shuffled) > 0) == (length > 11)
    assert not share_of_shared(meta.drop(columns="begin"))
    assert not sharing(meta.drop(columns="begin"), rows, others).any()


def test_windows_of_one_cue_may_share_samples(make_trials):
    meta = windows(make_trials, 15)
    cue = meta["begin"] // 20
    meta = meta.assign(group=cue.astype(str))
    assert share_of_shared(meta) == pytest.approx(0.5, abs=0.02)
    assert not share_of_shared(meta.assign(begin=meta["begin"] + 10 * cue, end=meta["end"] + 10 * cue))


def test_windows_that_meet_but_for_a_sample_are_apart(make_trials):
    """Cues a second apart, at 125 Hz after 250: their distances are 124 and 126 samples."""
    meta = windows(make_trials, 125, n_sessions=1, n_trials=60)
    begin = 125 * (meta["begin"] // 10) // 2 * 2
    assert set(np.diff(begin[meta["subject"] == "1"])) == {124, 126}
    meta = meta.assign(begin=begin, end=begin + 125)
    assert WithinSession()(meta, validation=0.2)


def test_one_close_pair_changes_nobodys_validation(make_trials):
    meta = windows(make_trials, 9, n_subjects=3, n_trials=60)
    late = 5 * (meta["trial"] == "1/0/3")
    close = meta.assign(begin=meta["begin"] + late, end=meta["end"] + late)
    for split, before in zip(CrossSubject()(close, validation=0.2), CrossSubject()(meta, validation=0.2), strict=True):
        np.testing.assert_array_equal(split.val, before.val)
        assert len(before.train) - len(split.train) <= 1


@pytest.mark.parametrize(
    "protocol", [WithinSession, partial(WithinSession, blocks=True), Pooled, partial(Calibration, trials=4)]
)
def test_windows_on_both_sides_are_refused_dropped_or_told(make_trials, protocol):
    meta = windows(make_trials, 15, n_sessions=1, n_trials=60)
    with pytest.raises(ValueError, match=r"share samples with trials that are tested.*protocol\.duplicates=drop"):
        protocol()(meta, validation=0)
    with pytest.warns(RuntimeWarning, match="the score is too good"):
        whole = protocol(duplicates="warn")(meta, validation=0)
    for split, before in zip(protocol(duplicates="drop")(meta, validation=0), whole, strict=True):
        np.testing.assert_array_equal(split.test, before.test)
        assert set(split.train) < set(before.train)
        assert not samples(meta, split.train) & samples(meta, split.test)


def test_sessions_and_subjects_are_apart_and_validation_is_cut_off(make_trials):
    meta = windows(make_trials, 35, n_trials=60)
    meta.loc[meta["session"] == "s1", ["begin", "end"]] += 100    # another recording
    for protocol in (CrossSession(), CrossSubject()):
        for split in protocol(meta, validation=0.2):
            assert not samples(meta, split.train) & samples(meta, split.val)
            sessions = meta.loc[[*split.train, *split.val], ["subject", "session"]].drop_duplicates()
            learned = len(split.train) + len(split.val)
            assert 60 * len(sessions) - learned <= 6 * len(sessions)    # random ones would leave a third
            assert len(split.val) >= 0.15 * learned


def test_windows_so_long_that_nothing_is_left(make_trials):
    meta = windows(make_trials, 400, n_sessions=1)
    with pytest.raises(ValueError, match=r"every training trial shares samples.*protocol\.blocks=true"):
        WithinSession(duplicates="drop")(meta, validation=0)


def test_a_search_sees_no_sample_that_its_winner_is_tested_on(make_trials):
    meta = windows(make_trials, 15, n_subjects=4, n_sessions=1, n_trials=60)
    for protocol in (Pooled(folds=None, n_test=6, duplicates="drop"), CrossSubject()):
        nested = Nested(protocol)
        tested = samples(meta, np.concatenate([split.test for split in Final(nested)(meta, validation=0)]))
        for split in Inner(nested)(meta, validation=0):
            assert not samples(meta, split.train) & samples(meta, split.val)
            if isinstance(protocol, Pooled):
                assert not samples(meta, [*split.train, *split.val]) & tested
