"""Rows on several data sets: combined is the same model with the same settings, and not what is called alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

import pandas as pd

from eegdecode.identity import digest
from eegdecode.reporting.comparison.frames import put_first
from eegdecode.reporting.comparison.gather import Entry
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.meta import combine_sets
from eegdecode.reporting.comparison.names import SOURCE, short, unused

MOST = 4    # settings in a sentence


def meta_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Stouffer's combination over data sets, for each protocol by itself: two protocols share their subjects."""
    tables = []
    for protocol, own in _by_protocol(comparisons).items():
        rows = {c.dataset: row_keys(c) for c in own}
        combined = combine_sets({c.dataset: c.scores.rename(columns=rows[c.dataset]) for c in own})
        if len(combined):
            labels = _labels(rows, {*combined["a"], *combined["b"]})
            combined = combined.assign(a=combined["a"].map(labels), b=combined["b"].map(labels))
            tables.append(put_first(combined, {"protocol": protocol}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def row_keys(comparison: Comparison) -> dict[str, str]:
    """Label -> digest of model and settings, which is that of the same row on another data set.

    A folder of networks to start from counts by its name, for each data set has its own; by its whole path where
    rows differ in that alone. What even then is twice, as rows that hold out other trials, counts by its label.
    """
    entries = {label: comparison.entries[label] for label in comparison.scores.columns}
    ways = [
        {label: digest([entry.model, _by_name(entry)]) for label, entry in entries.items()},
        {label: digest([entry.model, entry.settings]) for label, entry in entries.items()},
        {label: digest([entry.model, entry.settings, label]) for label, entry in entries.items()},
    ]
    return {label: next(own[label] for own in ways if _is_alone(own[label], own)) for label in entries}


def of_two_kinds(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """In words, rows of one name that under another protocol of the same data set are another training.

    A reader of a table looks along its rows: what differs there must be told, though no number is drawn from it.
    """
    own = [c for c in comparisons if not c.apart]
    for one, told in _unlike({c.dataset: [each for each in own if each.dataset == c.dataset] for c in own}):
        label, here, there, how = told
        yield f"On {one}, `{label}` under {here.protocol} is another training than under {there.protocol} ({how})."


def not_combined(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """In words, rows of one name that are others on another data set, and so are not combined."""
    groups = _by_protocol(comparisons)
    for comparison in _to_combine(comparisons):
        first = next(c for c in groups[comparison.protocol] if c.data_hash == comparison.data_hash)
        if first is not comparison:
            yield (f"Over data sets, **{comparison.protocol}**: {comparison.dataset} has the same trials as "
                   f"{first.dataset}, which counts once.")    # fmt: skip
    for protocol, told in _unlike(groups):
        label, here, there, how = told
        yield (f"Over data sets, **{protocol}**: `{label}` on {here.dataset} is another row than on {there.dataset} "
               f"({how}), and is not combined with it.")    # fmt: skip


def _unlike(
    groups: Mapping[str, Sequence[Comparison]],
) -> Iterator[tuple[str, tuple[str, Comparison, Comparison, str]]]:
    """By group: label, where it is another row than where the group has it first, and what differs."""
    for name, own in groups.items():
        first: dict[str, tuple[str, Comparison]] = {}
        for comparison in own:
            for label, key in row_keys(comparison).items():
                known, there = first.setdefault(label, (key, comparison))
                if key != known:
                    how = _differing(comparison.entries[label], there.entries[label])
                    yield name, (label, comparison, there, how)


def _by_protocol(comparisons: Sequence[Comparison]) -> Mapping[str, list[Comparison]]:
    """What can be combined: comparisons of several subjects, none that is apart, of the same trials the first."""
    found: dict[str, dict[str, Comparison]] = {}
    for comparison in _to_combine(comparisons):
        found.setdefault(comparison.protocol, {}).setdefault(comparison.data_hash, comparison)
    return {protocol: list(own.values()) for protocol, own in found.items()}


def _to_combine(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [each for each in comparisons if not each.apart and len(each.scores) > 1]


def _is_alone(key: str, keys: Mapping[str, str]) -> bool:
    return list(keys.values()).count(key) == 1


def _labels(rows: Mapping[str, Mapping[str, str]], keys: set[str]) -> dict[str, str]:
    """What rows are called that are combined, no two of them alike."""
    labels: dict[str, str] = {}
    for label, key in (item for own in rows.values() for item in own.items()):
        if key in keys and key not in labels:
            labels[key] = unused(label, labels.values())
    return labels


def _by_name(entry: Entry) -> dict[str, object]:
    source = entry.settings.get(SOURCE)
    return {**entry.settings, SOURCE: source and PurePath(str(source)).name}


def _differing(entry: Entry, other: Entry) -> str:
    names = [n for n in {**other.settings, **entry.settings} if entry.settings.get(n) != other.settings.get(n)]
    if not names:
        return "there are several with these settings"
    told = [f"`{n}` is {short(entry.settings.get(n))}, there {short(other.settings.get(n))}" for n in names[:MOST]]
    return "; ".join(told) + " …" * (len(names) > MOST)
