"""Trainings that are sick by construction, and healthy ones: what the rules of the diagnosis are measured on."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import OmegaConf, open_dict
from scipy.signal import butter, sosfiltfilt

from eegdecode.data.prepare import load_trials
from eegdecode.reporting.diagnosis.measures import read_answers
from eegdecode.reporting.diagnosis.remedies import EXPLAINING
from eegdecode.reporting.store import Store
from eegdecode.reporting.tables import HISTORY_COLUMNS, read_history
from eegdecode.runs import Split
from eegdecode.sweeps import Sweep, expand, stacks
from eegdecode.trials import Trials

CONFIGS = Path(__file__).parents[2] / "configs"
SIMULATED = [
    "dataset=simulated", "dataset.seed=5", "dataset.n_subjects=12", "dataset.difficulty=0.35", "dataset.sfreq=100",
    "preprocess.sfreq=100",
]    # fmt: skip
EXO = ["dataset=ssvep_exo", "dataset.subjects=[1,2]", "protocol=within_session", "preprocess.sfreq=128"]
PARTS = {    # subject -> part of the suite, seed
    "1": ("tune", 0), "2": ("tune", 0), "3": ("confirm", 1), "4": ("confirm", 1), **dict.fromkeys("5678", ("fresh", 2)),
    **dict.fromkeys(("9", "10", "11", "12"), ("fresh again", 3)),    # healthy ones alone, see diagnosis.md
}    # fmt: skip
SPOILT = ["dataset.subjects=[1,2,3,4,5,6,7,8]"]
KEPT = (
    "subject", "seed", "n_train", "n_val", "n_test", "chance", "val_accuracy", "test_accuracy", "status",
)    # fmt: skip

Spoil = Callable[[Trials, list[Split], partial], tuple[Trials, list[Split], partial]]


def shuffle_labels(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """Shuffle the labels of training and validation trials; those of test trials stay."""
    label, rng = trials.y.copy(), np.random.default_rng(0)
    for split in splits:
        rows = np.concatenate([split.train, split.val])
        label[rows] = label[rng.permutation(rows)]
    return replace(trials, meta=trials.meta.assign(label=label)), splits, model


def in_volts(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """Signals in V."""
    return replace(trials, X=trials.X * np.float32(1e-6)), splits, model


def filter_test(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """Test sessions without what is below 16 Hz: mu is gone, beta is left."""
    X, sos = np.array(trials.X), butter(4, 16.0, "highpass", fs=trials.signal.sfreq, output="sos")
    for split in splits:
        X[split.test] = sosfiltfilt(sos, X[split.test], axis=-1)
    return replace(trials, X=X), splits, model


def remove_class(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """No training or validation trial of class 1."""
    kept = trials.y != 1
    return trials, [replace(s, train=s.train[kept[s.train]], val=s.val[kept[s.val]]) for s in splits], model


def few_trials(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """16 training trials, four of each class."""
    y = trials.y
    few = [np.concatenate([s.train[y[s.train] == k][:4] for k in range(len(trials.classes))]) for s in splits]
    return trials, [replace(s, train=rows) for s, rows in zip(splits, few, strict=True)], model


def freeze(trials: Trials, splits: list[Split], model: partial) -> tuple[Trials, list[Split], partial]:
    """No gradient passes the first part of the network, as after a stray ``detach``."""
    return trials, splits, partial(build_frozen, model)


def build_frozen(model: partial, **sizes: Any) -> Any:
    """Build the network with what comes before or in its first part cut off."""
    network = model(**sizes)
    if hasattr(network, "bank"):    # EEGNet: its filters over time and channels
        network.bank.register_forward_hook(lambda module, inputs, output: output.detach())
    else:    # the Transformer: what makes the tokens
        network.encoder.register_forward_pre_hook(lambda module, inputs: (inputs[0].detach(), *inputs[1:]))
    return network


BOTH = ("eegnet", "sttransformer")
FAULTS: dict[str, tuple[tuple[str, ...], list[str], Spoil | None]] = {    # name -> networks, overrides, what is spoilt
    "rate x100": (BOTH, [], None),
    "rate /1000": (BOTH, [], None),
    "shuffled labels": (BOTH, [], shuffle_labels),
    "weight decay 10": (BOTH, ["trainer.weight_decay=10"], None),
    "volts": (BOTH, ["frontend=none"], in_volts),
    "dropout .95": (BOTH, ["model.drop=0.95"], None),
    "class removed": (BOTH, [], remove_class),
    "test filtered": (BOTH, [], filter_test),
    "frozen layer": (BOTH, [], freeze),
    "3 epochs": (BOTH, ["trainer.epochs=3"], None),
    "16 trials": (BOTH, [], few_trials),
    "no-op attention": (("s3t",), ["model.official_noop=true", "trainer.epochs=3"], None),
}
RATES = {"rate x100": 100, "rate /1000": 1e-3}    # times the rate that the network brings
HEALTHY = {
    "sttransformer": ["model=sttransformer"], "eegnet": ["model=eegnet"], "csp": ["model=eegnet", "frontend=csp"],
    "shallow": ["model=shallow_convnet"],
    "sttransformer on difficulty 1": ["model=sttransformer", "dataset.difficulty=1", "dataset.n_trials=72"],
    "plain labels": ["model=sttransformer", "trainer.label_smoothing=0", "trainer.schedule=constant"],
    "no validation": ["model=eegnet", "trainer.validation=0"],
}    # fmt: skip


def train_suite(names: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Train all, or the named ones; yield of each run what a diagnosis needs."""
    for fault, (networks, overrides, spoil) in FAULTS.items():
        for network in networks:
            if not names or fault in names:
                yield from _train(fault, network, [*SIMULATED, *SPOILT, f"model={network}", *overrides], spoil)
    for name, overrides in HEALTHY.items():
        if not names or name in names:
            yield from _train("healthy", name, [*SIMULATED, *overrides], None)
    for network in BOTH if "MNE_DATA" in os.environ and (not names or "ssvep" in names) else ():
        yield from _train("healthy", f"{network} on ssvep_exo", [*EXO, f"model={network}"], None)


