"""What a network gains from other subjects: score against the number of the target's trials.

``benchmark.py transfer --folder DIR`` trains, for each set that is on disk, networks on all subjects but one, and then
for each left-out subject: from scratch on its first few trials, and from the network of the others, fine-tuned in each
way. Ways can be named (``full keep_head``), and so can ``seeds=2``, ``models=eegnet``, ``sets=ssvep_exo``; any other
``key=value`` goes to each training. What DIR holds already is not trained again. All numbers of trials of a subject
have the same test trials: those of its last run.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmarks.ablation import STACKED, on_disk, typed, where
from benchmarks.table import markdown, publish
from benchmarks.tasks import check_known, sort_words

OUT = Path("notebooks/benchmarks")
SEEDS = 5
SETS = {    # and the target's trials a class; a subject of ssvep_exo has as few as 8 before its last run
    "mi_openbci": (["dataset=mi_openbci"], (5, 10, 20)),
    "ssvep_exo": (["dataset=ssvep_exo", "dataset.subjects=[1,2,3,4,5,6,7,8,9,10,11]", "protocol.duplicates=drop"],
                  (2, 5, 8)),
}    # fmt: skip
MODELS = ("sttransformer", "eegnet")
RATES = {"sttransformer": 3e-4, "eegnet": 4e-4}    # a tenth of that of the first training
WAYS = {
    "full": [], "head": ["trainer.fine_tune=head"], "layerwise": ["trainer.fine_tune=layerwise"],
    "frozen_front": ["trainer.fine_tune=frozen_front"], "keep_head": ["trainer.new_head=false"],
    "gentle": ["trainer.new_head=false", "trainer.lr={rate}"],
    "brief": ["trainer.new_head=false", "trainer.lr={rate}", "trainer.updates=50"],
    "adapted": ["trainer.new_head=false", "trainer.lr={rate}", "trainer.adapt_norms=true"],    # transductive
}    # fmt: skip
MEANING = {
    "full": "all learns, with a new head, at the network's own rate and steps", "head": "the new head alone learns",
    "layerwise": "as full, with rates that fall towards the input", "frozen_front": "as full, but for the first layers",
    "keep_head": "as full, and the head is the source's", "gentle": "that at a tenth of the rate",
    "brief": "that with 50 steps", "adapted": "gentle with the batch norm of the test session (AdaBN, transductive)",
}    # fmt: skip
BATCH_NORM = ("eegnet",)    # networks that have what `adapted` needs
ALONE = "scratch"
Scores = Mapping[int, pd.Series]    # trials a class -> mean accuracy in % of each subject


def measure_transfer(folder: Path, *words: str) -> None:
    """Train what is missing and write ``transfer.csv``, ``transfer.md`` and ``transfer.png``."""
    options = {"seeds": str(SEEDS), "models": "sttransformer", "sets": ",".join(SETS)}
    names, options, more = sort_words(words, options)
    ways = names or list(WAYS)
    models, sets = options["models"].split(","), options["sets"].split(",")
    for what, asked, known in (("way", ways, WAYS), ("model", models, MODELS), ("set", sets, SETS)):
        check_known(what, asked, known)
    here, rows = {place.split()[0] for place in on_disk()}, []
    for place in (place for place in sets if place in here):
        for model in models:
            curves = _curves(folder / place / model, place, model, ways, options["seeds"], more)
            rows += [row for way in curves for row in _rows(place, model, way, curves)]
            _write(pd.DataFrame(rows), options["seeds"], more)


def _curves(folder: Path, place: str, model: str, ways: list[str], seeds: str, more: list[str]) -> dict[str, Scores]:
    """Train what is missing, and return the curve of each way and of scratch."""
    words, numbers = SETS[place]
    stacked = STACKED if model == "sttransformer" else []
    base = [*words, *where(place), f"model={model}", f"sweep.seeds={seeds}", *stacked, *more]
    source = folder / f"source_{seeds}"
    typed(source, "protocol=cross_subject", *base)
    few = ["protocol=calibration", *base]
    found = {ALONE: _by_trials(typed(folder / f"{ALONE}_{seeds}", *few, _trials(*numbers)))}
    for way in ways:
        if way != "adapted" or model in BATCH_NORM:
            how = [word.format(rate=RATES[model]) for word in WAYS[way]]
            words = [*few, _trials(0, *numbers), f"model.init_from={source}", *how]
            found[way] = _by_trials(typed(folder / f"{way}_{seeds}", *words))
    return found


def _trials(*numbers: int) -> str:
    return f"protocol.trials=[{','.join(map(str, numbers))}]"


def _by_trials(scores: pd.DataFrame) -> Scores:
    means = 100 * scores.groupby(["trials", "subject"])["test_accuracy"].mean()
    return {int(n): means[n] for n in sorted(scores["trials"].unique())}


def _rows(place: str, model: str, way: str, curves: Mapping[str, Scores]) -> list[dict]:
    """A row for each number of trials, with paired differences over subjects."""
    zero = next((curve[0] for name, curve in curves.items() if name not in (ALONE, "adapted")), None)
    rows = []
    for n, scores in curves[way].items():
        mean, deviation = round(float(scores.mean()), 1), round(float(scores.std()), 1)
        row = {"set": place, "model": model, "way": way, "trials_a_class": n, "subjects": len(scores)}
        row |= {"accuracy": mean, "deviation": deviation}
        scratch = None if way == ALONE else curves[ALONE].get(n)
        rivals = {"scratch": scratch, "zero_shot": zero if n or way == "adapted" else None}
        for name, other in rivals.items():
            difference = None if other is None else scores - other
            row[f"to_{name}"] = "" if difference is None else f"{difference.mean():+.1f} ± {difference.std():.1f}"
            ahead = None if difference is None else int((difference > 0).sum())
            row[f"ahead_of_{name}"] = "" if ahead is None else f"{ahead} of {len(scores)}"
        rows.append(row)
        print(row, flush=True)
    return rows


def _write(table: pd.DataFrame, seeds: str, more: list[str]) -> None:
    lines = [
        "# What other subjects bring to a new one",
        f"Mean test accuracy in % over subjects, {seeds} seed(s), the last epoch, `trainer.validation=0`"
        f"{''.join(f', `{word}`' for word in more)}, on all subjects, those that chose the defaults among them. A "
        "network is trained on all subjects but one (`protocol=cross_subject`); then it learns from the first few "
        "trials of that one and is tested on its last run (`protocol=calibration`), the same for every number. "
        "*scratch*: on those few trials alone. 0 trials: zero-shot, the network of the others as it is. "
        f"{'; '.join(f'*{way}*: {said}' for way, said in MEANING.items() if way in set(table['way']))}. *to scratch*, "
        "*to zero shot*: paired differences, mean and deviation over subjects; *ahead of*: in how many. Of `ssvep_exo` "
        "a subject has as few as 8 trials a class before its last run, so its curve ends there. Made by "
        "`python scripts/benchmark.py transfer --folder DIR`.",
        _verdict(table),
        markdown(table),
        "![Accuracy against the target's trials](transfer.png)",
    ]
    publish(table, lines, OUT, "transfer")
    _draw(table, OUT / "transfer.png")


def _verdict(table: pd.DataFrame) -> str:
    """Say of each set, network and number which ways beat both others, by the mean."""
    lines = []
    for (place, model), own in table.groupby(["set", "model"], sort=False):
        plain = own[(own["trials_a_class"] == 0) & (own["way"] != "adapted")]["accuracy"]
        zero = float(plain.iloc[0]) if len(plain) else float("nan")
        for n, part in own[own["trials_a_class"] > 0].groupby("trials_a_class"):
            means = part.set_index("way")["accuracy"]
            ahead = [str(way) for way, mean in means.items() if way != ALONE and mean > max(means[ALONE], zero)]
            end = f"ahead of both: {', '.join(ahead)}" if ahead else "no way is ahead of both"
            lines.append(f"- {place}, {model}, {n} trials a class: scratch {means[ALONE]}, zero-shot {zero}; {end}")
    return "\n".join(lines)


def _draw(table: pd.DataFrame, path: Path) -> None:
    import matplotlib.pyplot as plt

    panels = list(table.groupby(["set", "model"], sort=False))
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.6), layout="constrained", squeeze=False)
    colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b"]
    for axis, ((place, model), own) in zip(axes[0], panels, strict=True):
        for way, part in own.groupby("way", sort=False):
            style = {"color": "#777777", "ls": "--"} if way == ALONE else {"color": colours[list(WAYS).index(str(way))]}
            axis.plot(part["trials_a_class"], part["accuracy"], "o-" if way != ALONE else "s", label=str(way), **style)
        axis.set(title=f"{model} on {place}", xlabel="trials of the target, each class", ylabel="test accuracy (%)")
        axis.set_xticks(sorted(own["trials_a_class"].unique()))
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0][0].get_legend_handles_labels(), frameon=False, loc="outside right upper")
    figure.savefig(path, dpi=120)
    plt.close(figure)
