"""What tells early how a trial of a search will end: its curves, or its runs that are at their end.

``benchmark.py pruning --folder SEARCH`` reads the trials of a search that were trained to their end and writes the rank
correlation (Spearman) of what is known early with the final score: of the mean validation accuracy of all runs after
a share of their training, and of the mean of the first runs, and of runs drawn at random, at their end.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.table import markdown

OUT = Path("notebooks/benchmarks")
SHARES = tuple(part / 20 for part in range(1, 20))
DRAWS = 50    # of the runs at random


def measure_pruning(folder: Path) -> None:
    """Write ``pruning.md``."""
    ends, curves = [], []
    for path in sorted((folder / "trials").glob("*/scores.csv")):
        scores = pd.read_csv(path).set_index("key")
        if not (path.parent / "summary.json").exists() or not (scores["status"] == "done").all():
            continue    # pruned
        history = pd.read_csv(path.parent / "history.csv")
        history["share"] = history["epoch"] / history.groupby("key")["epoch"].transform("max")
        ends.append(scores["val_accuracy"].to_numpy())
        at = [history[history["share"] <= share + 1e-9].groupby("key")["val_accuracy"].last() for share in SHARES]
        curves.append([each.reindex(scores.index).mean() for each in at])
    n_runs = max(map(len, ends))
    whole = [i for i, end in enumerate(ends) if len(end) == n_runs]
    ends, curves = np.array([ends[i] for i in whole]), np.array([curves[i] for i in whole])
    final, rng = ends.mean(1), np.random.default_rng(0)

    def agrees(early: np.ndarray) -> float:
        return round(float(pd.Series(early).corr(pd.Series(final), method="spearman")), 2)

    rows = [
        {"known": f"all {n_runs} runs after {share:.0%} of their training", "rank correlation": agrees(curves[:, i])}
        for i, share in enumerate(SHARES)
    ]
    for n in range(1, n_runs):
        drawn = [agrees(ends[:, rng.permutation(n_runs)[:n]].mean(1)) for _ in range(DRAWS)]
        known, first = f"the first {n} of {n_runs} runs at their end", agrees(ends[:, :n].mean(1))
        rows.append({"known": known, "rank correlation": first, "runs at random": round(float(np.mean(drawn)), 2)})
    text = f"{len(final)} trials that were trained to their end. {(__doc__ or '').strip()}"
    OUT.mkdir(parents=True, exist_ok=True)
    lines = ["# What tells early how a trial ends", text, markdown(pd.DataFrame(rows).fillna(""))]
    (OUT / "pruning.md").write_text("\n\n".join(lines) + "\n")
