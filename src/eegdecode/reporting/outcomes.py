"""What is left of one run on disk: its outcome (one npz a run) and its checkpoint (safetensors and JSON)."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from eegdecode.reporting.disk import make_folder, read_json, write_json, write_whole
from eegdecode.runs import Prediction, Run

PARTS = ("val", "test")
_LONGEST_NAME = 150    # characters; file systems take 255 bytes with suffix and temporary name


class DamagedError(ValueError):
    """A file that exists but cannot be trusted."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run without its split and its weights: the order of the logits is that of the split under this key.

    Attributes
    ----------
    history : ndarray, shape (n_epochs, len(columns))
        The history of the training, one row an epoch.
    checkpoint : str
        File name below ``checkpoints/`` without suffix; empty where the run has no weights.
    folder : str
        The run folder that trained it.
    """

    key: str
    logits: Mapping[str, np.ndarray]
    history: np.ndarray
    columns: tuple[str, ...]
    best_epoch: int
    n_params: int
    seconds: float
    status: str
    checkpoint: str
    costs: Mapping[str, float] = field(default_factory=dict)    # files of before there were any lack these three
    chosen: str = ""
    folder: str = ""

    @property
    def done(self) -> bool:
        return self.status == "done"


_HEADER = (
    "key", "columns", "best_epoch", "n_params", "seconds", "status", "checkpoint", "costs", "chosen", "folder",
)    # fmt: skip


def shapes_of(run: Run, n_classes: int) -> dict[str, tuple[int, int]]:
    """Shape of a run's logits by part."""
    return {part: (len(getattr(run.split, part)), n_classes) for part in PARTS}


def _floats(logits: np.ndarray) -> np.ndarray:
    """At least single precision; doubles (of classical pipelines) stay doubles, so their scores are exact."""
    return np.asarray(logits, np.result_type(logits, np.float32))


def outcome_of(prediction: Prediction, *, key: str, n_classes: int, folder: str) -> Outcome:
    """What is kept of a prediction; one that is called done but holds NaN has failed."""
    run, status = prediction.run, prediction.status
    logits = {part: _floats(prediction.logits[part]) for part in PARTS}
    if status == "done" and any(np.isnan(array).any() for array in logits.values()):
        status = "failed: the logits hold NaN"
    shapes = {part: logits[part].shape for part in PARTS}
    if status == "done" and shapes != shapes_of(run, n_classes):
        raise ValueError(f"{run.name()}: logits have shapes {shapes}, expected {shapes_of(run, n_classes)}")
    history = prediction.history
    return Outcome(
        key=key,
        logits=logits,
        history=history.to_numpy(np.float64),
        columns=tuple(map(str, history.columns)),
        best_epoch=int(prediction.best_epoch),
        n_params=int(prediction.n_params),
        seconds=float(prediction.seconds),
        status=status,
        costs={name: float(value) for name, value in prediction.costs.items()},
        chosen=prediction.chosen,
        folder=folder,
        checkpoint=file_name(run.name(), key) if prediction.weights and status == "done" else "",
    )


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Write one outcome whole: arrays, and a JSON header as bytes. No pickle."""
    header = json.dumps({name: getattr(outcome, name) for name in _HEADER}).encode()
    arrays = {f"logits_{part}": outcome.logits[part] for part in PARTS}
    packed = {"header": np.frombuffer(header, np.uint8), "history": outcome.history, **arrays}
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **packed))


def read_outcome(path: Path) -> Outcome:
    """Read one outcome back.

    Raises
    ------
    DamagedError
        If the file is cut off, altered (each array carries a checksum), or belongs to another key.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as packed:
            header = json.loads(packed["header"].tobytes())
            header["columns"] = tuple(header["columns"])
            logits = {part: packed[f"logits_{part}"] for part in PARTS}
            outcome = Outcome(logits=logits, history=packed["history"], **header)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    if outcome.key != path.stem:
        raise DamagedError(f"{path} holds another run ({outcome.key})")
    return outcome


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
    arrays = {key: np.ascontiguousarray(value) for key, value in weights.items()}
    packed = save(arrays, metadata={"key": about["key"]})
    write_whole(folder / f"{name}.safetensors", lambda file: file.write(packed))
    write_json(folder / f"{name}.json", about)


def checkpoint_belongs(folder: Path, name: str, key: str) -> bool:
    """Whether a checkpoint's two files are there, whole, and of this key, not of another setting."""
    try:
        with safe_open(folder / f"{name}.safetensors", framework="numpy") as file:
            marked = (file.metadata() or {}).get("key")
    except (OSError, SafetensorError):
        return False
    return marked == key == read_json(folder / f"{name}.json").get("key")


def load_checkpoint(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights and description of a network from a run folder's ``checkpoints/``; runs no code of the file's.

    Raises
    ------
    ValueError
        If one of the two files is absent or damaged, or they are not of one training.
    """
    about = read_json(folder / f"{name}.json")
    if not about or not checkpoint_belongs(folder, name, about.get("key", "")):
        raise ValueError(f"no whole checkpoint {name!r} below {folder}; train the run again to write it anew")
    return load_file(folder / f"{name}.safetensors"), about
