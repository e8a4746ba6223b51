"""What is typed, held against the YAML files: Hydra's own words name no way out, or the wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def check_options(words: Sequence[str], configs: Path) -> None:
    """Refuse ``augment=null``, for a choice is a file, and ``hydra.launcher.KEY=...`` that the launcher does not have.

    Parameters
    ----------
    words : sequence of str
        The command line.
    configs : Path
        Folder with one a group.
    """
    for group, value in replaced(words):
        if value == "null" and (configs / group).is_dir():    # Hydra ends in a traceback
            known = (configs / group / "none.yaml").exists()
            meaning = f"did you mean {group}=none?" if known else "leave it out"
            raise ValueError(f"{group}=null chooses nothing; {meaning}")
    configs = configs / "launcher"
    typed = [word.lstrip("+").partition("=")[0] for word in words]
    keys = [path.split(".")[2] for path in typed if path.startswith("hydra.launcher.")]
    name = next((word.partition("=")[2] for word in words if word.startswith("launcher=")), "local")
    if not keys or not (configs / f"{name}.yaml").exists():    # Hydra says which there are
        return
    known = yaml.safe_load((configs / f"{name}.yaml").read_text()).get("hydra", {}).get("launcher", {})
    known = sorted(set(known) - {"where"})
    for key in keys:
        if not known:
            others = ", ".join(sorted(path.stem for path in configs.glob("*.yaml") if path.stem != name))
            raise ValueError(f"hydra.launcher.{key} is for jobs that run elsewhere: give launcher=... too ({others})")
        if key not in known:
            raise ValueError(f"launcher={name} has no hydra.launcher.{key}; {meant(key, known)}")


def unknown(
    words: Sequence[str], configs: Path, compose: Callable[..., Any], beside: Sequence[str] = ()
) -> str | None:    # fmt: skip
    """Tell which setting or choice a command names that is none, and what there is; None: there is none such.

    Of a grid over a group (``augment=none,noise``) all choices have to have what is typed for it.

    Parameters
    ----------
    words : sequence of str
        The command line.
    configs : Path
        Folder with one a group.
    compose : callable
        Takes choices (``model=eegnet``), gives the configuration.
    beside : sequence of str
        What the door takes beside it.
    """
    typed = replaced(words)
    groups = {key: value.split(",") for key, value in typed if (configs / key).is_dir()}
    for group, choices in groups.items():
        if said := no_choice(configs / group, choices):
            return said
    first = {group: choices[0] for group, choices in groups.items()}
    for path in (key for key, _ in typed if key not in groups and not key.startswith("hydra.")):
        group = path.partition(".")[0]
        told = {}
        for choice in groups.get(group, [""]):
            chosen = [f"{key}={value}" for key, value in (first | ({group: choice} if choice else {})).items()]
            told[choice] = missing(compose(*chosen), path, beside)
        if all(told.values()):
            named = ", ".join(f"{key}={value}" for key, value in first.items())
            return f"there is no {path}{' with ' * bool(named)}{named}; {next(iter(told.values()))}"
        if lacking := [choice for choice, said in told.items() if said]:
            has = [choice for choice in told if choice not in lacking]
            return f"there is no {path} with {group}={','.join(lacking)}: give {group}={','.join(has)} a command of " \
                   "its own"    # fmt: skip
    return None


def replaced(words: Sequence[str]) -> list[tuple[str, str]]:
    """Settings and choices that a command changes, with their values; none where another folder adds its own."""
    if any(word.startswith(("--config-dir", "-cd", "hydra.searchpath=")) for word in words):
        return []    # what is there only Hydra knows
    typed = (word.partition("=") for word in words if "=" in word and word[0] not in "+~-")
    return [(path, value) for path, _, value in typed]


def missing(config: Any, path: str, beside: Sequence[str] = ()) -> str | None:
    """Tell what there is where a path (``trainer.lr``) leaves a configuration, dicts in dicts; None: it does not.

    What a door takes ``beside`` its configuration may have been meant as well.
    """
    node, parts = config, path.split(".")
    for i, part in enumerate(parts):
        if not isinstance(node, Mapping):
            return None    # a list, a value: Hydra says what it takes
        if part not in node:
            known, above = sorted(key for key in node if not key.startswith("_")), ".".join(parts[:i])
            if above and not known:    # augment=none, of what has settings under another choice
                return f"{above} has no settings as it is chosen; {parts[0]}=... takes another choice"
            if not above:
                return meant(part, known, beside=beside)
            return meant(part, known, before=f"{above}.", there=f"{above} has")
        node = node[part]
    return None


def no_choice(group: Path, choices: Sequence[str]) -> str | None:
    """Tell which choice (``model=eegnett``) the folder of a group lacks, and which one is near; None: it has all."""
    known = sorted(file.stem for file in group.glob("*.yaml"))
    for choice in choices:
        if re.fullmatch(r"[\w-]+", choice) and choice not in known:    # what is quoted is Hydra's to read
            return f"there is no {group.name}={choice}; {meant(choice, known, before=f'{group.name}=')}"
    return None


def meant(
    word: str, known: Sequence[str], *, before: str = "", beside: Sequence[str] = (), there: str = "there are"
) -> str:    # fmt: skip
    """What was probably meant, of that or of what is beside it; or else all that there is."""
    near = difflib.get_close_matches(word, [*known, *beside], n=1)
    if not near and len(known) == 1:    # "there are none", of a group with the choice none alone
        return f"there is {before}{known[0]} alone"
    return f"did you mean {before}{near[0]}?" if near else f"{there} {', '.join(known)}"
