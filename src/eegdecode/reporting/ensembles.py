"""Ensembles: the seeds of an experiment decide together. Computed from stored predictions, nothing is trained.

Members differ in their seed alone: they share a split, so their test trials and their training trials are equal. Folds
are never combined, because in no protocol two of them have equal test trials: those of k folds and of sessions are
disjoint, and each subject or group of subjects is left out once. Nor are swept numbers.

Mean probabilities are the rule of deep ensembles (Lakshminarayanan et al., 2017); mean logits are the normalised
geometric mean of the same. Which one is better is not chosen by test trials: both are told, the first one on top.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from eegdecode.reporting.metrics import METRICS, probabilities, score
from eegdecode.reporting.predictions import Kept, load_predictions
from eegdecode.reporting.stats import mean_interval

BY = ("probabilities", "logits")
SPLIT = ("subject", "session", "fold")


def combine(logits: Float[np.ndarray, "run trial class"], *, by: str = BY[0]) -> Float[np.ndarray, "trial class"]:
    """Logits of an ensemble from those of its members.

    Parameters
    ----------
    by : {"probabilities", "logits"}
        What is averaged; of mean probabilities the logarithm is returned.
    """
    check_way(by)
    if not len(logits):
        raise ValueError("an ensemble needs members")
    if by == "logits":
        return logits.mean(axis=0, dtype=np.float64)
    with np.errstate(divide="ignore"):    # a class that every member excludes
        return np.log(np.mean([probabilities(each) for each in logits], axis=0))


def check_way(by: str) -> str:
    """Return a way to combine that there is."""
    if by not in BY:
        raise ValueError(f"by={by} is not one of: {', '.join(BY)}")
    return by


def ensemble_rows(runs: pd.DataFrame, kept: Mapping[str, Kept]) -> pd.DataFrame:
    """Score the ensemble of each split that has two members or more.

    Parameters
    ----------
    runs : DataFrame
        Rows of ``scores.csv`` of one setting; those without predictions do not count.
    kept : mapping
        Key -> predictions.

    Returns
    -------
    DataFrame
        A row a split: ``subject``, ``session``, ``fold``, ``n_members`` and each metric as ``members_<metric>``
        (mean of the members), ``probabilities_<metric>`` and ``logits_<metric>``.

    Raises
    ------
    ValueError
        If members were tested on different trials, or one seed stands twice.
    """
    rows = []
    done = runs[runs["key"].isin(list(kept))]
    for place, own in done.groupby(list(SPLIT), sort=False):
        if len(own) < 2:
            continue
        members = [kept[key] for key in own["key"]]
        _check(own["seed"].tolist(), members)
        logits = np.stack([member.logits["test"] for member in members])
        scores = {"members": {metric: float(own[f"test_{metric}"].mean()) for metric in METRICS}}
        scores |= {by: score(combine(logits, by=by), members[0].labels["test"]) for by in BY}
        flat = {f"{who}_{metric}": value for who, each in scores.items() for metric, value in each.items()}
        rows.append({**dict(zip(SPLIT, place, strict=True)), "n_members": len(own), **flat})
    columns = [f"{who}_{metric}" for who in ("members", *BY) for metric in METRICS]
    return pd.DataFrame(rows, columns=[*SPLIT, "n_members", *columns])


def _check(seeds: list[int], members: list[Kept]) -> None:
    """Members of one split: other seeds, the same test trials."""
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"members of an ensemble must differ in their seed; got seeds {seeds} of {members[0].name}")
    for member in members[1:]:
        if not np.array_equal(member.trials["test"], members[0].trials["test"]):
            raise ValueError(f"{member.name} and {members[0].name} were tested on different trials: not combined")


def summarise_ensemble(rows: pd.DataFrame, *, n_members: int, n_splits: int) -> dict[str, Any] | None:
    """Means over subjects beside those of the members, and the gain; None where nothing can be combined.

    Parameters
    ----------
    n_members, n_splits : int
        Members that each split should have, and splits that should be there. Where one is short of it, that is said:
        ``least`` is the smallest ensemble, ``n_short`` the number of splits with fewer members than planned.

    Returns
    -------
    dict
        By metric ``members`` (mean), and of each way ``mean``, ``gain`` (mean difference from the members' mean) and
        its 95 % ``interval`` (Student's t, paired over subjects; splits and seeds averaged first).
    """
    if rows.empty:
        return None
    means = rows.drop(columns=["session", "fold"]).groupby("subject", sort=False).mean()
    ways: dict[str, dict[str, Any]] = {by: {} for by in BY}
    for by in BY:
        for metric in METRICS:
            gains = (means[f"{by}_{metric}"] - means[f"members_{metric}"]).to_numpy(float)
            spread = {"gain": float(gains.mean()), "interval": list(mean_interval(gains))}
            ways[by][metric] = {"mean": float(means[f"{by}_{metric}"].mean()), **spread}
    n_short = int((rows["n_members"] < n_members).sum()) + max(0, n_splits - len(rows))
    return {
        "n_members": n_members, "n_splits": n_splits, "n_combined": len(rows), "n_short": n_short,
        "least": int(rows["n_members"].min()), "n_subjects": len(means),
        "members": {metric: float(means[f"members_{metric}"].mean()) for metric in METRICS}, **ways,
    }    # fmt: skip


def ensemble_of(
    folders: Collection[Path], runs: pd.DataFrame, *, n_members: int, n_expected: int
) -> dict[str, Any] | None:    # fmt: skip
    """Summarise the ensembles of one setting; None with one seed, or before predictions are written.

    Parameters
    ----------
    runs : DataFrame
        Rows of ``scores.csv`` of the setting.
    n_members : int
        Seeds that are planned.
    n_expected : int
        Runs that are planned.
    """
    if n_members < 2:
        return None
    kept = {}
    for folder in folders:
        if (Path(folder) / "predictions.npz").exists():
            kept |= {each.key: each for each in load_predictions(folder)}
    rows = ensemble_rows(runs[runs["status"] == "done"], kept)
    return summarise_ensemble(rows, n_members=n_members, n_splits=n_expected // n_members)


def ensemble_note(ensemble: Mapping[str, Any]) -> str:
    """Say what is missing; empty where every split has all of its members."""
    if not ensemble["n_short"]:
        return ""
    least = f"{ensemble['least']}/{ensemble['n_members']}"
    text = f"INCOMPLETE: {ensemble['n_short']} of {ensemble['n_splits']} splits lack members (the smallest has {least}"
    absent = ensemble["n_splits"] - ensemble["n_combined"]
    return text + (f"; {absent} have fewer than two and are left out)" if absent else ")")
