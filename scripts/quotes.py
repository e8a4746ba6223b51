"""Values that Hydra's grammar takes in quotes of their own alone: its words on them name neither value nor quotes."""

import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from eegdecode.launching.record import quoted


def check_quotes(words: Sequence[str]) -> None:
    """Refuse a value that Hydra's grammar takes in quotes alone, as a path with ``=`` or brackets in it."""
    for word in words:
        key, _, value = word.partition("=")
        in_quotes = f"{key}={quoted(value)}"
        if value and key[:1] not in ("", "-") and value[0] not in "[{'\"" and not _parses(word) and _parses(in_quotes):
            typed = shlex.quote(in_quotes) if set(in_quotes) & set('"$`\\!') else f'"{in_quotes}"'
            raise ValueError(f"{word} has characters that Hydra reads only within quotes of its own: {typed}")


def _parses(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
