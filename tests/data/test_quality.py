import mne
import numpy as np
import pytest
from tests.data.fakes import CHANNELS, FakeDataset, make_raw, make_recording

from eegdecode.data.assembly import prepare_subject
from eegdecode.data.continuous import preprocess_recording
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.protocols import CrossSession, WithinSession


def notes(raw, what):
    found = preprocess_recording(make_recording(raw), Preprocess()).notes
    return {note.channel: note.value for note in found if note.what == what}


def test_a_clean_recording_has_an_amplitude_and_nothing_else():
    raw = make_raw(sfreq=250)
    assert set(notes(raw, "amplitude")) == {"C3", "Cz", "C4"}
    assert notes(raw, "amplitude")["C3"] == pytest.approx(10, rel=0.05)
    assert all(not notes(raw, what) for what in ("flat", "clipped", "missing"))
    assert all(abs(value) < 1 for value in notes(raw, "line").values())


def test_line_noise_is_measured_at_both_mains():
    raw = make_raw(sfreq=250)
    raw._data[:] += 2e-5 * np.sin(2 * np.pi * 50 * raw.times)
    line = notes(raw, "line")
    assert line["50 Hz"] > 10
    assert abs(line["60 Hz"]) < 1


def test_flat_clipped_and_missing_channels():
    raw = make_raw(sfreq=250)
    raw._data[0, :1500] = 0.0
    raw._data[1] = np.clip(raw._data[1], -8e-6, 8e-6)
    raw._data[2, :600] = np.nan
    assert notes(raw, "flat") == {"C3": pytest.approx(0.1)}    # of 60 s
    assert 0.03 < notes(raw, "clipped")["Cz"] < 0.5
    assert notes(raw, "missing") == {"C4": pytest.approx(0.04)}


def test_a_pulse_beyond_the_rail_hides_no_clipping():
    raw = make_raw(sfreq=250)
    raw._data[1] = np.clip(raw._data[1], -8e-6, 8e-6)
    plain = notes(raw, "clipped")["Cz"]
    raw._data[1, [100, 7000]] = [9e-6, -9e-6]
    assert notes(raw, "clipped") == {"Cz": pytest.approx(plain, abs=0.005)}


def test_steps_of_an_amplifier_are_no_clipping():
    raw = make_raw(sfreq=250)
    raw._data[:] = np.round(raw._data, 6)    # of 1 µV, signals of 10 µV
    assert not notes(raw, "clipped")


def test_mains_in_some_channels_are_told_though_the_median_is_quiet():
    raw = make_raw(sfreq=250)
    raw._data[2] += 4e-5 * np.sin(2 * np.pi * 50 * raw.times)
    assert notes(raw, "line")["50 Hz"] < 1
    assert list(notes(raw, "mains")) == ["C4 (50 Hz)"]
    assert notes(raw, "mains")["C4 (50 Hz)"] > 10


@pytest.mark.parametrize("settings", [
    {"reference": "average"}, {"spatial": "laplacian"}, {"bipolar": [["C3", "Cz"], ["C4", "Cz"]]}, {"reference": "Cz"},
])    # fmt: skip
def test_faults_are_those_of_electrodes_whatever_the_reference(settings):
    raw = make_raw(sfreq=250, channels=("C3", "Cz", "C4", "CP1", "CP2", "FC1"))
    raw._data[0, :1500] = 0.0
    raw._data[2, :600] = np.nan
    found = preprocess_recording(make_recording(raw), Preprocess(**settings)).notes
    told = {(note.what, note.channel): note.value for note in found if note.what in ("flat", "clipped", "missing")}
    assert told == {("flat", "C3"): pytest.approx(0.1), ("missing", "C4"): pytest.approx(0.04)}


class Loud(FakeDataset):
    def recordings(self, subject):
        for run, recording in enumerate(super().recordings(subject)):
            if run == 1:
                recording.raw._data[2, 1550:1560] = 1e-3
            yield recording


def test_loud_trials_are_dropped_and_told(tmp_path):
    settings = Preprocess(reject=200)
    for _ in range(2):    # made, then from the cache
        trials = load_trials(Loud(), settings, cache_dir=tmp_path)
        assert len(trials) == 14
        told = trials.notes[trials.notes["what"] == "rejected"]
        assert list(told["trial"]) == ["sub-1_ses-0_run-1_trial-0001", "sub-2_ses-0_run-1_trial-0001"]
        assert set(told["channel"]) == {"C4"}
        assert told["value"].min() > 900
        assert not set(told["trial"]) & set(trials.meta["trial"])


def test_rejection_measures_microvolts_whatever_the_signals_become():
    for standardise in ("trial", "moving"):
        trials = prepare_subject(Loud(), Preprocess(reject=200, standardise=standardise), "1")
        assert len(trials) == 7


