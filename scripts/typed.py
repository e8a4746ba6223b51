"""What is typed becomes the parts of an experiment: mappings whole, and each value of the type that its setting has."""

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override, OverrideType
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

WHOLE = ("dataset.events",)    # what is typed for these replaces the mapping of the YAML file


def parts_of(
    cfg: DictConfig, taker: Callable | None = None, typed: Sequence[str] = (), varied: Collection[str] = ()
) -> dict[str, Any]:    # fmt: skip
    """Instantiate a configuration for the function that takes it.

    Refuse the first value of a wrong type, and what is ``typed`` and would not be taken, be lacking, or do nothing,
    whatever a search makes of the settings that it has ``varied``.
    """
    from eegdecode.launching.idle import idle  # here, so that --help answers at once
    from eegdecode.launching.types import wrong_parts, wrong_types

    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    wrong = chain(wrong_parts(typed, taker, plain) if taker else (), wrong_types(plain, taker))
    if said := next(wrong, None) or idle(typed, plain, varied=varied):
        raise ValueError(said)
    return instantiate(cfg, _convert_="all")


_apply = ConfigLoaderImpl._apply_overrides_to_config


def _apply_whole(overrides: Sequence[Override], cfg: DictConfig) -> None:
    """Apply overrides as Hydra does, but that a mapping in `WHOLE` is not merged into the one that is there.

    Merged, ``dataset.events={right: right}`` would leave the other classes in. Here, and not as
    ``~dataset.events +dataset.events=...`` in the command: so it holds for every door, job and search, what is kept is
    what was typed, and a data set without events is refused by its name.
    """
    for override in overrides:
        whole = override.type == OverrideType.CHANGE and override.key_or_group in WHOLE
        if whole and isinstance(override.value(), dict) and OmegaConf.select(cfg, override.key_or_group) is not None:
            OmegaConf.update(cfg, override.key_or_group, None)
        _apply([override], cfg)


ConfigLoaderImpl._apply_overrides_to_config = staticmethod(_apply_whole)
