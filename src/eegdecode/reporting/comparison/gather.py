"""Run folders become rows: a model with its setting, on a data set, under a protocol, with all of its seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from eegdecode.identity import digest
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import MARKER
from eegdecode.reporting.results import choose_setting, of_setting, settings_of
from eegdecode.reporting.tables import RUN_COLUMNS, read_scores

_MODEL = ("model", "trainer", "frontend", "augment")    # groups that say what a row is
_AROUND = ("dataset", "preprocess", "protocol")    # groups that say what it is measured on
_COMPUTING = ("trainer.device", "trainer.ensemble", "trainer.stack", "trainer.compile", "trainer.workers")
_NAMED_BY = {"moabb": "dataset.name", "files": "dataset.folder", "bids": "dataset.root"}    # one choice, many data sets
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)    # ten times as fast where it is built in


@dataclass(frozen=True, eq=False)
class Entry:
    """One row of a comparison.

    Attributes
    ----------
    settings, around : mapping
        Flat settings (``trainer.lr``) of what the row is, and of what it is measured on.
    marker : mapping
        ``experiment.json`` of the first folder.
    runs : DataFrame
        Rows of ``scores.csv`` that are done.
    n_expected : int
        Number of runs that the experiment has; fewer rows: incomplete.
    notes : tuple of str
        What a reader must know of how the row came about.
    commands : tuple of str
        What was typed to make the folders, each once.
    seeds : frozenset of int
        Seeds of the runs, also of those that are not done as far as the configuration says so.
    """

    model: str
    folders: tuple[Path, ...]
    settings: Mapping[str, Any]
    around: Mapping[str, Any]
    marker: Mapping[str, Any]
    runs: pd.DataFrame
    n_expected: int
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    seeds: frozenset[int] = frozenset()

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.marker["facts"]

    @property
    def dataset(self) -> str:
        name = str(self.facts.get("dataset", "?"))
        which = self.around.get(_NAMED_BY.get(name, ""))
        return f"{name} ({Path(str(which)).name})" if which else name

    @property
    def protocol(self) -> str:
        return str(self.facts.get("protocol") or (self.runs["protocol"].iloc[0] if len(self.runs) else "?"))

    @property
    def complete(self) -> bool:
        return len(self.runs) == self.n_expected


def gather(places: Sequence[Path | str]) -> tuple[list[Entry], list[str]]:
    """Entries of all run folders at or below `places`, and in words what was left out.

    Raises
    ------
    ValueError
        If a place does not exist, or no run folder is found.
    """
    folders = find_folders(places)
    entries, left_out = [], []
    for folder in folders:
        found = _entries(folder)
        entries += found
        if not found:
            left_out.append(f"`{folder}`: no run was written yet, or scores.csv is missing")
    if not entries:
        raise ValueError(f"no run folder with results (a folder with {MARKER} and scores.csv) in {_listed(places)}")
    merged, repeated = _merge(entries)
    return merged, [*left_out, *repeated]


def find_folders(places: Sequence[Path | str]) -> list[Path]:
    """Run folders at or below each place, each once, in the order of their names."""
    found: dict[Path, Path] = {}
    for place in map(Path, places):
        if not place.is_dir():
            raise ValueError(f"{place} is no folder; give run folders or folders that hold them")
        for here, below, files in os.walk(place):
            below.sort()
            if MARKER in files:
                below.clear()    # a run folder holds no other
                found.setdefault(Path(here).resolve(), Path(here))
    return list(found.values())


def _entries(folder: Path) -> list[Entry]:
    """One entry: of the only setting, or of the one that validation chose; where nothing chose, one a setting."""
    marker = read_json(folder / MARKER)
    if not marker.get("expected") or not (folder / "scores.csv").exists():
        return []
    scores = read_scores(folder)
    config = _flat(_config(folder / "config.yaml"))
    expected = pd.DataFrame(marker["expected"])
    chosen = choose_setting(scores, marker=marker)
    tried = settings_of(expected, marker["numbers"])
    entries = []
    for setting in tried if chosen is None else [chosen]:
        own = of_setting(scores[scores["status"] == "done"], setting)
        how = "with the most target trials" if set(setting) == {"trials"} else "best on validation trials"
        notes = (f"of {len(tried)} settings the one {how}: {_words(setting)}",)
        entries.append(
            Entry(
                model=str(marker["facts"].get("model", "?")),
                folders=(folder,),
                settings={**_part(config, _MODEL), **(setting if chosen is None else _swept(config))},
                around=_part(config, _AROUND),
                marker=marker,
                runs=own.assign(folder=str(folder)),
                n_expected=int(of_setting(expected, setting)["n"].sum()),
                notes=notes if len(tried) > 1 and chosen is not None else (),
                commands=tuple(filter(None, [marker["facts"].get("command")])),
                seeds=frozenset(own["seed"]) | _planned(config),
            )
        )
    return entries


def _merge(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Join folders that hold other seeds of the same row; the same runs again are left out, said in words."""
    rows: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.n_expected - len(e.runs)):    # the most complete first
        what = [entry.model, entry.settings, entry.dataset, entry.protocol, entry.facts.get("transductive")]
        what += [entry.marker.get(name) for name in ("data_hash", "split_hash")]
        rows.setdefault(digest(what), []).append(entry)
    merged, repeated = [], []
    for same in rows.values():
        kept: list[Entry] = []
        for entry in same:
            apart = [i for i, other in enumerate(kept) if entry.seeds and entry.seeds.isdisjoint(other.seeds)]
            if kept and entry.runs.empty and not apart:
                repeated.append(f"`{entry.folders[0]}`: none of its runs is done yet; others of this row are")
            elif kept and not apart and set(entry.runs["key"]) <= {key for other in kept for key in other.runs["key"]}:
                repeated.append(f"`{entry.folders[0]}`: holds the same runs as `{kept[0].folders[0]}`")
            elif apart:
                kept[apart[0]] = _joined(kept[apart[0]], entry)
            else:
                kept.append(entry)
        if len(kept) > 1:    # the same settings and seeds, other keys: the code or torch has changed between
            kept = [replace(e, settings={**e.settings, "folder": e.folders[0].name}) for e in kept]
        merged += kept
    place = {folder: i for i, entry in enumerate(entries) for folder in entry.folders}
    return sorted(merged, key=lambda e: place[e.folders[0]]), repeated


