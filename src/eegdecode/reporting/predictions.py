"""``predictions.npz``: the logits of every finished run, from which any number can be computed again.

Layout (no pickle; flat arrays: ten thousand runs are one quick file), with N trials, R runs, K classes:

- ``classes`` (K,), ``trials`` (N,) unique names, ``labels`` (N,) indices into ``classes``;
- ``keys`` (R,) as in ``scores.csv``, ``names`` (R,), ``subjects`` (R,);
- for each part, ``val`` and ``test``: ``<part>_starts`` (R + 1,), ``<part>_trials`` (n,) positions in
  ``trials``, and ``<part>_logits`` (n, K): run ``r`` owns the rows from ``starts[r]`` to ``starts[r + 1]``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eegdecode.reporting.disk import write_whole
from eegdecode.reporting.outcomes import ANSWERED, DamagedError
from eegdecode.runs import Run


@dataclass(frozen=True, eq=False)
class Kept:
    """Predictions of one run; by part (``"val"``, ``"test"``) logits (n, K), labels and trial names (n,)."""

    key: str
    name: str
    subject: str
    classes: tuple[str, ...]
    logits: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    trials: Mapping[str, np.ndarray]


def write_predictions(
    path: Path,
    finished: Sequence[tuple[str, Run, Mapping[str, np.ndarray]]],
    *,
    meta: pd.DataFrame,
    classes: Sequence[str],
) -> None:
    """Write the logits of all finished runs, each given as key, run and logits by part."""
    rows = {part: [getattr(run.split, part) for _, run, _ in finished] for part in ANSWERED}
    used = np.unique(np.concatenate([np.zeros(0, np.int64), *rows["val"], *rows["test"]]).astype(np.int64))
    arrays = {
        "classes": np.array(list(classes), dtype=np.str_),
        "trials": meta["trial"].to_numpy()[used].astype(np.str_),
        "labels": meta["label"].to_numpy()[used].astype(np.int64),
        "keys": np.array([key for key, _, _ in finished], dtype=np.str_),
        "names": np.array([run.name() for _, run, _ in finished], dtype=np.str_),
        "subjects": np.array([run.split.subject for _, run, _ in finished], dtype=np.str_),
    }
    for part in ANSWERED:
        logits = [np.zeros((0, len(classes)), np.float32), *(by_part[part] for _, _, by_part in finished)]
        positions = np.concatenate([np.zeros(0, np.int64), *rows[part]]).astype(np.int64)
        arrays[f"{part}_starts"] = np.cumsum([0, *map(len, rows[part])])
        arrays[f"{part}_trials"] = np.searchsorted(used, positions).astype(np.int32)
        arrays[f"{part}_logits"] = np.concatenate(logits)
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_predictions(folder: Path) -> list[Kept]:
    """Predictions of every finished run of a run folder, in the order of ``scores.csv``.

    Raises
    ------
    DamagedError
        If the file is cut or no such file.
    """
    arrays = _arrays(Path(folder) / "predictions.npz")
    classes = tuple(map(str, arrays["classes"]))
    kept = []
    for r, (key, name, subject) in enumerate(
        zip(arrays["keys"], arrays["names"], arrays["subjects"], strict=True)
    ):
        own = {part: slice(*arrays[f"{part}_starts"][r : r + 2]) for part in ANSWERED}
        at = {part: arrays[f"{part}_trials"][own[part]] for part in ANSWERED}
        kept.append(
            Kept(
                key=str(key),
                name=str(name),
                subject=str(subject),
                classes=classes,
                logits={part: arrays[f"{part}_logits"][own[part]] for part in ANSWERED},
                labels={part: arrays["labels"][at[part]] for part in ANSWERED},
                trials={part: arrays["trials"][at[part]] for part in ANSWERED},
            )
        )
    return kept


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: it is written when an experiment ends")
    names = {"classes", "trials", "labels", "keys", "names", "subjects"}
    names |= {f"{part}_{what}" for part in ANSWERED for what in ("starts", "trials", "logits")}
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:    # of a cut one numpy closes nothing
            arrays = {name: file[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        reason = f"({str(error) or type(error).__name__}); the command that made the folder writes it anew"
        raise DamagedError(f"{path} cannot be read {reason}") from error
    return arrays
