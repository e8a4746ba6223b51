"""A stack on its device: networks, signals, labels, and the numbers of each run."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eegdecode.identity import describe
from eegdecode.runs import Run
from eegdecode.training.align import fit_frontend
from eegdecode.training.batches import Material, Memory, Signals, cut
from eegdecode.training.chain import Chain, Changer
from eegdecode.training.electrodes import moved_source
from eegdecode.training.ensemble import Ensemble
from eegdecode.training.frontend import FrontEnd, LinearMap
from eegdecode.training.loss import balanced_weights
from eegdecode.training.replay import Replay
from eegdecode.training.settings import DeepSettings
from eegdecode.training.transfer import frozen_names, layer_rates, load_source


@dataclass(frozen=True, eq=False)
class Task:
    """A stack on its device: networks, signals, labels, and each run's rate and decay."""

    settings: DeepSettings
    runs: Sequence[Run]
    ensemble: Ensemble
    signals: Signals
    maps: Sequence[LinearMap]
    y: Tensor
    memory: Memory
    lr: Tensor
    weight_decay: Tensor
    model: dict[str, Any]
    class_weights: Tensor | None = None
    changer: Changer | None = None
    rates: Mapping[str, float] | None = None

    @classmethod
    def build(
        cls, settings: DeepSettings, model: partial, material: Material, runs: Sequence[Run], *,
        frontend: FrontEnd, mode: str,
    ) -> Task:    # fmt: skip
        """Fit each run's front end on its training trials and start its network from its seed."""
        trials, device = material.trials, material.x.device
        given = (frontend, material.moments, trials.y, trials.meta)
        sources = [moved_source(run.source, trials.signal) for run in runs]
        maps = [fit_frontend(*given, run.split, source=own) for run, own in zip(runs, sources, strict=True)]
        if len({m.filters.shape[-2] for m in maps}) > 1:    # networks of other sizes
            raise ValueError(
                "frontend=csp gives runs of one stack unequally many features, for the training trials of some lack a "
                "class: take trainer.ensemble=loop"
            )
        signals = Signals(material.x, maps, material.scales)
        sizes = {
            "n_chans": maps[0].filters.shape[-2], "n_times": material.x.shape[2],
            "n_classes": len(trials.classes), "sfreq": trials.signal.sfreq,
        }    # fmt: skip
        if "positions" in inspect.signature(model.func).parameters:
            places = trials.signal.positions
            sizes["positions"] = places.tolist() if maps[0].electrodes and not np.isnan(places).all() else None
        numbers = {name: [run.numbers.get(name, getattr(settings, name)) for run in runs]
                   for name in ("lr", "weight_decay")}    # fmt: skip
        ensemble = Ensemble([_start(model, run, sizes, settings) for run in runs], mode=mode, device=str(device))
        if settings.adapt_norms and not ensemble.has_batch_norm:
            raise ValueError("trainer.adapt_norms=true is for batch norm, which this network has not; take false")
        if runs[0].source and len(runs[0].split.train):
            shapes = {name: p.shape[1:] for name, p in ensemble.params.items()}
            given = {name: weights.shape for name, weights in runs[0].source.weights.items()}
            ensemble.freeze(frozen_names(shapes, settings.fine_tune, given=given))
        known = settings.augment is None and not settings.throws
        labels = [trials.y[run.split.train] for run in runs]
        weights = balanced_weights(labels, len(trials.classes)) if settings.class_weights and len(labels[0]) else None
        return cls(
            settings=settings, runs=runs, signals=signals, maps=maps, ensemble=ensemble,
            memory=Memory(signals, [run.split.train for run in runs], ensemble.remember if known else _forget),
            y=torch.tensor(trials.y, device=device),
            class_weights=None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device),
            changer=settings.augment.prepare(trials, electrodes=maps[0].electrodes)
            if isinstance(settings.augment, Chain) else None,
            rates=layer_rates(ensemble.names, settings.layer_factor)
            if runs[0].source and settings.fine_tune == "layerwise" else None,
            model={
                "network": describe(model), "sizes": sizes, "frontend": describe(frontend), "dataset": trials.dataset,
                "ch_names": list(trials.signal.ch_names), "tmin": trials.signal.tmin, "classes": list(trials.classes),
                "adapt_norms": settings.adapt_norms,
            },
            **{name: torch.tensor(values, dtype=torch.float32, device=device) for name, values in numbers.items()},
        )    # fmt: skip

    def take(self, places: Int[np.ndarray, " place"]) -> Task:
        """Return the stack with some of its runs alone."""
        maps, index = [self.maps[i] for i in places], torch.as_tensor(places, device=self.y.device)
        signals = Signals(self.signals.x, maps, self.signals.scales)
        return replace(
            self, runs=[self.runs[i] for i in places], maps=maps, signals=signals,
            memory=self.memory.take(index, signals),
            ensemble=self.ensemble.take(index), lr=self.lr[index], weight_decay=self.weight_decay[index],
            class_weights=None if self.class_weights is None else self.class_weights[index],
        )    # fmt: skip

    def slowed(self, factors: Float[np.ndarray, " run"]) -> Task:
        """Return the stack with the rate of each run multiplied; itself where all stay."""
        if (factors == 1).all():
            return self
        return replace(self, lr=self.lr * torch.tensor(factors, dtype=torch.float32, device=self.lr.device))

    def with_weights(self, state: Mapping[str, Tensor] | None) -> Task:
        """Return the stack with other weights in its networks; itself if there are none."""
        return self if state is None else replace(self, ensemble=self.ensemble.having(state))

    @torch.no_grad()
    def predict(
        self, rows: Sequence[np.ndarray], *, trained: bool = False, replay: Replay | None = None
    ) -> list[np.ndarray]:    # fmt: skip
        """Logits of each run for its own rows, in evaluation mode: (n, K) a run; of training trials from memory.

        With ``replay`` by a recording, for those who ask again and again. What is computed without a parameter stays
        outside of it: a GPU does not record the eigenvectors of `WhiteningAttention`.
        """
        parts, replay = [], replay or Replay(on=False)
        replay.belongs_to(self)
        for batch in cut(rows, batch_size=256):
            chosen = torch.as_tensor(batch, device=self.y.device)
            if trained:
                [logits] = replay("trained", lambda rows: self._logits(*self.memory[rows]), chosen)
            else:
                x = self.signals[chosen]
                known = self.ensemble.remember(x.flatten(0, 1))
                given = [x] if known is None else [x, known.unflatten(0, x.shape[:2])]
                [logits] = replay("others", self._logits, *given)
            parts.append(logits.cpu())
        n_classes = self.model["sizes"]["n_classes"]
        logits = torch.cat(parts, dim=1).numpy() if parts else np.zeros((len(rows), 0, n_classes), np.float32)
        return [each[: len(r)] for each, r in zip(logits, rows, strict=True)]

    def _logits(self, x: Tensor, known: Tensor | None = None) -> tuple[Float[Tensor, "run batch class"]]:
        return (self.ensemble(x, train=False, memory=known).float(),)


