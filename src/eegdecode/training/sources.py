"""Do the weights of a source mean the same here? What differs is named as it is typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eegdecode.identity import describe
from eegdecode.runs import Source
from eegdecode.training.electrodes import why_not
from eegdecode.trials import Signal

FREE = ("drop", "skip")    # how settings begin in which a network may differ from its source: rates of dropout
KIND = "call.name"    # how a class ends in a description that is laid flat: nobody types one


def check_source(source: Source, *, model: partial, frontend: Any, signal: Signal) -> None:
    """Refuse a source whose weights mean something else here: another network, front end, rate or channels."""
    about = source.about["model"]
    here = {"frontend": describe(frontend), "network": describe(model)}
    theirs, mine = (_plain(each.get("network") or {}) for each in (about, here))
    same = theirs.get("call") == mine.get("call")    # a pretrained encoder may be a part of another network
    for name in sorted({*theirs, *mine}) if same else ():
        if theirs.get(name) != mine.get(name) and not name.startswith(FREE):
            raise ValueError(f"model.init_from: the source has model.{name}={_word(theirs, name)}, here it is "
                             f"{_word(mine, name)}; type the same")    # fmt: skip
    fronts = [_flat(_plain(each.get("frontend") or {})) for each in (about, here)]
    if fronts[0] and fronts[0] != fronts[1]:
        if theirs and not same:    # then it is no matter of the front end
            raise ValueError(
                f"model.init_from: the source is another network, {_class(_flat(theirs), KIND)}, here it is "
                f"{_class(_flat(mine), KIND)}; take {model_of(source)} and {_frontend_of(source) or 'its front end'}"
            )
        raise ValueError(f"model.init_from: the source was trained behind {_difference(*fronts, source=source)}")
    _check_signal(about, signal, same=same)


def _check_signal(about: Mapping[str, Any], signal: Signal, *, same: bool) -> None:
    """Refuse another rate, and other channels that `why_not` refuses."""
    rate, names = about.get("sizes", {}).get("sfreq"), about.get("ch_names")
    if rate not in (None, signal.sfreq):
        raise ValueError(_unlike("sfreq", rate, signal.sfreq))
    if names in (None, list(signal.ch_names)):
        return
    tie = why_not(about, signal) if same else "its network is a part of another one here"
    if tie:
        raise ValueError(f"{_unlike('channels', names, list(signal.ch_names))}. Other channels it cannot take: {tie}")


def _unlike(name: str, theirs: Any, mine: Any) -> str:
    both = f"the source's trials have {name}={theirs}, these have {mine}"
    return f"model.init_from: {both}; prepare both alike (preprocess.{name})"


def check_classes(source: Source, classes: Sequence[str]) -> None:
    """Refuse a source's own head where it tells other classes apart."""
    theirs = source.about["model"].get("classes")
    if theirs is not None and list(theirs) != list(classes):
        raise ValueError(
            f"model.init_from: the source's head is of the classes {', '.join(theirs)}, here are {', '.join(classes)}; "
            "leave 0 out of protocol.trials and take trainer.new_head=true"
        )


def model_of(source: Source) -> str:
    """How the network of a source is typed, as far as its checkpoint tells."""
    choice = source.about.get("facts", {}).get("model")
    name = (source.about.get("model", {}).get("network") or {}).get("name")    # of another library
    if not choice:
        return "its model"
    return f"model={choice.removesuffix(f'_{name}')} model.name={name}" if name else f"model={choice}"


def _frontend_of(source: Source) -> str:
    choice = source.about.get("facts", {}).get("frontend")
    return f"frontend={choice}" if choice else ""


def _difference(theirs: Mapping[str, Any], mine: Mapping[str, Any], *, source: Source) -> str:
    """In which setting the front end of a source is another, and what is typed for it."""
    name = next(name for name in [*theirs, *mine] if theirs.get(name) != mine.get(name))
    choice, why = _frontend_of(source), "its weights fit no other front end, so type"
    if name.endswith(KIND):
        kind = choice or f"the front end {_class(theirs, name)}"
        return f"{kind}, here it is {_class(mine, name)}; {why} {choice or 'the same'}"
    setting = f"frontend.{name}={_word(theirs, name)}"
    typed = f"{choice} {setting}" if choice else "the same"
    return f"{setting}, here it is {_word(mine, name)}; {why} {typed}"


def _class(settings: Mapping[str, Any], name: str) -> str:
    return _word(settings, name).rpartition(".")[2]


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
    """A value as it is typed."""
    if name not in settings:
        return "not set"
    return json.dumps(settings[name]).replace('"', "").replace(", ", ",")
