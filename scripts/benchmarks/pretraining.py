"""What pretraining on other subjects' unlabelled trials brings: few labelled trials of a subject, all, and the others'.

``benchmark.py pretraining --folder DIR`` pretrains by both tasks on the sets that are on disk, fine-tunes, and trains
the same networks from their own seeds (``scratch``) and from networks that learned other subjects' labels
(``labelled``). What DIR holds already is not trained again. Named can be ``sets=mi_openbci``, ``starts=masked``,
``kinds=few``, ``few=[5,10]``, ``subjects=[1,2,3]``, ``seeds=1`` and ``updates=1000`` (of the pretraining);
``task.target=signal`` and other words with ``task.`` go to the pretraining, any other ``key=value`` to each training.
Runs that are compared have the same seeds and test trials, so that differences are paired.
"""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from benchmarks.table import markdown
from benchmarks.tasks import DOOR

OUT = Path("notebooks/benchmarks")
OPTIONS = {
    "seeds": "3", "sets": "mi_openbci,ssvep_exo", "starts": "masked,forecast,labelled", "kinds": "few,subject,others",
    "few": "", "subjects": "", "updates": "1000",
}    # fmt: skip
TASKS = ("masked", "forecast")    # the other start needs labels
FEW = {"mi_openbci": "[5,10,20]", "ssvep_exo": "[2,5,8]"}    # a class; subjects of two runs have 8 before the last one
SETS = {    # of `ssvep_exo` the twelfth lacks a file; one run of subject 3 is one of subject 7
    "mi_openbci": ["dataset=mi_openbci"],
    "ssvep_exo": ["dataset=ssvep_exo", "dataset.subjects=[1,2,3,4,5,6,7,8,9,10,11]", "protocol.duplicates=drop"],
}    # fmt: skip
LAST = {"mi_openbci": "cross_session", "ssvep_exo": "cross_run"}    # all earlier trials of a subject -> its last run
STACKED = ["trainer.ensemble=vectorise", "trainer.stack=16"]


def measure_pretraining(folder: Path, *words: str) -> None:
    """Train what is missing and write ``pretraining.csv`` and ``pretraining.md``."""
    pairs = [word.partition("=") for word in words]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise SystemExit(f"no word {', '.join(wrong)}; there are {', '.join(OPTIONS)} and key=value")
    options = OPTIONS | {key: value for key, _, value in pairs if key in OPTIONS}
    more = [word for word, (key, _, _) in zip(words, pairs, strict=True) if key not in OPTIONS]
    of_task, more = ([word for word in more if word.startswith("task.") == wanted] for wanted in (True, False))
    rows = []
    for name in (name for name in options["sets"].split(",") if _on_disk(name)):
        words_of = _words(name, options["subjects"])
        kinds = {
            "few": ["protocol=calibration", f"protocol.trials={options['few'] or FEW[name]}"],
            "subject": [f"protocol={LAST[name]}"], "others": ["protocol=cross_subject"],
        }    # fmt: skip
        found = {}
        for start in ["scratch", *options["starts"].split(",")]:
            here = folder / name / f"{start}_{options['seeds']}_{options['updates']}"
            source = _source(here, words_of, start, options, of_task)
            for kind, protocol in kinds.items():
                itself = (start, kind) == ("labelled", "others")
                if itself or kind not in options["kinds"].split(","):
                    continue
                out = here / kind
                begin = [f"sweep.seeds={options['seeds']}", *([f"model.init_from={source}"] if source else [])]
                settled = [*words_of, *protocol, *STACKED, "trainer.validation=0"]
                scores = _door("train.py", out, *settled, *begin, *more)
                found[start, kind] = scores
                rows += _rows(name, start, kind, scores, found["scratch", kind])
                _write(pd.DataFrame(rows), options, [*of_task, *more])


def _source(here: Path, words_of: list[str], start: str, options: dict[str, str], of_task: list[str]) -> Path | None:
    """The folder of networks to start from, each of which knows no trial of the subject that it is tested on."""
    words = [*words_of, "protocol=cross_subject", f"sweep.seeds={options['seeds']}", "trainer.ensemble=vectorise"]
    out = (here / "source").resolve()
    if start == "scratch":
        return None
    if start in TASKS:
        _door("pretrain.py", out, *words, f"task={start}", f"trainer.updates={options['updates']}", *of_task)
    else:
        _door("train.py", out, *words, "trainer.validation=0")
    return out


def _door(script: str, out: Path, *words: str) -> pd.DataFrame:
    """Run a door as users do; the scores of its runs, if it has any."""
    command = [sys.executable, str(DOOR.parent / script), *words, f"out_dir={out}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    if script == "pretrain.py":
        print("\n".join(done.stdout.splitlines()[-3:]), flush=True)
        return pd.DataFrame()
    return pd.read_csv(out / "scores.csv", dtype={"subject": str})


def _words(name: str, subjects: str) -> list[str]:
    words = [*SETS[name], *([f"dataset.folder={_folder().resolve()}"] if name == "mi_openbci" else [])]
    return [word for word in words if not (subjects and word.startswith("dataset.subjects"))] + (
        [f"dataset.subjects={subjects}"] if subjects else []
    )


def _folder() -> Path:
    return Path(os.environ.get("EEGDECODE_TEST_DATA", "data/raw")) / "mi_openbci"


def _on_disk(name: str) -> bool:
    if name not in SETS:
        raise SystemExit(f"no set {name}; there are {', '.join(SETS)}")
    return _folder().is_dir() if name == "mi_openbci" else "MNE_DATA" in os.environ


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
            "set": name, "labelled": f"all of the {kind}" if number is None else f"{number:.0f} a class",
            "start": start,
            "accuracy": round(float(mine.mean()), 1), "deviation": round(float(mine.std()), 1), "subjects": len(mine),
            "difference": "" if start == "scratch" else f"{difference.mean():+.1f} ± {difference.std():.1f}",
            "ahead": "" if start == "scratch" else f"{int((difference > 0).sum())} of {len(difference)}",
        })    # fmt: skip
        print(rows[-1], flush=True)
    return rows


def _write(table: pd.DataFrame, options: dict[str, str], more: list[str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    order = {kind: i for i, kind in enumerate(dict.fromkeys(table["labelled"]))}
    table = table.assign(place=table["labelled"].map(order)).sort_values(["set", "place"], kind="stable")
    table = table.drop(columns="place")
    table.to_csv(OUT / "pretraining.csv", index=False)
    lines = [
        "# What pretraining on unlabelled trials brings",
        f"`sttransformer`, mean test accuracy in %, {options['seeds']} seed(s), the last epoch, `trainer.validation=0`"
        f"{''.join(f', `{word}`' for word in more)}. *start*: the network's own seed (*scratch*), {options['updates']} "
        "updates of masked patches (*masked*) or of forecasts (*forecast*) on the unlabelled trials of the other "
        "subjects, or a training on their labels (*labelled*). *labelled*: with what it is then trained: the first "
        "trials of each class of the subject under test, or all its trials before its last run (both are tested on "
        "that run), or all labelled trials of the others (tested on all of the subject). *difference*: to *scratch* "
        "with the same seeds and splits, mean and deviation over subjects; *ahead*: in how many subjects. Made by "
        "`python scripts/benchmark.py pretraining --folder DIR`.",
        markdown(table),
    ]
    (OUT / "pretraining.md").write_text("\n\n".join(lines) + "\n")
