"""The start: ``--help``, and from the command to the first training step."""

import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.tasks import DOOR, REPEATS, spread

SIZE_2A = ["dataset.n_subjects=9", "dataset.n_trials=72", "dataset.n_runs=6", "dataset.sfreq=250"]


def measure_start(folder: Path) -> None:
    """Time of ``--help``, and from the command to the first training step with 2a-sized data in the cache."""
    for name in ("train.py", "prepare.py"):
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run([sys.executable, DOOR.parent / name, "--help"], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        print(f"{name} --help: {spread(times)} (goal: below 1.5)")
    _seconds_to_first_step(folder)    # fills the cache
    whole, own = [], []
    for _ in range(REPEATS):
        whole.append(_seconds_to_first_step(folder)[0])
        seconds, imports = _seconds_to_first_step(folder, "-X", "importtime")    # slower, so not for the whole
        own.append(seconds - imports)
    print(f"command to first step, 5184 trials: {spread(whole)} (goal: at most 4)")
    print(f"of which not the import of other libraries: {spread(own)} (goal: at most 1)")


def _seconds_to_first_step(folder: Path, *options: str) -> tuple[float, float]:
    """Time from the command to the first step and, with ``-X importtime``, what other libraries' imports took of it."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, *options, DOOR, "first-step", "--folder", folder],
        check=True, capture_output=True, text=True,
    )
    lines = re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", done.stderr)    # µs of the module itself
    imports = sum(int(micros) for micros, name in lines if not name.startswith("eegdecode"))
    return float(done.stdout.split()[-1]) - began, 1e-6 * imports


def first_step(folder: Path) -> None:
    """Start an experiment on 2a-sized data, say when it comes to the first step, and leave.

    In one process: with workers the first step is in another, where it is not seen.
    """
    from eegdecode.training import loop

    def leave(*_: Any, **__: Any) -> None:
        print(time.time(), flush=True)
        os._exit(0)

    loop.update = leave    # pyright: ignore[reportAttributeAccessIssue]
    os.environ["EEGDECODE_CACHE"] = str(folder / "2a")
    sys.argv = ["train.py", "dataset=simulated", *SIZE_2A, "device=cpu", "trainer.workers=1",
                f"out_dir={folder / 'run'}"]    # fmt: skip
    runpy.run_path(str(DOOR.parent / "train.py"), run_name="__main__")
