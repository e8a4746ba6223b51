"""Hydra's own grid of jobs, but that a trainer's setting may be typed where some models have another trainer."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


class FittingSweeper(BasicSweeper):
    """Leaves ``trainer.KEY=...`` out of jobs whose trainer has no such setting, where another job's has, and says so.

    A comparison holds networks and pipelines, and a number of steps is of networks alone. What no job's trainer has
    stays, for Hydra to refuse.
    """

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Overrides of the next jobs."""
        jobs = super().get_job_batch()
        if not any(_key(word) for job in jobs for word in job):
            return jobs
        groups = [tuple(word for word in job if word.startswith(("model=", "trainer=", "experiment="))) for job in jobs]
        known = {chosen: self._trainer(chosen) for chosen in dict.fromkeys(groups)}
        trainers = [known[chosen] for chosen in groups]
        somewhere = set().union(*(keys for _, keys in trainers))
        fit, without = [], {}
        for job, (model, keys) in zip(jobs, trainers, strict=True):
            foreign = [word for word in job if _key(word) in somewhere - keys]
            for word in foreign:
                without.setdefault(word, {})[model] = None
            fit.append(tuple(word for word in job if word not in foreign))
        for word, models in without.items():
            print(f"{word} is left out of {', '.join(models)}: no setting of theirs", flush=True)
        return [list(job) for job in dict.fromkeys(fit)]

    def _trainer(self, chosen: Sequence[str]) -> tuple[str, set[str]]:
        """Name of the model that is chosen, and the settings of its trainer."""
        assert self.hydra_context is not None    # Hydra's `setup` has given both
        assert self.config is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(chosen))
        return cfg.hydra.runtime.choices.model, set(cfg.trainer)


def _key(word: str) -> str:
    """``lr`` of ``trainer.lr=1e-3``; empty for other words."""
    return word.partition("=")[0].split(".")[1] if word.startswith("trainer.") else ""


ConfigStore.instance().store(
    group="hydra/sweeper", name="fitting", provider="eegdecode",
    node={"_target_": "hydra_plugins.eegdecode_sweeper.FittingSweeper", "max_batch_size": None, "params": None},
)    # fmt: skip
