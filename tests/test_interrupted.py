"""Ctrl-C at every door: what is left of the work is said. That it is left is tested where the work is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import importlib, runpy, sys

def stop(*given, **more):
    raise KeyboardInterrupt

door, story, *words = sys.argv[1:]
module, _, function = story.rpartition(".")
setattr(importlib.import_module(module), function, stop)
sys.argv = [door, *words]
runpy.run_path(door, run_name="__main__")
"""
GOES_ON = "the same command goes on where it stopped"


@pytest.mark.parametrize(("door", "story", "words", "left"), [
    ("train", "experiment.run_experiment", "", f"finished runs are kept; {GOES_ON}"),
    ("train", "experiment.run_experiment", "-m model=eegnet,csp_lda", f"finished runs are kept; {GOES_ON}"),
    ("train", "launching.jobs.follow", "launcher=joblib model=eegnet,csp_lda",
     f"finished jobs and runs are kept; {GOES_ON}"),
    ("pretrain", "pretraining.pretrain", "", f"finished encoders are kept; {GOES_ON}"),
    ("prepare", "card.prepare", "", "prepared subjects are kept in the cache; the same command prepares the others"),
    ("predict", "prediction.predict", "checkpoint=x", "no table was written; prepared subjects are kept in the cache"),
    ("sweep", "search.commands.obey", "sweep=eegnet_search", f"finished trials are kept; {GOES_ON}"),
    ("report", "reporting.comparison.write.write_comparison", "x",
     "the report is not finished; the same command writes it anew"),
    ("ensemble", "reporting.stacking.save_ensembles", "x",
     "checkpoints that were written are whole; the same command writes all of them"),
])    # fmt: skip
def test_what_is_left_is_said(tmp_path, door, story, words, left):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "scripts"))}
    script = ROOT / "scripts" / f"{door}.py"
    done = subprocess.run([sys.executable, "-c", CODE, script, f"eegdecode.{story}", *words.split()],
                          cwd=tmp_path, env=env, capture_output=True, text=True)    # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (130, f"interrupted: {left}")
