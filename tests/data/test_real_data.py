"""Known facts of real recordings, and equality with MOABB. Needs MNE_DATA and EEGDECODE_TEST_DATA."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from eegdecode.data.files import FileDataset
from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess

pytestmark = pytest.mark.real_data
SSVEP = {
    "name": "ssvep_exo",
    "class_name": "Kalunga2016",
    "classes": ["13", "17", "21", "rest"],
    "interval": [2, 4],
}


def need(*parts):
    """Skip where the recordings are absent."""
    for variable in ("MNE_DATA", "EEGDECODE_TEST_DATA"):
        folder = Path(os.environ.get(variable, "absent"), *parts)
        if folder.exists():
            return folder
    return pytest.skip(f"no {'/'.join(parts)} below MNE_DATA or EEGDECODE_TEST_DATA")


def test_ssvep_equals_moabb_up_to_its_extra_end_sample(tmp_path):
    need("MNE-ssvepexo-data", "zenodo", "2392979", "subject01_run2_raw.fif")
    band = Preprocess(l_freq=7, h_freq=45)
    trials = load_trials(MoabbDataset(**SSVEP, subjects=[1]), band, cache_dir=tmp_path)
    from moabb import paradigms
    from moabb.datasets import Kalunga2016

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of MOABB's own
        X, labels, meta = paradigms.SSVEP(n_classes=4, fmin=7, fmax=45).get_data(Kalunga2016(), [1])
    assert X.shape == (64, 8, 513)
    assert list(np.bincount(trials.y)) == [16] * 4
    assert [trials.classes[label] for label in trials.y] == list(labels)
    assert list(trials.meta["run"]) == list(meta["run"])
    np.testing.assert_array_equal(trials.X, X[:, :, :512].astype(np.float32))


def test_a_missing_run_of_ssvep_is_named(tmp_path):
    folder = need("MNE-ssvepexo-data", "zenodo", "2392979")
    if (folder / "subject12_run4_raw.fif").exists():
        pytest.skip("nothing is missing")
    with pytest.raises(FileNotFoundError, match=r"subject12_run4_raw.fif of subject 12.*zenodo"):
        load_trials(MoabbDataset(**SSVEP, subjects=[1, 12]), Preprocess(), cache_dir=tmp_path)


def test_physionet_runs_stand_in_the_order_of_time(tmp_path):
    need("MNE-eegbci-data", "files", "eegmmidb", "1.0.0", "S001", "S001R14.edf")
    dataset = MoabbDataset(
        name="physionet_mi",
        class_name="PhysionetMI",
        subjects=[1],
        classes=["left_hand", "right_hand", "hands", "feet"],
        interval=[0, 3],
        run_order=["0", "3", "1", "4", "2", "5"],
        unread=["*R01.edf", "*R02.edf"],
    )
    files = [one.source[-8:-5] for one in dataset.recordings("1")]
    assert files == ["R04", "R06", "R08", "R10", "R12", "R14"]
    trials = load_trials(dataset, Preprocess(), cache_dir=tmp_path)
    assert trials.X.shape == (90, 64, 480)
    assert list(np.bincount(trials.y)) == [23, 22, 21, 24]


def test_mi_openbci_has_its_runs_as_sessions(tmp_path):
    folder = need("mi_openbci")
    dataset = FileDataset(
        name="mi_openbci",
        folder=folder,
        pattern="sub-{subject}_run-{session}_eeg.fif",
        events={"right": "right", "rest": "rest"},
        interval=[0.5, 3.5],
        subjects=[2, 3],
    )
    trials = load_trials(dataset, Preprocess(l_freq=4, h_freq=40), cache_dir=tmp_path)
    assert trials.X.shape == (310, 15, 375)
    counts = trials.meta.groupby(["subject", "session"]).size()
    assert list(counts) == [40, 40, 30, 40, 40, 40, 40, 40]
    assert np.isfinite(trials.signal.positions).all()