def _train(label: str, name: str, overrides: list[str], spoil: Spoil | None) -> Iterator[dict[str, Any]]:
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        config = hydra.compose("train", [*overrides, "trainer.workers=1", "device=cpu"])
    with open_dict(config):
        config.model.pop("init_from")    # of runs, not of networks
    config.trainer.lr = RATES.get(label, 1) * config.trainer.lr
    parts = hydra.utils.instantiate(config, _convert_="all")
    trials, model, trainer = load_trials(parts["dataset"], parts["preprocess"]), parts["model"], parts["trainer"]
    splits = parts["protocol"](trials.meta, validation=trainer.validation)
    if spoil:
        trials, splits, model = spoil(trials, splits, model)
    runs = [run for seed in range(4) for run in expand(splits, Sweep(), seed=seed) if _part(run)[1] == seed]
    settings = {name: OmegaConf.select(config, path) for name, path in EXPLAINING.items()}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(
            folder, runs=runs, meta=trials.meta, classes=trials.classes, fingerprints=trials.fingerprints,
            context={}, facts={"dataset": "simulated", "model": name},
        )    # fmt: skip
        logits = {}
        options = {"frontend": parts["frontend"], "on_epoch": lambda run, row: None}
        for each in trainer.fit(model, trials, stacks(runs), **options):
            store.add(each)
            logits[store.keys[each.run.name()]] = (each.logits, trials.y[each.run.split.test], _part(each.run)[0])
        scores, history = store.score().scores, read_history(Path(folder))
    print(f"{label}, {name}: {len(runs)} runs, {time.perf_counter() - began:.1f} s", flush=True)
    for row in scores.to_dict("records"):
        answers = read_answers(logits[row["key"]][0], logits[row["key"]][1])
        own = history.loc[history["key"] == row["key"], list(HISTORY_COLUMNS)]
        yield {
            "label": label, "name": name, "part": logits[row["key"]][2], "n_classes": len(trials.classes),
            "score": {field: row[field] for field in KEPT}, "settings": settings,
            "answers": None if answers is None else vars(answers), "history": own.to_numpy(np.float32),
        }    # fmt: skip


def _part(run: Any) -> tuple[str, int]:
    """Of ssvep_exo two subjects are there: one chooses the thresholds, the other confirms; two folds each."""
    if run.split.protocol == "within_session":
        return ("tune" if run.split.subject.lstrip("0") == "1" else "confirm", 0 if run.split.fold < 2 else 2)
    return PARTS[run.split.subject]


def write_suite(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the suite as one compressed NPZ without pickles: histories one below the other, and JSON."""
    about = [{name: value for name, value in row.items() if name != "history"} for row in rows]
    starts = np.cumsum([0, *(len(row["history"]) for row in rows)])
    history = np.concatenate([row["history"] for row in rows])
    digits = 10.0 ** (3 - np.floor(np.log10(np.maximum(np.abs(history), 1e-30))))    # four: noise does not compress
    history = (np.round(history * digits) / digits).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(path, about=text, starts=starts, history=history, columns=np.array(HISTORY_COLUMNS))
