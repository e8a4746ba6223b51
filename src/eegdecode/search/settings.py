"""Settings of a search, read from ``configs/search/NAME.yaml`` and the command line, checked before any work."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from eegdecode.identity import COMPUTING, digest
from eegdecode.reporting.folders import runs_root
from eegdecode.reporting.metrics import RISING
from eegdecode.search.space import MOST_POINTS, Space, points, read_space

SAMPLERS = ("tpe", "cmaes", "random", "grid")
PRUNERS = ("none", "median", "halving", "hyperband")
OBJECTIVES = ("score", "n_params", "seconds")
NOT_IDENTITY = (    # overrides that may differ between the workers of one search
    "device", "logger", *(f"trainer.{name}" for name in COMPUTING),
)    # fmt: skip
SOURCE = "model.init_from"    # a folder, which counts by its checkpoints (`made_with`)
PLACES = ("out_dir", "run_store", "dataset.folder")    # where things lie, which may differ between machines


@dataclass(frozen=True)
class Search:
    """What is searched, how, and where it is kept.

    Parameters
    ----------
    name : str
        Of the file; the folder is ``<name>`` below `runs_root` unless ``out_dir`` says another.
    space : tuple of Parameter
    base, typed : sequence of str
        Overrides of ``scripts/train.py`` that every trial has: the search's own, then those of the command line.
    n_trials : int
        In total, over all workers and restarts.
    sampler : {"tpe", "cmaes", "random", "grid"}
    pruner : {"none", "median", "halving", "hyperband"}
        Stops trials early whose validation score falls behind, see `Watch`; with one objective alone.
    objectives : mapping
        ``score`` (the metric on validation trials), ``n_params``, ``seconds`` (of training) -> maximize or minimize.
    metric : str
        Of the score; means of subjects are averaged.
    share, test_subjects
        Of validation and final test: see `eegdecode.nested.Nested`.
    final_seeds : int
        Fresh seeds of the refit of winner and default.
    sampler_seed : int or None
        Of a search that one worker does from its start to its end; others draw their own.
    storage : str or None
        None: SQLite, ``study.db`` in the folder. ``journal``: a file that many nodes share. Or the URL of a database.
    heartbeat : int
        s between two signs of life; a trial without any for four times as long is given to another worker.
    patience : int
        s that a database may be away before a worker ends; a second start goes on.
    """

    name: str
    space: Space
    base: Sequence[str] = ()
    typed: Sequence[str] = ()
    n_trials: int = 100
    sampler: str = "tpe"
    pruner: str = "median"
    objectives: Mapping[str, str] = field(default_factory=lambda: {"score": "maximize"})
    metric: str = "accuracy"
    share: float = 0.2
    test_subjects: Sequence[str | int] | None = None
    final_seeds: int = 5
    sampler_seed: int | None = 0
    storage: str | None = None
    heartbeat: int = 15
    patience: int = 600
    out_dir: str | None = None

    def __post_init__(self) -> None:
        choices = {"sampler": SAMPLERS, "pruner": PRUNERS, "metric": RISING}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        for name in ("n_trials", "final_seeds", "heartbeat", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        if not isinstance(self.share, float | int) or not 0 < self.share < 1:
            raise ValueError(f"share={self.share} of the training trials for validation: it must lie between 0 and 1")
        self._check_objectives()
        if self.sampler == "cmaes":
            self._check_cmaes()
        if self.sampler == "grid":
            n_points = sum(1 for _ in islice(points(self.space), MOST_POINTS + 1))
            if n_points > MOST_POINTS:
                raise ValueError(f"sampler=grid: the space has more than {MOST_POINTS:,} points; take fewer values, or "
                                 "sampler=random")    # fmt: skip
            object.__setattr__(self, "n_trials", min(self.n_trials, n_points))
        if self.storage and re.search(r"://[^/@]*:[^/@]*@|[?&]password=", self.storage):
            raise ValueError("storage holds a password, which files would hold: leave it to PGPASSWORD or ~/.pgpass")
        if self.storage and self.storage != "journal" and "://" not in self.storage:
            raise ValueError(f"storage={self.storage}: take journal, a URL (postgresql://user@host/name) or nothing")

    def _check_objectives(self) -> None:
        for name, direction in self.objectives.items():
            if name not in OBJECTIVES or direction not in ("maximize", "minimize"):
                names = ", ".join(OBJECTIVES)
                raise ValueError(f"objectives: {name}: {direction} is none of {names}, with maximize or minimize")
        if not self.objectives or self.objectives.get("score") == "minimize":
            raise ValueError(f"objectives={dict(self.objectives)}: give score: maximize, or n_params: minimize")
        if dict(self.objectives) != {"score": "maximize"} and self.pruner != "none":
            raise ValueError(f"pruner={self.pruner} judges by the score alone; with other objectives take pruner=none")
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise ValueError("sampler=cmaes has one objective; take sampler=tpe for several")

    def _check_cmaes(self) -> None:
        if importlib.util.find_spec("cmaes") is None:
            raise ValueError('sampler=cmaes needs another package: pip install -c constraints.txt -e ".[sweep]"')
        if all(parameter.kind == "choice" or parameter.when for parameter in self.space):
            raise ValueError("sampler=cmaes moves numbers that every trial has, and this space has none: it would draw "
                             "all at random; take sampler=tpe")    # fmt: skip

    @property
    def folder(self) -> Path:
        """Where everything of this search lies."""
        return Path(self.out_dir) if self.out_dir else runs_root() / self.name

    @property
    def fixed(self) -> list[str]:
        """Overrides that every trial has."""
        return [*self.base, *self.typed]

    def identity(self) -> dict[str, Any]:
        """What two workers of one search agree on."""
        about: dict[str, Any] = {"overrides": lasting(self.fixed), "objectives": dict(self.objectives)}
        about |= {"metric": self.metric, "share": self.share}
        space = {}
        for p in self.space:
            when = {path: list(values) for path, values in p.when.items()}
            space[p.path] = {p.kind: list(p.values), "log": p.log, "step": p.step, "when": when}
        tested = self.test_subjects and [str(name) for name in self.test_subjects]
        about |= {"name": self.name, "space": space, "test_subjects": tested, "final_seeds": self.final_seeds}
        return {**about, "key": digest(about)}


def lasting(words: Sequence[str]) -> list[str]:
    """Overrides that all workers of one search agree on, wherever they run."""
    elsewhere = (*NOT_IDENTITY, *PLACES, SOURCE)
    return [word for word in words if word.partition("=")[0].lstrip("+") not in elsewhere]


OPTIONS = tuple(f.name for f in fields(Search) if f.name not in ("name", "space", "base", "typed"))


def read_search(arguments: Sequence[str], configs: Path) -> Search:
    """Make a search of ``sweep=NAME`` and what is typed beside it: options of the search, or overrides of a training.

    Raises
    ------
    ValueError
        If there is no such search, or something in it is wrong.
    """
    there = sorted(path.stem for path in configs.glob("*.yaml"))
    named = [word.partition("=")[2] for word in arguments if word.startswith("sweep=")]
    if len(named) != 1:
        raise ValueError(f"say which search, once: sweep=NAME; there are {', '.join(there)}")
    if named[0] not in there:
        raise ValueError(f"sweep={named[0]}: no such search in configs/search; {meant(named[0], there)}")
    words = _read_yaml((configs / f"{named[0]}.yaml").read_text(), f"configs/search/{named[0]}.yaml")
    typed, options = [], {}
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals and not word.startswith("~"):
            raise ValueError(f"{word!r} is no override: write key=value")
        if key in OPTIONS:
            options[key] = _read_yaml(value, key)
        elif key != "sweep":
            typed.append(word)
    return make_search(named[0], words, typed=typed, options=options)


def meant(word: str, known: Sequence[str], beside: Sequence[str] = ()) -> str:
    """What was probably meant, of that or of what is beside it; or else all that there is."""
    near = difflib.get_close_matches(word, [*known, *beside], n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _read_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} cannot be read as YAML: {' '.join(str(error).split())}") from error


def make_search(
    name: str, words: Any, *, typed: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Search:    # fmt: skip
    """Make a search of the content of a YAML."""
    where = f"configs/search/{name}.yaml"
    if not isinstance(words, Mapping):
        raise ValueError(f"{where} holds no settings")
    if unknown := set(words) - {*OPTIONS, "space", "base"}:
        hint = meant(min(unknown), [*OPTIONS, "space", "base"])
        raise ValueError(f"{where} does not know {', '.join(sorted(unknown))}; {hint}")
    settings = {key: value for key, value in words.items() if key not in ("space", "base")} | dict(options or {})
    space, base = read_space(words.get("space"), where), words.get("base") or []
    if not isinstance(base, Sequence) or isinstance(base, str) or not all(isinstance(word, str) for word in base):
        raise ValueError(f"{where}: base must be a list of overrides, [model=eegnet], got {base}")
    _check_forms(settings)
    return Search(name, space, base=tuple(base), typed=tuple(typed), **settings)


def _check_forms(settings: dict[str, Any]) -> None:
    """Refuse what has another form than is meant; one subject is a list of one, a name that is a number a word."""
    told, seed = settings.get("test_subjects"), settings.get("sampler_seed")
    if told is not None and not isinstance(told, Sequence | int):
        raise ValueError(f"test_subjects={told}: give a list of subjects, [1,2]")
    if isinstance(told, str | int):
        settings["test_subjects"] = [told]
    if not isinstance(settings.get("objectives", {}), Mapping):
        raise ValueError(f"objectives={settings['objectives']}: name each with its direction, {{score: maximize}}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32):
        raise ValueError(f"sampler_seed must be null or a whole number from 0, got {seed!r}")
    for name in ("storage", "out_dir"):
        if settings.get(name) is not None:
            settings[name] = str(settings[name])
