"""A checkpoint decodes trials: its networks are built again behind their front ends, however many it holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from eegdecode.training.adapt import normed_together
from eegdecode.training.batches import Signals
from eegdecode.training.devices import find_devices
from eegdecode.training.electrodes import moved_model, moved_weights, other_channels, why_not
from eegdecode.training.ensemble import Ensemble, computed_buffers
from eegdecode.training.fitted import find_places, open_frontend
from eegdecode.training.frontend import Moments
from eegdecode.training.rebuild import rebuild_frontend, rebuild_network
from eegdecode.trials import Trials

log = logging.getLogger(__name__)
BATCH = 256    # trials, as in training: the same sums in the same order


@torch.no_grad()
def decode(
    weights: Mapping[str, np.ndarray], about: Mapping[str, Any], trials: Trials, *, device: str | Sequence[str] = "auto"
) -> Float[np.ndarray, "run trial class"]:    # fmt: skip
    """Logits of each member of a checkpoint for some trials.

    Parameters
    ----------
    weights, about
        As ``read_checkpoint`` gives them. Of an ensemble each array has a first axis more, that of its members.

    Raises
    ------
    ValueError
        If the rate of the trials is not that of the training, their length neither nor shorter for a network that takes
        ``valid_lens``, the channels neither nor such that `eegdecode.training.electrodes` can serve them, or the
        checkpoint does not fit its network.
    """
    model, device = about["model"], find_devices(device)[0]
    if absent := [name for name in ("ch_names", "tmin", "sizes", "classes") if name not in model]:
        raise ValueError(f"the checkpoint does not tell its {', '.join(absent)}: it is damaged, or of an older version")
    members, signal = _members(weights, about), trials.signal
    others = set(model["ch_names"]) != set(signal.ch_names)
    tie = why_not(model, signal) if others else ""
    if others and not tie:
        log.info("the checkpoint takes %s", other_channels(model, signal))
        members, model = [moved_weights(each, model, signal) for each in members], moved_model(model, signal)
    ensemble, n_members = _networks(model, members, device), len(members)
    order = fit_channels(model, trials, tie=tie, shorter=ensemble.takes_lengths)
    n_times = trials.X.shape[2]
    lacking = model["sizes"]["n_times"] - n_times
    if lacking:
        log.info("trials of %g s, the checkpoint has learned from %g s: what is not there is masked",
                 n_times / signal.sfreq, model["sizes"]["n_times"] / signal.sfreq)    # fmt: skip
    frontend = rebuild_frontend(model)
    moments = Moments.of(np.ascontiguousarray(trials.X[:, order]))
    scales = moments.scales() if frontend.per_trial else None
    moments = moments if scales is None else moments.scaled(scales)
    same = trials.dataset == model.get("dataset")
    places = find_places(frontend, model.get("groups", []), trials.meta, same_set=same)
    fronts = [open_frontend(frontend, member, places, moments) for member in members]

    def answer(rows: np.ndarray, *, adapt: bool = False) -> np.ndarray:
        x = torch.tensor(np.asarray(trials.X[rows][:, order]), device=device)
        scale = None if scales is None else torch.tensor(scales[rows], dtype=torch.float32, device=device)
        signals = Signals(F.pad(x, (0, lacking)), [front(rows) for front in fronts], scale)
        here = torch.arange(len(rows), device=device).expand(n_members, -1)
        lens = torch.full_like(here, n_times) if lacking else None
        return ensemble(signals[here], train=False, adapt=adapt, valid_lens=lens).float().cpu().numpy()

    rows = np.arange(len(trials))
    logits = np.concatenate([answer(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)], axis=1)
    if model.get("adapt_norms"):
        log.info("trainer.adapt_norms: batch norm by all trials of a session here, unlabelled (transductive)")
        for session in normed_together(trials.meta.groupby(["subject", "session"]).ngroup().to_numpy()):
            logits[:, session] = answer(session, adapt=True)
    return logits


def _members(weights: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
    """Weights of each member; a checkpoint of a single run is its only one."""
    if "members" not in about:
        return [dict(weights)]
    n = len(about["members"])
    odd = [name for name, array in weights.items() if array.shape[:1] != (n,)]
    if odd or not n:
        raise ValueError(f"the checkpoint tells {n} members, which {', '.join(odd[:1]) or 'it'} does not hold")
    return [{name: array[i] for name, array in weights.items()} for i in range(n)]


def _networks(model: Mapping[str, Any], members: Sequence[Mapping[str, np.ndarray]], device: str) -> Ensemble:
    """The networks of all members with their weights."""
    network = rebuild_network(model)
    computed, own = computed_buffers(network), (*network.named_parameters(), *network.named_buffers())
    expected = {name: tuple(t.shape) for name, t in own if name not in computed}
    for member in members:
        found = {
            name: array.shape for name, array in member.items()
            if not name.startswith("frontend.") and name not in computed
        }    # fmt: skip
        odd = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        if odd:
            shapes = f"{odd[0]} is {found.get(odd[0], 'absent')}, the network's {expected.get(odd[0], 'absent')}"
            raise ValueError(f"the checkpoint's weights do not fit its network: {shapes}; its code has changed since")
    ensemble = Ensemble([network] * len(members), mode="loop", device=device)
    given = {name: torch.tensor(np.stack([member[name] for member in members])) for name in expected}
    ensemble.load({**ensemble.state(), **given})
    return ensemble


def fit_channels(model: Mapping[str, Any], trials: Trials, *, tie: str, shorter: bool) -> list[int]:
    """Return the place of each channel of the training among those of the trials.

    Parameters
    ----------
    tie : str
        Why it must be these channels.
    shorter : bool
        Whether trials may be shorter than those of the training.

    Raises
    ------
    ValueError
        If channels, rate or length differ, with the setting that mends it.
    """
    names, here = list(model["ch_names"]), list(trials.signal.ch_names)
    sizes, n_times = model["sizes"], trials.X.shape[2]
    absent, extra = [n for n in names if n not in here], [n for n in here if n not in names]
    if absent or extra:
        parts = [f"{text} {', '.join(which)}" for text, which in (("lack", absent), ("also have", extra)) if which]
        wanted = f"pick them by preprocess.channels=[{','.join(names)}]"
        if absent:    # trials do not tell what their recordings have
            wanted = (
                f"it cannot be used on recordings without {', '.join(absent)}. If they have them under other names, "
                "preprocess.names=standard turns T3 into T7; if preprocess left them out here, prepare these trials as "
                f"those of the training. Other channels it cannot take: {tie}"
            )
        raise ValueError(
            f"the checkpoint was trained on {len(names)} channels; these trials {' and '.join(parts)}: {wanted}"
        )
    if sizes["sfreq"] != trials.signal.sfreq:
        raise ValueError(
            f"the checkpoint was trained at {sizes['sfreq']:g} Hz, these trials have {trials.signal.sfreq:g} Hz: "
            f"resample them by preprocess.sfreq={sizes['sfreq']:g}"
        )
    if n_times > sizes["n_times"] or (n_times < sizes["n_times"] and not shorter):
        tmin, length = float(model["tmin"]), sizes["n_times"] / sizes["sfreq"]
        raise ValueError(
            f"the checkpoint was trained on {sizes['n_times']} samples ({length:g} s), these trials have {n_times} "
            f"({n_times / trials.signal.sfreq:g} s): cut them by preprocess.tmin={tmin:g} "
            f"preprocess.tmax={tmin + length:g}"
        )
    return [here.index(name) for name in names]
