"""The one test: winner and default are trained anew on all training trials, with fresh seeds, and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eegdecode.experiment import run_experiment
from eegdecode.nested import Final
from eegdecode.reporting.disk import make_folder, read_json, write_json
from eegdecode.reporting.folders import hold, release
from eegdecode.reporting.results import Results
from eegdecode.reporting.searches.tables import only_diverged, ranked
from eegdecode.search.check import Compose
from eegdecode.search.objective import nested_of
from eegdecode.search.settings import Search
from eegdecode.search.space import overrides

APART = 1000    # between the seeds of a search and those of its final test


def winner(table: pd.DataFrame, search: Search) -> Mapping[str, Any] | None:
    """The best of the finished trials, see `ranked`; None without any."""
    best = ranked(table, search.objectives).head(1).to_dict("records")
    return {str(name): value for name, value in best[0].items()} if best else None


def chosen_by(row: Mapping[str, Any], search: Search) -> dict[str, Any]:
    """The values of a row of the table, as they are typed; only those that exist."""
    chosen: dict[str, Any] = {}
    for parameter in search.space:
        if parameter.exists(chosen):
            value = row[parameter.path]
            chosen[parameter.path] = int(value) if parameter.kind == "int" else value
    return chosen


def try_winner(row: Mapping[str, Any], search: Search, compose: Compose) -> bool:
    """Test a winner, and the default beside it; a finished test is not done again.

    False if another worker is at it. Runs that diverge leave their side without a score (`without_score`). Every winner
    that was ever tested is kept in ``final.json``: a search that goes on and finds another one looks at the test trials
    a second time, and the report says so.
    """
    folder = make_folder(search.folder / "final")
    if not hold(folder):
        return False
    try:
        chosen = overrides(chosen_by(row, search))
        about = read_json(search.folder / "final.json")
        looks = [*about.get("looks", [])]
        here = {"trial": int(row["trial"]), "folder": f"final/trial-{int(row['trial']):04d}", "overrides": chosen}
        if here not in looks:
            looks.append(here)
        seeds = fresh_seeds(search, compose)
        found = {"looks": looks, "winner": here, "default": "final/default", "seeds": seeds}
        write_json(search.folder / "final.json", found)    # before the look, which a crash does not undo
        for name, words in (("default", []), (Path(here["folder"]).name, chosen)):
            results = _train(search, compose, words, folder / name, seeds)
            if not results.complete and not only_diverged(results):
                raise RuntimeError(f"{results.folder}: not all runs of the test are done; the same command goes on")
    finally:
        release(folder)
    return True


def fresh_seeds(search: Search, compose: Compose) -> list[int]:
    """Seeds that no trial had."""
    composed = compose(search.fixed)
    seeds, first = composed.config["sweep"]["seeds"], int(composed.config["seed"])
    last = first + int(seeds) - 1 if isinstance(seeds, int) else max(seeds)
    most = getattr(composed.build()["trainer"], "seeds", None)    # of a pipeline that draws nothing
    return list(range(last + APART, last + APART + search.final_seeds))[:most]


def final_overrides(search: Search, compose: Compose, chosen: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Overrides of a final test: nothing is held out, unless validation losses steer the training; pipelines cannot."""
    typed = [word for word in search.fixed if not word.startswith(("sweep.seeds=", "seed=", "trainer.validation="))]
    words = [*typed, *chosen, f"sweep.seeds=[{','.join(map(str, seeds))}]"]
    composed = compose([*search.fixed, *chosen])
    if "validation" not in composed.config["trainer"]:
        return words
    trainer = composed.build()["trainer"]
    return [*words, f"trainer.validation={trainer.validation if getattr(trainer, 'steered', False) else 0.0}"]


def _train(search: Search, compose: Compose, chosen: Sequence[str], folder: Path, seeds: Sequence[int]) -> Results:
    composed = compose(final_overrides(search, compose, chosen, seeds))
    parts = composed.build()
    parts |= {"protocol": Final(nested_of(search, parts["protocol"])), "out_dir": str(folder)}
    return run_experiment(**parts, choices=composed.choices, config=composed.text)
