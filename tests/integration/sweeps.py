"""What the tests of real clusters share: a small sweep of real trainings, and a process of it to kill."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.test_story import ROOT, start

from eegdecode.launching.jobs import Job
from eegdecode.reporting.results import load_results

# two jobs of three runs each, long enough to be met in the middle of one, and one that fails by itself
GRID = ["model=eegnet", "trainer.lr=1e-3,2e-3,-1", "trainer.epochs=40", "trainer.validation=0", "sweep.seeds=3",
        "dataset.subjects=[1]", "dataset.n_trials=9", "preprocess.sfreq=80", "device=cpu", "out_dir=out"]    # fmt: skip
SLEEPER = "import sys, time; time.sleep(float(sys.argv[1]))"


def sweep(launcher, *options, folder, env, grid=GRID):
    """Start `train.py` on a cluster; `env` has its address."""
    added = {name: value for name, value in env.items() if os.environ.get(name) != value}
    return start(f"launcher={launcher}", *options, *grid, folder=folder, **added)


def kill_in_the_middle(process, folder, job):
    """SIGKILL for the training of a job as soon as its first run is finished."""
    until(lambda: list((folder / "out" / job / "finished").glob("*.npz")), process)
    (training,) = [pid for pid, command in commands() if f"out_dir=out/{job}" in command]
    os.kill(training, signal.SIGKILL)


def commands():
    """Process id and command line of all processes of `scripts/train.py`, without those that wait for one."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(ROOT / "scripts" / "train.py") in words[:2]:
                yield int(entry.name), " ".join(words)


def until(there, process, seconds=240):
    """Wait for something, unless the sweep ends before."""
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "the sweep hangs"
        time.sleep(0.05)


def ended(process, code):
    """What the sweep printed, once it has ended."""
    output, _ = process.communicate(timeout=400)
    assert process.returncode == code, output
    assert "Traceback" not in output, output
    return output


def done(folder, job):
    """Whether every run of a job is done, none of them twice."""
    results = load_results(folder / "out" / job)
    assert results.scores["key"].is_unique
    return results.summary["n_done"] == results.summary["n_expected"] == 3


def sleepers(folder, seconds):
    """Jobs that do nothing, to be lost with their node."""
    script = folder / "sleeper.py"
    script.write_text(SLEEPER)
    logs = [folder / "logs" / f"{number}.log" for number in range(len(seconds))]
    return [Job(str(script), (str(s),), log, folder=str(folder)) for s, log in zip(seconds, logs, strict=True)]


def assert_a_second_start_completes_it(launcher, *options, folder, env):
    """A training is killed: it and the wrong one are told, the third is done; a second start does what is missing."""
    process = sweep(launcher, *options, folder=folder, env=env)
    kill_in_the_middle(process, folder, "0_eegnet")
    output = ended(process, 1)
    assert "killed by SIGKILL\n  command: python " in output
    assert "trainer.lr must be between 0 and 10, got -1" in output
    assert output.count("command: ") == 2 * 2    # at once, and at the end
    assert not done(folder, "0_eegnet")
    assert done(folder, "1_eegnet")
    again = ended(sweep(launcher, *options, folder=folder, env=env, grid=[
        word.replace(",-1", "") for word in GRID
    ]), 0)    # fmt: skip
    assert done(folder, "0_eegnet"), again
    logs = [path.read_text() for path in folder.glob("data/runs/.multirun/*/*.log")]
    assert any("3 of 3 runs were finished before" in log for log in logs)
    assert any("1 of 3 runs were finished before" in log or "2 of 3 runs were finished before" in log for log in logs)
    return output


assert sys.platform == "linux", "clusters are looked at through /proc"
