"""The Transformer against its baselines, apart for the subjects that chose its defaults and for those that did not.

``benchmark.py halves --folder data/results`` reads the comparisons that are there (``train.py
experiment=compare_simulated`` and the others, as far as they have come) and trains nothing.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import wilcoxon

from benchmarks.table import markdown
from eegdecode.reporting.predictions import load_predictions
from eegdecode.reporting.results import load_results
from eegdecode.reporting.stats import chance_bound

OUT = Path("notebooks/benchmarks")
OURS, RIVALS = "sttransformer", ("ts_lr", "cca", "eegnet")    # as far as they were trained
CHOSE = {    # subjects with which the defaults were found
    "simulated": {"1", "2", "3", "4"}, "ssvep_exo": {"1", "2", "3", "4", "5", "6"},
    "mi_openbci": {"02", "03", "04", "05"}, "simulated_seed_2": set(),
}    # fmt: skip
HALVES = ("chose", "others", "all")


def measure_halves(folder: Path) -> None:
    """Write ``halves.csv`` and ``halves.md``."""
    rows = [row for place, ours in _ours(folder) for row in _rows(place, ours.parent)]
    if not rows:
        raise SystemExit(f"{folder} holds no compare_*/PROTOCOL/{OURS}: python scripts/train.py experiment=compare_...")
    table = pd.DataFrame(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "halves.csv", index=False)
    lines = [
        "# The Transformer and its baselines, in two halves of the subjects",
        "Mean test accuracy in %, the last epoch, all training trials (`trainer.validation=0`), default settings, "
        "seeds averaged. *chose*: subjects with which the defaults of `sttransformer` were found, so its figures there "
        "are of development; *others*: they chose nothing but that patches of 2 s were given up, for what these lost "
        "on all of `mi_openbci`, and were looked at under earlier defaults: no first look. *untouched*: the nine people"
        " of `simulated_seed_2` (`experiment=compare_simulated dataset.seed=2`), drawn when the defaults were fixed, "
        "and scored once. *difference*: of `sttransformer` to the rival, mean and deviation over subjects; *ahead*: in "
        "how many subjects; *p*: Wilcoxon, two-sided, not corrected. Made by `python scripts/benchmark.py halves "
        "--folder data/results` from `python scripts/train.py experiment=compare_SET`.",
        markdown(table),
        "## The errors of sttransformer",
        "*recall*: of each class, in %, subjects averaged. *at chance*: subjects whose mean over seeds does not exceed "
        "what guessing exceeds in 5 % of cases. *sure errors*: share of wrong answers whose probability is above 90 %. "
        "*same error*: share of wrong answers that every seed gives to that trial: what training again does not mend.",
        markdown(pd.DataFrame([_errors(place, ours) for place, ours in _ours(folder)])),
    ]
    (OUT / "halves.md").write_text("\n\n".join(lines) + "\n")


def _ours(folder: Path) -> list[tuple[str, Path]]:
    """Data set and run folder of each comparison that holds ours."""
    return [
        (place, scores.parent)
        for place in CHOSE for scores in sorted(folder.glob(f"compare_{place}/*/{OURS}/scores.csv"))
        if load_results(scores.parent).complete
    ]    # fmt: skip


def _errors(place: str, folder: Path) -> dict:
    """What the errors of a run folder look like."""
    kept = load_predictions(folder)
    answers = pd.concat([
        pd.DataFrame({
            "subject": run.subject, "trial": run.trials["test"], "label": run.labels["test"],
            "answer": run.logits["test"].argmax(1), "sure": softmax(run.logits["test"], axis=1).max(1),
        }) for run in kept
    ])    # fmt: skip
    answers["right"] = answers["answer"] == answers["label"]
    recall = answers.groupby(["label", "subject"])["right"].mean().groupby("label").mean()
    by_subject = answers.groupby("subject").agg(right=("right", "mean"), trials=("trial", "nunique"))
    n_classes = len(kept[0].classes)
    bound = np.array([chance_bound(1 / n_classes, int(n)) for n in by_subject["trials"]])
    wrong = answers[~answers["right"]]
    agreed = answers.groupby("trial")["answer"].transform("nunique") == 1
    return {
        "set": place, "protocol": folder.parent.name,
        "recall": ", ".join(f"{name} {100 * recall[i]:.0f}" for i, name in enumerate(kept[0].classes)),
        "at_chance": f"{int((by_subject['right'] <= bound).sum())} of {len(by_subject)}",
        "sure_errors": round(100 * float((wrong["sure"] > 0.9).mean())),
        "same_error": round(100 * float(agreed[~answers["right"]].mean())),
    }    # fmt: skip


def _rows(place: str, folder: Path) -> list[dict]:
    """Rows of a set and protocol: each rival in each half."""
    rows, found = [], _by_subject(folder / OURS)
    for rival in RIVALS:
        against = _by_subject(folder / rival) if (folder / rival / "scores.csv").exists() else None
        if found is None or against is None:
            continue
        (ours, n_ours), (theirs, n_theirs) = found, against
        for half in HALVES:
            names = [name for name in ours.index if half == "all" or (name in CHOSE[place]) == (half == "chose")]
            if not names or (half == "all" and not CHOSE[place]):
                continue
            half = half if CHOSE[place] else "untouched"
            row = {"set": place, "protocol": folder.name, "subjects": f"{half} ({len(names)})", "rival": rival}
            seeds = {"seeds": f"{n_ours} / {n_theirs}"}
            rows.append({**row, **seeds, **_compared(ours[names], theirs.reindex(names))})
            print(rows[-1], flush=True)
    return rows


def _by_subject(folder: Path) -> tuple[pd.Series, int] | None:
    """Accuracy of each subject in %, mean over seeds, and the number of seeds; None while runs are missing."""
    results = load_results(folder)
    if not results.complete:
        print(f"{folder}: {results.summary['n_done']} of {results.summary['n_expected']} runs, left out", flush=True)
        return None
    return 100 * results.scores.groupby("subject")["test_accuracy"].mean(), results.scores["seed"].nunique()


def _compared(ours: pd.Series, theirs: pd.Series) -> dict:
    difference = (ours - theirs).to_numpy()
    enough = len(difference) > 5 and np.any(difference)    # fewer subjects show nothing
    p = float(np.asarray(wilcoxon(difference))[1]) if enough else np.nan
    return {
        OURS: round(float(ours.mean()), 1), "the_rival": round(float(theirs.mean()), 1),
        "difference": f"{difference.mean():+.1f} ± {difference.std(ddof=1):.1f}",
        "ahead": f"{int((difference > 0).sum())} of {len(difference)}", "p": f"{p:.3f}" if p == p else "",
    }    # fmt: skip
