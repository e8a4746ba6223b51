"""Search spaces: which override of ``scripts/train.py`` may take which values, and when it exists at all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Value = str | int | float | bool | None
KINDS = ("float", "int", "choice")
MOST_POINTS = 100_000    # of a grid


@runtime_checkable
class Suggests(Protocol):
    """What a trial of Optuna does for us."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value: ...


@dataclass(frozen=True)
class Parameter:
    """One searched override.

    Parameters
    ----------
    path : str
        As typed: ``trainer.lr``, or a group (``augment``).
    kind : {"float", "int", "choice"}
    values : tuple
        Of a choice all of them, else the least and the greatest.
    log : bool
        Whether the range is searched on a logarithmic scale.
    step : float or None
        Of a range; None: continuous, or 1 for whole numbers.
    when : mapping
        Path of another parameter -> values with which this one exists.
    """

    path: str
    kind: str
    values: tuple[Value, ...]
    log: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> Value:
        """Ask a sampler for a value."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.path, self.values)
        low, high = self.values
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        if self.kind == "int":
            return trial.suggest_int(self.path, int(low), int(high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.path, float(low), float(high), step=self.step, log=self.log)

    def exists(self, chosen: Mapping[str, Value]) -> bool:
        """Whether it does beside the values chosen so far."""
        return all(path in chosen and chosen[path] in values for path, values in self.when.items())

    def holds(self, value: Any) -> bool:
        """Whether a value can be suggested."""
        if self.kind == "choice":
            return any(value == choice and type(value) is type(choice) for choice in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.values
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        step = self.step or (1 if self.kind == "int" else None)
        on_grid = step is None or math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-9)
        return low <= value <= high and on_grid

    def grid(self) -> list[Value]:
        """Every value; refuses a range without a step."""
        if self.kind == "choice":
            return list(self.values)
        if self.log or (self.step is None and self.kind == "float"):
            raise ValueError(f"sampler=grid: {self.path} has endless values; give it a step or a choice")
        low, high = self.values
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        step = self.step or 1
        return [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]


Space = tuple[Parameter, ...]


def read_space(table: Any, where: str) -> Space:
    """Turn the ``space`` of a YAML into parameters; whatever is wrong is named.

    A parameter is ``path: {float: [low, high]}``, ``{int: [low, high]}`` or ``{choice: [...]}``, with ``log: true``,
    ``step`` and ``when: {path: value or list}`` beside it.
    """
    if not isinstance(table, Mapping) or not table:
        raise ValueError(f"{where}: space must name at least one override, such as trainer.lr: {{float: [1e-4, 1e-2]}}")
    space: list[Parameter] = []
    for path, words in table.items():
        space.append(_read(str(path), words, where, above={p.path: p for p in space}))
    return tuple(space)


def _read(path: str, words: Any, where: str, *, above: Mapping[str, Parameter]) -> Parameter:
    place = f"{where}: {path}"
    if not isinstance(words, Mapping) or sum(kind in words for kind in KINDS) != 1:
        raise ValueError(f"{place} must say one of float: [low, high], int: [low, high], choice: [...]; got {words}")
    if unknown := set(words) - {*KINDS, "log", "step", "when"}:
        raise ValueError(f"{place} does not know {', '.join(sorted(map(str, unknown)))}; there are log, step and when")
    kind = next(kind for kind in KINDS if kind in words)
    when = _conditions(words.get("when") or {}, place, above)
    if kind == "choice":
        return Parameter(path, kind, _choices(words[kind], place), when=when)
    ends = words[kind]
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2:
        raise ValueError(f"{place}: {kind} takes [low, high], got {ends}")
    low, high = (_number(end, kind, place) for end in ends)
    step = None if words.get("step") is None else _number(words["step"], kind, place)
    log = bool(words.get("log", False))
    if low >= high:
        raise ValueError(f"{place}: low {low:g} is not below high {high:g}")
    if log and (low <= 0 or step is not None):
        raise ValueError(f"{place}: a logarithmic range has no step and begins above 0, got low {low:g}, step {step}")
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"{place}: step {step:g} does not fit between {low:g} and {high:g}")
    return Parameter(path, kind, (low, high), log=log, step=step, when=when)


def _number(value: Any, kind: str, place: str) -> int | float:
    """A number of the right kind; YAML 1.1 reads 1e-3 as a word."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (kind == "int" and number != int(number)):
        raise ValueError(f"{place}: {value!r} is no {'whole number' if kind == 'int' else 'number'}")
    return int(number) if kind == "int" else number


def _choices(values: Any, place: str) -> tuple[Value, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < 2:
        raise ValueError(f"{place}: choice takes a list of at least two values, got {values}")
    for value in values:
        if value is not None and not isinstance(value, str | int | float):
            raise ValueError(f"{place}: a choice is a word or a number, got {value}; name lists by a file in configs/")
    if len({(type(value), value) for value in values}) < len(values):
        raise ValueError(f"{place}: a choice stands twice in {list(values)}")
    return tuple(values)


def _conditions(when: Any, place: str, above: Mapping[str, Parameter]) -> dict[str, tuple[Value, ...]]:
    if not isinstance(when, Mapping):
        raise ValueError(f"{place}: when takes path: value, got {when}")
    conditions = {}
    for path, wanted in when.items():
        values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
        if path not in above:
            raise ValueError(f"{place}: it depends on {path}, which must stand above it in the space")
        if absent := [value for value in values if not above[path].holds(value)]:
            raise ValueError(f"{place}: {path} is never {absent[0]!r}, so it would never exist")
        conditions[str(path)] = values
    return conditions


def suggest(space: Space, trial: Suggests) -> dict[str, Value]:
    """Choose a value for every parameter that exists."""
    chosen: dict[str, Value] = {}
    for parameter in space:
        if parameter.exists(chosen):
            chosen[parameter.path] = parameter.suggest(trial)
    return chosen


def points(space: Space) -> Iterator[dict[str, Value]]:
    """Every combination of a grid."""
    grids = {parameter.path: parameter.grid() for parameter in space}

    def extend(chosen: dict[str, Value], rest: Space) -> Iterator[dict[str, Value]]:
        if not rest:
            yield chosen
        elif rest[0].exists(chosen):
            for value in grids[rest[0].path]:
                yield from extend({**chosen, rest[0].path: value}, rest[1:])
        else:
            yield from extend(chosen, rest[1:])

    return extend({}, space)


def overrides(chosen: Mapping[str, Value]) -> list[str]:
    """As ``scripts/train.py`` takes them: groups first, whose settings the others change."""
    return [f"{path}={text(value)}" for path, value in sorted(chosen.items(), key=lambda item: "." in item[0])]


def text(value: Value) -> str:
    """A value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    plain = re.fullmatch(r"[\w./+-]+", str(value)) and str(value).lower() not in ("true", "false", "null")
    number = isinstance(value, int | float)
    return str(value) if number or (plain and not _looks_like_a_number(str(value))) else "'" + str(value) + "'"


def _looks_like_a_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
