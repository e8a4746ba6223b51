"""A network starts from another one's weights: what fits, what is new, and how much of it learns.

A *layer* is a part of the network in the order in which its parts were made, front to head; the members of a list of
modules count by themselves (``stem``, ``encoder.blocks.0``, ``encoder.blocks.1``, ``norm``, ``head``). The last one is
the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from eegdecode.runs import Source
from eegdecode.training.ensemble import computed_buffers
from eegdecode.training.sources import model_of

FINE_TUNE = ("full", "head", "layerwise", "frozen_front")
FRONTEND = "frontend."    # what stands before the names of a front end in a checkpoint
MOST_NAMES = 8    # in a sentence


@dataclass(frozen=True)
class Fit:
    """Names of a network's numbers: loaded from the source, new, and those of the source that have no place."""

    loaded: Sequence[str]
    new: Sequence[str]
    unused: Sequence[str]

    def words(self) -> dict[str, str]:
        """For the log and the report."""
        return {
            "loaded": f"{len(self.loaded)} of {len(self.loaded) + len(self.new)} arrays", "new": _listed(self.new),
            "not_used": _listed(self.unused),
        }    # fmt: skip


def layers(names: Sequence[str]) -> dict[str, list[str]]:
    """The layers of a network, front to head: name of the layer -> names of its parameters."""
    split = [name.split(".") for name in names]
    outer = split[0][:1]    # of a network inside another one
    start = 1 if all(len(parts) > 2 and parts[:1] == outer for parts in split) else 0
    head = split[-1][: start + 1]
    found: dict[str, list[str]] = {}
    for name, parts in zip(names, split, strict=True):
        end = next((i + 1 for i, part in enumerate(parts[start:], start) if part.isdigit()), start + 1)
        end = start + 1 if parts[: start + 1] == head else end
        found.setdefault(".".join(parts[:end]), []).append(name)
    return found


def frozen_names(
    mine: Mapping[str, Sequence[int]], fine_tune: str, *, given: Mapping[str, Sequence[int]]
) -> list[str]:    # fmt: skip
    """Parameters that do not learn: those of all layers but the head, or of the front, the first half of the layers.

    What the source has not given learns in any case, as the scores of an attention pooling behind a pretrained encoder.

    Parameters
    ----------
    mine, given : mapping
        Name -> shape, of the network and its source.
    """
    order = list(layers(list(mine)).values())
    still = {"head": order[:-1], "frozen_front": order[: len(order) // 2]}.get(fine_tune, [])
    return [name for own in still for name in own if name in given and _shape(given[name]) == _shape(mine[name])]


def layer_rates(names: Sequence[str], factor: float) -> dict[str, float]:
    """Share of the rate that each parameter gets: one at the head, less by ``factor`` with each layer to the front.

    Discriminative fine-tuning (Howard and Ruder, Universal language model fine-tuning for text classification, ACL
    2018, section 3.2), who take 2.6.
    """
    order = list(layers(names).values())
    return {name: factor ** (i + 1 - len(order)) for i, own in enumerate(order) for name in own}


def load_source(network: nn.Module, source: Source, *, new_head: bool) -> Fit:
    """Put the weights of a source into a network, in place; what does not come from there stays as it is.

    So do buffers that the network computes: the electrodes of the source may stand elsewhere.
    """
    computed = computed_buffers(network)
    mine, given = _numbers(network, but=computed), weights_of(source, but=computed)
    fit = sort_out(
        {name: tuple(t.shape) for name, t in mine.items()}, {name: w.shape for name, w in given.items()},
        names=[name for name, _ in network.named_parameters()], new_head=new_head, model=model_of(source),
    )    # fmt: skip
    with torch.no_grad():
        for name in fit.loaded:
            mine[name].copy_(torch.tensor(given[name]).reshape(mine[name].shape))
    return fit


def weights_of(source: Source, *, but: Set[str]) -> dict[str, np.ndarray]:
    """Return what a source gives to a network, without its front end and some names."""
    return {name: w for name, w in source.weights.items() if not name.startswith(FRONTEND) and name not in but}


def sort_out(
    mine: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]], *, names: Sequence[str], new_head: bool,
    model: str = "its model",
) -> Fit:    # fmt: skip
    """Compare a network with its source by the shapes of their parameters and buffers.

    Rates of dropout are settings, not weights: the network keeps its own. All other buffers go with the weights
    (running statistics, random features). A source without a head is an encoder that was pretrained on something else:
    what of it fits is taken. One with a head is a whole network, of which everything must fit.

    Parameters
    ----------
    mine, given : mapping
        Name -> shape.
    names : sequence of str
        The network's parameters, in order.
    new_head : bool
        Whether the head is left as it is, whatever the source has.
    model : str
        How the network of the source is typed, for the error.

    Raises
    ------
    ValueError
        If a shape differs, nothing fits, or a head is wanted and there is none.
    """
    own = [name for name in mine if not (name == "rate" or name.endswith(".rate"))]
    last = list(layers(names))[-1]
    head = {name for name in own if name == last or name.startswith(f"{last}.")}
    whole = bool(head & given.keys())
    if not whole and not new_head:
        raise ValueError("model.init_from: the source has no head, so that a zero-shot test (protocol.trials=0) and "
                         "trainer.new_head=false are not possible")    # fmt: skip
    wanted = [name for name in own if not (new_head and name in head)]
    same = [name for name in wanted if name in given and _shape(given[name]) == _shape(mine[name])]
    other = [name for name in wanted if name in given and name not in same]
    if whole and (lacking := [name for name in wanted if name not in given]):
        raise ValueError(f"model.init_from: the source is another network, it lacks {_listed(lacking)}; take {model}")
    if whole and other:
        name = other[0]
        raise ValueError(
            f"model.init_from: {name} has the shape {tuple(mine[name])} here and {tuple(given[name])} in the source "
            f"({len(other)} such); train the source with the same channels, samples, classes and model settings"
        )
    if not set(same) & set(names):
        raise ValueError(f"model.init_from: no weight of the source fits; it has {_listed(list(given))}")
    taken = set(same)
    rates = {name for name in given if name == "rate" or name.endswith(".rate")}
    return Fit(same, [name for name in own if name not in taken], [name for name in given if name not in taken | rates])


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape) or (1,)    # a file holds a number as an array of one


def _numbers(network: nn.Module, *, but: Set[str]) -> dict[str, Tensor]:
    """Parameters and buffers by their names."""
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: t for name, t in found.items() if name not in but}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return " ".join(names[:MOST_NAMES]) + more if names else "none"
