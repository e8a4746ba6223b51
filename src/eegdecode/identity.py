"""The identity of a run: digests of all that defines it, and of what makes scores comparable."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.runs import PARTS, Run, Split
from eegdecode.trials import Trials


def identify(trials: Trials, learning: Mapping[str, Any]) -> dict[str, Any]:
    """What `run_key` asks for beside the run, of trials and of the parts that learn from them.

    The samples do not tell what they are called, and names matter: a pipeline for SSVEP reads frequencies out of the
    classes, an augmentation swaps left and right channels, and every checkpoint answers with the classes that it knows.
    """
    signal = trials.signal
    named = {"classes": trials.classes, "ch_names": signal.ch_names, "sfreq": signal.sfreq, "tmin": signal.tmin}
    named["positions"] = signal.positions.tolist()
    context = {**describe(learning), "trials": named, "sources": training_sources(), "torch": version("torch")}
    return {"meta": trials.meta, "fingerprints": trials.fingerprints, "context": context}


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
    does the order of trials and splits count. Without `training`, only of the trials of each test. Where splits count
    their training trials (``protocol=calibration``), those with the most stand for all: they are what is compared, and
    smaller numbers, zero-shot among them, are points of its curve.
    """
    most = max((split.trials for split in splits if split.trials is not None), default=None)
    splits = [split for split in splits if split.trials == most]
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


COMPUTING = (    # settings of a trainer that say how runs are computed: no part of what a run is
    "device", "ensemble", "stack", "compile", "replay", "workers", "preflight", "find_rate", "save_every",
)    # fmt: skip
SHARED_LAYERS = (    # files of models/ that are no network; tests/test_layers.py keeps the list
    "layers", "filters", "masks", "patches", "positions", "norms", "attention", "kernels", "kernels_blocks", "block",
    "pooling", "divided", "spatial", "stems", "filterbank", "tcn", "recurrence", "decoder", "pieces",
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
