"""A sweep on a real Slurm: a training is killed, the node is lost, time limits come, Ctrl-C."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.slurm_here import absent, slurm
from tests.integration.sweeps import GRID, assert_a_second_start_completes_it, ended, sleepers, sweep, until
from tests.test_story import start

from eegdecode.launching.jobs import Job
from eegdecode.launching.slurm import run_on_slurm

reason = absent()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(reason), reason=reason)]
TWICE = """
import sys, time
from pathlib import Path
mark = Path(sys.argv[1] + ".begun")
print(2 if mark.exists() else 1, flush=True)
if not mark.exists():
    mark.touch()
    time.sleep(300)
"""
OPTIONS = ["hydra.launcher.cores=1", "hydra.launcher.poll=0.5"]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("submitit", reason='pip install -c constraints.txt -e ".[slurm]"')
    with slurm(cpus=6, node_timeout=6) as here:
        yield here


@pytest.fixture
def ours(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    return cluster


@pytest.fixture(scope="module")
def limited(cluster, tmp_path_factory):
    """How jobs with a real limit of a minute end. Slurm looks at limits twice a minute: beside other tests."""
    folder = tmp_path_factory.mktemp("limited")
    (folder / "twice.py").write_text(TWICE)

    def end(name, **options):
        job = Job(str(folder / "twice.py"), (name,), folder / name / "0.log", folder=str(folder))
        (end,) = run_on_slurm([job], cores=1, poll=0.5, minutes=1, **options)
        return end

    kinds = {"again": {}, "never": {"again": 0}, "refused": {"sbatch": {"no-requeue": True}}}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(kinds)) as pool:
        patch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        yield {name: pool.submit(end, name, **options) for name, options in kinds.items()}


def test_a_killed_training_is_told_the_others_end_and_a_second_start_completes_it(cluster, limited, tmp_path):
    assert_a_second_start_completes_it("slurm", *OPTIONS, folder=tmp_path, env=cluster.env)


def test_at_its_time_limit_a_job_goes_back_into_the_queue_or_is_told(limited):
    ends = {name: future.result(120) for name, future in limited.items()}
    assert ends["again"].reason == ""
    assert ends["again"].job.log.read_text().split() == ["1", "2"]
    assert ends["never"].reason.startswith("its time limit came more often than hydra.launcher.again; give it more")
    assert ends["refused"].reason.startswith("its time was up, and Slurm does not put it back into the queue; the same")


def test_jobs_of_a_lost_node_are_told_or_go_on_from_their_last_state(ours, tmp_path):
    grid = [word.replace(",2e-3,-1", "").replace("seeds=3", "seeds=1") for word in GRID]
    training = sweep("slurm", *OPTIONS, folder=tmp_path, env=ours.env, grid=[*grid, "trainer.save_every=0"])
    jobs = sleepers(tmp_path, [0.1, 300, 0.1])
    ends = run_on_slurm(jobs, cores=1, poll=0.3, sbatch={"no-requeue": True})
    first = [next(ends), next(ends)]
    until(lambda: list(tmp_path.glob("out/0_eegnet/in_work/*.npz")), training)
    ours.kill_node()
    last = next(ends)
    assert [end.reason for end in first] == ["", ""]
    assert last.reason.startswith("lost by Slurm: node fail")
    assert last.reason.endswith("the same command goes on from its last state")
    assert list(ends) == []
    ours.start_node()
    ended(training, 0)
    (log,) = tmp_path.glob("data/runs/.multirun/*/0.log")
    assert "goes on after epoch" in log.read_text()


def test_ctrl_c_takes_the_jobs_out_of_the_queue(cluster, tmp_path):
    typed = ["launcher=slurm", *OPTIONS, "model=csp_lda", "seed=0,1", "+hydra.launcher.sbatch.hold=true"]
    process = start(*typed, folder=tmp_path, SLURM_CONF=cluster.env["SLURM_CONF"])
    waiting = ["squeue", "-h", "-t", "PENDING"]
    until(lambda: cluster.ask(*waiting), process)
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    assert not cluster.ask(*waiting)


def test_the_script_starts_a_slurm_for_a_command(ours):
    script = [sys.executable, "tests/integration/slurm_here.py", "--", "sinfo", "-h", "-o", "%T"]
    assert subprocess.run(script, capture_output=True, text=True, timeout=120).stdout.split() == ["idle"]
