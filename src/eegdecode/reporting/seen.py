"""Which trials a checkpoint has learned from: it carries marks of each, by its name, its cue and its samples.

The cue is marked by its time in the run. So windows of a cue are known that overlap what was learned, or hold what
comes after it, however they are cut, numbered and filtered.

They are asked for twice: a run may not start from a network that has learned from its test trials, and answers to what
was learned are no test. A name counts within its data set alone, for elsewhere subject 1 is another person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from eegdecode.runs import Run

FIELD = "learned_from"    # of what a checkpoint tells: all marks, one after the other
_SIZE = 12    # hex digits of a mark: of a million trials no two are alike by chance


def learned_from(run: Run, meta: pd.DataFrame, *, dataset: str) -> str:
    """Marks of what a run learns from: its training and validation trials, and all that its own source has learned."""
    rows = np.concatenate([run.split.train, run.split.val]).astype(np.intp)
    own = {mark for column in mark_trials(meta.iloc[rows], dataset=dataset) for mark in column}
    inherited = read_marks(run.source.about, "the source") if run.source else frozenset()
    return "".join(sorted(own | inherited))


def read_marks(about: Mapping[str, Any], what: str) -> frozenset[str]:
    """Marks of the trials that a checkpoint has learned from.

    Raises
    ------
    ValueError
        If it does not tell: then nothing may be said of its answers.
    """
    marks = about.get(FIELD)
    if not isinstance(marks, str):
        raise ValueError(f"{what} does not say which trials it has learned from: it is of an older version; train it "
                         "again")    # fmt: skip
    return frozenset(marks[i : i + _SIZE] for i in range(0, len(marks), _SIZE))


def mark_trials(meta: pd.DataFrame, *, dataset: str) -> list[list[str]]:
    """Marks of each trial, a list a kind: by names, then by cues and samples where these are known (``signal``)."""
    texts = [[f"{dataset} {name}" for name in meta["trial"]]]
    if "cue" in meta:
        places = meta[["subject", "session", "run", "cue"]].astype(str).agg(" ".join, axis=1)
        texts.append([f"{dataset} cue {place}" for place in places])
    if "signal" in meta:
        texts.append(meta["signal"].astype(str).tolist())
    return [[_mark(text) for text in column] for column in texts]


def known_trials(marks: frozenset[str], meta: pd.DataFrame, *, dataset: str) -> Bool[np.ndarray, " trial"]:
    """Which trials are among the marked ones, by name, cue or samples."""
    kinds = zip(*mark_trials(meta, dataset=dataset), strict=True)
    return np.array([not marks.isdisjoint(kind) for kind in kinds], bool)


def known_by_name_alone(marks: frozenset[str], meta: pd.DataFrame, *, dataset: str) -> bool:
    """Whether names or cues are among the marked ones and no samples are: other people, or other preprocessing."""
    if "signal" not in meta:
        return False
    *others, by_samples = mark_trials(meta, dataset=dataset)
    return not marks.isdisjoint(chain.from_iterable(others)) and marks.isdisjoint(by_samples)


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_SIZE // 2).hexdigest()
