"""What a comparison found, in plain words, and what it cannot find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from eegdecode.reporting.comparison.gather import Entry
from eegdecode.reporting.comparison.groups import Comparison
from eegdecode.reporting.comparison.pairs import ALPHA, smallest_p
from eegdecode.reporting.units import unit_of

MOST = 6    # names in a sentence


def findings(comparison: Comparison) -> list[str]:
    """Sentences on one comparison, the result first."""
    return [text for text in _sentences(comparison) if text]


def _sentences(comparison: Comparison) -> Iterator[str]:
    scores = comparison.scores
    metric = comparison.metric.replace("_", " ")
    where = f"On **{comparison.title}**" + f" ({metric})" * (metric != "accuracy")
    if scores.empty:
        yield f"{where} {_no_mean(comparison)}."
    elif scores.shape[1] == 1:
        reached = _mean(comparison, comparison.best)
        yield f"{where} `{comparison.best}` reaches {reached}; there is no other to compare it with."
    else:
        yield _result(comparison, where)
        yield _power(comparison)
        yield _disagreement(comparison)
    yield _at_chance(comparison)
    missing = [_counts(comparison, label) for label in comparison.entries if label not in scores]
    yield f"Incomplete, so without a mean and in no test: {_listed(missing)}." if missing and len(scores) else ""


def _no_mean(comparison: Comparison) -> str:
    whole = [label for label, entry in comparison.entries.items() if entry.complete]
    if not whole:
        return "no model has all of its runs yet"
    return f"no model has this score in all of its runs: {_cut([_counts(comparison, label) for label in whole])}"


def _counts(comparison: Comparison, label: str) -> str:
    """How many runs of a row have a score, and why others that are done have none."""
    entry, metric = comparison.entries[label], comparison.metric.replace("_", " ")
    n_done = comparison.n_done(entry)
    undefined = len(entry.runs) - n_done
    why = ", where a class has no test trial" * (metric == "auroc")
    why = f"; {metric} is not defined in {undefined}{why}" if undefined else ""
    return f"`{label}` ({n_done}/{entry.n_expected} runs{why})"


def _result(comparison: Comparison, where: str) -> str:
    best, scores = comparison.best, comparison.scores
    rivals = comparison.rivals
    text = f"{where} `{best}` has the best mean ({_mean(comparison, best)}), of {counted(len(rivals), 'model')}."
    if comparison.entries[best].transductive:
        text += " All are TRANSDUCTIVE: they have seen unlabelled test trials."
    elif seen := [f"`{label}` ({_mean(comparison, label)})" for label in map(str, scores) if label not in rivals]:
        text += f" Beside them and in no test against the best, for it has seen unlabelled test trials: {_cut(seen)}."
    if len(scores) < 2:
        return f"{text} With one subject nothing can be tested."
    if _hopeless(comparison):
        return f"{text} The next: {_cut([f'`{label}` ({_mean(comparison, label)})' for label in rivals[1:]])}."
    level = [f"`{label}` ({_mean(comparison, label)})" for label in comparison.level]
    worse = [f"`{label}`" for label in rivals[1:] if label not in comparison.level]
    text += f" Not established to be worse: {_cut(level)}." if level else ""
    return text + (f" Established to be worse: {_cut(worse)}." if worse else "")


def _hopeless(comparison: Comparison) -> float:
    """The least p that so few subjects can give with so many models, where that establishes nothing; else 0."""
    least = smallest_p(len(comparison.scores)) * (len(comparison.rivals) - 1)
    return least if least >= ALPHA else 0.0


def _power(comparison: Comparison) -> str:
    """How large a difference must be to be seen, or that none can be."""
    n, rivals = len(comparison.scores), len(comparison.rivals) - 1
    if n < 2 or not rivals:
        return ""
    if least := _hopeless(comparison):
        return (
            f"{n} subjects are too few to establish anything between {rivals + 1} models: even if all of them agree, "
            f"p times the number of other models is {p_text(min(1.0, least))}."
        )
    points = comparison.with_best["detectable"].median()
    if not points > 0:    # all subjects differ alike: their differences tell no deviation
        return ""
    unit = unit_of(comparison.metric)
    seen = f"{unit.number(float(points))}{unit.points}" + (" (median over the other models)" if rivals > 1 else "")
    return (
        f"With {n} subjects a true difference from the best must be about {seen} to be found in 80 % of "
        "studies; smaller ones are mostly missed."
    )


def _disagreement(comparison: Comparison) -> str:
    rows = comparison.with_best
    permuted = (rows["p_permutation"] * len(rows)).clip(upper=1) < ALPHA
    other = [f"`{b}`" for b in rows.loc[permuted != (rows["p_best"] < ALPHA), "b"]]
    return f"The permutation test of the mean would decide otherwise on {_listed(other)}." if other else ""


def _at_chance(comparison: Comparison) -> str:
    bound, unit = comparison.chance[1], unit_of(comparison.metric)
    low = [f"`{label}`" for label in comparison.scores if comparison.scores[label].mean() <= bound]
    return f"No better than guessing, which exceeds {unit.text(bound)} in 5 % of cases: {_listed(low)}." if low else ""


def meta_findings(meta: pd.DataFrame) -> list[str]:
    """What holds over data sets."""
    said = []
    for protocol, rows in meta.groupby("protocol", sort=False) if len(meta) else ():
        sure = rows[rows["holm"] < ALPHA]
        named = [f"`{r['a']}` over `{r['b']}` (p {p_text(r['holm'])})" for r in sure.head(MOST).to_dict("records")]
        more = f", and {len(sure) - MOST} more" if len(sure) > MOST else ""
        text = _listed(named) + more if len(sure) else "no difference between two models is established"
        pairs = counted(len(rows), "pair")
        said.append(f"Over all data sets, **{protocol}** (Stouffer, Holm over {pairs}): {text}.")
    return said


def entry_notes(entry: Entry) -> list[str]:
    """What a reader must know of one row."""
    notes = list(entry.notes)
    if entry.transductive:
        notes.append("TRANSDUCTIVE: unlabelled test trials were used")
    if entry.started_from:
        folder = entry.started_from
        notes.append(f"STARTED FROM TRAINED NETWORKS (`{folder}`): it has learned from more than its training trials")
    n_train, n_val = (entry.runs[f"n_{part}"].mean() for part in ("train", "val"))
    if n_val > 0:
        notes.append(f"holds out {n_val:.0f} of its {n_train + n_val:.0f} training trials for validation")
    select = {"best_val": "chose the epoch on its validation trials", "patience": "stopped by its validation trials"}
    notes.append(select.get(str(entry.facts.get("select")), ""))
    if entry.facts.get("watch_test"):
        notes.append("test accuracy was followed as a LEAKY diagnostic; the score is that of the last epoch")
    if entry.around.get("protocol.duplicates") == "warn":
        notes.append("equal trials on both sides of a split were let pass (protocol.duplicates=warn)")
    failed = entry.n_expected - len(entry.runs)
    notes.append(f"{counted(failed, 'run')} missing or failed" if failed else "")
    return [note for note in notes if note]


def p_text(p: float) -> str:
    """``.031``, ``< .001``; a dash where there is none."""
    if np.isnan(p):
        return "–"
    return "< .001" if p < 0.0005 else "1" if p > 0.9995 else f"{p:.3f}".lstrip("0")


def counted(number: int, thing: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {thing}{'s' * (number != 1)}"


def _mean(comparison: Comparison, label: str) -> str:
    return unit_of(comparison.metric).text(float(comparison.scores[label].mean()))


def _cut(names: Sequence[str]) -> str:
    return _listed(names if len(names) <= MOST else [*names[: MOST - 1], f"{len(names) - MOST + 1} more"])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
