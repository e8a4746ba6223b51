"""What the preflight warned of, kept with the experiment that it belongs to."""

from __future__ import annotations

from pathlib import Path

from eegdecode.reporting.disk import read_json, write_json
from eegdecode.reporting.folders import MARKER

FILE = "preflight.json"


def note_warning(folder: Path, text: str) -> None:
    """Keep a warning of the experiment that the folder is marked with, once."""
    known = read_warnings(folder)
    if text not in known:
        write_json(folder / FILE, {"experiment": _experiment(folder), "warnings": [*known, text]})


def read_warnings(folder: Path) -> list[str]:
    """The warnings of the experiment in a folder; none of one of other settings that was in it before."""
    content = read_json(folder / FILE)
    return list(content.get("warnings", [])) if content.get("experiment") == _experiment(folder) else []


def _experiment(folder: Path) -> str:
    return str(read_json(folder / MARKER).get("key", ""))
