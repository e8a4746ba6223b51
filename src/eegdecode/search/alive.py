"""Which trials are in somebody's hands: they give signs of life, and their folders are held."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial

from eegdecode.reporting.folders import holder_of

GRACE = 4    # signs of life that are missed before a trial counts as dead


def first_number(trial: FrozenTrial) -> int:
    """Number of the trial that this one repeats, or its own: its folder is named by it."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def folder_of(trial: FrozenTrial) -> Path:
    """Folder of a trial below that of its search."""
    return Path("trials", f"{first_number(trial):04d}")


def still_held(search: Path, trial: FrozenTrial) -> bool:
    """Whether a process that lives works in the folder of a silent trial: it was the storage that did not listen."""
    folder = search / folder_of(trial)
    return folder.is_dir() and bool(holder_of(folder))
