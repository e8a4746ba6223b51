"""What is typed and would do nothing: another setting goes before it, or turns it off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

BEFORE = {    # a setting -> those that replace it where they are not null
    "trainer.updates": ("trainer.epochs",), "trainer.lr": ("sweep.lr",), "model.drop": ("sweep.drop", "task.drop"),
    "trainer.weight_decay": ("sweep.weight_decay",),
}    # fmt: skip
NEEDS = {    # a setting -> whose it is, and the words with which it counts
    "trainer.warmup": ("trainer.schedule", ("cosine", "constant", "plateau")),
    "preprocess.factor_new": ("preprocess.standardise", ("moving",)),
    "preprocess.init_block": ("preprocess.standardise", ("moving",)),
}    # fmt: skip


def idle(typed: Sequence[str], config: Mapping[str, Any], *, varied: Collection[str] = ()) -> str | None:
    """Tell of the first word that does nothing as the others are chosen; None: each does something.

    A YAML file may say both, as the base of a search does: then nobody waits for what he has typed.

    Parameters
    ----------
    typed : sequence of str
        The command line (``trainer.lr=0.1``).
    config : mapping
        What came of it and of the files, dicts in dicts.
    varied : collection of str
        Settings that a search varies: what one of them replaces or turns off counts in some trials.
    """
    grids = _value(config, "model.search")    # of a pipeline: it sets what it searches
    grids = [grids] if isinstance(grids, Mapping) else grids if isinstance(grids, list) else []
    for word in (each.lstrip("+") for each in typed):
        path = word.partition("=")[0]
        for other in BEFORE.get(path, ()):
            if other not in varied and (value := _value(config, other)) is not None:
                return f"{word} does nothing beside {other}={_plain(value)}: leave it out, or take {other}=null"
        whose, words = NEEDS.get(path, ("", ()))
        if whose and whose not in varied and (value := _value(config, whose)) not in words:
            now = "null" if value is None else value
            return f"{word} does nothing with {whose}={now}: leave it out, or take {whose}={' or '.join(words)}"
        name = path.removeprefix("model.").replace(".", "__")
        if grids and all(name in grid for grid in grids):
            return f"{word} does nothing beside model.search, which tries {name}: leave it out, or model.search=null"
    return None


def _value(config: Mapping[str, Any], path: str) -> Any:
    node: Any = config
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _plain(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
