"""Jobs as processes: their log, their cores, the reason of their end, and what a kill costs."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eegdecode.launching import here, on_ray, slurm
from eegdecode.launching.jobs import Ended, Job, follow, reason_of, run
from eegdecode.launching.options import check_options

CONFIGS = Path(__file__).parents[2] / "configs"
SCRIPT = """
import os, signal, sys, time
print(os.getpid(), os.environ["OMP_NUM_THREADS"], os.environ["EEGDECODE_CORES"], os.getcwd(), flush=True)
what = sys.argv[1]
if what == "fail":
    sys.exit("error: trainer.lr must be between 0 and 10, got 11")
if what == "raise":
    raise KeyError("lr")
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(float(what))
"""


@pytest.fixture
def job(tmp_path):
    """Return a factory of jobs that sleep so many seconds, or fail in some way."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    def make(what, number=0):
        return Job(str(script), (what,), tmp_path / "logs" / f"{number}.log", folder=str(tmp_path))

    return make


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("0", ""),
        ("fail", "trainer.lr must be between 0 and 10, got 11"),
        ("raise", "KeyError: 'lr'"),
        ("kill", "killed by SIGKILL"),
    ],
)
def test_a_job_says_why_it_failed(job, what, reason):
    assert run(job(what)).reason == reason


def test_a_job_without_a_word_has_its_exit_code_as_reason(tmp_path):
    (tmp_path / "log").write_text("\n")
    assert reason_of(3, tmp_path / "log") == "exit code 3"


def test_the_command_of_a_job_can_be_typed(job, tmp_path):
    assert Job(str(tmp_path / "a b.py"), ("x=[1, 2]",), tmp_path, folder="/").command.endswith("a b.py' 'x=[1, 2]'")
    done = subprocess.run(job("fail").command.replace("python", sys.executable, 1), shell=True, cwd=tmp_path,
                          capture_output=True, text=True, env={**os.environ, "EEGDECODE_CORES": "1"})    # fmt: skip
    assert done.returncode == 1


def test_a_job_that_is_written_to_a_disk_holds_no_key(job, monkeypatch):
    kept = {"WANDB_PROJECT": "mine", "HF_HOME": "/lab", "EEGDECODE_RUNS": "runs", "HF_TOKEN_PATH": "/lab/token"}
    keys = dict.fromkeys(("WANDB_API_KEY", "HF_TOKEN", "hf_token", "MNE_SECRET", "EEGDECODE_DB_PASSWORD"), "s3cr3t")
    for name, value in {**kept, **keys}.items():
        monkeypatch.setenv(name, value)
    carried = job("0").environment
    assert kept.items() <= carried.items()
    assert not set(keys) & set(carried)
    assert b"s3cr3t" not in pickle.dumps(job("0"))


def test_a_killed_job_takes_no_other_with_it_and_failures_are_told_at_once(job, capsys):
    jobs = [job(what, number) for number, what in enumerate(["0.1", "kill", "0.1", "fail", "0.1", "1"])]
    failures = follow(jobs, here.run_here(jobs, n_jobs=2))
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in told if line.startswith("[")] == [f"[{i}/6]" for i in range(1, 7)]
    assert sum("done in" in line for line in told) == 4
    assert told[-1].endswith("s: 1")    # the slow one is the last: nobody waited for it
    assert sorted(failure.splitlines()[0] for failure in failures) == [
        "killed by SIGKILL", "trainer.lr must be between 0 and 10, got 11",
    ]    # fmt: skip
    for failure, name in zip(sorted(failures), ("1.log", "3.log"), strict=True):
        assert "command: python train.py" in failure
        assert failure.endswith(name)


@pytest.mark.parametrize(("options", "at_once", "cores"), [
    ({}, 4, 1), ({"n_jobs": 2}, 2, 2), ({"n_jobs": 3}, 3, 1), ({"n_jobs": 2, "cores": 3}, 2, 3), ({"n_jobs": -2}, 3, 1),
])    # fmt: skip
def test_jobs_share_the_cores_of_the_machine(job, monkeypatch, capsys, options, at_once, cores):
    monkeypatch.setattr(here, "_count_cores", lambda: 4)
    jobs = [job("0", number) for number in range(6)]
    ends = list(here.run_here(jobs, **options))
    assert f"{at_once} at a time" in capsys.readouterr().out
    for end in ends:
        assert end.job.log.read_text().split()[1:3] == [str(cores)] * 2


def test_a_sweep_within_a_job_takes_the_cores_of_the_job(monkeypatch):
    monkeypatch.delenv("EEGDECODE_CORES", raising=False)
    there = here._count_cores()
    for given, cores in (("1", 1), ("", there), (str(there + 1), there)):
        monkeypatch.setenv("EEGDECODE_CORES", given)
        assert here._count_cores() == cores


