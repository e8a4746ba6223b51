"""A table as Markdown has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def markdown_table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Numbers stand to the right; nothing in a cell ends a column or a line."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(content: Any) -> str:
    return str(content).replace("|", "\\|").replace("\n", " ")
