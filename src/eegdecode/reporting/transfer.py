"""What a run starts from: checkpoints of another run folder, and the proof that they know none of its test trials."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eegdecode.reporting.checkpoints import ABOUT, WEIGHTS, read_checkpoint
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.results import load_results
from eegdecode.runs import Run, Source

MARK = 6    # bytes of a trial's digest: among a million trials no two are alike by chance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that runs may start from.

    Attributes
    ----------
    path : Path
        Of its weights.
    subjects : sequence of str
        Whom it was tested on.
    seed : int
    seen : frozenset of str
        Marks of the trials that it has learned from.
    """

    path: Path
    subjects: Sequence[str]
    seed: int
    seen: frozenset[str]


def origin(run: Run, meta: pd.DataFrame) -> dict[str, Any]:
    """What a checkpoint must tell of its run, so that another run may start from it.

    ``seen`` has a digest of each trial that was learned from, by its name and by its samples (column ``signal``, where
    there is one), held-out validation trials and those of the run's own source included.
    """
    split = run.split
    rows = np.concatenate([split.train, split.val])
    seen = {"names": "".join(_marks(meta["trial"], rows)), "signals": "".join(_marks(meta.get("signal"), rows))}
    if run.source is not None:
        seen = {kind: marks + run.source.about["seen"][kind] for kind, marks in seen.items()}
    return {
        "run": run.name(), "subject": split.subject, "seed": run.seed, "numbers": dict(run.numbers), "seen": seen,
        **({"source": run.source.digest} if run.source else {}),
    }    # fmt: skip


def begin_from(folder: Path | str, runs: Sequence[Run], *, meta: pd.DataFrame) -> list[Run]:
    """Give each run the checkpoint of a run folder that it starts from.

    It has the run's seed; where the folder has no such seed, its seeds are taken in turn (seed s: the s-th modulo their
    number), which is said. It has learned from none of the run's test trials. Of several, it is the one that was
    tested on the run's own subject (as in leave-one-subject-out), else the first.

    Raises
    ------
    ValueError
        If the folder is none, is not finished, or all of its checkpoints have learned from a run's test trials.
    """
    what = f"model.init_from={folder}"
    candidates = _candidates(Path(folder), what)
    seeds = sorted({each.seed for each in candidates})
    if missing := sorted({run.seed for run in runs} - set(seeds)):
        log.warning("%s has no seed %s: its seeds %s are taken in turn", what, _words(missing), _words(seeds))
    read: dict[Path, Source] = {}
    begun = []
    for run in runs:
        seed = run.seed if run.seed in seeds else seeds[run.seed % len(seeds)]
        chosen = _choose(run, [each for each in candidates if each.seed == seed], meta, what)
        if chosen.path not in read:
            weights, about = read_checkpoint(chosen.path)
            read[chosen.path] = Source(weights, about, hashlib.blake2b(chosen.path.read_bytes(), digest_size=16).hexdigest())
        begun.append(replace(run, source=read[chosen.path]))
    log.info("%s: %d runs start from %d of its %d checkpoints", what, len(runs), len(read), len(candidates))
    return begun


def told(folder: Path | str, runs: Sequence[Run], loaded: Mapping[str, str]) -> dict[str, Any]:
    """What is noted of the sources of runs; ``loaded`` is what of them was loaded."""
    sources = [run.source for run in runs if run.source]
    reused = any(run.source and run.source.about.get("seed", 0) != run.seed for run in runs)
    seeds = {"seeds": f"{_words(sorted({each.about.get('seed', 0) for each in sources}))} taken in turn"} if reused else {}
    return {"folder": str(folder), "checkpoints": len({each.digest for each in sources}), **seeds, **loaded}


def _candidates(folder: Path, what: str) -> list[Candidate]:
    """The finished checkpoints of a folder, of its setting that counts."""
    found = {path: read_json(path) for path in sorted((folder / "checkpoints").glob(f"*{ABOUT}"))}
    if (folder / "scores.csv").exists():
        results = load_results(folder)
        summary = results.summary
        if not results.complete:
            counts = f"{summary['n_done']} of its {summary['n_expected']} runs are done"
            raise ValueError(f"{what}: {counts}; finish it first, by the same command again")
        if summary["setting"] is None:
            raise ValueError(f"{what} holds several settings, and nothing chose one; give a folder of one setting")
        keys = set(results.setting()["key"])
        found = {path: about for path, about in found.items() if about.get("key") in keys}
    if not found:
        raise ValueError(f"{what} holds no checkpoints; give the run folder of a finished training of a network")
    if old := [path for path, about in found.items() if "seen" not in about]:
        raise ValueError(f"{what}: {old[0].name} does not say which trials it has learned from; train it again")
    return [
        Candidate(
            path.with_name(path.name.removesuffix(ABOUT) + WEIGHTS), str(about.get("subject", "")).split("+"),
            int(about.get("seed", 0)), frozenset(_cut(about["seen"]["names"]) + _cut(about["seen"]["signals"])),
        )
        for path, about in found.items()
    ]    # fmt: skip


def _choose(run: Run, candidates: Sequence[Candidate], meta: pd.DataFrame, what: str) -> Candidate:
    rows = run.split.test
    tested = {*_marks(meta["trial"], rows), *_marks(meta.get("signal"), rows)}
    clean = [each for each in candidates if each.seen.isdisjoint(tested)]
    if not clean:
        trial = next(
            name for row, name in zip(rows, meta["trial"].iloc[rows], strict=True)
            if any({*_marks(meta["trial"], [row]), *_marks(meta.get("signal"), [row])} & each.seen for each in candidates)
        )    # fmt: skip
        raise ValueError(
            f"{what}: every checkpoint has learned from test trials of run {run.name()}, such as {trial}; take one that "
            "was trained on other subjects (protocol=cross_subject)"
        )
    return next((each for each in clean if run.split.subject in each.subjects), clean[0])


def _marks(values: pd.Series | None, rows: Sequence[int] | np.ndarray) -> list[str]:
    """A short digest of some values of a column; none without the column."""
    if values is None:
        return []
    chosen = values.to_numpy()[np.asarray(rows, np.intp)]
    return [hashlib.blake2b(str(value).encode(), digest_size=MARK).hexdigest() for value in chosen]


def _cut(marks: str) -> list[str]:
    return [marks[i : i + 2 * MARK] for i in range(0, len(marks), 2 * MARK)]


def _words(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
