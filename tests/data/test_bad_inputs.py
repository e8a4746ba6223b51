"""What people feed a loader by mistake: each is named in one line, with the way out; nothing half-made is kept."""

import os
import re

import mne
import numpy as np
import pytest
from tests.data.fakes import make_raw
from tests.data.published_files import bci4_2b

from eegdecode.data import cache as cache_module
from eegdecode.data.files import FileDataset
from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess

EVENTS = {"left": "left", "right": "right"}


def save(folder, name="sub-1_run-1_eeg.fif", *, marks=("left", "right") * 2, change=None, **settings):
    """Write one recording of 60 s with a cue every 10 s; `change` alters the signals, in V."""
    raw = make_raw(**settings)
    if change is not None:
        change(raw._data)
    raw.set_annotations(mne.Annotations(5.0 + 10 * np.arange(len(marks)), 0, list(marks)))
    if name.endswith("fif"):
        raw.save(folder / name, verbose="error")
    else:
        mne.export.export_raw(folder / name, raw, verbose="error")
    return folder / name


def cut(file, share=0.5):
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def table(folder, text):
    save(folder)
    (folder / "table.csv").write_text(text)


def set_to(value, *where):
    def change(data):
        data[where] = value

    return change


def scale(factor):
    def change(data):
        data *= factor

    return change


def unreadable(folder, monkeypatch):
    folder.chmod(0)
    if os.geteuid() == 0:    # who may read everything
        monkeypatch.setattr(os, "access", lambda *_: False)


EDF, TABLE = {"pattern": "sub-{subject}_run-{run}.edf"}, {"pattern": None, "table": "table.csv"}

# name -> (what is done to the folder, settings of the data set or the preprocessing; words of the message)
FILES = {
    "truncated EDF": (lambda d: cut(save(d, "sub-1_run-1.edf")), EDF,
                      ["sub-1_run-1.edf cannot be read", "Copy it again"]),
    "header only": (lambda d: cut(save(d, "sub-1_run-1.edf"), 0.01), EDF,
                    ["sub-1_run-1.edf cannot be read"]),
    "truncated FIF": (lambda d: cut(save(d)), {}, ["sub-1_run-1_eeg.fif cannot be read", "Copy it again"]),
    "empty file": (lambda d: cut(save(d), 0), {}, ["sub-1_run-1_eeg.fif cannot be read"]),
    "text file": (lambda d: (d / "sub-1_run-1_eeg.fif").write_text("x"), {}, ["damaged, or no .fif file"]),
    "unknown format": (lambda d: (d / "sub-1.xyz").write_text("x"), {"pattern": "sub-{subject}.xyz"},
                       ["sub-1.xyz cannot be read", ".edf"]),
    "wrong pattern": (save, {"pattern": "S{subject}.edf"}, ["dataset.pattern='S{subject}.edf'", "sub-1_run-1_eeg.fif"]),
    "empty folder": (lambda d: None, {}, ["no file below", "there are 0 files"]),
    "no folder": (lambda d: None, {"folder": "nowhere"}, ["dataset.folder=nowhere", "dataset.folder=PATH"]),
    "same run twice": (lambda d: [save(d), save(d, "sub-1_run-1_b_eeg.fif")],
                       {"pattern": "sub-{subject}_run-{run}_*.fif"},
                       ["run-1_b_eeg.fif and", "run-1_eeg.fif the same subject, session"]),
    "unknown subject": (save, {"subjects": [9]}, ["no subject 9", "it has 1"]),
    "empty table": (lambda d: table(d, "file,subject\n"), TABLE, ["table.csv has no rows"]),
    "blank table": (lambda d: table(d, ""), TABLE, ["table.csv is no CSV table"]),
    "table without subjects": (lambda d: table(d, "file,who\na,b\n"), TABLE,
                               ["table.csv has no column 'subject'", "file, who"]),
    "missing run": (lambda d: table(d, "file,subject\nsub-1_run-2_eeg.fif,1\n"), TABLE,
                    ["sub-1_run-2_eeg.fif of subject 1", "does not exist"]),
    "no events": (lambda d: save(d, marks=()), {},
                  ["sub-1_run-1_eeg.fif: no cue named left, right", "its marks: none"]),
    "other events": (lambda d: save(d, marks=("up", "down")), {}, ["no cue named left, right", "its marks: down, up"]),
    "no stim channel": (save, {"labels_from": "stim", "events": {1: "a", 2: "b"}},
                        ["sub-1_run-1_eeg.fif has no stim channel", "dataset.stim_channel", "C3, Cz, C4"]),
    "one class": (lambda d: save(d, marks=("left",) * 4), {},
                  ["all 4 trials are of one class (left) and none of right", "dataset.events"]),
    "NaN block": (lambda d: save(d, change=set_to(np.nan, 1, slice(550, 600))), {},
                  ["cue 1", "missing samples (NaN) in channel Cz", "preprocess.incomplete=drop"]),
    "NaN channel": (lambda d: save(d, change=set_to(np.nan, 1)), {},
                    ["channel Cz is NaN throughout", "preprocess.channels"]),
    "flat channel": (lambda d: save(d, change=set_to(1e-5, 2)), {}, ["channel C4 is flat", "preprocess.channels"]),
    "µV written as volts": (lambda d: save(d, change=scale(1e6)), {}, ["deviate by", "e+06 µV", "dataset.scale=1e-6"]),
    "volts read as µV": (lambda d: save(d, change=scale(1e-6)), {}, ["deviate by", "e-06 µV", "dataset.scale=1e6"]),
    "unknown channel": (save, {"preprocess": {"channels": ["C3", "Pz"]}}, ["no channel Pz", "C3, Cz, C4"]),
    "window outside": (lambda d: save(d, marks=("left", "right") * 3), {"interval": [0, 8]},
                       ["0 to 8 s of cue 6", "after the recording", "preprocess.tmax", "preprocess.incomplete=drop"]),
    "edge above Nyquist": (save, {"preprocess": {"h_freq": 60}}, ["preprocess.h_freq", "60", "50 Hz"]),
    "rate above the recording's": (save, {"preprocess": {"sfreq": 500}}, ["preprocess.sfreq=500", "100 Hz"]),
    "two rates in a subject": (lambda d: [save(d), save(d, "sub-1_run-2_eeg.fif", sfreq=250)], {},
                               ["run-1_eeg.fif has 100 Hz", "run-2_eeg.fif 250 Hz", "preprocess.sfreq"]),
    "two sets of channels": (lambda d: [save(d), save(d, "sub-1_run-2_eeg.fif", channels=("C3", "F4"))], {},
                             ["run-1_eeg.fif and", "run-2_eeg.fif differ in the channels", "preprocess.channels=[C3]"]),
}  # fmt: skip


