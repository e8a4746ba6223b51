"""The best configuration as a file of ``configs/experiment/``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from eegdecode.reporting.searches.page import verdict
from eegdecode.reporting.searches.tables import SearchFolder, final_scores, only_searched
from eegdecode.reporting.units import unit_of
from eegdecode.search.check import Composed, value_at
from eegdecode.search.settings import NOT_IDENTITY, Search


def best_yaml(composed: Composed, words: Sequence[str], *, search: Search, found: SearchFolder) -> str:
    """Write the overrides of the final test as an experiment, with its claim, its command and its number.

    Groups become entries of the defaults list, settings the values that Hydra gave them; what a file cannot say stays
    in the command.
    """
    groups, settings, typed = [], {}, []
    for word in words:
        path = word.partition("=")[0].lstrip("+~")
        if path in NOT_IDENTITY:    # of this machine
            continue
        if word.startswith("~"):    # no file can take away what another one says
            typed.append(word)
        elif path == "experiment":
            groups.insert(0, composed.choices[path])
        elif path in composed.choices:
            groups.append({f"override /{path}": composed.choices[path]})
        elif isinstance(value := value_at(composed, path), Mapping):    # a file's would be merged, not replace another
            typed.append(word)
        else:
            _put(settings, path, value)
    name = f"{search.name}_best"
    won = found.ranked[found.ranked["trial"] == found.final["winner"]["trial"]].iloc[0]
    head = [
        "# @package _global_",
        f"# Claim: {verdict(found, final_scores(found))}",
        f"# Command: {shlex.join(['python', 'scripts/train.py', f'experiment={name}', *typed])}",
        f"# Time: not measured; its search of {len(found.counted)} trials took {found.trials['took'].sum():.0f} s: "
        f"{found.about['command']}",
        f"# Number: {_number(found, won)}",
        *_whose(found),
    ]
    defaults = yaml.safe_dump({"defaults": [*groups, "_self_"]}, sort_keys=False) + "\n" if groups else ""
    return "\n".join(head) + "\n" + defaults + yaml.safe_dump(settings, sort_keys=False)


def _number(found: SearchFolder, won: Any) -> str:
    scores, metric = final_scores(found), found.about["metric"]
    unit = unit_of(metric)
    held = f"validation {unit.text(won['score'])} in the search" if "score" in won else "chosen by another objective"
    if scores is None:
        return f"{held}; without a score in the test"
    mean, n_seeds = unit.text(scores["winner"].mean()), len(found.final["seeds"])
    names = ", ".join(map(str, scores.index))
    return f"test {metric} {mean}, mean of subjects {names} and {n_seeds} seeds; {held}"


def _whose(found: SearchFolder) -> list[str]:
    """That the experiment tests those, too, who have chosen its settings."""
    scores = final_scores(found)
    chose = [] if scores is None else only_searched(found, scores)
    said = f"#         Subjects {', '.join(chose)}, whom it tests, too, chose the settings and do not count."
    return [said] if chose else []


def _put(settings: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    node = settings
    for part in above:
        node = node.setdefault(part, {})
    node[last] = value
