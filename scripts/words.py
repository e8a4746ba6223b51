"""What is typed, held against the configurations: Hydra's own words on a typo advise to add what nothing takes."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from eegdecode.launching.options import check_options, missing, no_choice, replaced
from quotes import check_quotes

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@contextmanager
def words_checked(name: str) -> Iterator[None]:
    """Around a command: refuse options that no launcher has; behind Hydra's words on a typo say what there is."""
    try:
        check_quotes(sys.argv[1:])
        check_options(sys.argv[1:], CONFIGS / "launcher")
    except ValueError as error:
        sys.exit(f"error: {error}")
    try:
        yield
    except SystemExit as stop:
        if stop.code == 1 and (said := unknown_setting(sys.argv[1:], name)):
            sys.exit(f"error: {said}")
        raise


def unknown_setting(words: Sequence[str], name: str, beside: Sequence[str] = ()) -> str | None:
    """Tell which setting or choice a configuration lacks, and which it has, or its door beside; None: it lacks none.

    Of a grid over a group (``augment=none,noise``) all choices have to have what is typed for it.
    """
    typed = replaced(words)
    for key, value in typed:
        if (CONFIGS / key).is_dir() and (said := no_choice(CONFIGS / key, value)):
            return said
    groups = {key: value.split(",") for key, value in typed if (CONFIGS / key).is_dir()}
    first = {group: choices[0] for group, choices in groups.items()}
    for path in (key for key, _ in typed if key not in groups and not key.startswith("hydra.")):
        group = path.partition(".")[0]
        ways = [{**first, group: choice} for choice in groups[group]] if group in groups else [first]
        try:
            said = [missing(_composed(name, tuple(way.items())), path, beside) for way in ways]
        except HydraException:    # Hydra tells it best
            return None
        if all(said):
            chosen = [f"{key}={value}" for key, value in first.items()]
            return f"there is no {path}{' with ' * bool(chosen)}{', '.join(chosen)}; {said[0]}"
        if any(said):
            without, has = (",".join(way[group] for way, lacks in zip(ways, said, strict=True) if bool(lacks) == wanted)
                            for wanted in (True, False))    # fmt: skip
            return f"there is no {path} with {group}={without}: give {group}={has} a command of its own"
    return None


@cache
def _composed(name: str, chosen: tuple[tuple[str, str], ...]) -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return OmegaConf.to_container(compose(name, overrides=[f"{key}={value}" for key, value in chosen]))
