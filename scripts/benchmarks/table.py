"""The engine's table: CSV, Markdown and figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def write_table(table: pd.DataFrame, limits: Mapping[str, Any], runs: Mapping[str, Any], folder: Path) -> None:
    """Write ``engine.csv``, ``engine.md`` and ``engine.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "engine.csv", index=False)
    lines = [
        "# The engine",
        f"Machine: {limits['processor']}; a copy moves {limits['gigabytes_s']} GB/s, a matrix product does "
        f"{limits['gigaflops']} GFLOP/s with {limits['threads']} threads; torch {limits['torch']}. "
        "Made by `python scripts/benchmark.py engine`.",
        "One training epoch of 288 trials of 1000 samples, batches of 64 (of ours: 58, equal ones). Each form in "
        "processes of its own, in turn; medians, the first epoch not counted. *times ours*: how many times as long as "
        "our form, median over rounds. *times floor*: how many times as long as the operations and bytes need that no "
        "program can spare (`scripts/benchmarks/floors.py`).",
        markdown(table),
        f"Whole experiments: {runs['n_runs']} runs of EEGNet (6 subjects, 5 seeds, {runs['epochs']} epochs, 230 "
        f"training trials of (22, 1000), validation and test included) by `train.py`, its start included: "
        f"**{runs['ours_an_hour']} runs/h**, mean accuracy {runs['accuracy_ours']}.",
    ]
    if runs["ratio"] is not None:
        lines[-1] += (
            f" A loop over braindecode's `EEGClassifier` ({runs['peer_runs']} of these runs): "
            f"{runs['peer_an_hour']} runs/h, mean accuracy {runs['accuracy_peer']}. "
            f"Ratio **{runs['ratio']}** (goal: 8)."
        )
    lines.append("![Time of a training epoch, in multiples of ours](engine.png)")
    (folder / "engine.md").write_text("\n\n".join(lines) + "\n")
    _draw(table, folder / "engine.png")


def publish(table: pd.DataFrame, lines: list[str], folder: Path, name: str) -> None:
    """Write ``NAME.csv`` and ``NAME.md``, of whose paragraphs one is the table; what people said below it stays."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False)
    text = folder / f"{name}.md"
    _, heading, said = (text.read_text() if text.exists() else "").partition("\n## ")
    text.write_text("\n\n".join(lines) + "\n" + heading + said)


def markdown(table: pd.DataFrame) -> str:
    """A table of Markdown; gaps are empty."""
    shown = table.astype(object).where(table.notna(), "")
    rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("_", " ") for cell in row) + " |" for row in rows)


def _draw(table: pd.DataFrame, path: Path) -> None:
    import matplotlib.pyplot as plt  # here, so that the start is measured without it

    figure, axes = plt.subplots(figsize=(7, 0.5 * len(table) + 1.2), layout="constrained")
    names = [f"{row.network}, {row.form}" for row in table.itertuples()]
    colours = ["#0072b2" if form == "ours" else "#999999" for form in table["form"]]
    bars = axes.barh(names, table["ms_an_epoch"], color=colours)
    axes.bar_label(bars, [f"{ms:.0f} ms" for ms in table["ms_an_epoch"]], padding=3)
    if "floor_ms" in table:
        axes.scatter(table["floor_ms"], names, marker="|", s=200, color="#d55e00", zorder=3, label="floor")
        axes.legend(frameon=False, loc="lower right")
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="one training epoch of 288 trials (ms, logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def with_earlier(
    table: pd.DataFrame, path: Path, *, where: list[str], name: str, reference: str, score: str
) -> pd.DataFrame:    # fmt: skip
    """Add the rows of a committed table whose reference scores the same: those of another one compare with nothing.

    Parameters
    ----------
    where, name : str
        Columns that say which reference a row belongs to, and what is compared with it.
    """
    if not path.exists():
        return table
    earlier = pd.read_csv(path, keep_default_na=False)
    before, now = (each[each[name] == reference].set_index(where)[score].to_dict() for each in (earlier, table))
    places = earlier.set_index(where).index
    kept = earlier[[place not in now or before.get(place) == now[place] for place in places]]
    return pd.concat([kept, table], ignore_index=True).drop_duplicates([*where, name], keep="last", ignore_index=True)
