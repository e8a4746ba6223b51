"""Which training each rival wants, so that none loses by its rate: on the subjects that chose sttransformer's defaults.

``benchmark.py trainers --folder DIR`` trains every network of the comparisons with each of two trainings (``long``:
2000 steps at 1e-3; ``brisk``: at 4e-3) on the sets that are on disk. Networks can be named (``atcnet gru``), and so can
``trainers=long,deep``, ``seeds=2`` and ``sets=mi_openbci``; any other ``key=value`` goes to each training. What DIR
holds already is not trained again; what the committed table has of other networks, sets and trainings stays.
"""

from pathlib import Path

import pandas as pd

from benchmarks.ablation import on_disk, train
from benchmarks.table import markdown, publish
from benchmarks.tasks import check_known, sort_words

OUT, CONFIGS = Path("notebooks/benchmarks"), Path("configs")
SEEDS = 1
MODELS = (
    "eegnet", "shallow_convnet", "deep_convnet", "eeg_tcnet", "eeg_conformer", "atcnet", "ctnet", "basenet", "tcformer",
    "bilstm", "gru", "s3t",
)    # fmt: skip
TRAINERS = ("long", "brisk")
SETS = ("ssvep_exo", "mi_openbci")
CELL = ["set", "model", "trainer", "seeds"]


def measure_trainers(folder: Path, *words: str) -> None:
    """Train what is missing and write ``trainers.csv`` and ``trainers.md``."""
    options = {"seeds": str(SEEDS), "trainers": ",".join(TRAINERS), "sets": ",".join(SETS)}
    names, options, more = sort_words(words, options)
    models = names or list(MODELS)
    trainers, sets, seeds = options["trainers"].split(","), options["sets"].split(","), int(options["seeds"])
    there = sorted(path.stem for path in (CONFIGS / "trainer").glob("*.yaml"))
    for what, asked, known in (("network", models, MODELS), ("training", trainers, there), ("set", sets, SETS)):
        check_known(what, asked, known)
    here = [each for each in sets if f"{each} cross_subject" in on_disk()]
    for model in models:
        for trainer in trainers:
            for name in here:
                settings = " ".join([trainer, *more])
                out = folder / model / f"{settings}_{name}_{seeds}".replace(" ", "_").replace("=", "-")
                typed = f"model={model}", f"trainer={trainer}", f"sweep.seeds={seeds}", *more
                _add(_row(name, model, settings, seeds, train(out, f"{name} cross_subject", *typed)))


def _row(name: str, model: str, trainer: str, seeds: int, scores: pd.DataFrame) -> dict:
    people = 100 * scores.groupby("subject")["test_accuracy"].mean()
    row = {
        "set": name, "model": model, "trainer": trainer, "seeds": seeds, "accuracy": round(float(people.mean()), 1),
        "by_subject": " ".join(f"{each:.0f}" for each in people),
        "seconds_a_run": round(float(scores["seconds"].median()), 1),
    }    # fmt: skip
    print(row, flush=True)
    return row


def _add(row: dict) -> None:
    """The table so far, with one row more or measured anew."""
    table, path = pd.DataFrame([row]), OUT / "trainers.csv"
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(CELL, keep="last")
    table = table.sort_values(CELL, key=_order, kind="stable", ignore_index=True)
    rows = table.pivot_table(index=["model", "trainer", "seeds"], columns="set", values="accuracy", sort=False)
    means = rows.assign(mean=rows.mean(axis=1, skipna=False).round(1)).reset_index()
    lines = [
        "# Which training each rival wants",
        "Mean test accuracy in % on unseen subjects, the last epoch, all training trials (`trainer.validation=0`), on "
        "the subjects that chose the defaults of `sttransformer`: a choice among these numbers is not a result. Made "
        "by `python scripts/benchmark.py trainers --folder DIR`; the trainings: `configs/trainer`.",
        markdown(means),
        "By subject, and how long a run took:",
        markdown(table),
    ]
    publish(table, lines, OUT, "trainers")


def _order(column: pd.Series) -> pd.Series:
    order = {"set": SETS, "model": MODELS}.get(str(column.name))
    return column if order is None else column.map(order.index)
