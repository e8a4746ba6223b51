"""Write public sets as they are published, small: noise of 1 µV, and 100 µV in the first channel at each cue."""

import json
import warnings
from pathlib import Path

import mne
import mne_bids
import numpy as np
from scipy.io import savemat

GIGADB = "gigadb-datasets/live/pub/10.5524/100001_101000"


RNG = np.random.default_rng(0)


def noise(*shape):
    """Never the same twice: equal trials on both sides of a split are an error."""
    return RNG.standard_normal(shape).astype(np.float32)    # µV


def cells(values):
    """A MATLAB cell array."""
    array = np.empty((1, len(values)), dtype=object)
    array[0, :] = values
    return array


def save(file, **content):
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, content)


def bci4_2b(root):
    """Trial starts in a stim channel, the cue 3 s later; T holds three sessions, E two."""
    for letter, n_sessions in (("T", 3), ("E", 2)):
        sessions = [_graz_run() for _ in range(n_sessions)]
        save(root / f"MNE-bnci-data/~bci/database/004-2014/B01{letter}.mat", data=cells(sessions))


def _graz_run():
    start, y = 250 + 2000 * np.arange(8), np.tile([1, 2], 4)
    X = noise(17000, 6)
    X[start - 1 + 750, 0] = 100
    facts = {"artifacts": np.zeros(8, np.uint8), "gender": "male", "age": 22}
    return {"X": X, "trial": start, "y": y, "fs": 250, "classes": cells(["left hand", "right hand"]), **facts}


def bnci2014_009(root):
    """Flashes every 0.25 s, one in six the target; the published amplitudes are ten times too large."""
    save(root / "MNE-bnci-data/~bci/database/009-2014/A01S.mat", data=cells([_speller_run() for _ in range(3)]))


def _speller_run():
    flash = np.arange(256, 256 + 48 * 64, 64)
    X, y, stim = noise(4000, 16), np.zeros(4000, np.uint8), np.zeros(4000, np.uint8)
    X[flash, 0] = 1000
    for k in range(32):    # a flash lasts 0.125 s
        y[flash + k], stim[flash + k] = np.where(np.arange(48) % 6, 1, 2), np.arange(48) % 12 + 1
    names = ["Fz", "FCz", "Cz", "CPz", "Pz", "Oz", "F3", "F4", "C3", "C4", "CP3", "CP4", "P3", "P4", "PO7", "PO8"]
    run = {"X": X, "y": y, "y_stim": stim, "channels": cells(names), "classes": cells(["NonTarget", "Target"])}
    return run | {"classes_stim": cells([f"row or column {k}" for k in range(1, 13)])}


def nakanishi2015(root):
    """Trials of 1114 samples, the flicker from the 39th."""
    eeg = noise(12, 8, 1114, 15)
    eeg[:, 0, 38] = 100
    save(root / "MNE-nakanishi-data/mnakanishi/12JFPM_SSVEP/raw/master/data/s1.mat", eeg=eeg)


def weibo2014(root):
    """Trials of 8 s, the cue at 3 s."""
    data = noise(64, 1600, 35)
    data[0, 600] = 100
    save(root / "MNE-weibo-2014/subject_1.mat", data=data, label=np.arange(35) % 7 + 1)


def cho2017(root):
    """All trials of the left hand, and all of the right."""
    event = np.zeros(20000)
    event[1024 + 3584 * np.arange(5)] = 1
    left, right = noise(68, 20000), noise(68, 20000)
    left[0, event > 0] = right[0, event > 0] = 100
    eeg = {"imagery_left": left, "imagery_right": right, "imagery_event": event, "srate": 512}
    save(root / f"MNE-gigadb-data/{GIGADB}/100295/mat_data/s01.mat", eeg=eeg)


def lee2019_mi(root):
    template = next(name for name in mne.channels.get_builtin_montages() if name.endswith("_1005"))
    names = mne.channels.make_standard_montage(template).ch_names[:62]
    kinds = np.array([[1, "right"], [2, "left"]], dtype=object)
    for session in (1, 2):
        t, x = 2000 + 5000 * np.arange(6), noise(33000, 62)
        x[t, 0] = 100
        run = {"x": x, "t": t, "fs": 1000, "y_dec": np.tile([1, 2], 3), "chan": cells(names), "class": kinds}
        run |= {"EMG": noise(33000, 4), "EMG_index": cells(["EMG1", "EMG2", "EMG3", "EMG4"])}
        file = f"{GIGADB}/100542/session{session}/s1/sess{session:02d}_subj01_EEG_MI.mat"
        save(root / "MNE-lee2019-mi-data" / file, EEG_MI_train=run, EEG_MI_test=run)


def _annotated(channels, sfreq, cues, labels, n_samples):
    data = noise(len(channels), n_samples) * 1e-6
    data[0, cues] = 1e-4
    kinds = ["eog" if name.startswith("EOG") else "eeg" for name in channels]
    raw = mne.io.RawArray(data, mne.create_info(list(channels), sfreq, kinds), verbose="error")
    return raw.set_annotations(mne.Annotations(np.array(cues) / sfreq, 1, labels))


def high_gamma(root, channels):
    labels = ["right_hand", "left_hand", "rest", "feet"]
    for part, n_trials in (("train", 8), ("test", 4)):
        cues = 500 + 3000 * np.arange(n_trials)
        raw = _annotated([*channels, "EOG EOGh"], 500, cues, labels * (n_trials // 4), 3000 * (n_trials + 1))
        folder = root / "MNE-schirrmeister2017-data/robintibor/high-gamma-dataset/raw/master/data" / part
        folder.mkdir(parents=True)
        mne.export.export_raw(folder / "1.edf", raw, add_ch_type=True, verbose="error")


def zhou2016(root):
    folder = root / "MNE-BIDS-zhou2016"
    for session in "012":
        labels = ["left_hand", "right_hand", "feet"] * 2
        raw = _annotated(["Fp1", "C3", "Cz"], 250, 500 + 2000 * np.arange(6), labels, 14000)
        raw.info["line_freq"] = 50
        path = mne_bids.BIDSPath(root=folder, subject="1", session=session, run="0", task="imagery", datatype="eeg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(raw, path, allow_preload=True, format="EDF", overwrite=True, verbose="error")
    Path(folder, "16534752.json").write_text(json.dumps({"files": []}))    # the list that Zenodo gives
