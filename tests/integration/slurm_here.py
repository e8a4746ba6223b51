"""A real Slurm on this machine: one controller, one node, all its files in one folder.

    python tests/integration/slurm_here.py [--cpus 4] -- command ...

starts it, runs the command with $SLURM_CONF set, and ends it. It needs Debian's slurm-wlm and munge
(``apt-get install slurm-wlm munge``) and root, because munged and slurmd change users; no cgroups, no systemd.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer_batch
SlurmctldTimeout=30
SlurmdTimeout={node_timeout}
KillWait=2
MinJobAge=300
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=UNLIMITED State=UP
"""


def absent() -> str:
    """Why no Slurm can be started here; empty if it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a Slurm of one's own needs root"


@dataclass
class Slurm:
    """The daemons, and what a test does to them."""

    folder: Path
    cpus: int = 4
    node_timeout: int = 10    # s without an answer until the controller calls the node down
    host: str = field(default_factory=lambda: socket.gethostname().partition(".")[0])
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Environment in which sbatch and the like speak with this Slurm."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start all and wait until the node is idle."""
        self.folder.chmod(0o755)    # munged mistrusts what others may write to
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = {"ctld_port": _free_port(), "d_port": _free_port()}
        about = {"host": self.host, "folder": self.folder, "cpus": self.cpus, "node_timeout": self.node_timeout}
        (self.folder / "slurm.conf").write_text(CONF.format(**about, **ports))
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge.key").chmod(0o400)
        f = self.folder
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={f}/munge.key", f"--socket={f}/munge.socket",
            f"--pid-file={f}/munged.pid", f"--log-file={f}/munged.log", f"--seed-file={f}/munged.seed",
        )    # fmt: skip
        _until(lambda: (f / "munge.socket").exists(), "munged", 20)
        self._daemon("slurmctld", "-D", "-f", f"{f}/slurm.conf")
        self.start_node()

    def start_node(self) -> None:
        """Start slurmd and wait until jobs can run on its node."""
        self._daemon("slurmd", "-D", "-f", f"{self.folder}/slurm.conf")
        _until(lambda: self.state() in ("idle", "mixed", "allocated"), f"the node is {self.state()}", 40)

    def kill_node(self) -> None:
        """SIGKILL for slurmd and every process of its jobs, as when a node loses power."""
        slurmd = self.daemons.pop("slurmd")
        family = [slurmd.pid, *_descendants(_steps(self.folder))]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        slurmd.wait()

    def state(self) -> str:
        """What the controller thinks of the node: idle, mixed, down, ..."""
        asked = self.ask("sinfo", "-h", "-o", "%T", check=False)
        return asked.strip().rstrip("*~#")

    def ask(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands and return what it prints."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self) -> None:
        """End all, jobs too."""
        self.ask("scancel", "--state=PENDING", "--state=RUNNING", "--user=root", check=False)
        for name in ("slurmd", "slurmctld", "munged"):
            if daemon := self.daemons.pop(name, None):
                daemon.terminate()
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def _daemon(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [program, *arguments], env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )


@contextlib.contextmanager
def slurm(**options: int) -> Iterator[Slurm]:
    """A Slurm for the time of a with-block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    here = Slurm(folder, **options)
    try:
        here.start()
        yield here
    except Exception:
        for log in sorted(folder.glob("*.log")):
            print(f"---- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
        raise
    finally:
        here.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _until(there: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise RuntimeError(f"Slurm does not start within {seconds} s: {what}")
        time.sleep(0.1)


def _steps(folder: Path) -> list[int]:
    """The slurmstepd processes of this Slurm: one a job step."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ = (entry / "environ").read_bytes()
            if (entry / "comm").read_text().startswith("slurmstepd") and str(folder).encode() in environ:
                found.append(int(entry.name))
    return found


def _descendants(pids: list[int]) -> list[int]:
    """These processes and all below them, the oldest first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    family = list(pids)
    for pid in family:
        family.extend(parents.get(pid, []))
    return family


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("command", nargs="+")
    typed = parser.parse_args()
    if absent():
        sys.exit(absent())
    with slurm(cpus=typed.cpus) as here:
        sys.exit(subprocess.run(typed.command, env=here.env).returncode)
