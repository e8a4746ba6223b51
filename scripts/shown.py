"""Standard error without Hydra's words on a typo, which advise to add what nothing takes."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

REFUSED = re.compile(r"Could not override '|In '[^']+': Could not find '")    # how Hydra begins to say it


class Shown:
    """Standard error without Hydra's last words, if they are of a refused override: those are held back."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.held = stream, list[str]()

    def write(self, text: str) -> int:
        """Show it, or hold it back."""
        if self.held or REFUSED.match(text):
            self.held.append(text)
            return len(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """As the stream does."""
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def shown_without_typos() -> Iterator[list[str]]:
    """Hold back what Hydra says of a typo; what is left of it in the end is shown."""
    shown = Shown(sys.stderr)
    try:
        with redirect_stderr(shown):
            yield shown.held
    finally:
        sys.stderr.write("".join(shown.held))
