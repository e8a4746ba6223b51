"""``report.md`` of a search: what won, what it is worth on trials that the search never saw, how it was found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from eegdecode.reporting.comparison.pairs import ALPHA, smallest_p
from eegdecode.reporting.disk import write_text
from eegdecode.reporting.markdown import markdown_table
from eegdecode.reporting.searches.tables import (
    NULL,
    SearchFolder,
    digits,
    failed_trials,
    final_scores,
    is_tested,
    only_searched,
    paired,
    read_search_folder,
    short,
    without_score,
)
from eegdecode.reporting.units import unit_of

MOST_ROWS = 10    # of the best trials; all are in trials.csv
_CAPTIONS = {
    "history": "Every trial by its number.",
    "importances": "Share of the score's variance that a setting explains (fANOVA), of those in every trial.",
    "parallel": "A line a finished trial; the best tenth is drawn on top.",
    "front": "Trials by two objectives.",
}


def write_page(folder: Path) -> Path:
    """Draw the figures and write ``report.md``; works half-way through a search, too."""
    from eegdecode.reporting.searches.figures import draw_search  # matplotlib takes half a second to import

    found = read_search_folder(folder)
    text = "\n\n".join(part for part in _parts(found, draw_search(found)) if part) + "\n"
    write_text(found.folder / "report.md", text)
    return found.folder / "report.md"


def _parts(found: SearchFolder, figures: dict[str, Path]) -> Iterator[str]:
    choices, scores = found.about["choices"], final_scores(found)
    yield f"# {found.about['name']}: {choices['model']} on {choices['dataset']}, {choices['protocol']}"
    yield f"**{verdict(found, scores)}**"
    counts = found.counted["state"].value_counts()
    if (left := found.about["n_trials"] - len(found.counted)) > 0:
        yield f"> **Unfinished:** {left} of {found.about['n_trials']} trials are left: `{found.about['command']}`"
    yield "\n".join(f"- {line}" for line in _honesty(found, scores))
    if scores is not None:
        yield "## Winner and default\n\n" + _optimism(found, scores)
        yield "## By subject\n\n" + _subjects(found, scores)
    if len(found.ranked):
        yield "## Settings\n\n" + _settings(found)
        if (found.folder / "best.yaml").exists():
            lines = (found.folder / "best.yaml").read_text().splitlines()
            command = next(line.partition(": ")[2] for line in lines if line.startswith("# Command: "))
            there = f"configs/experiment/{found.about['name']}_best.yaml"
            chose = [] if scores is None else only_searched(found, scores)
            whom = f" It tests those, too, who chose the settings: subjects {', '.join(chose)}, who do not count."
            yield f"As an experiment: `cp -i {found.folder}/best.yaml {there}`, then `{command}`.{whom * bool(chose)}"
    for name, path in figures.items():
        yield f"![{_CAPTIONS[name]}](figures/{path.name})\n\n*{_CAPTIONS[name]}*"
    if len(found.ranked):
        shown = min(MOST_ROWS, len(found.ranked))
        yield f"## The best {shown} of {len(found.ranked)} finished trials\n\n" + _best(found)
    failed = failed_trials(found.folder)
    yield "## Failed trials\n\n" + "\n".join(f"- {line}" for line in failed) if failed else ""
    yield "## How it was searched\n\n" + _how(found, counts)


def verdict(found: SearchFolder, scores: pd.DataFrame | None) -> str:
    """Whether the winner beats the default on trials that the search never saw."""
    if not len(found.ranked):
        return "No trial is finished."
    if scores is None and (why := without_score(found)):
        return f"{why[0].upper()}{why[1:]}: settings at the edge of what can be trained."
    if scores is None:
        return f"Trial {found.ranked.iloc[0]['trial']} is best on validation trials. Nothing was tested yet."
    unit = unit_of(found.about["metric"])
    if not found.final["winner"]["overrides"] or _is_default(found):
        return f"The default won, test {unit.text(scores['default'].mean())}: the search found nothing better."
    d = paired(scores)
    means = f"{unit.text(scores['winner'].mean())} against {unit.text(scores['default'].mean())}"
    interval = f"[{unit.number(d['low'])}, {unit.number(d['high'])}]"
    said = f"{unit.change(d['difference'])}{unit.points} {interval}, ahead in {d['ahead']} and behind in " \
           f"{d['behind']} of {d['n_subjects']} subjects, Wilcoxon p {d['p']:.3g}"    # fmt: skip
    established = "beats" if d["difference"] > 0 else "is WORSE than"
    word = established if d["p_of_mean"] < ALPHA else "is not shown to beat"
    least = smallest_p(d["n_subjects"])
    few = f" {d['n_subjects']} subjects are too few: even if all of them agree, p is {least:.2g}."
    return f"The winner {word} the default on test trials: {means}: {said}." + few * (least >= ALPHA)


def _is_default(found: SearchFolder) -> bool:
    row = found.trials[found.trials["trial"] == found.final["winner"]["trial"]]
    return bool(row["default"].any())


def _honesty(found: SearchFolder, scores: pd.DataFrame | None) -> Iterator[str]:
    begun = [name for name, value in found.about.get("made_with", {}).get("settings", {}).items()
             if name.partition(" ")[0] == "model.init_from" and value]    # fmt: skip
    whose = " of the subjects that it was judged by. The networks that it began with may have learned from others'"
    yield "The search was judged inside the training trials: no trial of it trained on, scored or stored a test trial" \
          f"{whose if begun else ''}."
    if not found.final:
        yield "The winner is tested at the end, once."
        return
    if not is_tested(found):
        yield f"The final test of trial {found.final['winner']['trial']} was begun and is not done: " \
              f"`{found.about['command']}`"    # fmt: skip
        return
    looks, seeds = found.final["looks"], found.final["seeds"]
    named = ", ".join(map(str, seeds))
    yield f"Winner and default were trained anew on all training trials with fresh seeds ({named}), then tested."
    if len(looks) == 1:
        yield "The test trials were looked at once, for one winner."
    else:
        named = ", ".join(str(look["trial"]) for look in looks)
        yield f"The search went on after a test: the test trials were looked at for {len(looks)} winners (trials " \
              f"{named}), which flatters the last."    # fmt: skip
    if scores is not None and only_searched(found, scores):
        yield f"Tested on subjects {', '.join(map(str, scores.index))}, whom the search never saw."
    elif scores is not None:
        yield f"Tested on subjects {', '.join(map(str, scores.index))}."


def _optimism(found: SearchFolder, scores: pd.DataFrame) -> str:
    """Validation against test; the default's gap is what the other trials and splits do, the rest is choosing."""
    trials, unit = found.trials.set_index("trial"), unit_of(found.about["metric"])
    default = found.trials[found.trials["default"] & (found.trials["state"] == "done")]
    held: dict[str, Any] = {"winner": float("nan"), "default": float("nan")}
    if "score" in trials:
        held = {"winner": trials.loc[found.final["winner"]["trial"], "score"], "default": default["score"].mean()}
    tested = {name: scores[name].mean() for name in held}
    rows = [[name, unit.number(held[name]), unit.number(tested[name]), unit.change(held[name] - tested[name])]
            for name in held]    # fmt: skip
    columns = ["", unit.head(f"validation {found.about['metric']}"), unit.head("test"),
               unit.change_head("optimism (validation - test)")]    # fmt: skip
    table = markdown_table(columns, rows)
    return table + (
        "\n\nThe winner was chosen by its validation score, so that this score flatters it. The default was not, "
        "its gap shows how much easier or harder the test itself is (other trials, more to learn from, other seeds)."
    )


