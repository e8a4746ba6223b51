"""How often the diagnosis is right: its rules on trainings with a fault, on healthy ones, and on curves by formula.

``benchmark.py diagnosis`` trains the suite anew (an hour of one busy core), ``benchmark.py diagnosis stored``
judges the one that is committed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.diagnosis_curves import synthetic_suite
from benchmarks.diagnosis_suite import ACCEPTED, HARM, HEALTHY, SYNTHETIC, judged, read_suite
from benchmarks.table import markdown

OUT = Path("notebooks/benchmarks")
PARTS = {"tune": 0, "confirm": 1, "fresh": 2}    # part of the suite -> seed of its curves by formula


def measure_diagnosis(folder: Path, *words: str) -> None:
    """Write the suite, and ``diagnosis.csv``, ``diagnosis.md`` and ``diagnosis.png``."""
    suite = OUT / "diagnosis_suite.npz"
    if "stored" not in words:
        from benchmarks.diagnosis_faults import train_suite, write_suite  # torch

        write_suite(list(train_suite(words)), suite if not words else folder / "suite.npz")
        suite = suite if not words else folder / "suite.npz"
    trained = judged(read_suite(suite))
    formulas = [judged(synthetic_suite(seed=seed, n=SYNTHETIC)).assign(part=part) for part, seed in PARTS.items()]
    table = pd.concat([trained, *formulas], ignore_index=True)
    OUT.mkdir(parents=True, exist_ok=True)
    table.loc[table["source"] == "formula", ["also", "evidence"]] = ""
    table.to_csv(OUT / "diagnosis.csv", index=False)
    (OUT / "diagnosis.md").write_text("\n\n".join(_lines(table)) + "\n")
    _draw(table, OUT / "diagnosis.png")
    print(markdown(_rates(table[table["counts"]])))


def _lines(table: pd.DataFrame) -> list[str]:
    real = table[table["source"] == "trained"]
    return [
        "# How often the diagnosis is right",
        "Trainings with one fault each, healthy ones, and curves by formula (`scripts/benchmarks/diagnosis_*.py`), "
        "with "
        "the defaults of each network. The thresholds were set on the part *tune* (simulated subjects 1 and 2 of "
        "`dataset.seed=5`, seed 0; curves of seed 0); *confirm* (subjects 3 and 4, seed 1; curves of seed 1), *fresh* "
        "(subjects 5 to 8, seed 2) and *fresh again* (subjects 9 to 12, seed 3) were looked at once. A fault counts as "
        "named if the first verdict is one that was laid down for it (last column of the third table); a healthy run "
        "counts as called sick by any verdict but *learning*, *fits*, *undecided* (too few validation trials) and "
        "*over-confident* (a note). Goals: at most 5 % of the healthy called sick, at least 90 % of the faults named. "
        "A "
        "trained run counts only if its label is true by its test accuracy: a fault that costs less than "
        f"{100 * HARM:.0f} points against the same network, subject and seed without it did no harm (so nearly all of "
        "weight decay 10, and half of the rates x100), and a healthy one must be better than guessing. Made by `python "
        "scripts/benchmark.py diagnosis`, and judged anew by `python scripts/benchmark.py diagnosis stored`.",
        "How the rules came about. They were made on an older suite (200 steps, other people), of whose *fresh* part "
        "71 "
        "of 77 faults were named and 3 of 28 healthy runs called too good to be true, after which that rule was "
        "narrowed. This one has today's defaults (500 steps, smoothed labels for `sttransformer`) and people whom "
        "nobody had looked at. After a look at *tune*, a wild rate (above 0.1) and an odd scale of the input explain "
        "more of what else is wrong. **The first look at *fresh***: 65 of 75 faults named (87 %, less than the goal), "
        "none of 28 healthy runs called sick. Then two rules were changed: a high loss after three epochs or fewer is "
        "*too few steps* whatever is learned by then, and a high loss in evaluation mode is no divergence where "
        "weights "
        "without gradient or the scale explain it. The numbers of *fresh* below are those of the changed rules; the "
        "faults of *fresh again* were trained for them and looked at once.",
        "Runs that count:\n\n" + markdown(_rates(table[table["counts"]])),
        "All runs:\n\n" + markdown(_rates(table)),
        "## Trained runs, first verdicts (all parts)\n\n" + markdown(_matrix(real, accepted=True)),
        "![First verdict of each training](diagnosis.png)",
        "## Curves by formula, first verdicts (all parts)\n\n"
        + markdown(_matrix(table[table["source"] == "formula"], accepted=False)),
    ]


def _rates(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (source, part), own in table.groupby(["source", "part"], sort=False):
        healthy = own["label"] == HEALTHY
        rows.append({
            "source": source, "part": part, "healthy runs": int(healthy.sum()),
            "called sick": _share(~own.loc[healthy, "right"]), "sick runs": int((~healthy).sum()),
            "fault named": _share(own.loc[~healthy, "right"]),
        })    # fmt: skip
    return pd.DataFrame(rows)


def _share(which: pd.Series) -> str:
    return f"{int(which.sum())} of {len(which)} ({100 * which.mean():.0f} %)" if len(which) else ""


def _matrix(table: pd.DataFrame, *, accepted: bool) -> pd.DataFrame:
    """Rows: what is wrong; columns: what was said first, with counts."""
    rows = []
    for label, own in table.groupby("label", sort=False):
        counts = own["verdict"].value_counts()
        said = ", ".join(f"{name} {n}" for name, n in counts.items())
        row: dict[str, Any] = {"fault": label, "runs": len(own), "first verdicts": said}
        row["right"] = _share(own["right"])
        row["right of those that count"] = _share(own.loc[own["counts"], "right"])
        rows.append(row | ({"accepted": ", ".join(ACCEPTED[str(label)])} if accepted else {}))
    return pd.DataFrame(rows)


def _draw(table: pd.DataFrame, path: Path) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    real = table[table["source"] == "trained"]
    counts = pd.crosstab(real["label"], real["verdict"])
    counts = counts.loc[[label for label in ACCEPTED if label in counts.index]]
    order = dict.fromkeys(name for label in counts.index for name in ACCEPTED[label] if name in counts.columns)
    counts = counts[[*order, *(name for name in counts.columns if name not in order)]]
    share = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    figure, ax = plt.subplots(figsize=(1.8 + 0.55 * counts.shape[1], 1.6 + 0.34 * len(counts)), layout="constrained")
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(*share.shape):
        if share[i, j]:
            ink = "white" if share[i, j] > 0.55 else "#222222"
            ax.text(j, i, str(counts.iloc[i, j]), ha="center", va="center", color=ink)
            if counts.columns[j] in ACCEPTED[str(counts.index[i])]:
                ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec="#D55E00", lw=1.2))
    ax.set_xticks(range(counts.shape[1]), counts.columns, rotation=40, ha="right")
    ax.set_yticks(range(len(counts)), counts.index)
    ax.set_title("First verdict of each trained run (framed: accepted)", fontsize=9, loc="left")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)
