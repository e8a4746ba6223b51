"""The data wing: warm load and peak memory of 2a-sized data, and preparation against MOABB."""

import os
import resource
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks.tasks import REPEATS, call, spread

KALUNGA = {"name": "ssvep_exo", "class_name": "Kalunga2016", "classes": ["13", "17", "21", "rest"], "interval": [2, 4]}


def measure_data(folder: Path) -> None:
    """Warm load and peak memory of 2a-sized data; prepare against MOABB on real SSVEP recordings."""
    print(call("prepare-2a", folder), call("load-2a", folder), sep="", end="")
    if os.environ.get("MNE_DATA"):
        print(call("moabb", folder), end="")
    else:
        print("MNE_DATA is not set: no comparison with MOABB")


def prepare_2a(folder: Path) -> None:
    """Prepare nine subjects of the size of 2a, in a process of its own, so that its peak is its own."""
    trials, seconds = _load_2a(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"prepare {trials.X.shape}: {seconds:.0f} s, peak {peak:.2f} GB (goal: below 2)")


def load_2a(folder: Path) -> None:
    """Load them from the cache, which the file system has in memory."""
    times = []
    for _ in range(REPEATS):
        trials, seconds = _load_2a(folder)
        times.append(seconds)
        size = f"{trials.X.shape}, {trials.X.nbytes / 1e9:.2f} GB"
        del trials
    print(f"warm load {size}: {spread(times)} (goal: below 1)")


def against_moabb(folder: Path) -> None:
    """Prepare the recordings of Kalunga2016 that are on disk, and let MOABB do so; the trials must be equal."""
    from moabb import paradigms
    from moabb.datasets import Kalunga2016

    from eegdecode.data.moabb import MoabbDataset
    from eegdecode.data.prepare import load_trials
    from eegdecode.data.preprocess import Preprocess

    subjects = list(range(1, 12))    # of subject 12 a run may be missing, which both refuse
    warnings.simplefilter("ignore")    # of MOABB's own
    band = Preprocess(l_freq=7, h_freq=45)
    dataset = MoabbDataset(**KALUNGA, subjects=subjects)
    first = MoabbDataset(**KALUNGA, subjects=[1])
    load_trials(first, band, cache_dir=folder / "warm-up")    # pyright: ignore[reportArgumentType]
    paradigm = paradigms.SSVEP(n_classes=4, fmin=7, fmax=45)
    paradigm.get_data(Kalunga2016(), [1])
    ours, theirs = [], []
    for i in range(REPEATS):    # in turn, so that both meet the same machine
        began = time.perf_counter()
        trials = load_trials(dataset, band, cache_dir=folder / f"ours-{i}")    # pyright: ignore[reportArgumentType]
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        X, labels, _ = paradigm.get_data(Kalunga2016(), subjects)
        theirs.append(time.perf_counter() - began)
    equal = np.allclose(trials.X, X[:, :, :512], rtol=1e-6, atol=1e-6 * np.abs(X).max())    # float32's rounding
    equal &= [trials.classes[label] for label in trials.y] == list(labels)
    n_runs = len(trials.meta.groupby(["subject", "session", "run"]))
    ratio = np.median(np.array(theirs) / np.array(ours))
    print(
        f"{n_runs} SSVEP runs, {len(X)} trials: ours {np.median(ours):.2f} s, MOABB {np.median(theirs):.2f} s "
        f"(medians of {REPEATS}, ratio {ratio:.2f}, goal: above 1); trials equal: {equal}"
    )


def _load_2a(folder: Path):
    from eegdecode.data.prepare import load_trials
    from eegdecode.data.preprocess import Preprocess
    from eegdecode.data.simulated import SimulatedDataset

    dataset = SimulatedDataset(n_subjects=9, n_trials=72, n_runs=6)    # 9 x 2 x 288 trials, 22 x 1000
    began = time.perf_counter()
    trials = load_trials(dataset, Preprocess(l_freq=4, h_freq=40), cache_dir=folder / "2a")
    return trials, time.perf_counter() - began