def _subjects(found: SearchFolder, scores: pd.DataFrame) -> str:
    unit = unit_of(found.about["metric"])
    rows = [[subject, *map(unit.number, (row["winner"], row["default"])), unit.change(row["winner"] - row["default"])]
            for subject, row in scores.iterrows()]    # fmt: skip
    heads = (*map(unit.head, ("winner, test", "default, test")), unit.change_head("difference"))
    return markdown_table(["subject", *heads], rows)


def _settings(found: SearchFolder) -> str:
    trials = found.trials.set_index("trial")
    number = found.final["winner"]["trial"] if found.final else found.ranked.iloc[0]["trial"]
    default = trials[trials["default"]]
    rows = []
    for path, words in found.about["space"].items():
        usual = short(default.iloc[0][path]) if len(default) else "?"
        rows.append([f"`{path}`", short(trials.loc[number, path]), usual, _words(words)])
    return markdown_table(["setting", f"trial {number}", "default", "searched"], rows)


def _words(words: dict[str, Any]) -> str:
    if "choice" in words:
        text = ", ".join(NULL if choice is None else str(choice) for choice in words["choice"])
    else:
        low, high = words.get("float") or words["int"]
        step = f", step {words['step']:g}" if words["step"] else ""
        text = f"{low:g} to {high:g}" + (", log" if words["log"] else "") + step
    when = " and ".join(f"{path} is {' or '.join(map(str, values))}" for path, values in words["when"].items())
    return text + (f", when {when}" if when else "")


def _best(found: SearchFolder) -> str:
    paths, names = list(found.about["space"]), list(found.about["objectives"])
    rows = [[row["trial"], *(digits(row[name], 4) for name in names), *(short(row[path]) for path in paths)]
            for row in found.ranked.head(MOST_ROWS).to_dict("records")]    # fmt: skip
    table = markdown_table(["trial", *names, *(f"`{path}`" for path in paths)], rows)
    if len(names) == 1:
        return table
    front = ", ".join(map(str, found.front["trial"]))
    return f"{table}\n\nBeaten by no other one in all objectives: trials {front}. The winner is the best by " \
           f"{found.objective}."    # fmt: skip


def _how(found: SearchFolder, counts: pd.Series) -> str:
    took, trained = found.trials["took"].sum(), found.ranked["training"].sum()
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    turns = [", then ".join(found.about.get(f"{name}s") or [found.about[name]]) for name in ("sampler", "pruner")]
    lines = [
        f"trials: {states}; sampler {turns[0]}, pruner {turns[1]}",
        f"objectives: {', '.join(f'{name} ({way})' for name, way in found.about['objectives'].items())}",
        f"all trials took {took:.0f} s; the runs of the finished ones trained for {trained:.0f} s, added up "
        "(side by side, or before in another experiment)",
        f"command: `{found.about['command']}`",
        "`trials.csv` has a row a trial, `trials/` the runs of each: what is called test there is validation",
    ]
    return "\n".join(f"- {line}" for line in lines)
