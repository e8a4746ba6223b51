"""BCI Competition IV 2a through MOABB's own loader, on files in the published layout."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.data.bnci_files import write_bnci2014_001

from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess

SETTINGS = {
    "name": "bci4_2a",
    "class_name": "BNCI2014_001",
    "classes": ["left_hand", "right_hand", "feet", "tongue"],
    "interval": [0, 4],
    "cue_delay": 2,
}


def dataset(*subjects, **settings):
    return MoabbDataset(**{**SETTINGS, "subjects": list(subjects), **settings})


@pytest.fixture(scope="module")
def mne_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mne_data")
    write_bnci2014_001(folder, subjects=(4,))
    return folder


@pytest.fixture
def at_home(mne_data, monkeypatch):
    monkeypatch.setenv("MNE_DATA", str(mne_data))


@pytest.fixture(scope="module")
def trials(mne_data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNE_DATA", str(mne_data))
        band = Preprocess(l_freq=4, h_freq=40)
        return load_trials(dataset(4), band, cache_dir=tmp_path_factory.mktemp("cache"))


def test_what_moabb_lists_may_be_a_folder_or_in_parts(tmp_path, at_home, monkeypatch):
    """As of Jeong2020 and Chen2017SingleFlicker: each file is told, so that a replaced one is noticed."""
    files = [tmp_path / name for name in ("a.mat", "sub/b.mat", "sub/deep/c.mat")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    mine = dataset(4)
    for listed in ({"mat": [str(files[0])], "xdf": [str(tmp_path / "sub"), []]}, [files[0], [files[1].parent]]):
        monkeypatch.setattr(type(mine._source()), "data_path", lambda self, subject, listed=listed: listed)
        assert mine.fetched("4") == tuple(files)


def test_two_sessions_of_288_trials_72_a_class_and_1000_samples(trials):
    assert trials.X.shape == (576, 22, 1000)
    counts = trials.meta.groupby(["session", "label"]).size()
    assert list(trials.meta["session"].unique()) == ["0train", "1test"]
    assert (counts == 72).all()
    assert len(counts) == 8
    assert list(trials.meta["run"].unique()) == list("012345")    # without the runs of eye movements
    assert np.isfinite(trials.X).all()
    assert not {"EOG1", "EOG2", "EOG3"} & set(trials.signal.ch_names)
    assert np.isfinite(trials.signal.positions).all()


def test_the_window_holds_the_imagery_to_the_sample(trials):
    """The files have 12 Hz from 2 to 6 s of the trial, at an electrode that tells the class."""
    t = np.arange(1000) / 250
    for label, channel in enumerate(("C3", "C4", "Cz", "CPz")):
        x = trials.X[trials.y == label][:, trials.signal.ch_names.index(channel)].mean(axis=0)
        middle = slice(125, -125)
        np.testing.assert_allclose(x[middle], 8 * np.sin(2 * np.pi * 12 * t[middle]), atol=2.5)


def test_missing_samples_in_a_trial_are_an_error_or_dropped(tmp_path, monkeypatch):
    write_bnci2014_001(tmp_path, subjects=(1,), nan_in_trial=True)
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"subject 1, session 0train, run 0.*cue 1 .*NaN.*Fz"):
        load_trials(dataset(1), Preprocess(), cache_dir=tmp_path)
    assert not list((tmp_path / "bci4_2a").glob("sub-*"))
    assert len(load_trials(dataset(1), Preprocess(incomplete="drop"), cache_dir=tmp_path)) == 575


def test_a_missing_file_is_named_with_its_place_before_any_work(at_home, mne_data, tmp_path, monkeypatch):
    import moabb.datasets.download as download

    def original(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(download, "retrieve", original)
    with pytest.raises(FileNotFoundError) as caught:
        load_trials(dataset(4, 7), Preprocess(), cache_dir=tmp_path)
    place = str(mne_data / "MNE-bnci-data" / "~bci" / "database" / "001-2014")
    for word in ("A07T.mat", "subject 7", place, "https://", "MNE_DATA", "no network"):
        assert word in str(caught.value)
    assert not list(tmp_path.glob("bci4_2a/sub-*"))
    assert download.retrieve is original


def test_some_classes_only(at_home):
    recording = next(dataset(4, classes=["tongue", "feet"]).recordings("4"))
    assert sorted(set(recording.labels)) == ["feet", "tongue"]
    assert len(recording.onsets) == 24


def test_runs_in_the_order_of_time(at_home):
    runs = [one.run for one in dataset(4, run_order=list("351042")).recordings("4")]
    assert runs == list("351042") * 2
    with pytest.raises(ValueError, match=r"run_order=.* lacks the runs \['3'"):
        list(dataset(4, run_order=list("012")).recordings("4"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_name": "BNCI2014_999"}, ["no data set 'BNCI2014_999'"]),
        ({"classes": ["left_hand", "right_foot"]}, ["no class right_foot", "tongue"]),
        ({"subjects": [10]}, ["no subject 10", "9: 1 to 9"]),
    ],
)
def test_what_moabb_does_not_have(at_home, settings, words):
    with pytest.raises(ValueError) as caught:
        dataset(**{"subjects": [1], **settings}).recordings(str(settings.get("subjects", [1])[0]))
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"interval": [4, 0]}, "dataset.interval=[4, 0]"),
        ({"interval": [0]}, "dataset.interval=[0] must be two times"),
        ({"classes": ["feet"]}, "feet"),
        ({"subjects": [1, 1]}, "1, 1"),
        ({"subjects": []}, "[]"),
        ({"subjects": "1"}, "'1'"),
        ({"subjects": ["a"]}, "dataset.subjects=['a']: a is no whole number"),
        ({"subjects": ["1.5"]}, "1.5 is no whole number"),
    ],
)
def test_bad_settings_are_named_at_once(settings, word):
    with pytest.raises(ValueError) as caught:
        MoabbDataset(**{**SETTINGS, **settings})
    assert word in str(caught.value)


def test_importing_the_wing_costs_no_moabb():
    code = "import sys, eegdecode.data.moabb, eegdecode.data.prepare; sys.exit('moabb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_settings_of_mne_in_the_home_stay_as_they_are(mne_data, tmp_path):
    """Neither MNE_DATA nor a mirror of choice is written into ~/.mne."""
    (tmp_path / "mne_data").symlink_to(mne_data)
    code = (
        "from eegdecode.data.moabb import MoabbDataset\n"
        f"next(MoabbDataset(**{SETTINGS}).recordings('4'))"
    )
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("MNE", "MOABB"))}
    fake = {"HOME": str(tmp_path), "_MNE_FAKE_HOME_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=keep | fake)
    assert not (Path(tmp_path) / ".mne").exists()
