"""The door between Hydra's -m and eegdecode.launching: jobs become commands that run elsewhere. Hydra finds it here.

Hydra's own plugins for joblib, submitit and Ray are not used: a worker that is killed takes the whole sweep of the
first with it, the second stops waiting at the first job that fails, the third needs a cloudpickle of before 2023.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from eegdecode.launching.record import failures, interrupted, job_folder, words_of
from swept import swept_beside


class CommandLauncher(Launcher):
    """Runs each job as a command of its own: python scripts/train.py with the overrides of the job.

    Parameters
    ----------
    where : {"joblib", "slurm", "ray"}
    options
        Of `run_here`, `run_on_slurm` or `run_on_ray` in `eegdecode.launching`.
    """

    def __init__(self, where: str, **options: Any) -> None:
        self.where, self.options = where, options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives; the task itself is not needed."""
        self.loader, self.config = hydra_context.config_loader, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; those that failed are in `failures`."""
        from eegdecode.launching import here, on_ray, slurm
        from eegdecode.launching.jobs import Job, follow
        from eegdecode.launching.types import wrong_types

        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
        logs = Path(self.config.hydra.sweep.dir).absolute() / now
        group = self.config.out_dir or f"{self.config.hydra.runtime.choices.dataset} {now}"
        os.environ.setdefault("WANDB_RUN_GROUP", group)    # jobs carry it
        start = {"joblib": here.run_here, "slurm": slurm.run_on_slurm, "ray": on_ray.run_on_ray}[self.where]
        options = {name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
                   for name, value in self.options.items()}    # fmt: skip
        script = str(Path(sys.argv[0]).absolute())
        jobs = [
            Job(script, tuple(self._arguments(overrides, number)), logs / f"{number}.log")
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
        ]
        if said := next(wrong_types(options, start, "hydra.launcher"), None):
            sys.exit(f"error: {said}")
        try:
            failures.extend(follow(jobs, start(jobs, **options)))
        except ValueError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            interrupted("finished jobs and runs are kept; the same command goes on where it stopped")
        return [self._returned(overrides) for overrides in job_overrides]

    def _arguments(self, overrides: Sequence[str], number: int) -> list[str]:
        """What is typed for a job: its overrides, with the folder that is its own."""
        flags = [
            flag for source in self.config.hydra.runtime.config_sources if source.provider == "command-line"
            for flag in ("--config-dir", source.path)
        ]    # fmt: skip
        typed = [word for word in overrides if not word.startswith("launcher=")]
        swept = list(self.config.hydra.sweeper.params or ())
        cfg = self.loader.load_sweep_config(self.config, list(overrides))    # out_dir may be swept, too
        choices, folder = cfg.hydra.runtime.choices, cfg.out_dir
        if folder:
            own = {"swept": swept, "beside": swept_beside(typed)}
            folder = job_folder(folder, number=number, choices=choices, **own)
        return [*flags, *words_of(typed, folder, swept)]

    @staticmethod
    def _returned(overrides: Sequence[str]) -> JobReturn:
        return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=None)


ConfigStore.instance().store(
    group="hydra/launcher", name="commands", provider="eegdecode",
    node={"_target_": "hydra_plugins.eegdecode_launchers.CommandLauncher", "where": "???"},
)    # fmt: skip
