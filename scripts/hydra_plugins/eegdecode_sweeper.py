"""Hydra's own grid of jobs, but that a trainer's setting may be typed where it is of some jobs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from eegdecode.training.dependents import COUNTS_WITH

GROUPS = ("model=", "trainer=", "experiment=", "launcher=")    # the last, for hydra.launcher.KEY=... is of it
ABSENT, IDLE, COUNTS = range(3)    # what a setting is in a job
OWNERS: Mapping[str, tuple[str, str | None, bool]] = {
    # setting -> whose it is, and the word with which it counts (True), or with all but which; others refuse it
    **{key: (f"trainer.{whose}", word, True) for key, (whose, word) in COUNTS_WITH.items()},
    **dict.fromkeys(("fine_tune", "new_head"), ("model.init_from", None, False)),
    "updates": ("trainer.epochs", None, True),
}    # fmt: skip
DECIDING = {path for path, *_ in OWNERS.values()}


class FittingSweeper(BasicSweeper):
    """Leaves ``trainer.KEY=...`` out of jobs in which it is less than in others, no setting or an idle one; says so.

    A comparison holds networks and pipelines, and a number of steps is of networks alone; of a grid over
    ``trainer.average`` some jobs have a mean, and its decay is of these. What counts in no job stays, to be refused.
    """

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Overrides of the next jobs."""
        jobs = super().get_job_batch()
        typed = {_key(word) for job in jobs for word in job} - {""}
        if not typed:
            return jobs
        standing = [self._standing(tuple(filter(_chooses, job)), frozenset(typed)) for job in jobs]
        most = {key: max(own[key][0] for own in standing) for key in typed}
        fit, without = [], {}
        for job, own in zip(jobs, standing, strict=True):
            left_out = [word for word in job if _key(word) and own[_key(word)][0] < most[_key(word)]]
            for word in left_out:
                level, where = own[_key(word)]
                without.setdefault((word, level), {})[where] = None
            fit.append(tuple(word for word in job if word not in left_out))
        for (word, level), places in without.items():
            why = "no setting of theirs" if level == ABSENT else "it does nothing there"
            print(f"{word} is left out of {', '.join(places)}: {why}", flush=True)
        return [list(job) for job in dict.fromkeys(fit)]

    @cache    # noqa: B019  (a sweeper lives as long as its command)
    def _standing(self, chosen: tuple[str, ...], typed: frozenset[str]) -> dict[str, tuple[int, str]]:
        """Of each typed setting what it is in a job, and by what it is less than in others."""
        cfg = self._composed(tuple(word for word in chosen if word.startswith(GROUPS)))
        known, model = set(cfg.trainer), cfg.hydra.runtime.choices.model
        cfg = self._composed(tuple(word for word in chosen if _key(word) in {"", *known}))
        found = {key: (ABSENT, str(model)) for key in typed - known}
        for key in typed & known:
            by = _idle(cfg, key)
            found[key] = (IDLE if by else COUNTS), by
        return found

    @cache    # noqa: B019
    def _composed(self, words: tuple[str, ...]) -> DictConfig:
        assert self.hydra_context is not None    # Hydra's `setup` has given both
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(words))


def _key(word: str) -> str:
    """``lr`` of ``trainer.lr=1e-3``; empty for other words."""
    return word.partition("=")[0].split(".")[1] if word.startswith("trainer.") else ""


def _chooses(word: str) -> bool:
    """Whether a word may decide which settings count."""
    return word.startswith(GROUPS) or word.partition("=")[0] in DECIDING


def _idle(cfg: DictConfig, key: str) -> str:
    """What makes a setting do nothing; empty if it counts."""
    if key not in OWNERS:
        return ""
    path, word, alike = OWNERS[key]
    now = OmegaConf.select(cfg, path)
    if (now == word) != alike:
        return f"{path}={'null' if now is None else now}"
    return _idle(cfg, _key(path))


ConfigStore.instance().store(
    group="hydra/sweeper", name="fitting", provider="eegdecode",
    node={"_target_": "hydra_plugins.eegdecode_sweeper.FittingSweeper", "max_batch_size": None, "params": None},
)    # fmt: skip
