"""Windows of different cues that hold the same samples: on two sides of a split they are one trial with two names.

A sample or two in common, up to a fiftieth of the window, are no matter: cues that are a window apart meet so where
they jitter, or where resampling has rounded them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def sharing(meta: pd.DataFrame, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of some rows have samples in common with any of the others.

    Parameters
    ----------
    meta : DataFrame
        Table of trials. Where it lacks the columns ``begin`` and ``end``, nothing is known and nothing is shared.
    rows, others : ndarray of int
        Row numbers.

    Returns
    -------
    ndarray of bool, shape (len(rows),)
    """
    if "begin" not in meta or not len(others):
        return np.zeros(len(rows), bool)
    begin, length = _on_one_line(meta)
    there = np.sort(begin[others])
    after = np.searchsorted(there, begin[rows])
    nearest = [np.abs(there[place.clip(0, len(there) - 1)] - begin[rows]) for place in (after - 1, after)]
    return np.minimum(*nearest) < length


def share_of_shared(meta: pd.DataFrame) -> float:
    """Share of windows that have samples in common with the one before; those of one cue (column ``group``) may."""
    if "begin" not in meta or len(meta) < 2:
        return 0.0
    begin, length = _on_one_line(meta)
    cue, _ = pd.factorize(meta["group"] if "group" in meta else meta["trial"])
    order = np.argsort(begin, kind="stable")
    return float(((np.diff(begin[order]) < length) & (np.diff(cue[order]) != 0)).mean())


def _on_one_line(meta: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Where each window begins, all subjects laid end to end, and how far apart they must be, in samples."""
    begin, end = meta["begin"].to_numpy(np.int64), meta["end"].to_numpy(np.int64)
    subject, _ = pd.factorize(meta["subject"])
    length = int((end - begin).max())    # of one array: all have the same
    return begin - begin.min() + subject * (int(end.max() - begin.min()) + length), length - max(1, length // 50)
