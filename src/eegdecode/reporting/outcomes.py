"""What is left of one run on disk: its outcome, one npz a run. Weights are in `checkpoints`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eegdecode.reporting.checkpoints import file_name
from eegdecode.reporting.disk import write_whole
from eegdecode.reporting.metrics import all_answered
from eegdecode.runs import Prediction, Run

ANSWERED = ("val", "test")    # parts of a split whose trials a run gives logits for


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
    return {part: (len(getattr(run.split, part)), n_classes) for part in ANSWERED}


def _floats(logits: np.ndarray) -> np.ndarray:
    """At least single precision; doubles (of classical pipelines) stay doubles, so their scores are exact."""
    return np.asarray(logits, np.result_type(logits, np.float32))


def outcome_of(prediction: Prediction, *, key: str, n_classes: int, folder: str) -> Outcome:
    """What is kept of a prediction; one that is called done but holds NaN or an infinite logit has failed."""
    run, status = prediction.run, prediction.status
    logits = {part: _floats(prediction.logits[part]) for part in ANSWERED}
    if status == "done" and not all(all_answered(array) for array in logits.values()):
        status = "failed: the logits hold NaN or infinity"
    shapes = {part: logits[part].shape for part in ANSWERED}
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
    arrays = {f"logits_{part}": outcome.logits[part] for part in ANSWERED}
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
            logits = {part: packed[f"logits_{part}"] for part in ANSWERED}
            outcome = Outcome(logits=logits, history=packed["history"], **header)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    if outcome.key != path.stem:
        raise DamagedError(f"{path} holds another run ({outcome.key})")
    return outcome
