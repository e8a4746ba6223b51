"""A network starts from another one's weights: what fits, what is new, and how much of it learns.

A *layer* is a part of the network in the order in which its parts were made, front to head; the members of a list of
modules count by themselves (``stem``, ``encoder.blocks.0``, ``encoder.blocks.1``, ``norm``, ``head``). The last one is
the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from eegdecode.identity import describe
from eegdecode.runs import Source
from eegdecode.trials import Signal

FINE_TUNE = ("full", "head", "layerwise", "frozen_front")
FRONTEND = "frontend."    # what stands before the names of a front end in a checkpoint
FREE = ("drop", "skip")    # how settings begin in which a network may differ from its source: rates of dropout
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
    """Put the weights of a source into a network, in place; what does not come from there stays as it is."""
    mine = _numbers(network)
    given = {name: w for name, w in source.weights.items() if not name.startswith(FRONTEND)}
    fit = sort_out(
        {name: tuple(t.shape) for name, t in mine.items()}, {name: w.shape for name, w in given.items()},
        names=[name for name, _ in network.named_parameters()], new_head=new_head,
    )    # fmt: skip
    with torch.no_grad():
        for name in fit.loaded:
            mine[name].copy_(torch.tensor(given[name]).reshape(mine[name].shape))
    return fit


def sort_out(
    mine: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]], *, names: Sequence[str], new_head: bool
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
        raise ValueError(f"model.init_from: the source is another network, it lacks {_listed(lacking)}; take its model")
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


def check_source(source: Source, *, model: partial, frontend: Any, signal: Signal) -> None:
    """Refuse a source whose weights mean something else here: another network, front end, rate or channels."""
    about = source.about["model"]
    here = {"frontend": describe(frontend), "network": describe(model)}
    theirs, mine = (_plain(each.get("network") or {}) for each in (about, here))
    if theirs.get("call") == mine.get("call"):    # a pretrained encoder may be a part of another network
        for name in sorted({*theirs, *mine}):
            if theirs.get(name) != mine.get(name) and not name.startswith(FREE):
                raise ValueError(f"model.init_from: the source has model.{name}={_word(theirs, name)}, here it is "
                                 f"{_word(mine, name)}; type the same")    # fmt: skip
    theirs, mine = (_flat(_plain(each.get("frontend") or {})) for each in (about, here))
    if theirs and theirs != mine:
        name = next(name for name in [*theirs, *mine] if theirs.get(name) != mine.get(name))
        raise ValueError(
            f"model.init_from: the source was trained behind frontend.{name}={_word(theirs, name)}, here it is "
            f"{_word(mine, name)}; its weights fit no other front end, so type the same"
        )
    for name, value in (("sfreq", about.get("sizes", {}).get("sfreq")), ("channels", about.get("ch_names"))):
        wanted = signal.sfreq if name == "sfreq" else list(signal.ch_names)
        if value is not None and value != wanted:
            raise ValueError(
                f"model.init_from: the source's trials have {name}={value}, these have {wanted}; prepare both alike "
                f"(preprocess.{name})"
            )


def check_classes(source: Source, classes: Sequence[str]) -> None:
    """Refuse a source's own head where it tells other classes apart."""
    theirs = source.about["model"].get("classes")
    if theirs is not None and list(theirs) != list(classes):
        raise ValueError(
            f"model.init_from: the source's head is of the classes {', '.join(theirs)}, here are {', '.join(classes)}; "
            "leave 0 out of protocol.trials and take trainer.new_head=true"
        )


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape) or (1,)    # a file holds a number as an array of one


def _numbers(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by their names."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _plain(thing: Any) -> Any:
    """A description without the digests of sources: edited code is not another setting."""
    if isinstance(thing, Mapping):
        return {name: _plain(value) for name, value in thing.items() if name != "source"}
    return [_plain(each) for each in thing] if isinstance(thing, list | tuple) else thing


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings of settings side by side: ``then.over``."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def _word(settings: Mapping[str, Any], name: str) -> str:
    return str(settings.get(name, "not set"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return " ".join(names[:MOST_NAMES]) + more if names else "none"
