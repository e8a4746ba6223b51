"""What a row of a comparison is called: its model, and what tells it from other rows of the same model."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from eegdecode.reporting.comparison.gather import Entry

MOST_NAMED = 3    # settings in a name; rows that differ in more are numbered
SOURCE = "model.init_from"    # a folder
OF_SOURCE = ("trainer.fine_tune", "trainer.new_head", "trainer.layer_factor")
LINE = 26    # letters of a line beside or in a figure


class Name(NamedTuple):
    """What a row is called, and the settings that its number or a name cut short stands for; else empty."""

    label: str
    meaning: str


def name_entries(groups: Sequence[Sequence[Entry]]) -> dict[int, Name]:
    """A name for each entry (by id): its model, and where one comparison has several of it, what differs.

    Of a group whose choices differ the choice is named (``frontend=csp``), as it is typed, and not the settings that
    come with it.
    """
    keys: dict[str, dict[str, None]] = {}    # model -> what differs within some comparison, in order
    for group in groups:
        for model in {entry.model for entry in group}:
            keys.setdefault(model, {}).update(dict.fromkeys(_differing([e for e in group if e.model == model])))
    numbers: dict[str, list[str]] = {}
    found: dict[int, Name] = {}
    for rows, entry in ((group, entry) for group in groups for entry in group):
        own = {name: _value(entry, name) for name in keys[entry.model]}
        told = {name: value for name, value in own.items() if value is not None or not _left_out(name, own)}
        text = ", ".join(f"{name.rpartition('.')[2]}={short(value)}" for name, value in told.items())
        if len(told) > MOST_NAMED:
            known = numbers.setdefault(entry.model, [])
            known += [repr(own)] if repr(own) not in known else []
            text = str(known.index(repr(own)) + 1)
        label = f"{entry.model} ({text})" if text else entry.model
        own_label = unused(label, {found[id(other)].label for other in rows if id(other) in found})
        whole = ", ".join(f"{name}={entry.settings.get(name, value)}" for name, value in told.items())
        found[id(entry)] = Name(own_label, whole if len(told) > MOST_NAMED or own_label != label else "")
    return found


def unused(label: str, used: Collection[str]) -> str:
    """A label that no other row has: long settings, and folders of one name elsewhere, are the same when cut short."""
    numbered = (f"{label} #{n}" for n in itertools.count(2))
    return label if label not in used else next(name for name in numbered if name not in used)


def _differing(rows: Sequence[Entry]) -> list[str]:
    """Settings in which some rows differ; a group in place of its settings where its choices do."""
    found: dict[str, None] = {}
    for name in dict.fromkeys(name for row in rows for name in row.settings):
        if not _differs(rows, name):
            continue
        by_choice: dict[str, list[Entry]] = {}
        for row in rows:
            by_choice.setdefault(str(row.facts.get(_group(name))), []).append(row)
        if len(by_choice) > 1:
            found[_group(name)] = None
        if any(_differs(same, name) for same in by_choice.values()):
            found[name] = None
    return list(found)


def _left_out(name: str, own: Mapping[str, Any]) -> bool:
    """Whether a setting that a row has not goes without saying."""
    return _group(name) in own or name in (SOURCE, *OF_SOURCE)


def _differs(rows: Sequence[Entry], name: str) -> bool:
    return len({repr(row.settings.get(name)) for row in rows}) > 1


def _group(name: str) -> str:
    return name.partition(".")[0]


def _value(entry: Entry, name: str) -> Any:
    own = entry.settings.get(name)
    if name == SOURCE:
        return own and PurePath(str(own)).name
    if name in OF_SOURCE and not entry.settings.get(SOURCE):
        return None    # of networks that start from others
    return own if "." in name else entry.facts.get(name, own)


def short(value: Any) -> str:
    """A setting in few letters."""
    if isinstance(value, list | tuple):
        return "/".join(map(short, value)) or "none"
    text = f"{value:g}" if isinstance(value, float) and np.isfinite(value) else str(value)
    text = text.rpartition(".")[2] if text.startswith("eegdecode.") else text
    return text if len(text) <= 30 else f"{text[:29]}…"


def wrapped(name: str, letters: int = LINE) -> str:
    """A name in lines of so many letters at most, which fit beside or into a figure."""
    if len(name) <= letters:
        return name
    head, bracket, rest = name.partition(" (")
    return "\n".join([*textwrap.wrap(head, letters), *textwrap.wrap(f"({rest}" if bracket else "", letters)])
