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

from eegdecode.identity import digest
from eegdecode.reporting.answers import differences
from eegdecode.reporting.checkpoints import ABOUT, WEIGHTS, read_checkpoint
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.folders import SUMMARY
from eegdecode.reporting.results import load_results
from eegdecode.reporting.seen import mark_trials, read_marks
from eegdecode.runs import Run, Source

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
        Marks of the trials that it has learned from, see `eegdecode.reporting.seen`.
    """

    path: Path
    subjects: Sequence[str]
    seed: int
    seen: frozenset[str]


def begin_from(
    folder: Path | str, runs: Sequence[Run], *, meta: pd.DataFrame, dataset: str,
    prepared: Mapping[str, Any] | None = None, tmin: float | None = None,
) -> list[Run]:    # fmt: skip
    """Give each run the checkpoint of a run folder that it starts from.

    It has the run's seed; where the folder has no such seed, its seeds are taken in turn (seed s: the s-th modulo their
    number), which is said. It was tested on the run's own subject (as in leave-one-subject-out); where none was, any
    will do. And it has learned from none of the run's test trials; of several such, it is the first.

    Parameters
    ----------
    meta : DataFrame
        The table of trials that the splits point into.
    dataset : str
        Name of their data set.
    prepared, tmin
        How trials are preprocessed here (`describe`) and when they begin, in s: what was otherwise is said.

    Raises
    ------
    ValueError
        If the folder is none, is not finished, or all checkpoints that are in question have learned from test trials.
    """
    what = f"model.init_from={folder}"
    candidates = _candidates(Path(folder), what)
    marks = [np.array(column) for column in mark_trials(meta, dataset=dataset)]
    seeds = sorted({each.seed for each in candidates})
    if missing := sorted({run.seed for run in runs} - set(seeds)):
        log.warning("%s has no seed %s: its seeds %s are taken in turn", what, _words(missing), _words(seeds))
    read: dict[Path, Source] = {}
    begun = []
    for run in runs:
        seed = run.seed if run.seed in seeds else seeds[run.seed % len(seeds)]
        chosen = _choose(run, [each for each in candidates if each.seed == seed], meta, marks, what)
        if chosen.path not in read:
            weights, about = read_checkpoint(chosen.path)
            read[chosen.path] = Source(weights, about, _content(chosen.path))
        begun.append(replace(run, source=read[chosen.path]))
    if others := sorted({str(each.about["model"].get("dataset")) for each in read.values()} - {dataset}):
        words = "%s was trained on %s, here is %s: trials of the same name are taken for others"
        log.warning(words, what, ", ".join(others), dataset)
    if prepared is not None and tmin is not None:
        said = [text for each in read.values() for text in differences(each.about, prepared, tmin=tmin)]
        for text in dict.fromkeys(said):
            log.warning("%s: %s", what, text)
    log.info("%s: %d runs start from %d of its %d checkpoints", what, len(runs), len(read), len(candidates))
    return begun


def told(folder: Path | str, runs: Sequence[Run], loaded: Mapping[str, str]) -> dict[str, Any]:
    """What is noted of the sources of runs; ``loaded`` is what of them was loaded."""
    sources = [run.source for run in runs if run.source]
    reused = any(run.source and run.source.about.get("seed", 0) != run.seed for run in runs)
    seeds = _words(sorted({each.about.get("seed", 0) for each in sources}))
    turns = {"seeds": f"{seeds} taken in turn"} if reused else {}
    return {"folder": str(folder), "checkpoints": len({each.digest for each in sources}), **turns, **loaded}


def source_digest(folder: Path | str) -> str:
    """Digest of all that runs may start from in a run folder, wherever it lies; refuses what `begin_from` refuses."""
    paths = sorted(each.path for each in _candidates(Path(folder), f"model.init_from={folder}"))
    return digest([[path.name, _content(path)] for path in paths])


def _content(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _candidates(folder: Path, what: str) -> list[Candidate]:
    """The finished checkpoints of a folder, of its setting that counts."""
    found = {path: read_json(path) for path in sorted((folder / "checkpoints").glob(f"*{ABOUT}"))}
    results = load_results(folder) if (folder / "scores.csv").exists() else None    # a pretraining has no scores
    summary = results.summary if results else read_json(folder / SUMMARY)
    if summary.get("n_done") != summary.get("n_expected"):
        counts = f"{summary['n_done']} of its {summary['n_expected']} runs are done"
        raise ValueError(f"{what}: {counts}; finish it first, by the same command again")
    if results and summary["setting"] is not None:
        keys = set(results.setting()["key"])
        found = {path: about for path, about in found.items() if about.get("key") in keys}
    if len({str(about.get("numbers")) for about in found.values()}) > 1:    # of a pretraining, which has no scores
        raise ValueError(f"{what} holds several settings, and nothing chose one; give a folder of one setting")
    if not found:
        raise ValueError(f"{what} holds no checkpoints; give the run folder of a finished training of a network")
    return [
        Candidate(
            path.with_name(path.name.removesuffix(ABOUT) + WEIGHTS), str(about.get("subject", "")).split("+"),
            int(about.get("seed", 0)), read_marks(about, f"{what}: {path.name}"),
        )
        for path, about in found.items()
    ]    # fmt: skip


def _choose(
    run: Run, candidates: Sequence[Candidate], meta: pd.DataFrame, marks: Sequence[np.ndarray], what: str
) -> Candidate:    # fmt: skip
    test = run.split.unlearned.astype(np.intp)
    own = [each for each in candidates if run.split.subject in each.subjects] or candidates
    tested = {mark for column in marks for mark in column[test].tolist()}
    clean = next((each for each in own if each.seen.isdisjoint(tested)), None)
    if clean is None:
        trial = next(meta["trial"].iloc[row] for row in test if any(column[row] in own[0].seen for column in marks))
        raise ValueError(
            f"{what}: every checkpoint for run {run.name()} has learned from its test trials, such as {trial}; take "
            "networks of other subjects (protocol=cross_subject)"
        )
    return clean


def _words(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
