import warnings
from dataclasses import fields, replace
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import yaml
from tests.data.fakes import CHANNELS, make_raw
from tests.data.gdf_files import write_gdf

from eegdecode.data.cache import Cache
from eegdecode.data.files import FileDataset
from eegdecode.data.index import index_table
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.identity import describe

PATTERN = "sub-{subject}_run-{session}_eeg.fif"
EVENTS = {"left": "left", "right": "right"}


def annotated(seed=0):
    raw = make_raw(seed=seed)
    return raw.set_annotations(mne.Annotations([5.0, 15.0, 25.0, 35.0], 0, ["left", "right"] * 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two subjects with two runs each, and a file that is none of them."""
    folder = tmp_path_factory.mktemp("files")
    for subject in (2, 12):
        for run in (9, 10):
            file = folder / f"sub-{subject:02d}_run-{run}_eeg.fif"
            annotated(seed=subject + run).save(file, verbose="error")
    (folder / "README.txt").write_text("not a recording")
    return folder


def dataset(folder, **settings):
    defaults = {"pattern": PATTERN, "events": EVENTS, "interval": [0, 2]}
    return FileDataset(**{"name": "mine", "folder": folder, **defaults, **settings})


def test_who_and_when_come_from_the_path(folder, tmp_path):
    trials = load_trials(dataset(folder), Preprocess(), cache_dir=tmp_path)
    assert trials.X.shape == (16, 3, 200)
    assert list(trials.meta["subject"].unique()) == ["02", "12"]
    assert list(trials.meta["session"].unique()) == ["9", "10"]    # 10 after 9
    assert list(trials.y[:4]) == [0, 1, 0, 1]
    np.testing.assert_allclose(trials.X[0], annotated(seed=11)._data[:, 500:700] * 1e6, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("subjects", [[2], ["02"], ["2"]])
def test_subjects_are_found_with_or_without_zeros(folder, subjects):
    assert dataset(folder, subjects=subjects).subject_names() == ("02",)


def test_a_table_says_the_same(folder, tmp_path):
    (tmp_path / "table.csv").write_text(
        "file,subject,session\nsub-02_run-10_eeg.fif,anna,late\nsub-02_run-9_eeg.fif,anna,later\n"
    )
    mine = dataset(folder, pattern=None, table=tmp_path / "table.csv")
    assert mine.subject_names() == ("anna",)
    assert [one.session for one in mine.recordings("anna")] == ["late", "later"]


@pytest.mark.parametrize(("head", "rows", "said"), [
    ("file,subject,session", ["a.fif,1,1", "b.fif,,2"], "line 3: subject is empty"),
    ("file,subject,session", ["a.fif,1,", "b.fif,1,2"], "line 2: session is empty"),
    ("file,subject", ["a.fif,1", " ,2"], "line 3: file is empty"),
])    # fmt: skip
def test_a_row_of_a_table_that_does_not_say_whose_it_is_is_named(tmp_path, head, rows, said):
    """Two people without a name would be one."""
    (tmp_path / "table.csv").write_text("\n".join([head, *rows]) + "\n")
    with pytest.raises(ValueError, match=rf"table\.csv, {said}"):
        index_table(tmp_path, tmp_path / "table.csv")


def test_missing_files_of_a_table_show_at_the_call(folder, tmp_path):
    (tmp_path / "table.csv").write_text("file,subject\nsub-99_eeg.fif,anna\n")
    mine = dataset(folder, pattern=None, table=tmp_path / "table.csv")
    with pytest.raises(FileNotFoundError, match=r"sub-99_eeg.fif of subject anna .*does not exist"):
        load_trials(mine, Preprocess(), cache_dir=tmp_path)


def test_subjects_behind_links_to_folders_are_found(folder, tmp_path):
    """As where each subject lies on another disk."""
    for subject in ("02", "12"):
        (tmp_path / "elsewhere" / subject).mkdir(parents=True)
        file = f"sub-{subject}_run-9_eeg.fif"
        (tmp_path / "elsewhere" / subject / file).write_bytes((folder / file).read_bytes())
    mine = tmp_path / "mine [?]"
    mine.mkdir()
    (mine / "02").symlink_to(tmp_path / "elsewhere" / "02", target_is_directory=True)
    (tmp_path / "elsewhere" / "12").rename(mine / "12")
    for pattern in ("{subject}/sub-{subject}_run-{session}_eeg.fif", "{subject}/*run-{session}*.fif"):
        assert dataset(mine, pattern=pattern).subject_names() == ("02", "12")
    with pytest.raises(FileNotFoundError, match=r"no file below .* fits"):
        dataset(mine, pattern="/{subject}[0]/*").subject_names()


def test_recordings_that_have_not_been_fetched_are_named_and_not_left_out(tmp_path):
    """DataLad and git-annex leave links to nothing."""
    annotated().save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    (tmp_path / "sub-1_run-2_eeg.fif").symlink_to("../annex/key.fif")
    with pytest.raises(FileNotFoundError, match=r"sub-1_run-2_eeg.fif of subject 1 is a link to nothing: fetch"):
        load_trials(dataset(tmp_path), Preprocess(), cache_dir=tmp_path)


def test_labels_from_a_stim_channel(tmp_path):
    raw = make_raw()
    stim = np.zeros((1, raw.n_times))
    stim[0, [500, 1500]] = 769, 770
    extra = mne.io.RawArray(stim, mne.create_info(["STI"], 100.0, "stim"), verbose="error")
    raw.add_channels([extra], force_update_info=True).save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    mine = dataset(tmp_path, labels_from="stim", events={769: "left", 770: "right"})
    (recording,) = mine.recordings("1")
    assert list(recording.onsets) == [500, 1500]
    assert list(recording.labels) == ["left", "right"]


def test_a_channel_of_codes_that_the_file_calls_eeg_is_no_signal(tmp_path):
    """A network would read the classes from it."""
    raw = make_raw(channels=("C3", "Marker", "C4"))
    raw._data[1] = 0
    raw._data[1, 500:510], raw._data[1, 1500:1510] = 1, 2
    raw.save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    mine = dataset(tmp_path, labels_from="stim", stim_channel="Marker", events={1: "left", 2: "right"})
    (recording,) = mine.recordings("1")
    assert list(recording.onsets) == [500, 1500]
    assert load_trials(mine, Preprocess(), cache_dir=tmp_path).signal.ch_names == ("C3", "C4")


@pytest.mark.parametrize("suffix", ["edf", "vhdr"])
def test_codes_that_a_file_holds_in_microvolts_are_read(tmp_path, suffix):
    """MNE turns 1 and 2 into millionths, which are no codes."""
    raw = make_raw(channels=("C3", "Marker", "C4"))
    raw._data[1] = 0
    raw._data[1, 500:510], raw._data[1, 1500:1510] = 1e-6, 2e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne.export.export_raw(tmp_path / f"sub-1_run-1_eeg.{suffix}", raw, verbose="error")
    pattern = f"sub-{{subject}}_run-{{session}}_eeg.{suffix}"
    settings = {"labels_from": "stim", "stim_channel": "Marker", "pattern": pattern}
    (recording,) = dataset(tmp_path, events={1: "left", 2: "right"}, **settings).recordings("1")
    assert list(recording.onsets) == [500, 1500]
    assert list(recording.labels) == ["left", "right"]
    with pytest.raises(ValueError, match=r"Marks of .*: 1, 2"):
        dataset(tmp_path, events=None, **settings).subject_names()


def test_a_code_at_the_first_sample_is_a_cue(tmp_path):
    raw = make_raw(channels=("C3", "Marker", "C4"))
    raw._data[1] = 0
    raw._data[1, :10], raw._data[1, 1500:1510] = 1, 2
    raw.save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    mine = dataset(tmp_path, labels_from="stim", stim_channel="Marker", events={1: "left", 2: "right"})
    (recording,) = mine.recordings("1")
    assert list(recording.onsets) == [0, 1500]


@pytest.mark.parametrize("name", ["", "a/b", "../c", ".."])
def test_a_name_that_is_no_folder_of_the_cache_is_refused(tmp_path, folder, name):
    with pytest.raises(ValueError, match="must be a name without slashes"):
        load_trials(dataset(folder, name=name), Preprocess(), cache_dir=tmp_path)


def test_a_recording_that_is_a_folder_is_one_and_what_is_in_it_is_not(tmp_path):
    for subject in ("1", "2"):
        (tmp_path / f"s{subject}.mff" / "inner").mkdir(parents=True)
        (tmp_path / f"s{subject}.mff" / "inner" / "signal1.bin").write_bytes(b"1")
    mine = dataset(tmp_path, pattern="s{subject}.mff")
    assert mine.subject_names() == ("1", "2")
    before = Cache(mine, Preprocess()).path("1")
    (tmp_path / "s1.mff" / "inner" / "signal1.bin").write_bytes(b"22")
    assert Cache(mine, Preprocess()).path("1") != before
    with pytest.raises(FileNotFoundError, match="no file below"):
        dataset(tmp_path, pattern="{subject}/inner/signal1.bin").subject_names()


def test_one_label_a_file(tmp_path):
    for label in ("open", "closed"):
        for run in range(2):
            make_raw(seed=run).save(tmp_path / f"ann_{label}_{run}_eeg.fif", verbose="error")
    pattern, events = "{subject}_{label}_{run}_eeg.fif", {"open": "o", "closed": "c"}
    mine = dataset(tmp_path, pattern=pattern, labels_from="file", events=events)
    trials = load_trials(mine, Preprocess(), cache_dir=tmp_path / "cache")
    assert sorted(trials.y) == [0, 0, 1, 1]
    assert trials.meta["trial"].is_unique


def write(file):
    if file.suffix == ".gdf":
        write_gdf(file, annotated(), [(500, 769), (1500, 770), (2500, 769), (3500, 770)])
    elif file.suffix == ".fif":
        annotated().save(file, verbose="error")
    else:
        mne.export.export_raw(file, annotated(), verbose="error")


@pytest.mark.parametrize("suffix", ["fif", "edf", "bdf", "gdf", "vhdr", "set"])
def test_every_format_gives_the_same_trials(tmp_path, suffix):
    file = tmp_path / f"sub-1_run-1_eeg.{suffix}"
    write(file)
    marks = {"vhdr": ("Comment/left", "Comment/right"), "gdf": ("769", "770")}.get(suffix, ("left", "right"))
    pattern, events = "sub-{subject}_run-{run}_eeg." + suffix, dict(zip(marks, EVENTS, strict=True))
    trials = load_trials(dataset(tmp_path, pattern=pattern, events=events), Preprocess(), cache_dir=tmp_path / "cache")
    assert trials.X.shape == (4, 3, 200)
    assert trials.signal.ch_names == CHANNELS
    assert list(trials.y) == [0, 1, 0, 1]
    for x, onset in zip(trials.X, (500, 1500, 2500, 3500), strict=True):
        np.testing.assert_allclose(x, annotated()._data[:, onset : onset + 200] * 1e6, atol=0.06)


@pytest.mark.parametrize("suffix", ["fif", "edf", "bdf", "gdf", "set"])
def test_a_cut_file_is_named(tmp_path, suffix):
    file = tmp_path / f"sub-1_run-1_eeg.{suffix}"
    write(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"sub-1_run-1_eeg.{suffix} cannot be read.*Copy it again"):
        next(dataset(tmp_path, pattern="sub-{subject}_run-{run}_eeg." + suffix).recordings("1"))


def test_brainvision_signals_that_end_before_their_marks_are_suspected(tmp_path, caplog):
    write(tmp_path / "sub-1_run-1_eeg.vhdr")
    signals = tmp_path / "sub-1_run-1_eeg.eeg"
    signals.write_bytes(signals.read_bytes()[: signals.stat().st_size // 2])
    events = {"Comment/left": "l", "Comment/right": "r"}
    mine = dataset(tmp_path, pattern="sub-{subject}_run-{run}_eeg.vhdr", events=events)
    assert len(next(mine.recordings("1")).onsets) == 3    # of 4
    assert "sub-1_run-1_eeg.vhdr may be cut" in caplog.text


def test_an_edited_companion_has_an_entry_of_its_own(tmp_path):
    write(tmp_path / "sub-1_run-1_eeg.vhdr")
    mine = dataset(tmp_path, pattern="sub-{subject}_run-{run}_eeg.vhdr")
    before = Cache(mine, Preprocess()).path("1")
    markers = tmp_path / "sub-1_run-1_eeg.vmrk"
    markers.write_text(markers.read_text().replace("left", "right", 1))
    assert Cache(mine, Preprocess()).path("1") != before


def test_marks_from_another_file_than_the_header_names_are_told(tmp_path, caplog):
    """MNE takes those of the recording's own name, or none."""
    header = tmp_path / "sub-1_run-1_eeg.vhdr"
    write(header)
    header.write_text(header.read_text().replace("MarkerFile=sub-1", "MarkerFile=anna"))
    events = {"Comment/left": "left", "Comment/right": "right"}
    mine = dataset(tmp_path, pattern="sub-{subject}_run-{run}_eeg.vhdr", events=events)
    assert len(next(mine.recordings("1")).onsets) == 4
    assert "sub-1_run-1_eeg.vhdr: MarkerFile 'anna_run-1_eeg.vmrk' not found; using 'sub-1_run" in caplog.text
    header.with_suffix(".vmrk").unlink()
    with pytest.raises(ValueError, match="no cue named Comment/left, Comment/right"):
        next(mine.recordings("1"))
    assert "sub-1_run-1_eeg.vhdr: MarkerFile 'anna_run-1_eeg.vmrk' not found; no annotations" in caplog.text


def rename_companions(header, name, codepage):
    """As a study that renames its recordings may leave them: the header names its signals and marks."""
    text = header.read_text()
    for suffix in (".eeg", ".vmrk"):
        header.with_suffix(suffix).rename(header.parent / f"{name}{suffix}")
        text = text.replace(f"{header.stem}{suffix}", f"{name}{suffix}").replace("=UTF-8", f"={codepage}")
    header.write_text(text, encoding=codepage)


@pytest.mark.parametrize(("name", "codepage"), [("anna", "UTF-8"), ("jürgen", "latin-1")])
@pytest.mark.parametrize("suffix", [".eeg", ".vmrk"])
def test_an_edited_companion_of_another_name_has_an_entry_of_its_own(tmp_path, suffix, name, codepage):
    write(tmp_path / "sub-1_run-1_eeg.vhdr")
    rename_companions(tmp_path / "sub-1_run-1_eeg.vhdr", name, codepage)
    events = {"Comment/left": "left", "Comment/right": "right"}
    mine = dataset(tmp_path, pattern="sub-{subject}_run-{run}_eeg.vhdr", events=events)
    assert len(next(mine.recordings("1")).onsets) == 4
    before = Cache(mine, Preprocess()).path("1")
    companion = tmp_path / f"{name}{suffix}"
    companion.write_bytes(companion.read_bytes() + b"\n")
    assert Cache(mine, Preprocess()).path("1") != before


def split_fif(file, seed=0):
    """Write a recording in two parts; cues at 5, 15, 25 and 45 s, the last in the second one."""
    raw = make_raw(sfreq=500, channels=[f"E{i}" for i in range(16)], seed=seed)
    raw.set_annotations(mne.Annotations([5.0, 15.0, 25.0, 45.0], 0, ["left", "right"] * 2))
    naming = "bids" if "split" in file.name else "neuromag"
    whole = file.with_name(file.name.replace("_split-01", ""))
    raw.save(whole, split_size="2MB", split_naming=naming, overwrite=True, verbose="error")


@pytest.mark.parametrize(
    ("name", "second"), [("sub-1_raw.fif", "sub-1_raw-1.fif"), ("sub-1_split-01_raw.fif", "sub-1_split-02_raw.fif")]
)
def test_a_changed_second_part_of_a_recording_is_read_again(tmp_path, name, second, caplog):
    split_fif(tmp_path / name)
    mine, cache = dataset(tmp_path, pattern="sub-{subject}_" + name.partition("_")[2]), tmp_path / "cache"
    before = np.array(load_trials(mine, Preprocess(), cache_dir=cache).X)
    (tmp_path / "other").mkdir()
    split_fif(tmp_path / "other" / name, seed=1)
    (tmp_path / "other" / second).replace(tmp_path / second)
    after = load_trials(mine, Preprocess(), cache_dir=cache).X
    np.testing.assert_array_equal(before[:3], after[:3])
    assert not np.array_equal(before[3], after[3])
    assert f"{second} has changed since" in caplog.text


@pytest.mark.parametrize(
    ("name", "pattern"), [("1_raw.fif", "{subject}_{run}.fif"), ("1_split-01_raw.fif", "{subject}_split-{run}_raw.fif")]
)
def test_a_second_part_is_no_recording_of_its_own(tmp_path, name, pattern, monkeypatch):
    """Its trials would be there twice: MNE reads it with the first one."""
    split_fif(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    words = rf"{name} goes on in .*1_(raw-1|split-02_raw)\.fif, which MNE reads with it.*dataset.pattern"
    with pytest.raises(ValueError, match=words):
        load_trials(dataset(".", pattern=pattern), Preprocess(), cache_dir="cache")


def test_windows_of_one_cue_share_a_group(folder, tmp_path):
    mine = dataset(folder, subjects=[2], until=5, overlap=0.5)
    trials = load_trials(mine, Preprocess(), cache_dir=tmp_path)
    assert trials.X.shape == (2 * 4 * 4, 3, 200)    # windows of 2 s at 0, 1, 2 and 3 s
    np.testing.assert_allclose(trials.X[0, :, 100:], trials.X[1, :, :100])
    assert list(trials.y[:8]) == [0] * 4 + [1] * 4
    assert list(trials.meta["group"].value_counts().unique()) == [4]
    assert list(trials.meta["trial"][4:6]) == ["sub-02_ses-9_run-0_at-15.000", "sub-02_ses-9_run-0_at-16.000"]
    assert trials.meta["group"].iloc[5] == "sub-02_ses-9_run-0_cue-15.000"
    again = load_trials(mine, Preprocess(), cache_dir=tmp_path)    # from the cache
    pd.testing.assert_frame_equal(again.meta, trials.meta)


def many_cues(folder, marks):
    """A recording with a mark every 5 s, subject 1."""
    raw = make_raw(seconds=5 * len(marks) + 5)
    raw.set_annotations(mne.Annotations(5.0 * np.arange(1, len(marks) + 1), 0, marks))
    raw.save(folder / "sub-1_run-1_eeg.fif", verbose="error")
    return dataset(folder, pattern="sub-{subject}_run-{run}_eeg.fif", until="end", subjects=None)


def test_windows_end_at_marks_that_are_no_cues_of_ours(tmp_path):
    """Else those of `left` would go on through the trial of a class that is left out, under the label of `left`."""
    marks = ["left", "feet", "right", "feet"]
    mine = many_cues(tmp_path, marks)
    windows = next(mine.recordings("1"))
    assert list(windows.onsets) == [500, 700, 1500, 1700]
    assert list(windows.labels) == ["left", "left", "right", "right"]
    timed = replace(mine, until=8.0)    # a time is taken at its word, up to the next cue
    assert list(next(timed.recordings("1")).onsets[:4]) == [500, 700, 900, 1100]
    long = replace(timed, until=20.0)
    assert list(next(long.recordings("1")).onsets[:6]) == [500, 700, 900, 1100, 1300, 1500]


def test_a_mark_of_null_is_left_out_and_still_ends_windows(tmp_path):
    """What a user typed as null was a class called None."""
    marks = mne.Annotations([5.0, 15.0, 25.0, 35.0], 0, ["left", "rest", "right", "rest"])
    make_raw().set_annotations(marks).save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    mine = dataset(tmp_path, events={"left": "left", "right": "right", "rest": None}, until="end")
    assert mine.classes == ("left", "right")
    (recording,) = mine.recordings("1")
    assert set(recording.labels) == {"left", "right"}
    assert list(recording.onsets[:5]) == [500, 700, 900, 1100, 1300]    # up to the mark at 15 s
    with pytest.raises(ValueError, match=r"dataset.events is empty: .* Marks of .*: left, rest, right"):
        dataset(tmp_path, events={"left": None}).subject_names()


def test_files_of_a_label_of_null_are_left_out(tmp_path):
    for label in ("open", "closed", "calibration"):
        make_raw().save(tmp_path / f"ann_{label}_0_eeg.fif", verbose="error")
    events = {"open": "o", "closed": "c", "calibration": None}
    mine = dataset(tmp_path, pattern="{subject}_{label}_{run}_eeg.fif", labels_from="file", events=events)
    assert {str(label) for each in mine.recordings("ann") for label in each.labels} == {"o", "c"}
    assert len(mine.files("ann")) == 2


def test_windows_that_begin_before_their_cue_end_before_those_of_the_next_one(tmp_path):
    early = replace(many_cues(tmp_path, ["left", "right"]), interval=(-0.5, 1.5))
    onsets = next(early.recordings("1")).onsets
    assert list(onsets[:3]) == [500, 700, 1000]    # to 6.5 and 8.5 s; the next begins at 9.5 s


def test_windows_laid_in_a_row_are_not_cut_longer(folder, tmp_path):
    mine = dataset(folder, subjects=[2], until=5)
    with pytest.raises(ValueError, match=r"lays windows of 0 to 2 s.*0 to 3 s.*dataset.interval=\[0,3\]"):
        load_trials(mine, Preprocess(tmax=3.0), cache_dir=tmp_path)
    assert load_trials(mine, Preprocess(tmax=1.5), cache_dir=tmp_path).X.shape[2] == 150


def test_an_edited_table_is_read_again(folder, tmp_path):
    table = tmp_path / "table.csv"
    mine = dataset(folder, pattern=None, table=table, labels_from="file")
    for labels, expected in ((("left", "right"), [0, 1]), (("right", "left"), [1, 0])):
        rows = [f"sub-02_run-{run}_eeg.fif,2,{label}" for run, label in zip((9, 10), labels, strict=True)]
        table.write_text("\n".join(["file,subject,label", *rows, ""]))
        assert list(load_trials(mine, Preprocess(), cache_dir=tmp_path / "cache").y) == expected


def test_one_label_a_file_in_many_windows(tmp_path):
    for label, seconds in (("open", 60), ("closed", 41)):
        make_raw(seconds=seconds).save(tmp_path / f"ann_{label}_0_eeg.fif", verbose="error")
    pattern, events = "{subject}_{label}_{run}_eeg.fif", {"open": "o", "closed": "c"}
    mine = dataset(tmp_path, pattern=pattern, labels_from="file", events=events, until="end")
    trials = load_trials(mine, Preprocess(), cache_dir=tmp_path / "cache")
    assert list(np.bincount(trials.y)) == [30, 20]
    assert trials.meta["group"].nunique() == 2
    assert trials.meta["cue"].nunique() == 2    # of one run, whose second file begins where the first has ended


def test_files_that_hold_microvolts_can_be_scaled(tmp_path):
    raw = annotated()
    raw._data *= 1e6
    raw.save(tmp_path / "sub-1_run-1_eeg.fif", verbose="error")
    trials = load_trials(dataset(tmp_path, scale=1e-6), Preprocess(), cache_dir=tmp_path / "cache")
    typed = replace(dataset(tmp_path, scale=1e-6), pattern="untyped-{subject}_run-{session}_eeg.fif")
    untyped = raw.copy().set_channel_types(dict.fromkeys(raw.ch_names, "misc"), verbose="error")
    untyped.save(tmp_path / "untyped-1_run-1_eeg.fif", verbose="error")
    named = load_trials(typed, Preprocess(channels=list(raw.ch_names)), cache_dir=tmp_path / "cache")
    np.testing.assert_allclose(named.X, trials.X[: len(named)], rtol=1e-4)
    np.testing.assert_allclose(trials.X[0], annotated()._data[:, 500:700] * 1e6, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"pattern": "s{subject}.edf"}, FileNotFoundError, ["'s{subject}.edf'", "README.txt"]),
        ({"pattern": None, "table": "no.csv"}, FileNotFoundError, ["no.csv"]),
        ({"subjects": [7, 2]}, ValueError, ["no subject 7", "02, 12"]),
        ({"events": None}, ValueError, ["dataset.events", "left, right", "sub-02_run-9"]),
        ({"pattern": "sub-{subject}_*.fif"}, ValueError, ["run-10_eeg.fif", "the same subject, session"]),
    ],
)
def test_a_selection_that_finds_nothing_says_what_is_there(folder, settings, error, words):
    with pytest.raises(error) as caught:
        dataset(folder, **settings).subject_names()
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_folder_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"dataset.folder=nowhere .*dataset.folder=PATH"):
        dataset("nowhere").subject_names()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"events": {"up": "up", "down": "down"}}, ["sub-02_run-9", "up, down", "its marks: left, right"]),
        ({"labels_from": "stim", "events": {1: "a", 2: "b"}}, ["no stim channel", "dataset.stim_channel"]),
        ({"labels_from": "stim", "events": {1: "a"}, "stim_channel": "STI"}, ["no stim channel STI", "C3, Cz"]),
        ({"labels_from": "file"}, ["sub-02_run-9", "label ''", "left, right"]),
        ({"until": 1}, ["sub-02_run-9", "no window of 2 s", "dataset.until=1"]),
    ],
)
def test_recordings_without_cues_say_what_they_hold(folder, settings, words):
    with pytest.raises(ValueError) as caught:
        next(dataset(folder, **settings).recordings("02"))
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"labels_from": "names"}, "names"),
        ({"labels_from": "stim"}, "whole numbers"),
        ({"interval": [2, 1]}, "dataset.interval=[2, 1] must be two times"),
        ({"interval": [1]}, "[1] must be two times"),
        ({"stim_channel": "STI"}, "dataset.stim_channel=STI says nothing"),
        ({"pattern": "{person}.fif"}, "person"), ({"pattern": "{subject.fif"}, "dataset.pattern='{subject.fif': "),
        ({"pattern": None}, "dataset.table"),
        ({"table": "table.csv"}, "dataset.pattern"),
        ({"subjects": "1"}, "'1'"),
        ({"subjects": []}, "[]"),
        ({"until": "next"}, "'next'"),
        ({"until": 4, "overlap": 1}, "overlap=1"), ({"overlap": 0.5}, "give dataset.until too"),
        ({"scale": 0}, "dataset.scale=0 must be positive"),
        ({"events": {1: ["a", "b"]}}, "dataset.events: the class of the mark 1 must be one word"),
        ({"events": {"left": {"a": "b"}}}, "the class of the mark left must be one word, or null to leave it out"),
    ],
)
def test_bad_settings_are_named_at_once(settings, word):
    with pytest.raises(ValueError) as caught:
        dataset("anywhere", **settings)
    assert word in str(caught.value)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "sub-1_run-1_eeg.fif").write_bytes(b"no recording")
    with pytest.raises(ValueError, match=r"sub-1_run-1_eeg.fif cannot be read"):
        next(dataset(tmp_path).recordings("1"))


