"""A run folder as it lies on disk: its marker, scores and settings, or in words why it cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from eegdecode.identity import COMPUTING
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import MARKER, PRETRAINING
from eegdecode.reporting.metrics import METRICS
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
    if str(marker.get("facts", {}).get("protocol", "")).startswith("inner_"):
        raise ValueError("a trial of a search: what it calls a test are its validation trials")
    if not marker.get("expected") or not (folder / "scores.csv").exists():
        raise ValueError("no run was written yet, or scores.csv is missing")
    if absent := [name for name in _MARKED if name not in marker]:
        raise ValueError(f"{MARKER} has no {', '.join(absent)}")
    return marker, _scores(folder), read_settings(folder)


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
