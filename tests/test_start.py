"""A command with prepared trials is at its first step without what only recordings, figures or services need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.bnci_files import write_bnci2014_001

ROOT = Path(__file__).parents[1]
LATE = ("moabb", "mne", "mne_bids", "matplotlib", "wandb", "pyriemann", "sklearn", "scipy.signal", "scipy.stats")
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'scripts'}"}
FIRST_STEP = f"""
import os, runpy, sys
from eegdecode.training import loop

def leave(*_, **__):
    print("at the first step:", *(name for name in {LATE} if name in sys.modules), flush=True)
    os._exit(0)

loop.update = leave
runpy.run_path({str(ROOT / "scripts" / "train.py")!r}, run_name="__main__")
"""


def imported_at_first_step(folder, *arguments):
    env = {**ENV, "EEGDECODE_CACHE": str(folder / "cache"), "MNE_DATA": str(folder / "mne_data")}
    command = [sys.executable, "-c", FIRST_STEP, "device=cpu", "out_dir=out", "model.width=16", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()[-1].partition("at the first step:")[2].split()


@pytest.mark.parametrize(
    "arguments",
    [["dataset=simulated", "dataset.n_trials=9", "dataset.subjects=[1]"], ["dataset=bci4_2a", "dataset.subjects=[1]"]],
    ids=lambda arguments: arguments[0],
)
def test_prepared_trials_need_no_library_of_recordings(arguments, tmp_path):
    write_bnci2014_001(tmp_path / "mne_data")
    assert "mne" in imported_at_first_step(tmp_path, *arguments)    # prepares; so the test sees what it looks for
    assert imported_at_first_step(tmp_path, *arguments) == []


def test_importing_the_story_and_every_kind_of_data_set_costs_none_of_them():
    kinds = ", ".join(f"eegdecode.data.{name}" for name in ("bids", "files", "moabb", "simulated"))
    code = f"import sys, eegdecode.experiment, {kinds}; print(*(name for name in {LATE} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_grid_with_settings_of_a_trainer_is_handed_out_without_torch(tmp_path):
    """Its jobs import it, each in a process of its own."""
    code = f"""
import runpy, sys
from eegdecode.launching import here

def look(jobs, **_):
    sys.exit(f"{{len(jobs)}} jobs, torch: {{'torch' in sys.modules}}")

here.run_here = look
runpy.run_path({str(ROOT / "scripts" / "train.py")!r}, run_name="__main__")
"""
    grid = ["launcher=joblib", "model=eegnet,csp_lda", "trainer.updates=20"]
    done = subprocess.run([sys.executable, "-c", code, *grid], cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "2 jobs, torch: False"
