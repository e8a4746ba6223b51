from dataclasses import replace

import numpy as np
import pytest
from tests.data.fakes import FakeDataset, make_raw, make_recording

from eegdecode.data.assembly import prepare_subject
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess


def test_trials_of_several_subjects(tmp_path, caplog):
    with caplog.at_level("INFO", logger="eegdecode"):
        trials = load_trials(FakeDataset(), Preprocess(), cache_dir=tmp_path)
    assert trials.X.shape == (16, 3, 200)
    assert trials.classes == ("left", "right")
    assert list(trials.y) == [0, 1] * 8
    assert trials.meta["trial"].iloc[9] == "sub-2_ses-0_run-0_trial-0001"
    assert list(trials.meta["subject"].unique()) == ["1", "2"]
    assert set(trials.fingerprints) == {"1", "2"}
    assert [line.split(",")[0] for line in caplog.messages] == [
        "fake: subject 1 (1 of 2): 8 trials",
        "fake: subject 2 (2 of 2): 8 trials",
    ]


def test_the_window_of_the_settings_wins(tmp_path):
    trials = load_trials(FakeDataset(), Preprocess(tmin=-1, tmax=0.5), cache_dir=tmp_path)
    assert trials.X.shape[-1] == 150
    assert trials.signal.tmin == -1
    with pytest.raises(ValueError, match=r"begins at 3 s and ends at 2 s.*preprocess.tmax"):
        load_trials(FakeDataset(), Preprocess(tmin=3), cache_dir=tmp_path)


def test_what_is_missing_shows_before_any_work(tmp_path):
    class Incomplete(FakeDataset):
        def recordings(self, subject):
            if subject == "3":
                raise FileNotFoundError("run 2 of subject 3 is missing")
            return iter(lambda: pytest.fail("work began"), None)

    with pytest.raises(FileNotFoundError, match="subject 3"):
        load_trials(Incomplete(subjects=None), Preprocess(), cache_dir=tmp_path)


def test_a_subject_depends_on_no_other(tmp_path):
    band = Preprocess(l_freq=4, h_freq=40)
    both = load_trials(FakeDataset(), band, cache_dir=tmp_path / "a")
    alone = load_trials(FakeDataset(subjects=("2",)), band, cache_dir=tmp_path / "b")
    np.testing.assert_array_equal(both.X[8:], alone.X)
    assert both.fingerprints["2"] == alone.fingerprints["2"]


def subject_of(*recordings, **settings):
    return prepare_subject(FakeDataset(), Preprocess(**settings), "1", recordings)


def test_channels_of_another_order_are_sorted_and_others_named():
    first = make_recording()
    turned = make_raw(channels=("C4", "Cz", "C3"))
    trials = subject_of(first, make_recording(turned, run="1"))
    np.testing.assert_allclose(trials.X[4, 0], turned._data[2, 500:700] * 1e6, rtol=1e-6)
    other = make_recording(make_raw(channels=("C3", "Cz", "F4")), run="1")
    with pytest.raises(ValueError, match=r"run 0 and fake 1 run 1 differ .* C4, F4; .*channels=\[C3,Cz\]"):
        subject_of(first, other)


def test_two_rates_in_one_subject():
    with pytest.raises(ValueError, match=r"100 Hz, fake 1 run 1 250 Hz; set one rate by preprocess.sfreq"):
        subject_of(make_recording(), make_recording(make_raw(sfreq=250), run="1"))


def test_rates_that_headers_round_otherwise_become_one_by_the_setting():
    nearly = [make_recording(make_raw(sfreq=rate), run=str(run)) for run, rate in enumerate((99.99999, 100.0))]
    with pytest.raises(ValueError, match=r"has 99.99999 Hz, fake 1 run 1 100 Hz; set one rate by preprocess.sfreq"):
        subject_of(*nearly)
    both = subject_of(*nearly, sfreq=100)
    assert both.signal.sfreq == 100
    assert both.X.shape == (8, 3, 200)
    np.testing.assert_allclose(both.X[0], nearly[0].raw._data[:, 500:700] * 1e6, rtol=1e-6)    # not resampled


def test_a_run_in_two_files_and_dropped_trials_keep_their_names():
    late = make_recording(onsets=(500, 5900, 5990))
    names = subject_of(late, make_recording(), incomplete="drop").meta["trial"]
    assert [name[-4:] for name in names] == ["0000", "0003", "0004", "0005", "0006"]


def test_pieces_that_were_cut_from_one_recording_are_dated_after_each_other():
    """MNE leaves them the date of the whole."""
    whole = make_raw(seconds=200.0).set_meas_date(1e9)
    pieces = [whole.copy().crop(*span) for span in ((0, 60), (100, 160))]
    table = subject_of(*(make_recording(raw, run=str(run)) for run, raw in enumerate(pieces))).meta
    np.testing.assert_allclose(table["recorded"] - 1e9, [5, 15, 25, 35, 105, 115, 125, 135])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["left"] * 4, r"all 8 trials are of one class \(left\)"),
        (["left", "up", "left", "up"], "labels up are no classes"),
    ],
)
def test_labels_that_cannot_be_right(tmp_path, labels, message):
    class Mislabelled(FakeDataset):
        def recordings(self, subject):
            return (replace(one, labels=np.array(labels)) for one in FakeDataset().recordings(subject))

    with pytest.raises(ValueError, match=message):
        load_trials(Mislabelled(subjects=("1",)), Preprocess(), cache_dir=tmp_path)


def test_classes_without_trials(tmp_path):
    with pytest.raises(ValueError, match="no trial of class up"):
        load_trials(FakeDataset(classes=("left", "right", "up")), Preprocess(), cache_dir=tmp_path)
    with pytest.raises(ValueError, match="subject 1 has no trial of the classes left, right in 0 recordings"):
        subject_of()