@pytest.mark.parametrize("options", [{"n_jobs": 0}, {"cores": 0}])
def test_no_job_and_no_core_are_mistakes(job, options):
    with pytest.raises(ValueError, match="must not be 0"):
        next(here.run_here([job("0")], **options))


PARENT = """
import sys
from pathlib import Path
from eegdecode.launching.here import run_here
from eegdecode.launching.jobs import Job
if __name__ == "__main__":
    list(run_here([Job(sys.argv[1], ("60",), Path(sys.argv[2]) / f"{i}.log") for i in range(2)], n_jobs=2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process that dies with its parent is Linux's")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_a_sweep_that_ends_leaves_no_job_behind(job, tmp_path, sign):
    script = job("0").script
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", script, tmp_path], stderr=subprocess.DEVNULL,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})    # fmt: skip
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    _until(lambda: all(log.exists() and log.read_text().endswith("\n") for log in logs))
    parent.send_signal(sign)
    parent.wait(20)
    jobs = [int(log.read_text().split()[0]) for log in logs]
    _until(lambda: not any(map(_alive, jobs)))
    assert not any(map(_alive, jobs))


CAREFUL = """
import sys, time
from pathlib import Path
print("begun", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.7)
    Path(__file__).with_name(f"saved{sys.argv[1]}").touch()
"""


def test_interrupted_jobs_have_time_to_write_what_is_finished(tmp_path):
    (tmp_path / "train.py").write_text(CAREFUL)
    (tmp_path / "parent.py").write_text(PARENT.replace('("60",)', "(str(i),)"))
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path / "train.py", tmp_path],
                              stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    _until(lambda: all(log.exists() and log.read_text() for log in logs))
    parent.send_signal(signal.SIGINT)
    parent.wait(20)
    assert sorted(path.name for path in tmp_path.glob("saved*")) == ["saved0", "saved1"]


@pytest.mark.parametrize(("words", "said"), [
    ("hydra.launcher.n_jobs=2", r"n_jobs is for jobs that run elsewhere: give launcher=... too \(joblib, ray, slurm\)"),
    ("launcher=joblib hydra.launcher.n_jbs=2", r"launcher=joblib has no hydra.launcher.n_jbs; did you mean n_jobs\?"),
    ("launcher=ray +hydra.launcher.partition=gpu", "launcher=ray has no hydra.launcher.partition; there are address"),
])    # fmt: skip
def test_an_option_that_a_launcher_does_not_have(words, said):
    with pytest.raises(ValueError, match=said):
        check_options(words.split(), CONFIGS)
    check_options(["launcher=slurm", "hydra.launcher.minutes=5", "+hydra.launcher.sbatch.account=lab"], CONFIGS)


def test_a_job_that_cannot_be_started_is_told(job, tmp_path):
    (tmp_path / "logs").write_text("")    # a file where the folder of the logs should be
    assert run(job("0")).reason.startswith("it cannot be started here: ")


@pytest.mark.parametrize(("start", "extra"), [(slurm.run_on_slurm, "submitit"), (on_ray.run_on_ray, "ray")])
def test_without_the_extra_it_says_what_to_install(job, monkeypatch, start, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ValueError, match=rf'needs {extra}: pip install -c constraints.txt -e "\.\[\w+\]"'):
        next(start([job("0")]))


class Handle:
    """What submitit gives for a job."""

    def __init__(self, folder, job, number):
        self.job = job
        self.paths = type("Paths", (), {"result_pickle": folder / f"{number}.pkl", "stderr": folder / f"{number}.err"})

    def result(self):
        return Ended(self.job, "", 1.0)


def test_a_job_that_slurm_lost_is_told_and_a_controller_that_does_not_answer_is_waited_for(
    job, tmp_path, monkeypatch, capsys
):    # fmt: skip
    jobs = [job("0", number) for number in range(3)]
    waiting = {f"7_{n}": (job, Handle(tmp_path, job, n)) for n, job in enumerate(jobs)}
    lost, late = slurm.QueueState("NODE_FAIL", "None"), slurm.QueueState("PENDING", "PartitionTimeLimit")
    answers = iter([None, {"7_0": lost, "7_1": late, "7_2": late}, *[{"7_0": lost, "7_1": late}] * 100])

    def ask(_):
        answer = next(answers)
        if answer is not None and len(answer) == 2:
            (tmp_path / "1.pkl").touch()
        return answer

    monkeypatch.setattr(slurm, "_states", ask)
    ends = {end.job.log.stem: end.reason for end in slurm._watch(waiting, 0.02)}
    assert ends["0"].startswith("lost by Slurm: node fail (job 7_0;")
    assert ends["1"] == ""
    assert ends["2"].startswith("lost by Slurm: no longer known")
    assert capsys.readouterr().out == "Slurm lets jobs wait: PartitionTimeLimit\n"


def _alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(there, seconds=20):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)
