"""Time and memory of one attention layer against the length of the recording, for every kernel."""

import json
import resource
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from benchmarks.table import markdown
from benchmarks.tasks import call

OUT = Path("notebooks/benchmarks")
LENGTHS = [125 * 2**i for i in range(9)]    # 125 ... 32,000 tokens
WIDTH, HEADS = 40, 4
LONGEST, LARGEST = 60.0, 6_000.0    # s of one pass and MB beyond which a kernel is not tried
COLD = 20.0    # s of the first pass beyond which there is no second: the first waits for the pages of its memory
FIT = 4_000    # tokens from which growth is fitted: below it, what does not grow weighs in
EXACT = ("plain softmax", "softmax")
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3c8d"]


def measure_length(folder: Path) -> None:
    """Measure every kernel in a process of its own, and write table and figure."""
    from eegdecode.models.attention import KERNELS

    rows = []
    for name in ("plain softmax", *KERNELS):
        rows += [{"kernel": name, **row} for row in json.loads(call("length-of", folder, name))]
        print(rows[-1], flush=True)
    write(pd.DataFrame(rows), OUT)


def one_kernel(folder: Path, name: str) -> None:
    """Forward and backward of one trial at growing lengths, until it takes too long or too much.

    The peak is that of the process over what it had before the first pass; lengths grow, so that each has its own.
    """
    from eegdecode.training.heap import keep_freed_memory

    keep_freed_memory()    # as in training: a layer shall not wait for pages
    rows, before = [], _peak()
    for n_tokens in LENGTHS:
        step = _layer(name, n_tokens)
        seconds = [_seconds(step)]
        while seconds[0] < COLD and (len(seconds) < 3 or sum(seconds) < 0.5) and sum(seconds[1:]) < COLD / 4:
            seconds.append(_seconds(step))
        row = {"tokens": n_tokens, "ms": round(1000 * min(seconds[1:] or seconds), 2), "mb": round(_peak() - before, 1)}
        rows.append(row)
        growth = 4 if name in (*EXACT, "additive", "sinkhorn") else 2
        if growth * min(seconds) > LONGEST or (name != "softmax" and growth * row["mb"] > LARGEST):
            break
    print(json.dumps(rows))


def _layer(name: str, n_tokens: int):
    """A pass through the layer there and back, without dropout."""
    from eegdecode.models.attention import Attention

    torch.manual_seed(0)
    kernel = "softmax" if name in EXACT else name
    layer = Attention(WIDTH, heads=HEADS, drop=0.0, kernel=kernel, n_tokens=n_tokens).eval()
    if name == "plain softmax":
        layer.kernel = _Plain()
    x = torch.randn(1, n_tokens, WIDTH, requires_grad=True)
    return lambda: layer(x).square().sum().backward()


class _Plain(torch.nn.Module):
    """As it is written: all scores in memory."""

    def forward(self, q, k, v, valid=None):
        return (q @ k.mT).softmax(dim=-1) @ v


def _seconds(what) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000    # MB


def write(table: pd.DataFrame, folder: Path) -> None:
    """Write ``length.csv``, ``length.md`` and ``length.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "length.csv", index=False)
    last = LENGTHS[-1]
    rows = []
    for name in table["kernel"].unique():
        mine = table[table["kernel"] == name].set_index("tokens")
        row = {"kernel": name, "time grows with N^": _growth(mine["ms"]), "memory with N^": _growth(mine["mb"])}
        row |= {f"faster than {other} from": _crossing(table, name, other) for other in reversed(EXACT)}
        row |= {"longest": mine.index[-1]}
        row |= {f"ms at {n:,}": mine["ms"].get(n, "") for n in (1000, last)}
        rows.append(row | {f"MB at {last:,}": mine["mb"].get(last, "")})
    lines = [
        "# Attention against length",
        f"One attention layer ({HEADS} heads, width {WIDTH}), one trial, there and back without dropout, "
        f"{torch.get_num_threads()} thread, torch {torch.__version__}, default budgets. Each kernel in a process of "
        "its own; the fastest pass after the first; memory is the peak over that before the first. Made by "
        "`python scripts/benchmark.py length`.",
        f"*grows with N^*: slope of the logarithms from {FIT:,} tokens on, or over the last three lengths where fewer "
        "were tried. *faster from*: tokens from which on the kernel is faster at every length, interpolated. "
        f"*longest*: the next would have taken over {LONGEST:.0f} s or {LARGEST / 1000:.0f} GB, or was not asked for.",
        markdown(pd.DataFrame(rows)),
        _crossings(rows),
        "*softmax* is ours: the exact result with some queries at a time, so that its time alone grows, with the "
        "square and a little faster where keys and values leave the cache; in training, dropout of the weights takes "
        "a byte a score. The forms that hold all scores grow faster still where these reach gigabytes, whose pages "
        "the system hands out anew in every pass. *sinkhorn* compares all blocks, whose size is fixed here, hence N² "
        "in the end; a size near √N is the best.",
        "![Time and memory against length](length.png)",
    ]
    (folder / "length.md").write_text("\n\n".join(lines) + "\n")
    _draw(table, folder / "length.png")


def _crossings(rows: list[dict]) -> str:
    """In words from which length on each kernel is the faster one."""
    crossed = {row["kernel"]: row["faster than softmax from"] for row in rows if row["kernel"] not in EXACT}
    never = ", ".join(name for name, n in crossed.items() if n == "never")
    faster = ", ".join(f"{name} ({n})" for name, n in crossed.items() if n != "never")
    return f"Full attention is overtaken, from so many tokens on, by {faster}; never by {never or 'none'}."


def _growth(values: pd.Series) -> float:
    """Slope of log value against log length, where values are large enough to be told from noise."""
    values = values[values > 1]
    values = values[values.index >= FIT] if (values.index >= FIT).sum() >= 3 else values.tail(3)
    return round(float(np.polyfit(np.log(values.index), np.log(values), 1)[0]), 2)


def _crossing(table: pd.DataFrame, name: str, other: str) -> str:
    """Length from which on a kernel is faster than another; where the lines of the logarithms cross."""
    mine, theirs = (table[table["kernel"] == kernel].set_index("tokens")["ms"] for kernel in (name, other))
    gap = (mine / theirs).dropna()
    if name == other or gap.iloc[-1] >= 1:
        return "" if name == other else "never"
    slower = gap[gap >= 1]
    if slower.empty:
        return f"{gap.index[0]} or less"
    a, b = slower.index[-1], gap.index[gap.index > slower.index[-1]][0]
    return f"{np.exp(np.interp(0, -np.log([gap[a], gap[b]]), np.log([a, b]))):,.0f}"


def _draw(table: pd.DataFrame, path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharex=True)
    colours = iter(COLOURS)
    for name, mine in table.groupby("kernel", sort=False):
        style = {"plain softmax": ("#000000", ":"), "softmax": ("#000000", "-")}.get(str(name))
        colour, dash = style or (next(colours), "-")
        for axes, column in zip(panels, ("ms", "mb"), strict=True):
            seen = mine[mine[column] > (1 if column == "mb" else 0)]
            axes.plot(seen["tokens"], seen[column], dash, color=colour, marker="o", markersize=3, label=name)
    for axes, label in zip(panels, ("time there and back (ms)", "peak memory (MB)"), strict=True):
        axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=label)
        axes.set_xticks(LENGTHS, [f"{n:,}" if i % 2 == 0 else "" for i, n in enumerate(LENGTHS)], minor=False)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
