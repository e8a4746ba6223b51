"""Measure what the project promises: python scripts/benchmark.py data|start [--folder DIR].

``data`` needs MNE_DATA for the comparison with MOABB. Every figure is printed beside its goal.
"""

import argparse
import os
import re
import resource
import runpy
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

REPEATS = 5
SCRIPTS = Path(__file__).parent
SIZE_2A = ["dataset.n_subjects=9", "dataset.n_trials=72", "dataset.n_runs=6", "dataset.sfreq=250"]
KALUNGA = {"name": "ssvep_exo", "class_name": "Kalunga2016", "classes": ["13", "17", "21", "rest"], "interval": [2, 4]}


def measure_data(folder: Path) -> None:
    """Warm load and peak memory of 2a-sized data; prepare against MOABB on real SSVEP recordings."""
    own = [sys.executable, __file__]
    subprocess.run([*own, "prepare-2a", "--folder", folder], check=True)
    subprocess.run([*own, "load-2a", "--folder", folder], check=True)
    if os.environ.get("MNE_DATA"):
        subprocess.run([*own, "moabb", "--folder", folder], check=True)
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
    print(f"warm load {size}: {_spread(times)} (goal: below 1)")


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


def measure_start(folder: Path) -> None:
    """Time of ``--help``, and from the command to the first training step with 2a-sized data in the cache."""
    for name in ("train.py", "prepare.py"):
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run([sys.executable, SCRIPTS / name, "--help"], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        print(f"{name} --help: {_spread(times)} (goal: below 1.5)")
    _seconds_to_first_step(folder)    # fills the cache
    whole, own = [], []
    for _ in range(REPEATS):
        whole.append(_seconds_to_first_step(folder)[0])
        seconds, imports = _seconds_to_first_step(folder, "-X", "importtime")    # slower, so not for the whole
        own.append(seconds - imports)
    print(f"command to first step, 5184 trials: {_spread(whole)} (goal: at most 4)")
    print(f"of which not the import of other libraries: {_spread(own)} (goal: at most 1)")


def _seconds_to_first_step(folder: Path, *options: str) -> tuple[float, float]:
    """Time from the command to the first step and, with ``-X importtime``, what other libraries' imports took of it."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, *options, __file__, "first-step", "--folder", folder],
        check=True, capture_output=True, text=True,
    )
    lines = re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", done.stderr)    # µs of the module itself
    imports = sum(int(micros) for micros, name in lines if not name.startswith("eegdecode"))
    return float(done.stdout.split()[-1]) - began, 1e-6 * imports


def first_step(folder: Path) -> None:
    """Start an experiment on 2a-sized data, say when it comes to the first step, and leave."""
    from eegdecode.training import loop

    def leave(*_: Any, **__: Any) -> None:
        print(time.time(), flush=True)
        os._exit(0)

    loop.update = leave    # pyright: ignore[reportAttributeAccessIssue]
    os.environ["EEGDECODE_CACHE"] = str(folder / "2a")
    sys.argv = ["train.py", "dataset=simulated", *SIZE_2A, "device=cpu", f"out_dir={folder / 'run'}"]
    runpy.run_path(str(SCRIPTS / "train.py"), run_name="__main__")


def _spread(times: list[float]) -> str:
    return f"median {np.median(times):.2f} s of {REPEATS}, slowest {max(times):.2f} s"


def _load_2a(folder: Path):
    from eegdecode.data.prepare import load_trials
    from eegdecode.data.preprocess import Preprocess
    from eegdecode.data.simulated import SimulatedDataset

    dataset = SimulatedDataset(n_subjects=9, n_trials=72, n_runs=6)    # 9 x 2 x 288 trials, 22 x 1000
    began = time.perf_counter()
    trials = load_trials(dataset, Preprocess(l_freq=4, h_freq=40), cache_dir=folder / "2a")
    return trials, time.perf_counter() - began


TASKS = {
    "data": measure_data, "prepare-2a": prepare_2a, "load-2a": load_2a, "moabb": against_moabb,
    "start": measure_start, "first-step": first_step,
}    # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what the project promises.")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--folder", type=Path, help="of the caches; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        TASKS[arguments.task](arguments.folder or Path(temporary))
