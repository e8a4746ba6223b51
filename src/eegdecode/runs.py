"""Splits, runs and predictions: what training takes and what it gives back, and the identity of a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PARTS = ("train", "val", "test")
COSTS = ("multiply_adds", "peak_memory_mb", "energy_wh")    # of one trial's forward pass; MB (1e6 bytes); Wh of a run
WATCHED = "leaky_test_accuracy"    # column of a history: test accuracy after each epoch, which nothing may choose by


@dataclass(frozen=True, eq=False)
class Split:
    """Who may learn from what in one fold: positions in the table of trials, never signals.

    Attributes
    ----------
    train, val, test : ndarray of int
        Row numbers of ``Trials.meta``, disjoint. ``val`` may be empty; it is taken from training trials.
    subject, session : str
        Whom the test trials belong to (``"1"``, ``"1test"``; several are joined by ``+``).
    fold : int
        Number of the fold among those of the same subject and session.
    protocol : str
        Name of the protocol that made the split.
    trials : int or None
        Training trials of each class, where the protocol counts them; of 0 there are none to train on.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    subject: str
    session: str
    fold: int
    protocol: str
    trials: int | None = None

    def __post_init__(self) -> None:
        for name in ("test",) if self.trials == 0 else ("train", "test"):
            if len(getattr(self, name)) == 0:
                raise ValueError(f"{self.protocol}: no {name} trials for subject {self.subject}, fold {self.fold}")
        everyone = np.concatenate([self.train, self.val, self.test])
        if len(np.unique(everyone)) != len(everyone):
            raise ValueError(f"{self.protocol}: a trial stands on two sides of the split (subject {self.subject})")


@dataclass(frozen=True, eq=False)
class Source:
    """The trained network that a run starts from (``model.init_from``).

    Attributes
    ----------
    weights : mapping of str to ndarray
        As in `Prediction`.
    about : mapping
        What its checkpoint tells of it.
    digest : str
        Of the checkpoint's bytes: part of the run's identity.
    """

    weights: Mapping[str, np.ndarray]
    about: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, eq=False)
