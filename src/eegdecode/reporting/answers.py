"""What a checkpoint answered: a table, a row a trial, and a few sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from eegdecode.reporting.metrics import probabilities, score
from eegdecode.reporting.stats import chance_bound, chance_level
from eegdecode.reporting.words import percent

PLACE = ("trial", "subject", "session", "run")


def answer_table(
    logits: Float[np.ndarray, "trial class"], meta: pd.DataFrame, *, classes: Sequence[str], named: Sequence[str],
    known: Bool[np.ndarray, " trial"],
) -> pd.DataFrame:    # fmt: skip
    """A row a trial.

    Parameters
    ----------
    classes : sequence of str
        Of the checkpoint, in the order of the logits.
    named : sequence of str
        Of the trials, in the order of their labels.
    known : ndarray of bool
        Which trials the checkpoint was trained on.

    Returns
    -------
    DataFrame
        ``trial``, ``subject``, ``session``, ``run``, ``cue`` (where trials are several windows of one), ``trained_on``,
        ``true`` (empty where it is no class of the checkpoint), ``predicted`` and the probability of each class,
        ``p_<class>``.
    """
    chances = probabilities(logits)
    true = np.array([name if name in classes else "" for name in named], object)[meta["label"].to_numpy(int)]
    return pd.DataFrame({
        **{name: meta[name].to_numpy() for name in PLACE},
        **({"cue": meta["group"].to_numpy()} if "group" in meta else {}),
        "trained_on": known,
        "true": true,
        "predicted": np.array(classes, object)[logits.argmax(1)],
        **{f"p_{name}": chances[:, i] for i, name in enumerate(classes)},
    })


def is_answers(path: Path) -> bool:
    """Whether a file is a table of `answer_table`, by its first line."""
    with path.open("rb") as file:
        return file.readline().startswith(",".join(PLACE).encode())


def answer_sentences(
    table: pd.DataFrame, about: Mapping[str, Any], *, classes: Sequence[str], by: str
) -> list[str]:    # fmt: skip
    """Who answered, and how well where labels are known; trials of the training are left out of every score.

    Parameters
    ----------
    by : {"probabilities", "logits"}
        What the members averaged for this table, which may be another thing than their checkpoint says.
    """
    said = [f"{about['run']}{_members(about, by)}: {len(table)} trials"]
    seen, labelled = table["trained_on"].to_numpy(bool), (table["true"] != "").to_numpy()
    if seen.any():
        said.append(
            f"TRAINED ON {seen.sum()} of these trials (column trained_on): its answers there are no test and not scored"
        )
    unknown = (~labelled).sum()
    if unknown:
        said.append(f"{unknown} trials have no label among the checkpoint's classes ({', '.join(classes)})")
    new = table[~seen & labelled]
    if len(new):
        labels = np.array([list(classes).index(name) for name in new["true"]], np.int64)
        with np.errstate(divide="ignore"):
            scores = score(np.log(new[[f"p_{name}" for name in classes]].to_numpy(float)), labels)
        chance = chance_level(labels, len(classes))
        n_cues = new["cue"].nunique() if "cue" in new else len(new)    # windows of a cue are no independent guesses
        of = f", windows of {n_cues} cues" if "cue" in new else ""
        said.append(
            f"accuracy {percent(scores['accuracy'])} % on {len(new)} {'other ' * bool(seen.any())}trials{of} (chance "
            f"{percent(chance)} %, guessing exceeds {percent(chance_bound(chance, n_cues))} % in 5 % of cases), "
            f"nll {scores['nll']:.2f}, ece {percent(scores['ece'])} %"
        )
    return said


def differences(about: Mapping[str, Any], prepared: Mapping[str, Any], *, tmin: float) -> list[str]:
    """Say in what the preparation of the trials differs from that of the training trials; empty where in nothing."""
    before = about.get("preprocess") or {}
    odd = [name for name in before if name != "call" and before[name] != prepared.get(name)] if before else []
    said = [f"preprocess.{name} was {before[name]} in training and is {prepared.get(name)} here" for name in odd]
    begin = about["model"].get("tmin")
    if begin is not None and begin != tmin:
        said.append(f"trials began {begin:g} s after the cue in training and begin at {tmin:g} s here")
    return said


def _members(about: Mapping[str, Any], by: str) -> str:
    members = about.get("members")
    if not members:
        return ""
    planned = about.get("planned", len(members))
    short = f", INCOMPLETE: {len(members)}/{planned}" if len(members) < planned else ""
    return f" (ensemble of {len(members)} seeds, mean {by}{short})"
