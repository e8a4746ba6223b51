"""Run folders become rows: a model with its setting, on a data set, under a protocol, with all of its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from eegdecode.identity import digest
from eegdecode.reporting.comparison.reading import find_folders, name_protocol, read_folder, settings_in
from eegdecode.reporting.folders import MARKER
from eegdecode.reporting.results import choose_setting, of_setting, settings_of
from eegdecode.reporting.settings import SWEPT

_MODEL = ("model", "trainer", "frontend", "augment")    # groups that say what a row is
_AROUND = ("dataset", "preprocess", "protocol")    # groups that say what it is measured on
# of a choice that stands for many data sets, what tells them apart
_NAMED_BY = {"moabb": "dataset.name", "files": "dataset.folder", "bids": "dataset.folder"}
_LEARN = ("eegdecode", "torch", "numpy", "scipy", "scikit-learn", "pyriemann")    # versions that alter a training
MOST_TOLD = 5    # folders that hold nothing, where no other does


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
    curve : DataFrame or None
        Of a row with target trials (`protocols.calibration`): the runs of every number of them that is whole.
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
    curve: pd.DataFrame | None = None

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
        name = self.facts.get("protocol") or (self.runs["protocol"].iloc[0] if len(self.runs) else "?")
        return name_protocol(str(name), self.around)

    @property
    def transductive(self) -> bool:
        """Whether unlabelled test trials were used."""
        return bool(self.facts.get("transductive"))

    @property
    def started_from(self) -> str:
        """Folder of the networks that the runs began with; empty where they learned from nothing."""
        noted = self.facts.get("init_from") or {}
        return str(noted["folder"] if isinstance(noted, Mapping) and noted else noted or "")

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
        try:
            entries += _entries(folder)
        except ValueError as error:    # one damaged folder must not cost the report of the others
            left_out.append(f"`{folder}`: {error}")
    if not entries:
        told = "".join(f"\n  {text}" for text in left_out[:MOST_TOLD])
        raise ValueError(
            f"no run folder with results (a folder with {MARKER} and scores.csv) in {', '.join(map(str, places))}{told}"
        )
    empty = [f"`{place}`: no run folder at or below it" for place in places if not find_folders([place])]
    merged, repeated = _merge(entries)
    return merged, [*left_out, *repeated, *empty]


def _entries(folder: Path) -> list[Entry]:
    """One entry: of the only setting, or of the one that validation chose; where nothing chose, one a setting.

    Numbers of target trials are no rivals: the row is of the largest, the others are its curve.
    """
    marker, scores, config = read_folder(folder)
    expected = pd.DataFrame(marker["expected"])
    chosen = choose_setting(scores, marker=marker)
    tried, done = settings_of(expected, marker["numbers"]), scores[scores["status"] == "done"]
    most = max((setting.get("trials", 0) for setting in tried), default=0)
    entries = []
    for setting in [s for s in tried if s.get("trials", 0) == most] if chosen is None else [chosen]:
        own = of_setting(done, setting)
        how = "with the most target trials" if set(setting) == {"trials"} else "best on validation trials"
        notes = (f"of {len(tried)} settings the one {how}: {_words(setting)}",)
        entries.append(
            Entry(
                model=str(marker["facts"].get("model", "?")),
                folders=(folder,),
                settings={**settings_in(config, _MODEL), **(_typed(setting) if chosen is None else _swept(config))},
                around=settings_in(config, _AROUND),
                marker=marker,
                runs=own.assign(folder=str(folder)),
                n_expected=int(of_setting(expected, setting)["n"].sum()),
                notes=notes if len(tried) > 1 and chosen is not None else (),
                commands=tuple(filter(None, [marker["facts"].get("command")])),
                seeds=frozenset(own["seed"]) | _planned(config),
                curve=_curve(done, expected, setting) if "trials" in setting else None,
            )
        )
    return entries


def _curve(done: pd.DataFrame, expected: pd.DataFrame, setting: Mapping[str, Any]) -> pd.DataFrame:
    """Runs of a setting under every number of target trials of which none is missing."""
    others = {name: value for name, value in setting.items() if name != "trials"}
    own, wanted = of_setting(done, others), of_setting(expected, others).groupby("trials")["n"].sum()
    return own[own["trials"].map(own["trials"].value_counts()) == own["trials"].map(wanted)]


def _merge(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Join folders that hold other seeds of the same row; the same runs again are left out, said in words."""
    rows: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=_missing_and_few):    # the most complete first, of those the one with most runs
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


def _missing_and_few(entry: Entry) -> tuple[int, int]:
    return entry.n_expected - len(entry.runs), -len(entry.runs)


def _joined(one: Entry, other: Entry) -> Entry:
    runs = pd.concat([one.runs, other.runs], ignore_index=True)
    commands = tuple(dict.fromkeys(one.commands + other.commands))
    folders, n_expected = one.folders + other.folders, one.n_expected + other.n_expected
    seeds, curve = one.seeds | other.seeds, one.curve
    if curve is not None and other.curve is not None:    # numbers that both have, so that all points have all seeds
        both = set(curve["trials"]) & set(other.curve["trials"])
        curve = pd.concat([part[part["trials"].isin(both)] for part in (curve, other.curve)], ignore_index=True)
    notes = (*one.notes, *_of_other_code(one.facts, other.facts))
    return replace(
        one, notes=notes, folders=folders, runs=runs, n_expected=n_expected, commands=commands, seeds=seeds, curve=curve
    )


def _of_other_code(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What a reader must know of seeds that other versions have trained."""
    mine, theirs = one.get("versions") or {}, other.get("versions") or {}
    differ = [f"{name} {mine.get(name)} and {theirs.get(name)}" for name in sorted({*mine, *theirs})
              if name in _LEARN and mine.get(name) != theirs.get(name)]    # fmt: skip
    commits = [facts.get("git_commit") for facts in (one, other)]
    differ += [f"commits {commits[0]} and {commits[1]}"] if commits[0] != commits[1] else []
    return [f"seeds of {', '.join(differ)}"] if differ else []


def _planned(config: Mapping[str, Any]) -> frozenset[int]:
    """Seeds that the configuration asks for."""
    first, seeds = config.get("seed"), config.get("sweep.seeds")
    if isinstance(seeds, int) and isinstance(first, int):
        return frozenset(range(first, first + seeds))
    return frozenset(seeds) if isinstance(seeds, list) else frozenset()


def _swept(config: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in config.items() if name.startswith("sweep.")}
    return {name: value for name, value in own.items() if value is not None and name not in ("sweep._target_", _SEEDS)}


_SEEDS = "sweep.seeds"
_REPLACED = {swept.removeprefix("sweep."): path for path, swept in SWEPT.items()}


def _typed(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of runs by the settings that they replace: a row with a rate of its own beside one with the default."""
    return {_REPLACED.get(name, name): value for name, value in setting.items()}


def _words(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in setting.items())
