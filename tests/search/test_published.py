"""The published search: what its report, its space and its winner say must be true of the files of today."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from eegdecode.identity import COMPUTING
from eegdecode.reporting.searches.page import _words
from eegdecode.search.settings import make_search

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "notebooks" / "benchmarks" / "search"


@pytest.fixture(autouse=True)
def configs():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        yield


def flat(node, head=""):
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def test_the_winner_is_what_was_measured_whatever_the_defaults_became():
    """Settings that came later are off by rule; the others have the values of then."""
    then = dict(flat(yaml.safe_load((REPORT / "winner.yaml").read_text())))
    now = dict(flat(OmegaConf.to_container(compose("train", ["experiment=sttransformer_small_best"]), resolve=True)))
    how = {"device", "out_dir", "run_store", *(f"trainer.{name}" for name in COMPUTING)}
    assert {path: now.get(path) for path in then if path not in how} == {
        path: value for path, value in then.items() if path not in how
    }


def test_the_search_is_the_one_that_was_published():
    """Whoever changes the space or the default says in the report's head that it is of before."""
    path = ROOT / "configs" / "search" / "sttransformer_small.yaml"
    space = make_search(path.stem, yaml.safe_load(path.read_text())).identity()["space"]
    now = {path: _words(words) for path, words in space.items()}
    (table,) = re.findall(r"\| setting .*?\n\n", (REPORT / "report.md").read_text(), flags=re.DOTALL)
    then = dict(re.findall(r"^\| `([\w.]+)` \|.*\| ([^|]+) \|$", table, flags=re.MULTILINE))
    assert then == now
    assert len(now) == 7


def test_the_default_of_the_published_search_is_that_of_today():
    (table,) = re.findall(r"\| setting .*?\n\n", (REPORT / "report.md").read_text(), flags=re.DOTALL)
    then = dict(re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|", table, flags=re.MULTILINE))
    now = dict(flat(OmegaConf.to_container(compose("train", ["model=sttransformer"]), resolve=True)))
    assert {path: float(then[path]) if path != "model.pool" else then[path] for path in then} == {
        path: now[path] for path in then
    }
