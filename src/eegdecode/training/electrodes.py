"""Other channels than those of the training: which checkpoints serve them, and how.

A network that tells channels apart by where their electrodes are says so (``tied`` is empty, see `STTransformer`) and
is built anew with the places of the others. Its front end must treat every channel by itself: each of the others
takes what was fitted for the nearest electrode of the training, so that nothing is measured on new trials and none of
them depends on those that come with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from eegdecode.runs import Source
from eegdecode.training.frontend import Identity, ZScore
from eegdecode.training.rebuild import rebuild_frontend, rebuild_network
from eegdecode.trials import Signal

SINGLE = (Identity, ZScore)    # front ends that treat every channel by itself
WAY = (
    "a network that can is trained with model=sttransformer model.spatial=interleaved (or before, after) "
    "model.block.kernel=softmax frontend=zscore (or none)"
)


def why_not(model: Mapping[str, Any], signal: Signal) -> str:
    """Say why a checkpoint serves the channels of its training alone, and the way out; empty if it serves these."""
    network, frontend = rebuild_network(model), rebuild_frontend(model)
    tie = getattr(network, "tied", f"{type(network).__name__} has weights for each channel")
    if not tie and not isinstance(frontend, SINGLE):
        tie = f"its front end, {type(frontend).__name__}, mixes channels"
    if tie:
        return f"{tie}; {WAY}"
    unknown = [name for name, at in zip(signal.ch_names, signal.positions, strict=True) if np.isnan(at).any()]
    if not unknown:
        return ""
    return f"no position is known here for {', '.join(unknown)}; preprocess.channels leaves them out"


def other_channels(model: Mapping[str, Any], signal: Signal) -> str:
    """What is done for other channels, in words."""
    far = _distances(model, signal).min(1).max()
    return (
        f"{_listed(signal.ch_names)} in place of {_listed(model['ch_names'])}, told apart by where they are, each "
        f"behind the front end of the nearest electrode of the training (at most {1000 * far:.0f} mm away)"
    )


def moved_model(model: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    """What a checkpoint tells of its network, with other channels."""
    places = {"n_chans": len(signal.ch_names), "positions": signal.positions.tolist()}
    return {**model, "sizes": {**model["sizes"], **places}, "ch_names": list(signal.ch_names)}


def moved_weights(
    weights: Mapping[str, np.ndarray], model: Mapping[str, Any], signal: Signal
) -> dict[str, np.ndarray]:    # fmt: skip
    """Weights of a checkpoint, its front end that of the nearest electrode for each of the other channels."""
    nearest = _distances(model, signal).argmin(1)
    moved = {
        "frontend.filters": lambda filters: np.diag(np.diag(filters)[nearest]),
        "frontend.offset": lambda offset: offset[nearest],
    }    # fmt: skip
    return {name: moved[name](array) if name in moved else array for name, array in weights.items()}


def moved_source(source: Source | None, signal: Signal) -> Source | None:
    """Return what a run starts from for its own channels; `check_source` has said whether that is possible."""
    model = source.about.get("model", {}) if source else {}
    if source is None or model.get("ch_names") in (None, list(signal.ch_names)):
        return source
    return replace(source, weights=moved_weights(source.weights, model, signal))


def _distances(model: Mapping[str, Any], signal: Signal) -> Float[np.ndarray, "here there"]:
    """How far each electrode is from each of the training, in m; from one whose place is not known, infinitely."""
    there = np.array(model["sizes"]["positions"], float)    # None is NaN
    apart = np.linalg.norm(signal.positions[:, None] - there, axis=2)
    return np.where(np.isnan(apart), np.inf, apart)


def _listed(names: Sequence[str]) -> str:
    return f"the {len(names)} channels {', '.join(names)}"
