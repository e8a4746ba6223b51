"""Each public set of configs/dataset: what it says fits MOABB's class, and its loader finds the cue to the sample."""

import socket
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tests.data import published_files

from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.models.s3t import S3T
from eegdecode.training.frontend import Moments

CONFIGS = Path(__file__).parents[2] / "configs"
SETS = [
    path.stem
    for path in sorted((CONFIGS / "dataset").glob("*.yaml"))
    if "MoabbDataset" in path.read_text() and path.stem != "moabb"
]


def parts(name, *overrides):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return compose("train", overrides=[f"dataset={name}", *overrides])


@pytest.fixture
def mne_data(tmp_path, monkeypatch):
    """An empty folder of public sets, and no network."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setenv("MNE_DATA", str(tmp_path / "mne_data"))
    return tmp_path / "mne_data"


@pytest.mark.parametrize("name", SETS)
def test_settings_fit_the_class_of_moabb(name, mne_data):
    dataset = instantiate(parts(name).dataset, _convert_="all")
    source = dataset._source()
    assert set(dataset.classes) <= set(source.event_id)
    assert set(map(int, dataset.subject_names())) <= set(source.subject_list)
    begin, end = (round(edge + dataset.cue_delay, 6) for edge in dataset.interval)
    assert source.interval[0] <= begin < end <= source.interval[1]
    assert dataset.name == name


SHAPES = {    # set -> channels, rate, window in s, trials a session
    "bci4_2b": (3, 250, 4, {f"{i}{part}": 8 for i, part in enumerate(["train"] * 3 + ["test"] * 2)}),
    "bnci2014_009": (16, 256, 0.8, {"0": 48, "1": 48, "2": 48}),
    "nakanishi2015": (8, 256, 4.15, {"0": 180}),
    "weibo2014": (60, 200, 4, {"0": 35}),
    "cho2017": (64, 512, 3, {"0": 10}),
    "lee2019_mi": (62, 1000, 4, {"1": 6, "2": 6}),
    "high_gamma": (44, 500, 4, {"0train": 8, "1test": 4}),
    "zhou2016": (3, 250, 5, {"0": 6, "1": 6, "2": 6}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_window_begins_at_the_cue(name, mne_data, tmp_path):
    config = parts(name, "dataset.subjects=[1]")
    channels = [list(config.preprocess.channels)] if name == "high_gamma" else []
    getattr(published_files, name)(mne_data, *channels)
    trials = load_trials(instantiate(config.dataset, _convert_="all"), Preprocess(), cache_dir=tmp_path)
    n_chans, sfreq, seconds, sessions = SHAPES[name]
    assert trials.X.shape == (sum(sessions.values()), n_chans, round(seconds * sfreq))
    assert trials.signal.sfreq == sfreq
    assert trials.meta["session"].value_counts(sort=False).to_dict() == sessions
    assert (trials.X[:, 0].argmax(axis=1) == 0).all()
    np.testing.assert_allclose(trials.X[:, 0, 0], 100, atol=5)    # µV
    assert len(set(np.bincount(trials.y))) == 1 or name == "bnci2014_009"
    instantiate(config.protocol, _convert_="all")(trials.meta, validation=0)


def test_2b_is_tested_on_its_last_two_sessions(mne_data, tmp_path):
    published_files.bci4_2b(mne_data)
    config = parts("bci4_2b", "dataset.subjects=[1]")
    trials = load_trials(instantiate(config.dataset, _convert_="all"), Preprocess(), cache_dir=tmp_path)
    (split,) = instantiate(config.protocol, _convert_="all")(trials.meta, validation=0.2)
    assert split.session == "3test+4test"
    assert (len(split.train) + len(split.val), len(split.test)) == (24, 16)


def test_s3t_on_2b_has_one_set_of_three_filters(mne_data, tmp_path):
    """Of three channels and two classes; its authors' 6,504 parameters, at 1000 samples."""
    published_files.bci4_2b(mne_data)
    config = parts("bci4_2b", "dataset.subjects=[1]", "preprocess=s3t", "model=s3t")    # with its front end
    dataset, preprocess = (instantiate(config[part], _convert_="all") for part in ("dataset", "preprocess"))
    trials = load_trials(dataset, preprocess, cache_dir=tmp_path)
    filters = instantiate(config.frontend).fit(Moments.of(trials.X), trials.y).filters
    net = S3T(len(filters), trials.X.shape[2], 2, trials.signal.sfreq)
    assert filters.shape == (3, 3)
    assert sum(p.numel() for p in net.parameters()) == 6504


def test_one_flash_in_six_is_the_target(mne_data, tmp_path):
    published_files.bnci2014_009(mne_data)
    config = parts("bnci2014_009", "dataset.subjects=[1]")
    trials = load_trials(instantiate(config.dataset, _convert_="all"), Preprocess(), cache_dir=tmp_path)
    assert list(np.bincount(trials.y)) == [120, 24]


@pytest.mark.parametrize(
    ("paradigm", "events", "classes"),
    [
        ("imagery", ["left_hand", "feet"], ("left_hand", "feet")),
        ("ssvep", ["12.5", "15"], ("12.5", "15")),
        ("p300", ["Target", "NonTarget"], ("NonTarget", "Target")),
    ],
)
def test_any_class_of_moabb_with_its_own_events_and_window(mne_data, tmp_path, paradigm, events, classes):
    options = {"paradigm": paradigm, "event_list": events, "n_subjects": 2, "n_runs": 1, "seed": 1, "stim": True}
    dataset = instantiate(parts("moabb", "dataset.name=FakeDataset").dataset, _convert_="all", options=options)
    assert dataset.classes == classes
    assert dataset.interval == (0.0, 3.0)
    assert dataset.subject_names() == ("1", "2")
    trials = load_trials(dataset, Preprocess(incomplete="drop"), cache_dir=tmp_path)
    assert trials.X.shape[1:] == (3, 384)
    assert list(trials.meta["session"].unique()) == ["0", "1"]


def test_a_class_by_its_name_takes_its_own_settings(mne_data):
    dataset = instantiate(parts("moabb", "dataset.name=Zhou2016").dataset, _convert_="all")
    assert dataset.class_name == "Zhou2016"
    assert (dataset.classes, dataset.interval) == (("left_hand", "right_hand", "feet"), (0.0, 5.0))
    shifted = MoabbDataset(name="BNCI2014_004", cue_delay=3)
    assert shifted.interval == (0.0, 4.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "Zhou2"}, ["no data set 'Zhou2'", "Zhou2016"]),
        ({"name": "download"}, ["no data set 'download'"]),
        ({"name": "Zhou2016", "options": {"speed": 3}}, ["dataset.options={'speed': 3}", "Zhou2016"]),
        ({"name": "Zhou2016", "classes": ["tongue", "feet"]}, ["no class tongue", "right_hand"]),
    ],
)
def test_what_moabb_does_not_have(mne_data, settings, words):
    with pytest.raises(ValueError) as caught:
        MoabbDataset(**settings)
    assert all(word in str(caught.value) for word in words), caught.value