class Silent(FakeDataset):
    """An amplifier that is off for two cues and stuck at 5 V in one."""

    def recordings(self, subject):
        for run, recording in enumerate(super().recordings(subject)):
            if run == 1:
                for cue, value in ((0, 0.0), (1, 0.0), (2, 5.0)):
                    first = recording.onsets[cue] - 100
                    recording.raw._data[:, first : first + 800] = value
            yield recording


@pytest.mark.parametrize("standardise", [None, "trial", "moving"])
@pytest.mark.parametrize("band", [{"l_freq": None, "h_freq": None}, {"l_freq": 4, "h_freq": 30, "sfreq": 80}])
def test_trials_in_which_no_channel_moves_are_dropped_and_told(standardise, band, caplog):
    """What a filter rings behind the end of the signal is none."""
    settings = Preprocess(**band, standardise=standardise)
    trials = prepare_subject(Silent(), settings, "1")
    told = trials.notes[trials.notes["what"] == "silent"]["trial"].tolist()
    assert told == [f"sub-1_ses-0_run-1_trial-000{cue}" for cue in range(3)]
    assert len(trials) == 5
    assert np.isfinite(trials.X).all()
    assert "dropped 3 of 4 trials, in which no channel moves" in caplog.text
    assert len(prepare_subject(FakeDataset(), settings, "1")) == 8


def test_rejecting_everything_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"reject=1 µV rejects every trial; their median is \d+ µV"):
        load_trials(FakeDataset(), Preprocess(reject=1), cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({}, "The file marks 4 bad .*annotated=keep.* 0 are not whole"),
     ({"annotated": "keep", "incomplete": "drop", "tmax": 70}, "marks 0 bad .* 4 are not whole .*preprocess.tmax")],
)  # fmt: skip
def test_where_no_trial_is_left_it_says_why(settings, words):
    raw = make_raw().set_annotations(mne.Annotations(1, 50, "BAD"))
    with pytest.raises(ValueError, match=f"fake: subject 1: no trial is left.*{words}"):
        prepare_subject(FakeDataset(), Preprocess(**settings), "1", [make_recording(raw)])


def test_trials_that_are_not_whole_are_told():
    at_end = make_recording(onsets=(500, 1500, 5900))
    trials = prepare_subject(FakeDataset(), Preprocess(incomplete="drop"), "1", [at_end])
    told = trials.notes[trials.notes["what"] == "incomplete"]
    assert list(told["trial"]) == ["sub-1_ses-0_run-0_trial-0002"]


def marked_raw():
    raw = make_raw()
    raw.set_annotations(mne.Annotations(onset=[16.5, 40], duration=[0.25, 5], description=["BAD_jump", "bad after"]))
    raw.info["bads"] = ["Cz"]
    return raw


def test_trials_that_the_file_marks_bad_are_dropped_as_mne_does_and_told():
    marked = make_recording(marked_raw())    # cues at 5, 15, 25 and 35 s
    trials = prepare_subject(FakeDataset(), Preprocess(), "1", [marked])
    told = trials.notes[trials.notes["what"] == "marked"]
    assert list(told["trial"]) == ["sub-1_ses-0_run-0_trial-0001"]
    assert told["value"].item() == pytest.approx(0.25)
    events = np.array([[onset, 0, 1] for onset in marked.onsets])
    epochs = mne.Epochs(marked.raw, events, tmin=0, tmax=2, baseline=None, preload=True, verbose="error")
    assert list(trials.meta["trial"].str[-1].astype(int)) == list(epochs.selection)
    assert len(prepare_subject(FakeDataset(), Preprocess(annotated="keep"), "1", [marked])) == 4
    lacking = make_recording(marked_raw())    # what is missing in a channel that nobody asks for is marked by nobody
    lacking.raw._data[0, 2500:2600] = np.nan
    trials = prepare_subject(FakeDataset(), Preprocess(channels=list(lacking.raw.ch_names[1:])), "1", [lacking])
    assert (trials.notes["what"] == "marked").sum() == len(told)
    lacking.raw._data[0, 1650:1675] = np.nan    # nor does it hide what is marked
    trials = prepare_subject(FakeDataset(), Preprocess(channels=list(lacking.raw.ch_names[1:])), "1", [lacking])
    assert (trials.notes["what"] == "marked").sum() == len(told)


