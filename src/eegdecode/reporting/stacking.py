"""The checkpoints of a run folder become ensembles: for each split one checkpoint that holds all of its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eegdecode.identity import digest
from eegdecode.reporting.checkpoints import WEIGHTS, file_name, read_checkpoint, write_checkpoint
from eegdecode.reporting.disk import read_json
from eegdecode.reporting.ensembles import BY, SPLIT, check_way
from eegdecode.reporting.folders import MARKER
from eegdecode.reporting.outcomes import read_outcome
from eegdecode.reporting.results import load_results
from eegdecode.reporting.seen import FIELD, read_marks

SAME = ("model", "classes", "numbers", FIELD)    # in what members may not differ


def save_ensembles(folder: Path | str, *, by: str = BY[0], out: Path | str | None = None) -> str:
    """Write an ensemble for each split and tell where it is.

    Parameters
    ----------
    folder : path
        A run folder with several seeds.
    by : {"probabilities", "logits"}
        What `predict.py` will average; noted in the checkpoint.
    out : path or None
        Where to write; None: ``ensembles/`` in the run folder.

    Raises
    ------
    ValueError
        If nothing is there to combine.
    """
    check_way(by)
    results = load_results(Path(folder))
    if results.summary["setting"] is None:
        raise ValueError(f"{folder} has several settings, and nothing chose one; swept numbers are never combined")
    done = results.setting()[results.setting()["status"] == "done"]
    seeds = read_json(results.folder / MARKER).get("seeds") or sorted(done["seed"].unique().tolist())
    if len(seeds) < 2:
        raise ValueError(f"{folder} has one seed; train more, e.g. with sweep.seeds=5")
    target, lines = Path(out) if out else results.folder / "ensembles", []
    for place, own in done.groupby(list(SPLIT), sort=False):
        where = "_".join(f"{word}-{part}" for word, part in zip(("sub", "ses", "fold"), place, strict=True))
        counts = f"{len(own)}/{len(seeds)} members"
        if len(own) < 2:
            lines.append(f"{where}: left out, {counts}: INCOMPLETE")
            continue
        members = [_read(results.folder, key) for key in own["key"]]
        weights, about = stack_members(members, by=by)
        about |= {"run": f"{where}_seeds-{len(own)}", "planned": len(seeds)}
        name = file_name(about["run"], about["key"])
        write_checkpoint(target, name, weights, about)
        lines.append(f"{target / name}{WEIGHTS}: {counts}" + (": INCOMPLETE" if len(own) < len(seeds) else ""))
    return "\n".join(lines or [f"no run of {folder} is done yet"])


def stack_members(
    members: Sequence[tuple[dict[str, np.ndarray], dict[str, Any]]], *, by: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:    # fmt: skip
    """Stack weights along a first axis, the run axis, as `eegdecode.training.ensemble` holds them.

    Parameters
    ----------
    members : sequence of (weights, about)
        Checkpoints that differ in their seed alone.
    """
    first = members[0][1]
    read_marks(first, str(first["run"]))    # refuses members that do not tell what they have learned from
    for weights, about in members[1:]:
        odd = [name for name in SAME if about.get(name) != first.get(name)]
        odd += sorted(weights.keys() ^ members[0][0].keys())
        if odd:
            pair = f"{about['run']} and {first['run']}"
            raise ValueError(f"{pair} differ in {odd[0]}: members may differ in their seed alone")
    weights = {name: np.stack([own[name] for own, _ in members]) for name in members[0][0]}
    told = [{name: about.get(name) for name in ("run", "key", "seed", "best_epoch")} for _, about in members]
    kept = {name: value for name, value in first.items() if name not in ("seed", "best_epoch")}
    return weights, {**kept, "key": digest([by, [about["key"] for _, about in members]]), "by": by, "members": told}


def _read(folder: Path, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    name = read_outcome(folder / "finished" / f"{key}.npz").checkpoint
    if not name:
        raise ValueError(f"{folder} holds no checkpoints; networks have them, classical pipelines do not")
    return read_checkpoint(folder / "checkpoints" / name)
