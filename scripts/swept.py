"""Which of a job's overrides a command gives several values, by Hydra's own grammar."""

import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser


def swept_beside(job: Sequence[str], typed: Sequence[str] | None = None) -> list[str]:
    """Overrides of a job of which the command line (``typed``; None: that of this process) gives several values."""
    words = [word for word in (sys.argv[1:] if typed is None else typed) if "=" in word and word[0] != "-"]
    parse = OverridesParser.create().parse_overrides
    several = {override.key_or_group for override in parse(words) if override.is_sweep_override()}
    return [word for word, override in zip(job, parse(list(job)), strict=True) if override.key_or_group in several]
