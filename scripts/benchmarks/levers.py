"""What each lever against over-fitting brings: one at a time, on the subjects that chose the defaults.

``benchmark.py levers --folder DIR`` trains both networks with and without each lever on the sets that are on disk, five
seeds each, and adds what it measures to the committed table, whose rows stay if `off` still scores what it did. Levers
can be named (``mixup sam``), and so can ``seeds=2``, ``models=eegnet``, ``sets=mi_openbci``; any other ``key=value``
goes to each training. What DIR holds already is not trained again. The runs with and without a lever have the same
seeds and splits, so that differences are paired.
"""

from pathlib import Path

import pandas as pd

from benchmarks.ablation import STACKED, on_disk, train
from benchmarks.table import markdown, publish, with_earlier
from benchmarks.tasks import check_known, sort_words

OUT = Path("notebooks/benchmarks")
SEEDS = 5
MODELS = ("sttransformer", "eegnet")
SETS = ("ssvep_exo", "mi_openbci")    # without classes left and right: `symmetry` has no place here
LEVERS = {
    "off": [],
    "decay_0": ["trainer.weight_decay=0"], "decay_0.1": ["trainer.weight_decay=0.1"],
    "decay_norms": ["trainer.weight_decay=0.1", "trainer.decay_norms=true"],
    "drop_0.25": ["model.drop=0.25"], "drop_0.5": ["model.drop=0.5"], "drop_0.7": ["model.drop=0.7"],
    "drop_tokens": ["model.drop_tokens=0.2"], "label_smoothing": ["trainer.label_smoothing=0.1"],
    "label_smoothing_0": ["trainer.label_smoothing=0"],
    "mixup": ["trainer.mixup=0.2"], "class_weights": ["trainer.class_weights=balanced"],
    "constant": ["trainer.schedule=constant"], "one_cycle": ["trainer.schedule=one_cycle"],
    "plateau": ["trainer.schedule=plateau"], "no_warmup": ["trainer.warmup=0"], "no_clip": ["trainer.clip=null"],
    "ema": ["trainer.average=ema"], "swa": ["trainer.average=swa", "trainer.schedule=constant"],
    "sam": ["trainer.sam=0.05"], "accumulate": ["trainer.accumulate=4"],
    "early_stopping": ["trainer.validation=0.2", "trainer.select=best_val", "trainer.patience=5"],
    **{name: [f"augment={name}"] for name in (
        "snr", "time_shift", "crop", "noise", "amplitude", "channel_dropout", "frequency_shift", "fourier", "time_mask",
    )},
    "recipe": [],    # of each network: see below
}    # fmt: skip
RECIPES = {    # those that cost neither set anything and brought one of them something, together
    "sttransformer": ["trainer.mixup=0.2", "trainer.average=ema", "trainer.schedule=one_cycle"],
    "eegnet": ["trainer.average=swa", "trainer.schedule=constant", "trainer.accumulate=4", "augment=fourier"],
}


def measure_levers(folder: Path, *words: str) -> None:
    """Train what is missing and write ``levers.csv`` and ``levers.md``."""
    options = {"seeds": str(SEEDS), "models": ",".join(MODELS), "sets": ",".join(SETS)}
    names, options, more = sort_words(words, options)
    names = names or list(LEVERS)
    models, sets = options["models"].split(","), options["sets"].split(",")
    for what, asked, known in (("lever", names, LEVERS), ("model", models, MODELS), ("set", sets, SETS)):
        check_known(what, asked, known)
    sets = [each for each in SETS if each in sets and f"{each} cross_subject" in on_disk()]
    rows, found = [], {}
    for name in dict.fromkeys(["off", *names]):
        for place in (f"{each} cross_subject" for each in sets):
            for model in models:
                if (name == "drop_tokens" and model != "sttransformer") or (name == "recipe" and model not in RECIPES):
                    continue
                out = folder / place.replace(" ", "_") / model / f"{name}_{options['seeds']}"
                found[place, model, name] = _measured(out, place, model, name, options["seeds"], *more)
                rows.append(_row(place, model, name, found[place, model, name], found[place, model, "off"]))
                _write(pd.DataFrame(rows), options["seeds"], more)


def _measured(out: Path, place: str, model: str, name: str, seeds: str, *more: str) -> pd.DataFrame:
    """Accuracies in % of each run: test and training, of the last epoch, and the training's seconds."""
    stacked = STACKED if model == "sttransformer" else []
    settings = RECIPES[model] if name == "recipe" else LEVERS[name]
    words = [f"model={model}", *settings, f"sweep.seeds={seeds}", *stacked, *more]
    scores = train(out, place, *words).set_index("key")
    history = pd.read_csv(out / "history.csv").set_index(["key", "epoch"])["train_accuracy"]
    tested = history.loc[list(zip(scores.index, scores["best_epoch"], strict=True))]    # of the weights that are tested
    return pd.DataFrame({
        "subject": scores["subject"], "test": 100 * scores["test_accuracy"],
        "train": 100 * tested.droplevel("epoch"), "seconds": scores["seconds"],
    })    # fmt: skip


def _row(place: str, model: str, name: str, runs: pd.DataFrame, off: pd.DataFrame) -> dict:
    mine, theirs = (each.groupby("subject")[["test", "train", "seconds"]].mean() for each in (runs, off))
    difference = mine["test"] - theirs["test"]
    row = {
        "set": place, "model": model, "lever": name, "accuracy": round(float(mine["test"].mean()), 1),
        "by_subject": " ".join(f"{each:.0f}" for each in mine["test"]),
        "difference": "" if name == "off" else f"{difference.mean():+.1f} ± {difference.std():.1f}",
        "ahead": "" if name == "off" else f"{int((difference > 0).sum())} of {len(difference)}",
        "train": round(float(mine["train"].mean()), 1), "gap": round(float((mine["train"] - mine["test"]).mean()), 1),
        "gap_off": round(float((theirs["train"] - theirs["test"]).mean()), 1),
        "seconds_a_run": round(float(runs["seconds"].median()), 1),
    }    # fmt: skip
    print(row, flush=True)
    return row


def _write(table: pd.DataFrame, seeds: str, more: list[str]) -> None:
    what = {"where": ["set", "model"], "name": "lever", "reference": "off", "score": "by_subject"}
    table = with_earlier(table, OUT / "levers.csv", **what)
    table = table.sort_values(["set", "model", "lever"], key=lambda names: names.map(_order), kind="stable")
    lines = [
        "# What each lever against over-fitting brings",
        f"Mean test accuracy in %, {seeds} seed(s), the last epoch, all training trials (`trainer.validation=0`; "
        "but *early stopping*)"
        f"{''.join(f', `{word}`' for word in more)}, on the subjects that chose the defaults: a choice among these "
        "numbers is not a result. *off*: the network's defaults; each lever alone is put on them. *difference*: to "
        "*off* with the same seeds and splits, mean and deviation over subjects; *ahead*: in how many subjects. "
        "*train*: accuracy on real training trials in evaluation mode; *gap*: that minus the test accuracy, and "
        "without the lever. Made by `python scripts/benchmark.py levers --folder DIR`; what each name stands for: "
        "`scripts/benchmarks/levers.py`.",
        markdown(table),
    ]
    publish(table, lines, OUT, "levers")


def _order(name: str) -> int:
    return [*SETS, *MODELS, *LEVERS].index(name.split()[0])