@pytest.mark.parametrize(
    ("marks", "seconds"),
    [
        (["BAD boundary", "EDGE boundary"], 0), (["boundary"], 12.5), (["New Segment/"], 0.01), (["BAD"], 0),
        (["32766"], 0),
    ],
)
def test_trials_across_a_cut_or_a_pause_are_dropped_as_mne_does_and_told(marks, seconds, caplog):
    """The duration of EEGLAB's mark is that of what was taken out: the trials after it are whole."""
    raw = make_raw().set_annotations(mne.Annotations([16.0] * len(marks), seconds, marks))
    cut = make_recording(raw, onsets=(500, 1399, 1400, 1401, 1500, 1599, 1600, 2500))
    trials = prepare_subject(FakeDataset(), Preprocess(), "1", [cut])
    told = trials.notes[trials.notes["what"] == "boundary"]
    assert list(told["trial"].str[-1]) == ["3", "4", "5"]    # windows of 2 s
    assert list(told["value"]) == pytest.approx([1.99, 1, 0.01])
    assert not set(told["trial"]) & set(trials.meta["trial"])
    assert "dropped 3 of 8 trials, across a cut or a pause that the file marks (preprocess.annotated)" in caplog.text
    assert len(prepare_subject(FakeDataset(), Preprocess(annotated="keep"), "1", [cut])) == 8
    if marks[0].startswith("BAD"):
        events = np.array([[onset, 0, 1] for onset in cut.onsets])
        epochs = mne.Epochs(raw, events, tmin=0, tmax=1.99, baseline=None, preload=True, verbose="error")
        assert list(trials.meta["trial"].str[-1].astype(int)) == list(epochs.selection)


def test_a_cut_is_found_between_samples_and_in_a_recording_whose_count_begins_late():
    """EEGLAB cuts half-way between samples."""
    for first_samp in (0, 12345):
        at = 15.995 if first_samp == 0 else 16.0
        info = mne.create_info(list(CHANNELS), 100.0, "eeg")
        raw = mne.io.RawArray(make_raw()._data, info, first_samp=first_samp, verbose="error")
        raw.set_annotations(mne.Annotations(at, 3, "boundary"))
        cut = make_recording(raw, onsets=(1400, 1401, 1599, 1600))
        trials = prepare_subject(FakeDataset(), Preprocess(), "1", [cut])
        assert list(trials.meta["trial"].str[-1]) == ["0", "3"]


def test_where_every_trial_is_cut_it_says_so():
    raw = make_raw().set_annotations(mne.Annotations([6, 16, 26, 36], 0, "boundary"))
    with pytest.raises(ValueError, match=r"marks 0 bad and 4 as cut or paused \(preprocess.annotated=keep"):
        prepare_subject(FakeDataset(), Preprocess(), "1", [make_recording(raw)])


def test_a_window_that_begins_before_the_recording_is_marked_by_what_it_holds():
    raw = make_raw()
    raw.set_annotations(mne.Annotations(1.5, 0.5, "BAD"))
    early = Preprocess(tmin=-1, tmax=1, incomplete="drop")
    notes = prepare_subject(FakeDataset(), early, "1", [make_recording(raw, onsets=(50, 1500))]).notes
    assert [what for what in notes["what"] if what in ("marked", "incomplete")] == ["incomplete"]


def test_channels_that_the_file_marks_bad_are_told_or_interpolated():
    raw = make_raw(channels=("C3", "Cz", "C4", "Fz", "Pz", "FC1"))
    raw.set_montage("colin27_1005")
    raw.info["bads"] = ["Cz"]
    for bads, what in ((None, "bad"), ("marked", "mended")):
        found = preprocess_recording(make_recording(raw.copy()), Preprocess(bads=bads)).notes
        assert [(note.what, note.channel) for note in found if note.what in ("bad", "mended")] == [(what, "Cz")]


def test_trials_that_share_samples_are_told_and_refused_on_both_sides_of_a_split():
    onsets = [500 + (500 * i if i < 20 else 500 * 19 + 100 * (i - 19)) for i in range(24)]    # the last are too close
    raws = [make_raw(seconds=120, seed=seed) for seed in (0, 1)]
    recordings = [make_recording(raw, onsets=tuple(onsets), run=run) for raw, run in zip(raws, "01", strict=True)]
    trials = prepare_subject(FakeDataset(), Preprocess(sfreq=50), "1", recordings)
    told = trials.notes[trials.notes["what"] == "overlap"]
    assert list(told["value"]) == [pytest.approx(4 / 23, abs=1e-3)] * 2
    begin, end = trials.meta["begin"].to_numpy(), trials.meta["end"].to_numpy()
    assert set(end - begin) == {trials.X.shape[2]}
    assert begin[24] - begin[0] == raws[0].n_times / 2    # the runs laid end to end, at the rate of the trials
    with pytest.raises(ValueError, match=r"share samples.*trial-00(19|2\d) with \S*trial-00(19|2\d)"):
        WithinSession()(trials.meta, validation=0)
    assert CrossSession(sessions="run")(trials.meta, validation=0)
