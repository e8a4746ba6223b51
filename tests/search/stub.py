"""A search over an experiment that trains nothing: real trials, protocol, store and report, a trainer of arithmetic."""

import copy
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import eegdecode.experiment
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.simulated import SimulatedDataset
from eegdecode.protocols import CrossSession
from eegdecode.reporting.tracking import NoTracker
from eegdecode.runs import DIVERGED, Prediction
from eegdecode.search.check import Composed
from eegdecode.search.settings import make_search
from eegdecode.sweeps import Sweep
from eegdecode.trials import Signal, Trials, fingerprint

CONFIG = {
    "trainer": {"lr": 1e-3, "depth": 2, "kind": "good", "pause": 0.0, "validation": 0.0}, "augment": {"noise": 0.1},
    "sweep": {"seeds": 1}, "seed": 0, "device": "cpu",
}    # fmt: skip
CHOICES = {"dataset": "toy", "model": "stub", "protocol": "cross_session", "augment": "none"}
SPACE = {
    "trainer.lr": {"float": [1e-4, 1e-1], "log": True},
    "trainer.depth": {"int": [1, 4]},
}
EPOCHS = 4
LEARNED = []    # what every run of this process was trained on, and its protocol
DIARY = "EEGDECODE_DIARY"    # file, if runs are to be noted


@dataclass(frozen=True)
class StubTrainer:
    """Answers right the more often, the nearer its rate is to 0.01."""

    lr: float
    depth: int
    kind: str
    pause: float
    validation: float
    mode: str = "loop"

    def count_epochs(self, n_train):
        return EPOCHS

    def check(self, model, trials, runs, **_):
        """Whatever it is, it is fine."""

    def fit(self, model, trials, stacks, *, on_epoch, **_):
        if self.kind == "crash":
            raise RuntimeError("the kernel died")
        skill = max(0.05, 1 - abs(math.log10(self.lr) + 2) / 2)
        for run in [run for stack in stacks for run in stack]:
            LEARNED.append((trials.meta["trial"].iloc[run.split.train], run.split.protocol))
            if DIARY in os.environ:    # what was trained, by whom
                with Path(os.environ[DIARY]).open("a") as file:
                    file.write(f"{run.name()} {self.lr} {self.depth}\n")
            time.sleep(self.pause)
            rng, history = np.random.default_rng([run.seed, int(run.split.subject)]), []
            for epoch in range(1, EPOCHS + 1):
                row = {"epoch": epoch, "val_accuracy": skill * epoch / EPOCHS, "train_loss": 1.0, "val_loss": 1.0}
                history.append(row)
                on_epoch(run, row)
            logits = {}
            for part in ("val", "test"):
                y = trials.y[getattr(run.split, part)]
                right = rng.random(len(y)) < skill
                answers = np.where(right, y, (y + 1) % len(trials.classes))
                logits[part] = np.eye(len(trials.classes), dtype=np.float32)[answers]
            yield Prediction(
                run=run, logits=logits, history=pd.DataFrame(history), best_epoch=EPOCHS, n_params=10100 * self.depth,
                seconds=0.01 * self.depth, status=f"{DIVERGED} nan" if self.kind == "diverge" else "done",
            )    # fmt: skip


def stub_model(**sizes):
    raise AssertionError("no network is built here")


def toy_trials(n_subjects=3, n_sessions=3, n_trials=24):
    """Trials as the factory of the tests makes them, small."""
    rows = [(f"{s}/{k}/{t}", str(s), f"s{k}", "0", t % 3)
            for s in range(1, n_subjects + 1) for k in range(n_sessions) for t in range(n_trials)]    # fmt: skip
    meta = pd.DataFrame(rows, columns=["trial", "subject", "session", "run", "label"])
    X = np.random.default_rng(0).normal(size=(len(meta), 2, 8)).astype(np.float32)
    marks = {s: fingerprint(X[meta["subject"] == s], meta[meta["subject"] == s]) for s in meta["subject"].unique()}
    return Trials(X, meta, Signal(("A", "B"), 8.0, 0.0, np.full((2, 3), np.nan)), ("a", "b", "c"), "toy", marks)


def compose(overrides, protocol=None):
    """Stand in for Hydra: overrides change the configuration above, what it does not have is refused."""
    config, choices = copy.deepcopy(CONFIG), dict(CHOICES)
    for word in overrides:
        path, _, value = word.partition("=")
        *above, last = path.split(".")
        if path in choices:
            if value not in ("none", "noise", "cross_session"):
                raise ValueError(f"Could not find '{path}/{value}'")
            choices[path] = value
            continue
        node = config
        for part in above:
            node = node[part]
        if last not in node:
            raise ValueError(f"Could not override '{path}'")
        known = node[last]
        node[last] = type(known)(yaml.safe_load(value)) if isinstance(known, float | int) and value[0] != "[" else (
            yaml.safe_load(value))    # fmt: skip

    def build(typed=(), varied=()):
        return {
            "dataset": SimulatedDataset(), "preprocess": Preprocess(), "protocol": protocol or CrossSession(),
            "sweep": Sweep(**config["sweep"]), "frontend": None, "model": partial(stub_model),
            "trainer": StubTrainer(**{"validation": 0.0, **config["trainer"]}), "augment": None, "logger": NoTracker(),
            "seed": config["seed"], "device": "cpu", "out_dir": None,
        }    # fmt: skip

    return Composed(config, choices, yaml.safe_dump(config), build)


def search(folder, space=None, typed=(), **options):
    """A small search in a folder."""
    options = {"n_trials": 6, "pruner": "none", "final_seeds": 2, "heartbeat": 1, "out_dir": str(folder), **options}
    return make_search("toy_search", {"space": space or SPACE}, typed=typed, options=options)


def start(folder, *words, **environment):
    """A worker in a process of its own."""
    script = Path(__file__).parent / "search_slowly.py"
    return subprocess.Popen([sys.executable, str(script), str(folder), *words], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.STDOUT, env={**os.environ, **environment})    # fmt: skip


def without_data(set_attribute):
    """Let experiments have the trials from here, and draw no figures of their runs: others test that."""
    trials = toy_trials()
    set_attribute(eegdecode.experiment, "_shown", lambda results: None)
    set_attribute(eegdecode.experiment, "load_trials", lambda dataset, preprocess: trials)
    return trials
