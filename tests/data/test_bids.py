"""A BIDS folder that mne-bids writes."""

import sys
import warnings

import mne
import mne_bids
import numpy as np
import pytest
from tests.data.fakes import CHANNELS, make_raw

from eegdecode.data.bids import BidsDataset
from eegdecode.data.cache import Cache
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess

EVENTS = {"left": "left_hand", "right": "right_hand"}


def recording(seed):
    raw = make_raw(seed=seed)
    raw.info["line_freq"] = 50
    return raw.set_annotations(mne.Annotations([5.0, 15.0, 25.0, 35.0], 1.0, ["left", "right"] * 2))


def write(folder, subject, session, run, task="imagery", seed=0, kind="BrainVision"):
    path = mne_bids.BIDSPath(root=folder, subject=subject, session=session, run=run, task=task, datatype="eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"allow_preload": True, "format": kind, "verbose": "error"}
        mne_bids.write_raw_bids(recording(seed), path, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two subjects, sessions 2 and 10, two runs each."""
    folder = tmp_path_factory.mktemp("bids")
    for subject in ("01", "02"):
        for session in ("10", "2"):
            for run in ("01", "02"):
                write(folder, subject, session, run, seed=10 * int(session) + int(run))
    return folder


def dataset(folder, **settings):
    return BidsDataset(**{"name": "bids", "folder": folder, "events": EVENTS, "interval": [0, 2], **settings})


def test_a_type_whose_name_goes_on_is_another(tmp_path):
    raw = make_raw()
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations([5.0, 15.0, 25.0, 35.0], 1.0, ["left", "left/no", "right", "right/no"]))
    path = mne_bids.BIDSPath(root=tmp_path, subject="01", session="1", task="imagery", datatype="eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(raw, path, allow_preload=True, format="BrainVision", verbose="error")
    (found,) = dataset(tmp_path).recordings("01")
    assert list(found.labels) == ["left_hand", "right_hand"]


def test_subjects_sessions_and_runs_stand_in_order(folder, tmp_path):
    trials = load_trials(dataset(folder), Preprocess(), cache_dir=tmp_path)
    assert trials.X.shape == (2 * 2 * 2 * 4, 3, 200)
    assert trials.signal.ch_names == CHANNELS
    assert trials.classes == ("left_hand", "right_hand")
    assert list(trials.meta["subject"].unique()) == ["01", "02"]
    assert list(trials.meta["session"].unique()) == ["2", "10"]
    assert list(trials.meta["run"].unique()) == ["01", "02"]
    assert list(trials.y) == [0, 1] * 16
    expected = recording(21)._data[:, 500:700] * 1e6
    np.testing.assert_allclose(trials.X[0], expected, atol=0.1)


def test_prepared_trials_need_no_mne_bids(folder, tmp_path, monkeypatch):
    first = load_trials(dataset(folder), Preprocess(), cache_dir=tmp_path)
    monkeypatch.setitem(sys.modules, "mne_bids", None)    # its import fails
    np.testing.assert_array_equal(load_trials(dataset(folder), Preprocess(), cache_dir=tmp_path).X, first.X)


def test_a_subject_by_its_number_and_windows_in_groups(folder, tmp_path):
    mine = dataset(folder, subjects=[2], until=10)
    trials = load_trials(mine, Preprocess(), cache_dir=tmp_path)
    assert list(trials.meta["subject"].unique()) == ["02"]
    assert len(trials) == 4 * 4 * 5
    assert trials.meta["group"].nunique() == 16


def test_a_mark_of_null_is_left_out(folder):
    mine = dataset(folder, events={"left": "left_hand", "right": None})
    assert mine.classes == ("left_hand",)
    assert {str(label) for each in mine.recordings("01") for label in each.labels} == {"left_hand"}
    with pytest.raises(ValueError, match=r"dataset.events: the class of the mark left must be one word"):
        dataset(folder, events={"left": ["a", "b"]})


def test_marks_of_the_file_itself_are_told(tmp_path, caplog):
    write(tmp_path, "01", "1", "01")
    assert "events.tsv" not in caplog.text
    next(tmp_path.rglob("*_events.tsv")).unlink()
    with pytest.raises(ValueError, match="no event of trial_type left, right"):    # pybv calls them otherwise
        next(dataset(tmp_path).recordings("01"))
    assert "has no events.tsv: the marks in the file itself are taken" in caplog.text


def test_an_edited_table_of_events_has_an_entry_of_its_own(tmp_path):
    write(tmp_path, "01", "1", "01")
    before = Cache(dataset(tmp_path), Preprocess()).path("01")
    (table,) = tmp_path.rglob("*_events.tsv")
    table.write_text(table.read_text().replace("left", "right", 1) + "\n")
    assert Cache(dataset(tmp_path), Preprocess()).path("01") != before


def test_an_edited_table_of_the_whole_set_is_read_again(tmp_path):
    """BIDS lets a table above the recordings hold for all of them."""
    write(tmp_path, "01", "1", "01")
    (table,) = tmp_path.rglob("*_events.tsv")
    common = table.rename(tmp_path / "task-imagery_events.tsv")
    first = load_trials(dataset(tmp_path), Preprocess(), cache_dir=tmp_path / "cache")
    lines = common.read_text().splitlines()
    common.write_text("\n".join([*lines[:1], *lines[2:]]))
    assert len(load_trials(dataset(tmp_path), Preprocess(), cache_dir=tmp_path / "cache")) == len(first) - 1
    names = {file.name for file in dataset(tmp_path).files("01")}
    assert {"task-imagery_events.tsv", "sub-01_ses-1_scans.tsv"} < names
    assert not {"participants.tsv", "dataset_description.json"} & names    # other subjects may come


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"events": None}, ValueError, ["dataset.events", "left, right", "sub-01_ses-2"]),
        ({"events": {"up": "up", "down": "down"}}, ValueError, ["sub-01_ses-2", "up, down", "left, right"]),
        ({"subjects": [7]}, ValueError, ["no subject 7", "01, 02"]),
        ({"task": "rest"}, FileNotFoundError, ["dataset.task=rest", "imagery"]),
        ({"folder": "nowhere"}, FileNotFoundError, ["dataset.folder=nowhere", "dataset.folder=PATH"]),
    ],
)
def test_what_is_not_there_is_named(folder, tmp_path, settings, error, words):
    with pytest.raises(error) as caught:
        load_trials(dataset(**{"folder": folder, **settings}), Preprocess(), cache_dir=tmp_path)
    assert all(word in str(caught.value) for word in words), caught.value


def test_no_bids_folder_and_two_tasks(tmp_path):
    with pytest.raises(FileNotFoundError, match="no BIDS folder of EEG"):
        dataset(tmp_path).subject_names()
    write(tmp_path, "01", "1", "01", task="imagery")
    write(tmp_path, "01", "1", "01", task="rest")
    with pytest.raises(ValueError, match=r"the tasks imagery, rest; choose one: dataset.task=imagery"):
        dataset(tmp_path).subject_names()


def test_a_cut_recording_is_named(tmp_path):
    """MNE reads what is left of it, and mne-bids leaves out the events after its end."""
    write(tmp_path, "01", "1", "01", kind="EDF")
    (file,) = tmp_path.rglob("*_eeg.edf")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"_eeg.edf cannot be read by mne-bids: .*the file size.*dataset.subjects"):
        next(dataset(tmp_path).recordings("01"))


def test_signals_that_end_before_their_events_are_suspected(tmp_path, caplog):
    write(tmp_path, "01", "1", "01")
    (file,) = tmp_path.rglob("*_eeg.eeg")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert len(next(dataset(tmp_path).recordings("01")).onsets) == 3    # of 4
    assert "_eeg.vhdr may be cut: its marks go on after the signals end" in caplog.text


def test_edf_files_in_capitals_are_read(tmp_path):
    """As old recorders name them, and as mne-bids allows."""
    write(tmp_path, "01", "1", "01", kind="EDF")
    first = next(dataset(tmp_path).recordings("01")).raw.get_data()
    (file,) = tmp_path.rglob("*_eeg.edf")
    file.rename(file.with_suffix(".EDF"))
    (again,) = dataset(tmp_path).recordings("01")
    np.testing.assert_array_equal(again.raw.get_data(), first)
    assert again.source.endswith(".EDF")
    assert list(again.onsets) == [500, 1500, 2500, 3500]


def test_other_formats_in_capitals_are_to_be_renamed(tmp_path):
    """To pass over them would leave trials out."""
    write(tmp_path, "01", "1", "01", kind="BDF")
    write(tmp_path, "02", "1", "01", kind="BDF")
    file = next(tmp_path.rglob("sub-01*_eeg.bdf"))
    file.rename(file.with_suffix(".BDF"))
    with pytest.raises(ValueError, match=r"sub-01_.*_eeg.BDF: .* small letters: rename it to sub-01_.*_eeg.bdf, or"):
        load_trials(dataset(tmp_path), Preprocess(), cache_dir=tmp_path / "cache")
    assert len(load_trials(dataset(tmp_path, subjects=[2]), Preprocess(), cache_dir=tmp_path / "cache")) == 4


def test_one_recording_in_two_formats_is_not_two(tmp_path):
    """Its trials would be there twice, rounded otherwise, so that no guard at the split knows them again."""
    write(tmp_path, "01", "1", "01")
    write(tmp_path / "other", "01", "1", "01", kind="EDF")
    (header,), (other,) = tmp_path.glob("sub-*/*/*/*.vhdr"), tmp_path.glob("other/*/*/*/*.edf")
    other.rename(header.with_suffix(".edf"))
    with pytest.raises(ValueError, match=r"_eeg.edf and \S*_eeg.vhdr are one recording.* dataset.subjects"):
        load_trials(dataset(tmp_path), Preprocess(), cache_dir=tmp_path / "cache")


def test_an_unreadable_recording_is_named(tmp_path):
    write(tmp_path, "01", "1", "01")
    (header,) = tmp_path.rglob("*.vhdr")
    header.write_text("nothing")
    with pytest.raises(ValueError, match=r"sub-01_ses-1_.*vhdr cannot be read by mne-bids"):
        next(dataset(tmp_path).recordings("01"))


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"interval": [2, 1]}, "[2, 1]"), ({"subjects": "1"}, "'1'"),
     ({"until": "next"}, "'next'"), ({"overlap": -1}, "-1")],
)
def test_bad_settings_are_named_at_once(settings, word):
    with pytest.raises(ValueError) as caught:
        dataset("anywhere", **settings)
    assert word in str(caught.value)
