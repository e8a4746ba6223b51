"""Which file is whose: subject, session, run and label of recordings, from their paths or from a table."""

from __future__ import annotations

import itertools
import os
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

FOLDERS = (".mff",)    # recordings that are folders
PARTS = ("subject", "session", "run", "label")


def index_pattern(folder: Path, pattern: str) -> pd.DataFrame:
    """Files below a folder that fit a pattern, with subject, session, run and label, in the order of time."""
    expression = check_pattern(pattern)
    any_text = re.sub(r"(\{[^}]*\}|\*)+", "*", pattern.replace("[", "[[]").replace("?", "[?]")).lstrip("/")
    found = _recordings(folder.glob(any_text or "*"), folder)    # it goes through links to folders, `rglob` does not
    matches = [(name, match.groupdict()) for name in found if (match := expression.fullmatch(name))]
    if not matches:
        present = _recordings(folder.rglob("*"), folder)
        raise FileNotFoundError(
            f"no file below {folder} fits dataset.pattern={pattern!r}; there are {len(present)} files: "
            f"{', '.join(present[:5])}"
        )
    rows = [{"file": str(folder / name), **_defaults(parts)} for name, parts in matches]
    rows.sort(key=lambda row: [natural(row[part]) for part in PARTS])
    return _checked(pd.DataFrame(rows), f"dataset.pattern={pattern!r}")


def _recordings(paths: Iterable[Path], folder: Path) -> list[str]:
    """Names below the folder of those that may be recordings."""
    return sorted(path.relative_to(folder).as_posix() for path in paths if _is_recording(path, folder))


def _is_recording(path: Path, folder: Path) -> bool:
    """Whether a path may be one: a file, or a folder that is one (``.mff`` of EGI); what is in that is none.

    A link to nothing is one that has not been fetched (git-annex, DataLad): to pass over it would leave trials out.
    """
    if path.name.startswith("._"):    # what macOS leaves beside a file on foreign disks
        return False
    if any(parent.suffix.lower() in FOLDERS for parent in path.relative_to(folder).parents):
        return False
    return path.is_file() or path.suffix.lower() in FOLDERS or (path.is_symlink() and not path.exists())


def check_folder(folder: Path) -> None:
    """Say what is wrong with the folder of a data set, if anything is."""
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset.folder={folder} is no folder; give yours: dataset.folder=PATH")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise PermissionError(f"dataset.folder={folder} cannot be read: ask its owner, or copy it to your own")


def index_table(folder: Path, table: Path) -> pd.DataFrame:
    """Files that a CSV table names, with subject, session, run and label, in its order."""
    if not table.is_file():
        raise FileNotFoundError(f"dataset.table={table} does not exist")
    try:
        rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    except ValueError as error:    # of pandas and of the decoder
        raise ValueError(f"dataset.table={table} is no CSV table with a header file,subject,...: {error}") from error
    for column in ("file", "subject"):
        if column not in rows:
            raise ValueError(f"{table} has no column {column!r}; it has {', '.join(rows.columns)}")
    for column in ("file", *(part for part in PARTS[:3] if part in rows)):
        empty = rows[column].str.strip() == ""
        if empty.any() and (column in ("file", "subject") or not empty.all()):    # else two people would be one
            raise ValueError(f"{table}, line {int(empty.argmax()) + 2}: {column} is empty")
    records = [{"file": str(folder / row["file"]), **_defaults(row)} for row in rows.to_dict("records")]
    if not records:
        raise ValueError(f"{table} has no rows")
    return _checked(pd.DataFrame(records), str(table))


def _checked(index: pd.DataFrame, source: str) -> pd.DataFrame:
    twice = index[index.duplicated(list(PARTS), keep=False)].sort_values(list(PARTS))
    if len(twice):
        raise ValueError(
            f"{source} gives {twice['file'].iloc[0]} and {twice['file'].iloc[1]} the same subject, session "
            "and run"
        )
    return index


def _defaults(parts: Mapping[Any, str | None]) -> dict[str, str]:
    return {part: parts.get(part) or ("" if part == "label" else "0") for part in PARTS}


def check_pattern(pattern: str) -> re.Pattern[str]:
    """Turn ``sub-{subject}_*.fif`` into a regular expression, or say what is wrong with it."""
    text, seen = "", set()
    try:
        fields = list(string.Formatter().parse(pattern))
    except ValueError as error:
        way = "a name stands between braces, {subject}"
        raise ValueError(f"dataset.pattern={pattern!r}: {error}; {way}") from error
    for (_, name, _, _), (literal, after, _, _) in itertools.pairwise(fields):
        if name and after and (not literal or literal == "*") and {name, after} <= set(PARTS):
            raise ValueError(
                f"dataset.pattern={pattern!r}: nothing tells where {{{name}}} ends and {{{after}}} begins; put what "
                "stands between them, or name the files in a table (dataset.table)"
            )
    for literal, name, _, _ in fields:
        text += "[^/]*".join(re.escape(part) for part in literal.split("*"))
        if name is not None:
            if name not in PARTS:
                raise ValueError(f"dataset.pattern={pattern!r}: {{{name}}} is not one of {', '.join(PARTS)}")
            text += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)"
            seen.add(name)
    return re.compile(text)


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which run 10 comes after run 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def plain_number(name: str) -> str:
    """Drop leading zeros: ``02`` and ``2`` are one subject."""
    return str(int(name)) if name.isdigit() else name


def subject_list(subjects: Sequence[str | int] | None) -> tuple[str, ...] | None:
    """Names of the selected subjects, as they were typed."""
    if subjects is None:
        return None
    if isinstance(subjects, str) or not subjects:
        raise ValueError(f"dataset.subjects={subjects!r} must be a list such as [1,2], or null")
    return tuple(str(subject) for subject in subjects)


def choose_subjects(known: tuple[str, ...], wanted: Sequence[str | int] | None, name: str) -> tuple[str, ...]:
    """Return those of the known subjects that are wanted; ``2`` finds ``02``."""
    if wanted is None:
        return known
    numbers = {plain_number(subject): subject for subject in reversed(known)}
    names = [str(subject) for subject in wanted]
    found = {subject: subject if subject in known else numbers.get(plain_number(subject)) for subject in names}
    absent = [subject for subject, match in found.items() if match is None]
    if absent:
        raise ValueError(f"{name} has no subject {', '.join(absent)}; it has {', '.join(known)}")
    return tuple(dict.fromkeys(match for match in found.values() if match is not None))
