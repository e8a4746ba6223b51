"""Checkpoints: the weights of a network and of its front end (safetensors), and what they are (JSON). No pickle."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from eegdecode.reporting.disk import make_folder, read_json, write_json, write_whole
from eegdecode.runs import Prediction

WEIGHTS, ABOUT = ".safetensors", ".json"
_MARK = 5    # bytes of a trial's mark: of 10,000 trials and 10,000 others, one pair in 10,000 such sets is alike
_LONGEST_NAME = 150    # characters; file systems take 255 bytes with suffix and temporary name


def file_name(run_name: str, key: str) -> str:
    """A run's name as a file name: no odd characters, not too long, and marked by its key.

    Runs of two settings in one folder have the same name; their keys keep both checkpoints.
    """
    name = re.sub(r"[^\w.+=-]", "-", run_name)
    return f"{name[:_LONGEST_NAME - 9]}_{key[:8]}"


def write_checkpoint(
    folder: Path, name: str, weights: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Write ``name.safetensors`` and ``name.json``; ``about["key"]`` stands in both."""
    make_folder(folder)
    arrays = {key: np.asarray(value, order="C") for key, value in weights.items()}    # keeps the shape ()
    packed = save(arrays, metadata={"key": about["key"]})
    write_whole(folder / f"{name}{WEIGHTS}", lambda file: file.write(packed))
    write_json(folder / f"{name}{ABOUT}", about)


def checkpoint_belongs(folder: Path, name: str, key: str) -> bool:
    """Whether a checkpoint's two files are there, whole, and of this key, not of another setting."""
    try:
        with safe_open(folder / f"{name}{WEIGHTS}", framework="numpy") as file:
            marked = (file.metadata() or {}).get("key")
    except (OSError, SafetensorError):
        return False
    return marked == key == read_json(folder / f"{name}{ABOUT}").get("key")


def describe_run(
    prediction: Prediction, key: str, *, meta: pd.DataFrame, classes: Sequence[str], facts: Mapping[str, Any],
    prepared: Mapping[str, Any],
) -> dict[str, Any]:    # fmt: skip
    """Tell what a run's checkpoint is.

    Parameters
    ----------
    meta : DataFrame
        The table of trials that the split points into.
    prepared : mapping
        The settings of the preprocessing.
    """
    run = prediction.run
    pool = meta.iloc[np.concatenate([run.split.train, run.split.val])]
    return {
        "key": key,
        "run": run.name(),
        "seed": run.seed,
        "model": dict(prediction.model),
        "classes": list(classes),
        "best_epoch": prediction.best_epoch,
        "numbers": dict(run.numbers),
        "preprocess": dict(prepared),
        "facts": dict(facts),
        "trained_on": {what: "".join(marks) for what, marks in _marks(pool, prediction.model.get("dataset")).items()},
    }


def known_trials(about: Mapping[str, Any], meta: pd.DataFrame, *, dataset: str) -> Bool[np.ndarray, " trial"]:
    """Which trials a checkpoint was trained or validated on: of the same data set and name, or the same samples."""
    known = np.zeros(len(meta), bool)
    for what, marks in _marks(meta, dataset).items():
        text = about.get("trained_on", {}).get(what, "")
        seen = {text[i : i + 2 * _MARK] for i in range(0, len(text), 2 * _MARK)}
        known |= np.array([mark in seen for mark in marks], bool)
    return known


def _marks(meta: pd.DataFrame, dataset: str | None) -> dict[str, list[str]]:
    """A short digest of each trial by its name and, where they are known, by its samples."""
    texts = {"names": [f"{dataset} {name}" for name in meta["trial"]], "signals": meta.get("signal", [])}
    return {
        what: [hashlib.blake2b(str(text).encode(), digest_size=_MARK).hexdigest() for text in own]
        for what, own in texts.items()
    }


def read_checkpoint(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint back; runs no code of the file's.

    Parameters
    ----------
    path : path
        ``NAME.safetensors``, its ``NAME.json``, or ``NAME`` alone, below a run folder's ``checkpoints/``.

    Returns
    -------
    weights : dict of str to ndarray
        Parameters and buffers of the network by their names, and the fitted front end (``frontend.*``).
    about : dict
        ``model`` (``network``: its description, ``sizes``: its arguments besides, ``frontend``: that of the front end,
        ``ch_names``, ``tmin``, ``classes``, ``groups``), and what `describe_run` tells. An ensemble has ``members``.

    Raises
    ------
    FileNotFoundError
        If one of the two files is absent.
    ValueError
        If one is cut off, or none of ours, or they are not of one training.
    """
    weights, note = _files(Path(path))
    try:
        with safe_open(weights, framework="numpy") as file:
            marked = (file.metadata() or {}).get("key")
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{weights} is no whole safetensors file ({error}); train its run again (the same command, without the "
            "file) or copy it again"
        ) from error
    about = read_json(note)
    parts = about.get("model")
    if marked is None or not isinstance(parts, dict) or "key" not in about:
        foreign = weights if marked is None else note
        raise ValueError(f"{foreign} was not written by eegdecode, or is cut off: it lacks the key or the model")
    if marked != about["key"]:
        raise ValueError(
            f"{weights.name} ({marked[:8]}) and {note.name} ({str(about['key'])[:8]}) are not of one training; "
            "copy both files of one checkpoint"
        )
    return load_file(weights), about


def _files(path: Path) -> tuple[Path, Path]:
    """Both files of a checkpoint, which are there."""
    name = path.name.removesuffix(WEIGHTS).removesuffix(ABOUT)
    if path.is_dir():
        found = sorted([*path.glob(f"*{WEIGHTS}"), *path.glob(f"checkpoints/*{WEIGHTS}")])
        if not found:
            raise ValueError(f"{path} holds no checkpoint; networks have them, classical pipelines do not")
        raise ValueError(f"{path} is a folder; name one of its {len(found)} checkpoints, e.g. {found[0]}")
    files = path.with_name(name + WEIGHTS), path.with_name(name + ABOUT)
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there; a checkpoint is two files, {WEIGHTS} and {ABOUT}")
    return files
