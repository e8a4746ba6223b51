"""Checkpoints: the weights of a network and of its front end (safetensors), and what they are (JSON). No pickle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from eegdecode.reporting.disk import make_folder, read_json, write_json, write_whole
from eegdecode.reporting.seen import FIELD, learned_from
from eegdecode.runs import Run

WEIGHTS, ABOUT = ".safetensors", ".json"
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
    run: Run, key: str, *, model: Mapping[str, Any], meta: pd.DataFrame, facts: Mapping[str, Any], **more: Any
) -> dict[str, Any]:    # fmt: skip
    """Tell what a run's checkpoint is, so that others may decode by it, start from it and stand beside it.

    Parameters
    ----------
    model : mapping
        As in `Prediction`.
    meta : DataFrame
        The table of trials that the split points into.
    more
        What else is told, in JSON types.
    """
    return {
        "key": key,
        "run": run.name(),
        "subject": run.split.subject,
        "seed": run.seed,
        "numbers": dict(run.numbers),
        "model": dict(model),
        "facts": dict(facts),
        FIELD: learned_from(run, meta, dataset=str(model.get("dataset"))),
        **({"source": run.source.digest} if run.source else {}),
        **more,
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


def plain_name(path: Path | str) -> str:
    """Name of a checkpoint without that of one of its two files; it may hold points of its own."""
    return Path(path).name.removesuffix(WEIGHTS).removesuffix(ABOUT)


def _files(path: Path) -> tuple[Path, Path]:
    """Both files of a checkpoint, which are there."""
    name = plain_name(path)
    if path.is_dir():
        found = sorted([*path.glob(f"*{WEIGHTS}"), *path.glob(f"checkpoints/*{WEIGHTS}")])
        if not found:
            raise ValueError(f"{path} holds no checkpoint; networks have them, classical pipelines do not")
        raise ValueError(f"{path} is a folder; name one of its {len(found)} checkpoints, e.g. {found[0]}")
    files = path.with_name(name + WEIGHTS), path.with_name(name + ABOUT)
    for file in files:
        if not file.is_file():
            near = sorted(path.parent.glob(f"{escape(name)}?*{WEIGHTS}"))    # its run's name, without the key
            which = f"did you mean {near[0]}?" if near else f"a checkpoint is two files, {WEIGHTS} and {ABOUT}"
            raise FileNotFoundError(f"{file} is not there; {which}")
    return files