def _forget(x: Tensor) -> None:
    """What is known of trials in an epoch of which no two batches are alike: nothing."""


def seeds_of(run: Run) -> np.random.SeedSequence:
    """Randomness of a run: its seed and its split, never its neighbours."""
    split = f"{run.split.subject} {run.split.session} {run.split.fold}"
    return np.random.SeedSequence([run.seed, zlib.crc32(split.encode())])


def _start(model: partial, run: Run, sizes: Mapping[str, Any], settings: DeepSettings) -> torch.nn.Module:
    """Build the network of a run from the run's own seed, and load what it starts from."""
    drop = {"drop": run.numbers["drop"]} if "drop" in run.numbers else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seeds_of(run).generate_state(2)[1]))
        network = _built(model, sizes, drop)
    if run.source is not None:    # without a trial to learn from, a new head would know nothing
        load_source(network, run.source, new_head=settings.new_head and len(run.split.train) > 0)
    return network


def _built(model: partial, sizes: Mapping[str, Any], drop: Mapping[str, float]) -> torch.nn.Module:
    """Build a network; what it or torch refuses is told with the settings that are named, as they are typed."""
    try:
        return model(**sizes, **drop)
    except ValueError as error:
        if "model." in str(error):
            raise
        given = {**model.keywords, **drop}
        named = {name: value for name, value in given.items() if name in str(error).split()} or given
        told = ", ".join(f"model.{name}={value}" for name, value in named.items())
        raise ValueError(f"{error} ({model.func.__name__} with {told})") from error
