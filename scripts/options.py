"""Options of commands without a configuration: words such as out=FOLDER."""

import argparse
from collections.abc import Sequence


def read_options(parser: argparse.ArgumentParser, words: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Options by their names; the command ends with what is wrong with one."""
    options = {name: value for name, _, value in (word.partition("=") for word in words)}
    if unknown := sorted(set(options) - set(known)):
        parser.error(f"no option {', '.join(unknown)}; there are {', '.join(known)}")
    if empty := [name for name, value in options.items() if not value]:
        parser.error(f"{empty[0]}= says nothing; give a value, or leave it out")
    return options