@pytest.mark.parametrize("name", ["files", "mi_openbci"])
def test_every_setting_stands_in_the_yaml_files_so_that_it_can_be_typed(name):
    """`dataset.scale=1e-6` is what an error advises, and Hydra refuses what a YAML file does not name."""
    text = (Path(__file__).parents[2] / "configs" / "dataset" / f"{name}.yaml").read_text()
    given = {key: value for key, value in yaml.safe_load(text).items() if key != "_target_"}
    assert given.keys() == {field.name for field in fields(FileDataset)}
    usual = {key: given[key] for key in ("name", "folder", "pattern", "events", "interval")}
    assert describe(FileDataset(**given)) == describe(FileDataset(**usual))    # and so the cache knows what it knew


@pytest.mark.parametrize("name", ["1.csv", "1.npz", "1.mat", "1.txt", "1.xdf"])
def test_what_mne_does_not_read_is_to_be_converted(tmp_path, name):
    """To copy it again, or a reader function of MNE's, helps nobody."""
    (tmp_path / name).write_text("1,2")
    with pytest.raises(ValueError, match=r"cannot be read: .*Convert it: mne\.io\.RawArray\(X, ") as caught:
        next(dataset(tmp_path, pattern="{subject}.*").recordings("1"))
    assert "dedicated reader" not in str(caught.value)
    assert "Copy it again" not in str(caught.value)


def test_a_damaged_file_is_to_be_copied_again(tmp_path):
    (tmp_path / "1.edf").write_text("1,2")
    with pytest.raises(ValueError, match=r"Bad EDF file provided\. Copy it again, or leave it out by"):
        next(dataset(tmp_path, pattern="{subject}.*").recordings("1"))