def _joined(one: Entry, other: Entry) -> Entry:
    runs = pd.concat([one.runs, other.runs], ignore_index=True)
    commands = tuple(dict.fromkeys(one.commands + other.commands))
    folders, n_expected = one.folders + other.folders, one.n_expected + other.n_expected
    seeds = one.seeds | other.seeds
    return replace(one, folders=folders, runs=runs, n_expected=n_expected, commands=commands, seeds=seeds)


def _planned(config: Mapping[str, Any]) -> frozenset[int]:
    """Seeds that the configuration asks for."""
    first, seeds = config.get("seed"), config.get("sweep.seeds")
    if isinstance(seeds, int) and isinstance(first, int):
        return frozenset(range(first, first + seeds))
    return frozenset(seeds) if isinstance(seeds, list) else frozenset()


def _config(path: Path) -> dict[str, Any]:
    return (yaml.load(path.read_text(), Loader=_Loader) or {}) if path.exists() else {}


def _flat(tree: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat = {}
    for name, value in tree.items():
        inner = isinstance(value, Mapping) and value
        flat.update(_flat(value, f"{head}{name}.") if inner else {f"{head}{name}": value})
    return flat


def _part(config: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k.partition(".")[0] in groups and k not in _COMPUTING}


def _swept(config: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in config.items() if name.startswith("sweep.")}
    return {name: value for name, value in own.items() if value is not None and name not in ("sweep._target_", _SEEDS)}


_SEEDS = "sweep.seeds"


def _words(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in setting.items())


def _listed(places: Sequence[Path | str]) -> str:
    return ", ".join(map(str, places))


def subject_scores(entry: Entry, metric: str) -> pd.Series:
    """One score a subject: seeds averaged first, then folds and sessions."""
    column = f"test_{metric}"
    by_fold = entry.runs.groupby([name for name in RUN_COLUMNS if name != "seed"], sort=False)[column].mean()
    return by_fold.groupby("subject", sort=False).mean()
