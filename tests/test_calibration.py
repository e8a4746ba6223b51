import numpy as np
import pytest

from eegdecode.calibration import Calibration


@pytest.mark.parametrize("n_sessions", [1, 3])
@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_numbers_of_a_subject_share_their_test_and_grow(make_trials, n_sessions, validation):
    meta = make_trials(n_sessions=n_sessions, n_trials=60).meta
    splits = Calibration(trials=(0, 4, 8))(meta, validation=validation)
    assert [(s.subject, s.trials) for s in splits] == [(s, n) for s in ("1", "2") for n in (0, 4, 8)]
    for none, few, many in (splits[:3], splits[3:]):
        assert len(none.train) == len(none.val) == 0
        for split, n in ((few, 4), (many, 8)):
            pool = np.concatenate([split.train, split.val])
            assert meta["label"].iloc[pool].value_counts().to_dict() == {0: n, 1: n, 2: n}
            assert (len(split.val) > 0) == (validation > 0)
            assert pool.max() < split.test.min()    # rows stand in the order of recording
            np.testing.assert_array_equal(split.test, none.test)
        assert set(few.train) | set(few.val) <= set(many.train) | set(many.val)
        tested = meta.iloc[none.test]
        assert set(tested["session"]) == {f"s{n_sessions - 1}"} == {none.session}
        assert len(tested) == (60 if n_sessions > 1 else 60 - 3 * 8)


def test_the_last_run_stands_in_for_the_last_session_and_windows_of_a_cue_stay_together(make_trials):
    meta = make_trials(n_subjects=1, n_sessions=1).meta
    meta = meta.assign(run=np.repeat(["0", "1"], 12))
    (split,) = Calibration(trials=4)(meta, validation=0.0)
    assert set(meta["run"].iloc[split.test]) == {"1"}
    windows = meta.loc[meta.index.repeat(2)].reset_index(drop=True)
    windows["group"] = windows["trial"]
    windows["trial"] += np.tile(["/0", "/1"], len(meta))
    (cut,) = Calibration(trials=4)(windows, validation=0.0)
    assert set(windows["group"].iloc[cut.train]) == set(meta["trial"].iloc[split.train])
    assert len(cut.train) == 2 * len(split.train)


def test_runs_of_which_nothing_tells_the_order_are_refused(make_trials):
    meta = make_trials(n_subjects=1, n_sessions=1).meta
    meta = meta.assign(run=np.repeat(["test", "train"], 12))
    with pytest.raises(ValueError, match=r"nothing tells which of .* test and train came first"):
        Calibration(trials=4)(meta, validation=0.0)


def test_labels_of_test_trials_choose_nothing(make_trials):
    meta = make_trials(n_sessions=2).meta
    before = Calibration(trials=[2, 4])(meta, validation=0.0)
    changed = meta.copy()
    changed.loc[before[0].test, "label"] = (changed.loc[before[0].test, "label"] + 1) % 3
    for one, other in zip(before, Calibration(trials=[2, 4])(changed, validation=0.0), strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.test, other.test)


@pytest.mark.parametrize("trials", [[], [5, 5], [-1]])
def test_bad_numbers_are_named(trials):
    with pytest.raises(ValueError, match=r"protocol.trials=.* must be different numbers of at least 0"):
        Calibration(trials=trials)


def test_more_trials_than_there_are(make_trials):
    with pytest.raises(ValueError, match=r"subject 1 has only 8 trials of a class .* protocol.trials=9 is too many"):
        Calibration(trials=[2, 9])(make_trials(n_sessions=2).meta, validation=0.0)
    with pytest.raises(ValueError, match=r"protocol.trials=8 a class leaves no trial to test on"):
        Calibration(trials=8)(make_trials(n_sessions=1).meta, validation=0.0)
