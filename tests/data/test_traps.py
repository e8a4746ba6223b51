"""What recordings hold that is read wrongly in silence."""

import warnings

import mne
import numpy as np
import pytest
from tests.data.fakes import FakeDataset, make_raw, make_recording
from tests.data.test_bids import dataset, write

from eegdecode.data.assembly import prepare_subject
from eegdecode.data.continuous import preprocess_recording
from eegdecode.data.cues import cues_from_annotations, cues_from_stim
from eegdecode.data.index import check_pattern, index_pattern, natural
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.reading import read_raw

RATE = 100


def write_edf(file, channels, times, *, kind="EDF+D"):
    """Signals in µV as an EDF+ file of records of one second that begin at ``times``."""
    names = [*channels, "EDF Annotations"]
    n, room = len(names), 60

    def field(values, width):
        return b"".join(str(value).encode().ljust(width) for value in values)

    begin, end = [-3000] * (n - 1) + [-1], [3000] * (n - 1) + [1]
    header = field([0], 8) + field(["X X X X", "Startdate 01-JAN-2020 X X X"], 80) + b"01.01.2000.00.00"
    header += field([256 * (n + 1)], 8) + field([kind], 44) + field([len(times), 1], 8) + field([n], 4)
    header += field(names, 16) + field([""] * n, 80) + field(["uV"] * (n - 1) + [""], 8) + field([*begin, *end], 8)
    header += field([-32768] * n + [32767] * n, 8) + field([""] * n, 80)
    header += field([RATE] * (n - 1) + [room], 8) + field([""] * n, 32)
    records = []
    for i, time in enumerate(times):
        for x in channels.values():
            piece = x[i * RATE : (i + 1) * RATE]
            records.append(np.round((piece + 3000) / 6000 * 65535 - 32768).astype("<i2").tobytes())
        records.append(f"+{time}\x14\x14\x00".encode().ljust(2 * room, b"\x00"))
    file.write_bytes(header + b"".join(records))


def noise(*names, seconds=20):
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 10, seconds * RATE) for name in names}


def test_a_paused_edf_recording_is_refused_and_one_that_only_calls_itself_so_is_read(tmp_path):
    """MNE reads on over the pause: a cue behind it would be cut three seconds late."""
    paused = [i if i < 10 else i + 3 for i in range(20)]
    write_edf(tmp_path / "a.edf", noise("C3", "C4"), paused)
    with pytest.raises(ValueError, match=r"a\.edf has a pause before 13 s"):
        read_raw(tmp_path / "a.edf")
    for kind in ("EDF+D", "EDF+C"):
        write_edf(tmp_path / "b.edf", noise("C3", "C4"), list(range(20)), kind=kind)
        assert read_raw(tmp_path / "b.edf").times[-1] == 20 - 1 / RATE


def test_channels_of_the_eye_and_the_heart_in_an_edf_file_are_no_eeg(tmp_path, caplog):
    others = ("EOG left", "VEOG", "EEG EOG1", "ECG", "EMG chin", "Status", "Trig1", "Resp.", "EOGh", "EXG1")
    write_edf(tmp_path / "a.edf", noise("C3", "Cz", "EEG Fp1", "Temporal", *others), list(range(20)), kind="EDF+C")
    recording = make_recording(read_raw(tmp_path / "a.edf"), onsets=(500, 1000))
    found = preprocess_recording(recording, Preprocess())
    assert found.ch_names == ("C3", "Cz", "EEG Fp1", "Temporal")
    assert "EOG left, VEOG, EEG EOG1, ECG, EMG chin, Trig1, Resp., EOGh, EXG1 left out, no EEG by name" in caplog.text
    assert preprocess_recording(recording, Preprocess(channels=["C3", "ECG"])).ch_names == ("C3", "ECG")


@pytest.mark.parametrize(
    "settings", [{"reference": "average"}, {"reference": "Fz"}, {"spatial": "laplacian"}, {"bipolar": [["C3", "Cz"]]}],
)
def test_no_reference_hides_a_dead_channel(settings):
    raw = make_raw(channels=("C3", "Cz", "C4", "Fz", "Pz"))
    raw._data[0] = 0
    with pytest.raises(ValueError, match="channel C3 is flat"):
        preprocess_recording(make_recording(raw), Preprocess(**settings))
    raw._data[0, :] = np.nan
    with pytest.raises(ValueError, match="channel C3 is NaN throughout"):
        preprocess_recording(make_recording(raw), Preprocess(**settings))


