"""What is typed, held against the configurations."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from eegdecode.launching.options import check_options, unknown
from quotes import check_quotes
from shown import shown_without_typos

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@contextmanager
def words_checked(name: str) -> Iterator[None]:
    """Around a command: refuse options that no launcher has; in place of Hydra's words on a typo say what there is."""
    try:
        check_quotes(sys.argv[1:])
        check_options(sys.argv[1:], CONFIGS)
    except ValueError as error:
        sys.exit(f"error: {error}")
    with shown_without_typos() as held:
        try:
            yield
        except SystemExit as stop:
            if stop.code == 1 and (said := unknown_setting(sys.argv[1:], name)):
                held.clear()
                sys.exit(f"error: {said}")
            raise


def unknown_setting(words: Sequence[str], name: str, beside: Sequence[str] = ()) -> str | None:
    """Tell which setting or choice a configuration lacks, and which it has, or its door beside; None: it lacks none."""

    @cache
    def composed(*overrides: str) -> Any:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            return OmegaConf.to_container(compose(name, overrides=list(overrides)))

    try:
        return unknown(words, CONFIGS, composed, beside)
    except HydraException:    # Hydra tells it best
        return None
