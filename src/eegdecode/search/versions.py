"""What the trials of a search were made with: settings, code and data. Those of two versions have no common rank."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eegdecode.identity import describe, training_sources
from eegdecode.reporting.searches.tables import OVER, is_tested, read_search_folder
from eegdecode.reporting.transfer import source_digest
from eegdecode.search.check import Compose, Composed, context_of
from eegdecode.search.settings import NOT_IDENTITY, PLACES, SOURCE, Search
from eegdecode.search.space import overrides

LEARNING = ("model", "trainer", "frontend", "augment")
MOST = 4    # changes that are named
SHOWN = 16    # hex digits of a digest among settings
TRAINING = "training/ or the layers that networks share"


def made_with(search: Search, compose: Compose, *, data: Mapping[str, str], splits: str) -> dict[str, Any]:
    """Everything beside the searched values that a score depends on, as ``search.json`` keeps it.

    Parameters
    ----------
    data : mapping
        Subject -> fingerprint of its trials.
    splits : str
        Digest of the splits that trials are judged by.

    Returns
    -------
    dict
        ``settings``: path -> value, of the fixed configuration and of what each choice of a searched group brings, a
        digest of the checkpoints in place of the folder ``model.init_from``;
        ``code``: class or function, training wing, torch -> digest or version; ``data`` and ``splits`` as given.
    """
    fixed = compose(search.fixed)
    settings, code = dict(_settings(fixed.config)), {**_code(fixed), TRAINING: training_sources()}
    code["torch"] = version("torch").partition("+")[0]    # of CPUs and GPUs alike
    known = {parameter.path: parameter for parameter in search.space}
    for parameter in search.space:
        for value in parameter.values if parameter.path in (*fixed.choices, SOURCE) else ():
            words = overrides({**context_of(parameter, known), parameter.path: value})
            other = compose([*search.fixed, *words])
            brought = {path: x for path, x in _settings(other.config) if path not in settings or settings[path] != x}
            settings |= {f"{path} ({parameter.path}={value})": x for path, x in brought.items()}
            code |= _code(other)
    begun = {path: folder for path, folder in settings.items() if path.partition(" ")[0] == SOURCE and folder}
    settings |= {path: f"checkpoints {source_digest(folder)[:SHOWN]}" for path, folder in begun.items()}
    made = {"settings": settings, "code": code, "data": dict(data), "splits": splits}
    return json.loads(json.dumps(made, default=str))    # as it will be read


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two of `made_with`, in words; empty if nothing does."""
    said = [_told(path, then["settings"], now["settings"]) for path in _differing(then, now, "settings")]
    for name in _differing(then, now, "code"):
        said.append(_told(name, then["code"], now["code"]) if name == "torch" else f"the code of {name} is another")
    if subjects := _differing(then, now, "data"):
        named = ", ".join([*subjects[:MOST], *(["..."] if subjects[MOST:] else [])])
        said.append(f"the trials of subject {named} are others (machines share prepared ones by EEGDECODE_CACHE)")
    elif then["splits"] != now["splits"]:
        said.append("the splits are others")
    return "; ".join([*said[:MOST], *([f"and {len(said) - MOST} more"] if said[MOST:] else [])])


def is_over(search: Search) -> bool:
    """Whether all trials of a search are over and its winner was tested, so that nothing is left to train."""
    try:
        found = read_search_folder(search.folder)
    except FileNotFoundError:
        return False
    tested = is_tested(found)
    return tested and int(found.counted["state"].isin(OVER).sum()) >= search.n_trials


def refusal(folder: Path, changed: str) -> ValueError:
    """Why a search cannot go on, and what can be done."""
    return ValueError(
        f"the trials of {folder} were made with another version ({changed}), and new ones cannot be ranked with them. "
        f"Begin a search of its own with out_dir=...; python scripts/sweep.py report {folder} shows what this one "
        "found, and the version of before goes on with it"
    )


def _settings(config: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values of a configuration but for what says where and how it is computed."""
    for key, value in config.items():
        path = f"{head}{key}"
        if path in NOT_IDENTITY or path in PLACES:
            continue
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{path}.")
        else:
            yield path, value


def _code(composed: Composed) -> dict[str, str]:
    parts = composed.build()
    return dict(_sources(describe({name: parts.get(name) for name in LEARNING})))


def _sources(described: Any) -> Iterator[tuple[str, str]]:
    """Names and digests of the classes and functions in what `describe` gives."""
    if isinstance(described, list):
        described = dict(enumerate(described))
    if isinstance(described, Mapping):
        if set(described) == {"name", "source"}:
            yield described["name"], described["source"]
        for part in described.values():
            yield from _sources(part)


def _differing(then: Mapping[str, Any], now: Mapping[str, Any], part: str) -> list[str]:
    old, new = then[part], now[part]
    return [name for name in {**old, **new} if name not in old or name not in new or old[name] != new[name]]


def _told(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name not in then:
        return f"{name} is new, {now[name]}"
    return f"{name} was {then[name]}, " + (f"now {now[name]}" if name in now else "and is gone")
