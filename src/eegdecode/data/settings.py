"""Checks of what people type as preprocess settings; each names the setting and its value."""

from __future__ import annotations

from collections.abc import Sequence


def channel_names(setting: str, names: Sequence[str], word: str) -> tuple[str, ...]:
    """Take a list of different channel names."""
    if isinstance(names, str) or not names:
        raise ValueError(f"preprocess.{setting}={names!r} must be a list of channel names, {word}, or null")
    found = tuple(str(name) for name in names)
    if len(set(found)) < len(found):
        raise ValueError(f"preprocess.{setting}={list(found)} names a channel twice")
    return found


def channel_pairs(pairs: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Take a list of pairs of channel names."""
    found = [[] if isinstance(pair, str) else [str(name) for name in pair] for pair in pairs]
    if not found or any(len(pair) != 2 or pair[0] == pair[1] for pair in found):
        raise ValueError(f"preprocess.bipolar={pairs!r} must be a list of pairs such as [[C3,Cz],[C4,Cz]], or null")
    if len({frozenset(pair) for pair in found}) < len(found):
        raise ValueError(f"preprocess.bipolar={pairs!r} holds a pair twice, or turned around: leave one out")
    return tuple((pair[0], pair[1]) for pair in found)


def line_frequencies(lines: float | Sequence[float] | None) -> tuple[float, ...]:
    """Take one line frequency or several, in Hz."""
    return () if lines is None else (float(lines),) if isinstance(lines, int | float) else tuple(map(float, lines))


def check_order(low: str, begin: float | None, high: str, end: float | None) -> None:
    """Refuse a range that ends before it begins."""
    if begin is not None and end is not None and begin >= end:
        raise ValueError(f"preprocess.{low}={begin} must be below preprocess.{high}={end}")


def check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    """Refuse a word that is no choice."""
    if value not in choices:
        known = ", ".join("null" if choice is None else choice for choice in choices)
        raise ValueError(f"preprocess.{name}={value!r} is not one of: {known}")
