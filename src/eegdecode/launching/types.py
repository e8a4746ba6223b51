"""A configuration, held against what its classes take: Python's own words come from too deep."""

from __future__ import annotations

import functools
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from eegdecode.launching.options import meant

OWN = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")    # Hydra's
BESIDE = ("init_from",)    # what an experiment takes out of a model before it is built
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}


def wrong_parts(typed: Sequence[str], taker: Callable, config: Mapping[str, Any]) -> Iterator[str]:
    """Tell of what is added outermost and not taken (``+foo=1``), or taken away and needed (``~augment``)."""
    takes = inspect.signature(taker).parameters
    for word in typed:
        name = word.lstrip("+~").partition("=")[0]
        if word.startswith("+") and name.isidentifier() and name not in takes:
            yield f"there is no {name}; {meant(name, sorted(set(takes) & set(config)))}"
        if word.startswith("~") and name in takes and takes[name].default is inspect.Parameter.empty:
            yield f"{word}: {name} cannot be left out; {name}=... takes another choice"


def wrong_types(config: Any, taker: Callable | None = None, path: str = "") -> Iterator[str]:
    """Tell of each setting that is none, as ``+trainer.lrr=1`` adds it, or whose value is of another type.

    Parameters
    ----------
    config : dict
        Plain dicts and lists; a dict with ``_target_`` is what that class or function takes.
    taker : callable, optional
        What takes the outermost values.
    """
    if isinstance(config, list):
        for i, each in enumerate(config):
            yield from wrong_types(each, path=f"{path}[{i}]")
    if not isinstance(config, Mapping):
        return
    target = config.get("_target_")
    try:
        taker = pkgutil.resolve_name(target) if isinstance(target, str) else taker
        hints = _hints(taker)
    except (ImportError, AttributeError, ValueError) as error:
        yield f"{path}._target_={target} cannot be found: {error}"
        return
    known = _keywords(taker) if target else None
    for name, value in config.items():
        below = f"{path}.{name}".lstrip(".")
        if known and name not in (*known, *OWN, *BESIDE):
            there = sorted(set(known) & set(config))    # without what is given by what builds it, as n_chans
            yield f"there is no {below}; {meant(name, there, before=f'{path}.', there=f'{path} has')}"
            continue
        if name in OWN or value == "???":
            continue
        if name in hints and not _has_target(value):
            if not (_fits(value, hints[name]) or _fits(_as_names(value), hints[name])):
                way_out = _way_out(below, value, hints[name], _default(taker, name))
                yield f"{below}={_typed(value)} must be {_in_words(hints[name])}{way_out}"
        else:
            yield from wrong_types(value, path=below)


def _has_target(value: Any) -> bool:
    inner = value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else ()
    return (isinstance(value, Mapping) and "_target_" in value) or any(map(_has_target, inner))


@functools.cache
def _hints(taker: Any) -> dict[str, Any]:
    """Declared types of the keywords of a class or function; none where they cannot be told."""
    try:
        return typing.get_type_hints(taker.__init__ if inspect.isclass(taker) else taker) if taker else {}
    except Exception:    # a name that only type checkers import, something in C, words: no reason to end a command
        return {}


def _keywords(taker: Any) -> list[str] | None:
    """What a class or function takes; None where it takes any keyword, or it cannot be told."""
    try:
        takes = inspect.signature(taker).parameters.values()
    except (TypeError, ValueError):    # something in C
        return None
    if any(each.kind is each.VAR_KEYWORD for each in takes):
        return None
    return [each.name for each in takes]


def _default(taker: Any, name: str) -> Any:
    try:
        return inspect.signature(taker).parameters[name].default
    except (TypeError, ValueError, KeyError):    # something in C, or it takes any keyword
        return None


def _as_names(value: Any) -> Any:
    """Numbers in a list as texts: so are names of channels, sessions and classes typed that are numbers, and taken."""
    return [str(x) if isinstance(x, int | float) else x for x in value] if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what is declared, or nobody can tell."""
    if typing.get_origin(hint) is type:    # a class, which no configuration holds
        return True
    try:    # as of a file: a list may be a tuple, and 1 a float
        TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    except (PydanticUserError, TypeError, ValueError):    # a class that is no plain type, or nothing that JSON has
        return True
    return True


def _in_words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [part for part in inner if not (part is int and float in inner)]
        return " or ".join(dict.fromkeys(map(_in_words, sorted(parts, key=lambda part: part is type(None)))))
    if origin is typing.Literal:
        return " or ".join(map(str, inner))
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping, such as {a: b}"
    if inspect.isclass(kind) and kind is not str and issubclass(kind, typing.Sequence | set | frozenset):
        return f"a list{_elements(inner)}"
    return "a text" if kind is Path else WORDS.get(kind, str(getattr(kind, "__name__", kind)))


def _elements(inner: tuple[Any, ...]) -> str:
    plural = {"a text": "texts", "a whole number": "whole numbers", "a number": "numbers"}
    return f" of {plural[said]}" if inner and (said := _in_words(inner[0])) in plural else ""


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "").replace(", ", ",")


def _way_out(path: str, value: Any, hint: Any, default: Any) -> str:
    """How the same is typed as it is wanted, where that is plain; one number may be too few where there are several."""
    if isinstance(value, int | float | str) and _fits([value], hint):
        if isinstance(default, tuple | list) and len(default) > 1:
            return f", such as {path}={_typed(list(default))}"
        return f": {path}=[{_typed(value)}]"
    if isinstance(value, int | float) and _fits(str(value), hint):
        return f", which quotes make of it: {path}=\"'{_typed(value)}'\""
    return ""
