"""A sweep on a real Slurm: a training is killed, the node is lost, Ctrl-C."""

import signal
import subprocess
import sys

import pytest
from tests.integration.slurm_here import absent, slurm
from tests.integration.sweeps import check_a_killed_job_and_a_second_start, ended, sleepers, until
from tests.test_story import start

from eegdecode.launching.jobs import follow
from eegdecode.launching.slurm import run_on_slurm

reason = absent()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(reason), reason=reason)]
OPTIONS = ["hydra.launcher.cores=1", "hydra.launcher.poll=0.5"]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")
    with slurm(cpus=4, node_timeout=6) as here:
        yield here


@pytest.fixture
def ours(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    return cluster


def test_a_killed_training_is_told_the_others_end_and_a_second_start_completes_it(cluster, tmp_path):
    check_a_killed_job_and_a_second_start("slurm", *OPTIONS, folder=tmp_path, env=cluster.env)


def test_jobs_of_a_node_that_was_lost_are_told_and_the_others_end(ours, tmp_path, capsys):
    jobs = sleepers(tmp_path, [0.1, 300, 0.1])
    ends = run_on_slurm(jobs, cores=1, poll=0.3, sbatch={"no-requeue": True})
    first = [next(ends), next(ends)]
    ours.kill_node()
    last = next(ends)
    assert [end.reason for end in first] == ["", ""]
    assert last.reason.startswith("lost by Slurm: node fail")
    assert list(ends) == []
    ours.start_node()
    assert follow(jobs[:1], run_on_slurm(jobs[:1], cores=1, poll=0.3)) == []


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
