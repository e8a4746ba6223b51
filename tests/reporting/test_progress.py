import io

import numpy as np
import pandas as pd
from rich.console import Console

from eegdecode.protocols import CrossSession
from eegdecode.reporting.progress import ProgressBar
from eegdecode.runs import Prediction, Run
from eegdecode.sweeps import Sweep, expand


def finished(run: Run, status: str = "done") -> Prediction:
    return Prediction(run, {"test": np.zeros((1, 2), np.float32)}, pd.DataFrame(), 1, 10, 2.5, status=status)


def watch(make_trials, *, terminal: bool) -> str:
    runs = expand(CrossSession()(make_trials().meta, validation=0.0), Sweep(), seed=0)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    names = [run.name() for run in runs]
    verdicts = {names[1]: "stuck"}
    with ProgressBar(dict(zip(names, (1, 3), strict=True)), verdicts=verdicts, n_reused=4, console=console) as bar:
        for run, status in zip(runs, ("done", "failed: loss is nan in epoch 2"), strict=True):
            bar.epoch(run, {"epoch": 1, "train_loss": 0.5, "val_loss": float("nan"), "lr": 1e-3})
            bar.done(finished(run, status))
    return screen.getvalue()


def test_a_log_file_gets_a_line_for_each_run(make_trials):
    lines = watch(make_trials, terminal=False).splitlines()
    assert lines[0] == "4 of 6 runs were finished before and are not trained again"
    assert lines[1].startswith("[1/2] sub-1_ses-s1_fold-0_seed-0  2.5 s  done")
    assert lines[2].endswith("failed: loss is nan in epoch 2")


def test_a_terminal_gets_a_bar_with_loss_rate_and_time(make_trials):
    screen = watch(make_trials, terminal=True)
    for text in ("train 0.500", "lr 1.0e-03", "2/2", "left", "stuck"):
        assert text in screen
    assert "val nan" not in screen
