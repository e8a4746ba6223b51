"""Write BCI Competition IV 2a as it is published (BNCI Horizon 2020, 001-2014), with noise inside.

By hand, below the folder that MNE_DATA will name:

    python tests/data/bnci_files.py FOLDER --subjects 1 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.io import savemat

FOLDER = Path("MNE-bnci-data/~bci/database/001-2014")    # where MOABB looks for it
CLASSES = ("left hand", "right hand", "feet", "tongue")
SFREQ = 250    # Hz
N_CHANS = 25    # 22 EEG and 3 EOG
SPACING = 7.0    # s from trial to trial; the window ends after 6
N_EYE_RUNS = 3    # runs without events before the six of imagery; A04T has one
N_GAP = 100    # missing samples at the end of each run, as in the recordings
CHANNEL_OF_CLASS = (7, 11, 9, 15)    # C3, C4, Cz, CPz: where the class has 12 Hz, in place of imagery


def write_bnci2014_001(
    mne_data: str | Path, *, subjects: tuple[int, ...] = (1,), nan_in_trial: bool = False, seed: int = 0
) -> Path:
    """Write both sessions of each subject and return the folder of the files.

    Parameters
    ----------
    nan_in_trial : bool
        Whether the window of the first trial of the first run of session T holds missing samples.
    """
    folder = Path(mne_data) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        for number, session in enumerate("TE"):
            rng = np.random.default_rng([seed, subject, number])
            n_eye = 1 if (subject, session) == (4, "T") else N_EYE_RUNS
            runs = [_run(rng, n_trials=0) for _ in range(n_eye)] + [_run(rng, n_trials=48) for _ in range(6)]
            if nan_in_trial and session == "T":
                first = runs[n_eye]
                first["X"][first["trial"][0] + 3 * SFREQ, :] = np.nan
            data = np.empty((1, len(runs)), dtype=object)
            data[0, :] = runs
            savemat(folder / f"A{subject:02d}{session}.mat", {"data": data})
    return folder


def _run(rng: np.random.Generator, *, n_trials: int) -> dict[str, object]:
    """One run of 48 trials, 12 a class, or a short one of eye movements without any."""
    y = rng.permutation(np.repeat(np.arange(1, 5), n_trials // 4))
    start = 250 + (np.arange(n_trials) * SPACING * SFREQ).astype(int)    # counted from 1, as MATLAB does
    n_samples = int(start[-1] + SPACING * SFREQ if n_trials else 20 * SFREQ) + N_GAP
    X = rng.standard_normal((n_samples, N_CHANS), dtype=np.float32) * 10    # µV
    wave = 8 * np.sin(2 * np.pi * 12 * np.arange(4 * SFREQ) / SFREQ)
    for first, label in zip(start, y, strict=True):
        window = slice(first - 1 + 2 * SFREQ, first - 1 + 6 * SFREQ)
        X[window, CHANNEL_OF_CLASS[label - 1]] += wave
    X[-N_GAP:] = np.nan
    return {
        "X": X,
        "trial": start,
        "y": y,
        "fs": SFREQ,
        "classes": np.array(CLASSES, dtype=object),
        "artifacts": (rng.random(n_trials) < 0.1).astype(np.uint8),
        "gender": "male",
        "age": 22,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write files like those of BCI Competition IV 2a.")
    parser.add_argument("folder")
    parser.add_argument("--subjects", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    print(write_bnci2014_001(arguments.folder, subjects=tuple(arguments.subjects)))
