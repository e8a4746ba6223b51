"""Values that Hydra's grammar takes in quotes of their own alone, or not at all: its words on them name neither."""

import re
import shlex
from collections.abc import Sequence

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from eegdecode.launching.record import quoted


def check_quotes(words: Sequence[str]) -> None:
    """Refuse a value that Hydra's grammar takes in quotes alone, or with other names alone, and tell how to give it."""
    for word in words:
        key, _, value = word.partition("=")
        if not value or key[:1] in ("", "-") or _parses(word):
            continue
        if value[0] == "{" and _is_mapping(value):
            group = key.lstrip("+").partition(".")[0]
            raise ValueError(
                f"{word}: names in braces are typed without quotes, of letters a-z, digits, spaces and /-_.+%*@| alone "
                f"(values in quotes). Write others into a file: configs/{group}/mine.yaml, chosen by {group}=mine"
            )
        in_quotes = f"{key}={quoted(value)}"
        if (value[0] not in "[{'\"" or re.match(r"\{\w+\}.", value)) and _parses(in_quotes):
            typed = shlex.quote(in_quotes) if set(in_quotes) & set('"$`\\!') else f'"{in_quotes}"'
            raise ValueError(f"{word} has characters that Hydra reads only within quotes of its own: {typed}")
        raise ValueError(f"{word} cannot be read: is a quote, bracket or brace open? Lists are typed [a,b], mappings "
                         '"{a: b}"')    # fmt: skip


def _is_mapping(value: str) -> bool:
    """Whether YAML reads names with values: ``{subject}`` is a part of a path."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return False
    return isinstance(read, dict) and any(one is not None for one in read.values())


def _parses(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
