"""The story: recordings become trials, trials are split, runs are trained, predictions become scores."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eegdecode.data.preprocess import Preprocess
from eegdecode.data.prepare import load_trials
from eegdecode.data.recording import Dataset
from eegdecode.protocols import Splitter
from eegdecode.reporting.folders import choose_folder, experiment_key
from eegdecode.reporting.progress import ProgressBar
from eegdecode.reporting.report import last_screen, write_report
from eegdecode.reporting.results import Results
from eegdecode.reporting.store import Store
from eegdecode.runs import describe
from eegdecode.sweeps import Sweep, expand, stacks

LIBRARIES = ("eegdecode", "torch", "numpy", "scikit-learn", "pyriemann", "mne", "moabb")


def run_experiment(
    *, dataset: Dataset, preprocess: Preprocess, protocol: Splitter, sweep: Sweep, frontend: Any, model: partial,
    trainer: Any, logger: Any, seed: int, device: str, out_dir: str | None, choices: Mapping[str, str], config: str,
) -> Results:    # fmt: skip
    """Run one experiment from recordings to report.

    Parameters
    ----------
    dataset, preprocess, protocol, sweep, frontend, model, trainer, logger
        The parts, as instantiated from ``configs/``.
    seed : int
        Seed of the first run.
    device : str
        As typed; the trainer has it too.
    out_dir : str or None
        Run folder; None takes ``data/runs/<dataset>/<model>/<time>``.
    choices : mapping
        Group -> what was chosen, names for tables and folders.
    config : str
        The whole configuration as YAML, kept beside the results.
    """
    trials = load_trials(dataset, preprocess)
    splits = protocol(trials.meta, validation=trainer.validation)
    runs = expand(splits, sweep, seed=seed)
    return
