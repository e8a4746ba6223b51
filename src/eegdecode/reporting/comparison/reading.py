"""A run folder as it lies on disk: its marker, scores and settings, or in words why it cannot be compared."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from eegdecode.identity import COMPUTING
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import MARKER, PRETRAINING
from eegdecode.reporting.metrics import BOUNDS, METRICS
from eegdecode.reporting.settings import read_settings
from eegdecode.reporting.tables import RUN_COLUMNS, TEXT_COLUMNS, read_scores

_COMPUTING = {f"trainer.{name}" for name in (*COMPUTING, "seeds")}
_MARKED = ("facts", "numbers", "classes", "data_hash", "split_hash")
_NEEDED = (*RUN_COLUMNS, "status", "protocol", "n_train", "n_val", "n_test", "chance",
           *(f"{part}_{metric}" for part in ("test", "val") for metric in METRICS))    # fmt: skip


def read_folder(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    """Marker, scores and flat settings (``trainer.lr``) of a run folder.

    Raises
    ------
    ValueError
        If there are no results, or something is damaged; the message tells what.
    """
    marker = read_json(folder / MARKER)
    if not marker:
        raise ValueError(f"{MARKER} cannot be read; the command that made the folder makes it anew")
    if marker.get("kind") == PRETRAINING:
        raise ValueError("holds a pretraining, which has no test scores")
    facts = marker.get("facts")
    if isinstance(facts, dict) and str(facts.get("protocol", "")).startswith("inner_"):
        raise ValueError("a trial of a search: what it calls a test are its validation trials")
    if not marker.get("expected") or not (folder / "scores.csv").exists():
        raise ValueError("no run was written yet, or scores.csv is missing")
    if absent := [name for name in _MARKED if name not in marker]:
        raise ValueError(f"{MARKER} has no {', '.join(absent)}")
    if wrong := _wrong(marker):
        raise ValueError(f"{MARKER} is damaged: {wrong}")
    scores = _scores(folder)
    if wrong := _unlike(scores, marker):
        raise ValueError(f"scores.csv is damaged: {wrong}")
    return marker, scores, read_settings(folder)


def _wrong(marker: Mapping[str, Any]) -> str:
    """What a marker holds that none writes, or nothing: a report of many folders must not end at one of them."""
    facts, numbers, expected = (marker[name] for name in ("facts", "numbers", "expected"))
    kinds = {"facts": dict, "numbers": list, "classes": list, "data_hash": str, "split_hash": str, "expected": list}
    filled = ("classes", "data_hash", "split_hash")
    odd = [name for name, kind in kinds.items() if not isinstance(marker[name], kind)]
    if odd := [*odd, *(name for name in filled if name not in odd and not marker[name])]:
        return f"{odd[0]} is {marker[odd[0]]!r:.40}"
    begun = facts.get("init_from")
    if isinstance(begun, dict) and begun and "folder" not in begun:
        return "facts.init_from has no folder"
    needed = ["subject", "n", *numbers]
    if not all(isinstance(row, dict) and row.keys() >= set(needed) for row in expected):
        return f"a row of expected is without {', '.join(needed)}"
    return ""


def _unlike(scores: pd.DataFrame, marker: Mapping[str, Any]) -> str:
    """What of the scores cannot be those of the experiment, or nothing: a missing subject must not be averaged away."""
    done, numbers = scores[scores["status"] == "done"], [str(name) for name in marker["numbers"]]
    if absent := [name for name in numbers if name not in scores]:
        return f"it has no column {', '.join(absent)}"
    twice = done[done.duplicated([*RUN_COLUMNS, *numbers])]
    if len(twice):
        return f"the run of subject {twice['subject'].iloc[0]}, fold {twice['fold'].iloc[0]} stands in it twice"
    expected = pd.DataFrame(marker["expected"])
    wanted = expected.groupby(expected["subject"].astype(str))["n"].sum()
    for subject, n in done["subject"].value_counts().items():
        if n > wanted.get(str(subject), 0):
            return f"{n} runs of subject {subject}, of {wanted.get(str(subject), 0)} that the experiment has"
    for metric in METRICS:
        low, high = BOUNDS[metric]
        odd = [x for x in done[f"test_{metric}"].dropna() if not (low <= x <= high and math.isfinite(x))]
        if odd:
            return f"test_{metric} is {odd[0]:g}, not between {low:g} and {high:g}"
    return ""


def find_folders(places: Sequence[Path | str]) -> list[Path]:
    """Run folders at or below each place, also behind links, each once, in the order of their names."""
    found: dict[Path, Path] = {}
    seen: set[Path] = set()    # a link may lead back
    for place in map(Path, places):
        if not place.is_dir():
            raise ValueError(f"{place} is no folder; give run folders or folders that hold them")
        for here, below, files in os.walk(place, followlinks=True):
            real = Path(here).resolve()
            below[:] = [] if real in seen or MARKER in files else sorted(below)    # a run folder holds no other
            seen.add(real)
            if MARKER in files:
                found.setdefault(real, Path(here))
    return list(found.values())


def name_protocol(name: str, around: Mapping[str, Any]) -> str:
    """What a protocol is called among others: splits over sessions by what is tested after which training."""
    test = around.get("protocol.test", "last")
    if name != "cross_session" or test == "last":
        return name
    if test == "each":    # later sessions among those that are trained on
        return "leave_one_session_out"
    if isinstance(test, int):
        return {1: name, 2: "last_two_sessions"}.get(test, f"last_{test}_sessions")
    return f"{name} ({'/'.join(map(str, test))})"


def settings_in(config: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    """Settings of these groups that alter what is learned, each however it was typed."""
    idle = {"model.heads"} if config.get("model.block.kernel") == "off" else set()    # null by now
    left_out = _COMPUTING | idle
    return {k: _plain(v) for k, v in config.items() if k.partition(".")[0] in groups and k not in left_out}


def _plain(value: Any) -> Any:
    """``validation=0`` and ``validation=0.0`` are one."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _scores(folder: Path) -> pd.DataFrame:
    try:
        scores = read_scores(folder)
    except KeyError as error:
        raise ValueError(f"scores.csv has no column {error.args[0]}") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"scores.csv cannot be read ({str(error).splitlines()[0]})") from error
    if absent := [name for name in _NEEDED if name not in scores]:
        raise ValueError(f"scores.csv has no column {', '.join(absent[:3])}")
    odd = [str(name) for name in scores if name not in TEXT_COLUMNS and not is_numeric_dtype(scores[name])]
    if odd and len(scores):
        raise ValueError(f"scores.csv has other things than numbers in {', '.join(odd[:3])}")
    return scores