def load(folder, cache, *, preprocess=None, **settings):
    defaults = {"name": "mine", "folder": folder, "pattern": "sub-{subject}_run-{run}_eeg.fif", "events": EVENTS}
    dataset = FileDataset(**{**defaults, "interval": [0, 2], **settings})
    return load_trials(dataset, Preprocess(**(preprocess or {})), cache_dir=cache)


def kept(cache):
    """Folders of trials, whole or not."""
    return [path.name for path in cache.glob("*/*") if path.name != ".locks" and path.is_dir()]


@pytest.mark.parametrize("case", FILES)
def test_a_bad_input_is_named_in_one_line_and_nothing_is_cached(case, tmp_path):
    spoil, settings, words = FILES[case]
    folder, cache = tmp_path / "recordings", tmp_path / "cache"
    folder.mkdir()
    spoil(folder)
    with pytest.raises((ValueError, OSError)) as caught:
        load(**{"folder": folder, "cache": cache, **settings})
    line = str(caught.value).partition("\n")[0]
    assert all(word in line for word in words), line
    assert [name.partition("_")[0] for name in kept(cache)] == (["sub-1"] if case == "one class" else [])


def test_the_good_input_beside_them(tmp_path):
    save(tmp_path)
    assert len(load(tmp_path, tmp_path / "cache")) == 4


def test_two_rates_between_subjects(tmp_path):
    save(tmp_path)
    save(tmp_path, "sub-2_run-1_eeg.fif", sfreq=250)
    with pytest.raises(ValueError, match=r"subjects 1 and 2 do not .*100.* Hz.*250.* Hz.*preprocess.sfreq"):
        load(tmp_path, tmp_path / "cache")


def test_an_unreadable_folder(tmp_path, monkeypatch):
    folder = tmp_path / "recordings"
    folder.mkdir()
    save(folder)
    unreadable(folder, monkeypatch)
    with pytest.raises(PermissionError, match=r"dataset.folder=.*recordings cannot be read: ask its owner"):
        load(folder, tmp_path / "cache")
    folder.chmod(0o700)


def test_a_cache_that_cannot_be_written(tmp_path):
    save(tmp_path)
    (tmp_path / "cache").write_text("in the way")
    with pytest.warns(RuntimeWarning, match=r"cache .* cannot be written .*EEGDECODE_CACHE"):
        assert len(load(tmp_path, tmp_path / "cache")) == 4


def test_a_full_disk(tmp_path, monkeypatch):
    def full(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    save(tmp_path)
    monkeypatch.setattr(cache_module.np, "save", full)
    with pytest.warns(RuntimeWarning, match=r"No space left on device.*EEGDECODE_CACHE"):
        assert len(load(tmp_path, tmp_path / "cache")) == 4
    assert kept(tmp_path / "cache") == []


def public(tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_DATA", str(tmp_path / "mne_data"))
    bci4_2b(tmp_path / "mne_data")
    dataset = MoabbDataset(name="bci4_2b", class_name="BNCI2014_004", subjects=[1], cue_delay=3)
    (file,) = (tmp_path / "mne_data").rglob("B01E.mat")
    return dataset, file


def test_a_missing_session_of_a_public_set(tmp_path, monkeypatch):
    import moabb.datasets.download as download

    def fail(*_, **__):
        raise OSError("no network")

    dataset, file = public(tmp_path, monkeypatch)
    file.unlink()
    monkeypatch.setattr(download, "retrieve", fail)
    with pytest.raises(FileNotFoundError, match=rf"B01E.mat of subject 1 .* {re.escape(str(file.parent))} .*http"):
        load_trials(dataset, Preprocess(), cache_dir=tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


def test_a_cut_file_of_a_public_set(tmp_path, monkeypatch):
    dataset, file = public(tmp_path, monkeypatch)
    cut(file)
    with pytest.raises(ValueError, match=r"BNCI2014_004 subject 1 cannot be read.*B01E.mat.*Delete a damaged one"):
        load_trials(dataset, Preprocess(), cache_dir=tmp_path / "cache")
    assert kept(tmp_path / "cache") == []
