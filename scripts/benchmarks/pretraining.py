"""What pretraining on other subjects' unlabelled trials brings: few labelled trials of a subject, all, and the others'.

``benchmark.py pretraining --folder DIR`` pretrains by both tasks on the sets that are on disk, fine-tunes, and trains
the same networks from their own seeds (``scratch``) and from networks that learned other subjects' labels
(``labelled``). What DIR holds already is not trained again. Named can be ``sets=mi_openbci``, ``starts=masked``,
``kinds=few``, ``few=[5,10]``, ``subjects=[1,2,3]``, ``seeds=1`` and ``updates=1000`` (of the pretraining);
``task.target=signal`` and other words with ``task.`` go to the pretraining, any other ``key=value`` to each training.
Runs that are compared have the same seeds and test trials, so that differences are paired.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ablation import STACKED, on_disk, typed, where
from benchmarks.table import markdown, publish
from benchmarks.tasks import check_known, run_door
from benchmarks.transfer import SETS

OUT = Path("notebooks/benchmarks")
TASKS = ("masked", "forecast")
STARTS = (*TASKS, "labelled")
KINDS = {    # of trials that it learns from
    "few": "the first trials of each class of the subject under test, tested on its last run",
    "subject": "all its trials before that run", "others": "all labelled trials of the others, tested on all of it",
}    # fmt: skip
OPTIONS = {
    "seeds": "3", "sets": ",".join(SETS), "starts": ",".join(STARTS), "kinds": ",".join(KINDS),
    "few": "", "subjects": "", "updates": "1000",
}    # fmt: skip
LAST = {"mi_openbci": "cross_session", "ssvep_exo": "cross_run"}    # all earlier trials of a subject -> its last run


def measure_pretraining(folder: Path, *words: str) -> None:
    """Train what is missing and write ``pretraining.csv`` and ``pretraining.md``."""
    pairs = [word.partition("=") for word in words]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise SystemExit(f"no word {', '.join(wrong)}; there are {', '.join(OPTIONS)} and key=value")
    options = OPTIONS | {key: value for key, _, value in pairs if key in OPTIONS}
    more = [word for word, (key, _, _) in zip(words, pairs, strict=True) if key not in OPTIONS]
    of_task, more = ([word for word in more if word.startswith("task.") == wanted] for wanted in (True, False))
    sets, starts, kinds = (options[key].split(",") for key in ("sets", "starts", "kinds"))
    for what, asked, known in (("set", sets, SETS), ("start", starts, STARTS), ("kind", kinds, KINDS)):
        check_known(what, asked, known)
    here, rows = {place.split()[0] for place in on_disk()}, []
    for name in (name for name in sets if name in here):
        words_of, numbers = _words(name, options["subjects"]), ",".join(map(str, SETS[name][1]))
        protocols = {
            "few": ["protocol=calibration", f"protocol.trials={options['few'] or f'[{numbers}]'}"],
            "subject": [f"protocol={LAST[name]}"], "others": ["protocol=cross_subject"],
        }    # fmt: skip
        found = {}
        for start in ["scratch", *starts]:
            out = folder / name / f"{start}_{options['seeds']}_{options['updates']}"
            source = _source(out / "source", words_of, start, options, of_task)
            begin = [f"sweep.seeds={options['seeds']}", *([f"model.init_from={source}"] if source else [])]
            for kind in kinds:
                if (start, kind) == ("labelled", "others"):    # that is the source itself
                    continue
                found[start, kind] = scores = typed(out / kind, *words_of, *protocols[kind], *STACKED, *begin, *more)
                rows += _rows(name, start, kind, scores, found["scratch", kind])
                _write(pd.DataFrame(rows), options, [*of_task, *more])


def _source(out: Path, words_of: list[str], start: str, options: dict[str, str], of_task: list[str]) -> Path | None:
    """The folder of networks to start from, each of which knows no trial of the subject that it is tested on."""
    if start == "scratch":
        return None
    words = [*words_of, "protocol=cross_subject", f"sweep.seeds={options['seeds']}", *STACKED]
    if start in TASKS:
        learn = [f"task={start}", f"trainer.updates={options['updates']}", *of_task]
        said = run_door("pretrain.py", *words, *learn, f"out_dir={out}")
        print("\n".join(said.splitlines()[-3:]), flush=True)
    else:
        typed(out, *words)
    return out.resolve()


def _words(name: str, subjects: str) -> list[str]:
    words = [*SETS[name][0], *where(name)]
    if not subjects:
        return words
    return [*(word for word in words if not word.startswith("dataset.subjects")), f"dataset.subjects={subjects}"]


def _rows(name: str, start: str, kind: str, scores: pd.DataFrame, scratch: pd.DataFrame) -> list[dict]:
    """A row for each number of labelled trials: accuracy in %, and the difference to ``scratch`` over subjects."""
    numbers = sorted(scores["trials"].unique()) if "trials" in scores else [None]
    rows = []
    for number in numbers:
        mine, theirs = (
            100 * each[each["trials"] == number if number is not None else slice(None)]
            .groupby("subject")["test_accuracy"].mean() for each in (scores, scratch)
        )    # fmt: skip
        difference = mine - theirs
        rows.append({
            "set": name, "learns_from": f"all of the {kind}" if number is None else f"{number:.0f} a class",
            "start": start,
            "accuracy": round(float(mine.mean()), 1), "deviation": round(float(mine.std()), 1), "subjects": len(mine),
            "difference": "" if start == "scratch" else f"{difference.mean():+.1f} ± {difference.std():.1f}",
            "ahead": "" if start == "scratch" else f"{int((difference > 0).sum())} of {len(difference)}",
        })    # fmt: skip
        print(rows[-1], flush=True)
    return rows


def _write(table: pd.DataFrame, options: dict[str, str], more: list[str]) -> None:
    order = list(dict.fromkeys(zip(table["set"], table["learns_from"], strict=True)))    # of each set as they came
    place = [order.index(each) for each in zip(table["set"], table["learns_from"], strict=True)]
    table = table.iloc[np.argsort(place, kind="stable")]
    said = [*(f"{key}={value}" for key, value in options.items() if value != OPTIONS[key]), *more]
    asked = "".join(f" {word}" for word in said)
    lines = [
        "# What pretraining on unlabelled trials brings",
        f"`sttransformer`, mean test accuracy in %, {options['seeds']} seed(s), the last epoch, `trainer.validation=0`"
        f"{''.join(f', `{word}`' for word in more)}. *start*: the network's own seed (*scratch*), {options['updates']} "
        "updates of masked patches (*masked*) or of forecasts (*forecast*) on the unlabelled trials of the other "
        "subjects, or a training on their labels (*labelled*). *learns from*: with what it is then trained: "
        f"{'; '.join(KINDS[kind] for kind in options['kinds'].split(','))}. *difference*: to *scratch* with the same "
        "seeds and splits, mean and deviation over subjects; *ahead*: in how many subjects. Made by "
        f"`python scripts/benchmark.py pretraining --folder DIR{asked}`.",
        markdown(table),
    ]
    publish(table, lines, OUT, "pretraining")