def test_nothing_is_filtered_across_a_skip_of_the_acquisition():
    """As in MNE: a step of the offset there would ring into the trials beside it."""
    raw = make_raw()
    raw._data[:, 2000:3000] = 0
    raw._data[:, 3000:] += 5e-3
    raw.set_annotations(mne.Annotations([20], [10], ["BAD_ACQ_SKIP"]))
    trials = prepare_subject(
        FakeDataset(), Preprocess(l_freq=4, h_freq=40), "1", [make_recording(raw, onsets=(100, 1790, 3010, 4500))]
    )
    assert np.ptp(trials.X, axis=2).max() < 100
    assert len(trials) == 4


def test_a_pulse_over_a_held_code_is_no_second_cue():
    raw, stim = make_raw(), np.zeros((1, 6000))
    stim[0, 1000:2000] = 1
    stim[0, 1300:1305] += 128    # a button
    stim[0, 3000:4000], stim[0, 4000:5000], stim[0, 5000:] = 1, 3, 1    # states, each for long
    raw.add_channels([mne.io.RawArray(stim, mne.create_info(["STI"], 100.0, "stim"), verbose="error")],
                     force_update_info=True)    # fmt: skip
    onsets, labels = cues_from_stim(raw, {1: "a", 3: "b"})
    assert onsets.tolist() == [1000, 3000, 4000, 5000]
    assert labels.tolist() == ["a", "a", "b", "a"]


def test_a_class_may_be_called_bad():
    raw = make_raw().set_annotations(mne.Annotations([10, 20, 30], 1, ["good", "bad", "edge"]))
    onsets, labels = cues_from_annotations(raw, {"good": "g", "bad": "b", "edge": "e"})
    assert (onsets.tolist(), labels.tolist()) == ([1000, 2000, 3000], ["g", "b", "e"])


def test_epochs_are_called_epochs(tmp_path):
    epochs = mne.make_fixed_length_epochs(make_raw(), duration=2, preload=True, verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        epochs.save(tmp_path / "sub-1-epo.fif", verbose="error")
    with pytest.raises(ValueError, match="holds epochs; export the continuous recording"):
        read_raw(tmp_path / "sub-1-epo.fif")


@pytest.mark.parametrize("pattern", ["A{subject}{session}.fif", "{subject}*{session}.fif"])
def test_fields_that_nothing_parts_are_refused(pattern):
    """``A01T`` would be session 1T of a subject 0."""
    with pytest.raises(ValueError, match=r"nothing tells where \{subject\} ends and \{session\} begins"):
        check_pattern(pattern)


def test_what_the_disk_of_a_mac_leaves_is_no_recording(tmp_path):
    for name in ("S1_1.fif", "._S1_1.fif"):
        (tmp_path / name).write_bytes(b"")
    assert index_pattern(tmp_path, "{subject}_{session}.fif")["subject"].tolist() == ["S1"]
    assert natural("10²") > natural("9")


def test_two_versions_of_a_bids_recording_are_not_one_run_twice(tmp_path):
    write(tmp_path, "01", "1", "01")
    for file in list((tmp_path / "sub-01").rglob("*_eeg.*")):
        for version in ("raw", "clean"):
            text = file.read_bytes().replace(b"imagery_run", f"imagery_acq-{version}_run".encode())
            file.with_name(file.name.replace("_run-", f"_acq-{version}_run-")).write_bytes(text)
        file.unlink()
    with pytest.raises(ValueError, match=r"acquisitions clean, raw; choose one: dataset.acquisition=clean"):
        dataset(tmp_path).subject_names()
    (path,) = dataset(tmp_path, acquisition="raw")._paths()
    assert "acq-raw" in path.file.name
    with pytest.raises(FileNotFoundError, match=r"no recording of dataset.acquisition=new; its acquisitions are clean"):
        dataset(tmp_path, acquisition="new").subject_names()


def test_two_bids_files_of_one_run_are_refused(tmp_path):
    write(tmp_path, "01", "1", "01")
    for file in list((tmp_path / "sub-01").rglob("*_eeg.*")):
        file.with_name(file.name.replace("_eeg.", "_desc-x_eeg.")).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="are one run twice: their subject, session and run are the same"):
        dataset(tmp_path).recordings("01")


def test_a_bids_class_of_several_codes_is_found(tmp_path):
    """mne-bids calls them right/2 and right/3."""
    write(tmp_path, "01", "1", "01")
    (table,) = tmp_path.rglob("*_events.tsv")
    head, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    rights = [row for row in rows if row[head.index("trial_type")] == "right"]
    for code, row in enumerate(rights, start=2):
        row[head.index("value")] = str(code)
    table.write_text("\n".join("\t".join(line) for line in [head, *rows]) + "\n")
    (recording,) = dataset(tmp_path).recordings("01")
    assert recording.labels.tolist() == ["left_hand", "right_hand"] * 2
