"""A search space is held against the composed configuration before any work starts."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eegdecode.experiment import run_experiment
from eegdecode.reporting.settings import SWEPT
from eegdecode.search.settings import OPTIONS, meant
from eegdecode.search.space import Parameter, Space, Value, overrides

OURS = ("choices", "config", "screen")    # what an experiment is told by whoever calls it, and not by a configuration
JUDGES = {    # what a trial is judged by, or where it lies: to vary it would compare what is not comparable
    "dataset": "the data set", "protocol": "the protocol", "seed": "the seed", "sweep": "its runs",
    "logger": "a logger", "out_dir": "a folder", "run_store": "a folder", "device": "a device",
    "trainer.validation": "what is held out",
    "preprocess.reject": "which trials there are", "preprocess.incomplete": "which trials there are",
    "preprocess.annotated": "which trials there are",
}    # fmt: skip
STEPS, EPOCHS = "trainer.updates", "trainer.epochs"    # epochs go before


@dataclass(frozen=True)
class Composed:
    """What Hydra makes of some overrides of ``scripts/train.py``; the door knows Hydra, nobody here does.

    Attributes
    ----------
    config : dict
        The whole configuration.
    choices : dict of str to str
        Group -> what is chosen.
    text : str
        The configuration as YAML.
    build : callable
        Instantiates it: the keyword arguments of `run_experiment` but for ``choices`` and ``config``. Given the words
        of a command and the paths that are searched, it refuses words that do nothing.
    """

    config: Mapping[str, Any]
    choices: Mapping[str, str]
    text: str
    build: Callable[..., dict[str, Any]]


Compose = Callable[[Sequence[str]], Composed]


def check_space(
    space: Space, compose: Compose, fixed: Sequence[str], *, typed: Sequence[str] = ()
) -> dict[str, Value] | None:    # fmt: skip
    """Refuse what the configuration does not know or does not take; return the default point if it is in the space.

    Every end of a range and every choice is composed and instantiated once (a tenth of a second each), so that
    settings refuse here what they would refuse in the hundredth trial.

    Parameters
    ----------
    fixed : sequence of str
        The overrides that every trial has.
    typed : sequence of str
        Those of them that stand in the command.
    """
    for word in typed:
        if word.lstrip("+").startswith("launcher=") and not word.endswith("=local"):
            raise ValueError(f"{word} is for the jobs of train.py -m: several workers of a search are the same command "
                             "started in several jobs (storage=journal)")    # fmt: skip
    _refuse_judges(space)
    _refuse_twice(space, fixed)
    _refuse_idle_steps(space, fixed)
    default, known = compose(fixed), {parameter.path: parameter for parameter in space}
    _refuse_unknown(default)
    _refuse_several(default)
    trainer = default.build(typed, known)["trainer"]    # what is typed and wrong is told before what the space holds
    holds_out = any(word.lstrip("+").startswith("trainer.validation=") for word in typed)
    if holds_out and not getattr(trainer, "steered", False):
        raise ValueError("trainer.validation does nothing here: how much a search holds out is said by share=0.2")
    for parameter in space:
        context = overrides(context_of(parameter, known))
        around = compose([*fixed, *context]) if context else default
        _check_type(parameter, value_at(around, parameter.path))
        if parameter.path == STEPS and (epochs := value_at(around, EPOCHS)) is not None:
            raise ValueError(f"space: {STEPS} does nothing beside {EPOCHS}={epochs}, so that nothing would vary: take "
                             f"{EPOCHS}=null, or search {EPOCHS}")    # fmt: skip
        for value in parameter.values:
            try:
                compose([*fixed, *context, *overrides({parameter.path: value})]).build()
            except Exception as error:
                said = " ".join(str(error.__cause__ or error).split())
                raise ValueError(f"space: {parameter.path}={value} is refused: {said}") from error
    return _default_point(space, default)


def value_at(composed: Composed, path: str) -> Any:
    """What stands at a path of the configuration; of a group its choice."""
    if path in composed.choices:
        return composed.choices[path]
    node: Any = composed.config
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            near = difflib.get_close_matches(path, [*composed.choices, *_paths(composed.config)], n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(f"space: the configuration has no {path}{hint}")
        node = node[part]
    return node


def _paths(node: Mapping[str, Any], head: str = "") -> Iterator[str]:
    for key, value in node.items():
        if str(key).startswith("_"):    # Hydra's
            continue
        yield head + str(key)
        if isinstance(value, Mapping):
            yield from _paths(value, f"{head}{key}.")


def context_of(parameter: Parameter, known: Mapping[str, Parameter]) -> dict[str, Value]:
    """Values of other parameters with which this one exists."""
    context: dict[str, Value] = {}
    for path, values in parameter.when.items():
        context |= {**context_of(known[path], known), path: values[0]}
    return context


def _check_type(parameter: Parameter, default: Any) -> None:
    """A whole number stays one, a word a word; a default of null takes anything."""
    path, kind = parameter.path, parameter.kind
    if isinstance(default, Mapping | list):
        if kind != "choice":
            raise ValueError(f"space: {path} is no number but {default}; take one of its parts")
        return
    if isinstance(default, bool | str) and kind != "choice":
        raise ValueError(f"space: {path} is {default!r} in the configuration, so it takes choice: [...], not {kind}")
    if isinstance(default, int) and kind == "float":
        raise ValueError(f"space: {path} is the whole number {default} in the configuration; take int: [low, high]")
    if kind != "choice" or default is None:
        return
    alike = (int, float) if isinstance(default, float) else type(default)
    for value in parameter.values:
        if value is not None and (not isinstance(value, alike) or isinstance(value, bool) != isinstance(default, bool)):
            raise ValueError(f"space: {path}={value!r} is of another type than {default!r} in the configuration")


def _refuse_judges(space: Space) -> None:
    """An easier data set or test is no better setting."""
    for path in (parameter.path for parameter in space):
        for judge, what in JUDGES.items():
            if path == judge or path.startswith(f"{judge}."):
                raise ValueError(f"space: {path} is {what}, which all trials share: type it beside sweep=NAME")


def _refuse_several(default: Composed) -> None:
    """Several rates in each trial would make its score the mean of several settings."""
    for path, swept in SWEPT.items():
        value = (default.config.get("sweep") or {}).get(swept.removeprefix("sweep."))
        if isinstance(value, list) and len(value) > 1:
            raise ValueError(f"{swept}={value} are several settings, and a trial is one: search {path}, or give one")


def _refuse_twice(space: Space, fixed: Sequence[str]) -> None:
    """What is searched cannot be typed as well."""
    typed = {word.partition("=")[0].lstrip("+~"): word for word in fixed}
    for parameter in space:
        if parameter.path in typed:
            raise ValueError(f"{parameter.path} is searched, and typed too: leave it out of the command or the space")
        if (number := SWEPT.get(parameter.path)) in typed:    # a run's own number goes before the setting
            raise ValueError(f"{parameter.path} is searched, and {typed[number]} would replace it: leave that out")


def _refuse_idle_steps(space: Space, fixed: Sequence[str]) -> None:
    """Where a number of epochs is searched, steps count with null alone."""
    known = {parameter.path: parameter for parameter in space}
    if not (epochs := known.get(EPOCHS)):
        return
    typed = next((word for word in fixed if word.lstrip("+").startswith(f"{STEPS}=")), "")
    if typed and not epochs.when and None not in epochs.values:
        raise ValueError(f"{typed} does nothing beside {EPOCHS}, which is searched: leave it out")
    if STEPS in known and known[STEPS].when.get(EPOCHS) != (None,):
        raise ValueError(f"space: {STEPS} does nothing where {EPOCHS} is a number, and both are searched: leave one "
                         f"out, or give {STEPS} when: {{{EPOCHS}: null}}")    # fmt: skip


def _refuse_unknown(composed: Composed) -> None:
    """Hydra adds whatever stands behind a plus; an experiment does not take it."""
    taken = [name for name in inspect.signature(run_experiment).parameters if name not in OURS]
    for key in composed.config:
        if key not in taken:
            raise ValueError(f"nothing takes {key}; {meant(key, sorted(taken), OPTIONS)}")


def _default_point(space: Space, default: Composed) -> dict[str, Value] | None:
    point: dict[str, Value] = {}
    for parameter in space:
        if parameter.exists(point):
            value = value_at(default, parameter.path)
            if not parameter.holds(value):
                return None
            point[parameter.path] = value
    return point