class Run:
    """One training: a split, a seed, and the numbers in which it differs from its neighbours.

    Attributes
    ----------
    numbers : mapping of str to float
        Swept numbers: ``lr`` and ``weight_decay`` replace the trainer's, ``drop`` the network's; and the split's
        ``trials``.
    source : Source or None
        What its network starts from; None: its own seed.
    """

    split: Split
    seed: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    source: Source | None = None

    def name(self) -> str:
        """Readable and unique within an experiment: ``sub-1_ses-1test_fold-0_seed-0_lr-0.001``."""
        split = self.split
        head = f"sub-{split.subject}_ses-{split.session}_fold-{split.fold}_seed-{self.seed}"
        return "_".join([head, *(f"{key}-{value:g}" for key, value in sorted(self.numbers.items()))])


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one finished run leaves behind; every score can be recomputed from it.

    Attributes
    ----------
    logits : mapping of str to ndarray
        ``"val"`` and ``"test"`` -> (n, K), in the order of ``run.split.val`` and ``run.split.test``. For a
        classifier that gives probabilities: their logarithm. An empty validation part has shape (0, K).
    history : DataFrame
        One row an epoch, or of many epochs every few and the last one: ``epoch`` (from 1), ``lr``,
        ``running_loss`` (of that epoch, as trained, dropout on), ``train_loss``, ``train_accuracy`` (in
        evaluation mode), ``val_loss``, ``val_accuracy`` (NaN without validation trials),
        ``grad_norm``, ``steps`` (updates so far), ``dead_share``, ``flow`` (which weights get a gradient) and
        ``input_scale``, see `eegdecode.training.flow`. Empty for a classical pipeline. With
        ``trainer.watch_test`` also `WATCHED`.
    best_epoch : int
        The epoch whose weights made the logits; 0 for a classical pipeline.
    n_params : int
        Trainable parameters; 0 for a classical pipeline.
    seconds : float
        Wall-clock seconds of the training, divided by the number of runs that were trained together.
    weights : mapping of str to ndarray
        What a checkpoint holds: parameters, buffers and the fitted front end. Empty for a classical pipeline.
    model : mapping
        What is needed to build the network again: its description and input sizes (JSON types).
    costs : mapping of str to float
        What the training took beside time: `COSTS`, NaN or absent where unknown.
    chosen : str
        What a search inside the training trials took, ``classify__C=10``; empty where nothing was searched.
    status : str
        ``"done"``, or what went wrong, e.g. ``"failed: loss is NaN in epoch 3"``. Failed runs have NaN logits.
    """

    run: Run
    logits: Mapping[str, np.ndarray]
    history: pd.DataFrame
    best_epoch: int
    n_params: int
    seconds: float
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    chosen: str = ""
    status: str = "done"


Claim = Callable[[Sequence[Run]], list[Run]]    # those of some runs to train now: others may have them in work


def run_key(run: Run, *, meta: pd.DataFrame, fingerprints: Mapping[str, str], context: Mapping[str, Any]) -> str:
    """Digest of everything that defines a run: 32 hex digits. Change any of it and the key changes.

    Parameters
    ----------
    meta : DataFrame
        The table of trials that the split points into.
    fingerprints : mapping
        Subject -> digest of its trials; only the subjects of the split enter.
    context : mapping
        Everything else: descriptions (`describe`) of network, trainer, front end, preprocessing, sources.
    """
    split = run.split
    rows = np.concatenate([split.train, split.val, split.test])
    subjects = sorted(meta["subject"].iloc[rows].unique())
    identity = {
        "seed": run.seed,
        "who": [split.subject, split.session, split.fold],    # its random numbers depend on them
        "numbers": dict(run.numbers),
        "split": split_digest([split], meta=meta),
        "data": {subject: fingerprints[subject] for subject in subjects},
        "context": context,
    }
    return digest(identity | ({"source": run.source.digest} if run.source else {}))


def split_digest(splits: Sequence[Split], *, meta: pd.DataFrame) -> str:
    """Digest of who learns from what, by the names of the trials (not their positions)."""
    names = meta["trial"].to_numpy()
    return digest([[split.protocol, *(list(names[getattr(split, part)]) for part in PARTS)] for split in splits])


def pool_digest(splits: Sequence[Split], *, meta: pd.DataFrame, training: bool = True) -> str:
    """Digest of what makes scores comparable: who is tested on what, and learns from what.

    Training and validation trials are one pool: how much of it a model holds out for itself is its own choice. Nor
    does the order of trials and splits count. Without `training`, only of the trials of each test.
    """
    names, place = np.unique(meta["trial"].to_numpy(str), return_inverse=True)    # sorted: integers sort faster
    parts = []
    for split in splits:
        pool = np.concatenate([split.train, split.val]) if training else split.train[:0]
        who = [split.protocol, split.subject, split.session, split.fold]
        parts.append([*who, *(names[np.sort(place[rows.astype(np.intp)])].tolist() for rows in (split.test, pool))])
    return digest(sorted(parts))


def digest(thing: Any) -> str:
    """Digest of anything that JSON can hold, independent of the order of keys."""
    text = json.dumps(thing, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def describe(thing: Any) -> Any:
    """Turn settings, partials, estimators and functions into JSON types that define them, sources included.

    A class or function is described by its name and a digest of its source file, so that a run of an edited
    network is another run.
    """
    if thing is None or isinstance(thing, str | int | float | bool):    # before Mapping, whose test is slow
        return thing
    if isinstance(thing, functools.partial):
        return {"call": describe(thing.func), **{key: describe(value) for key, value in thing.keywords.items()}}
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return {"name": f"{thing.__module__}.{thing.__qualname__}", "source": _source_digest(thing)}
    if dataclasses.is_dataclass(thing):
        fields = {f.name: describe(getattr(thing, f.name)) for f in dataclasses.fields(thing) if f.repr}
        return {"call": describe(type(thing)), **fields}
    if hasattr(thing, "get_params"):    # a scikit-learn estimator
        return {"call": describe(type(thing)), **describe(thing.get_params(deep=False))}
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set | frozenset):
        return [describe(value) for value in thing]
    if isinstance(thing, np.generic):
        return thing.item()
    return str(thing)


SHARED_LAYERS = (    # files of models/ that are no network; tests/test_layers.py keeps the list
    "layers", "masks", "patches", "positions", "norms", "attention", "kernels", "kernels_blocks", "block", "pooling",
    "divided", "spatial", "stems", "filterbank", "tcn", "recurrence", "decoder", "pieces",
)    # fmt: skip


def training_sources() -> str:
    """Digest of the code that turns a split into logits: the training wing and the layers that networks share."""
    here = Path(__file__).parent
    shared = [here / "models" / f"{name}.py" for name in SHARED_LAYERS]
    files = [*sorted((here / "training").glob("*.py")), *shared]
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=16).hexdigest()


def _source_digest(thing: Any) -> str:
    """Digest of the file that defines a class or function; of library code, the version of the library."""
    package = (thing.__module__ or "").partition(".")[0]
    file = inspect.getsourcefile(thing) if not inspect.isbuiltin(thing) else None
    if not file or (package != "eegdecode" and "site-packages" in file):
        return getattr(sys.modules.get(package), "__version__", "unknown")
    return hashlib.blake2b(Path(file).read_bytes(), digest_size=8).hexdigest()
