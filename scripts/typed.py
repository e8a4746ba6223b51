"""The parts of an experiment, made from its configuration once each value has the type that its setting declares."""

from collections.abc import Callable
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf


def parts_of(cfg: DictConfig, taker: Callable | None = None) -> dict[str, Any]:
    """Instantiate a configuration for the function that takes it; refuse the first value of a wrong type."""
    from eegdecode.launching.types import wrong_types  # here, so that --help answers at once

    if said := next(wrong_types(OmegaConf.to_container(cfg, resolve=True), taker), ""):
        raise ValueError(said)
    return instantiate(cfg, _convert_="all")
