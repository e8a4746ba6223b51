"""scripts/sweep.py as it is typed, on Hydra's own configurations."""

import importlib.util
import os
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir

from eegdecode.identity import COMPUTING
from eegdecode.reporting.searches.tables import SearchFolder
from eegdecode.search.best import best_yaml
from eegdecode.search.check import check_space
from eegdecode.search.settings import make_search
from eegdecode.search.space import overrides
from eegdecode.search.versions import made_with

ROOT = Path(__file__).parents[2]
SEARCHES = sorted((ROOT / "configs" / "search").glob("*.yaml"))
SMALL = ["dataset.n_trials=9", "dataset.subjects=[1,2]", "preprocess.sfreq=100", "trainer.epochs=1",
         "trainer.workers=1", "device=cpu", "final_seeds=1"]    # fmt: skip


@pytest.fixture
def door(monkeypatch):
    """The module of the door, and Hydra ready."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("sweep_door", ROOT / "scripts" / "sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        yield module


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_every_search_fits_the_configuration_and_begins_with_the_defaults(door, path):
    search = make_search(path.stem, yaml.safe_load(path.read_text()))
    default = check_space(search.space, door.compose_training, search.fixed)
    assert default is not None
    assert ("augment" in default) == any(parameter.path == "augment" for parameter in search.space)
    assert default.get("augment", "none") == "none"
    assert f"sweep={path.stem}" in path.read_text()


def test_what_hydra_or_a_setting_refuses_is_told_with_the_path(door):
    space = {"model.spatial_heads": {"int": [1, 2]}, "trainer.optimiser": {"choice": ["adam", "lion"]}}
    search = make_search("x", {"space": space, "base": ["model=sttransformer"]})
    with pytest.raises(ValueError, match=r"trainer\.optimiser=lion is refused: .*must be one of adamw, adam"):
        check_space(search.space, door.compose_training, search.fixed)


STEPS, EPOCHS = {"trainer.updates": {"int": [50, 500]}}, {"trainer.epochs": {"int": [5, 50]}}
LR = {"trainer.lr": {"float": [1e-4, 1e-2], "log": True}}
SOME = {"trainer.epochs": {"choice": [None, 5]}}
EITHER = {**SOME, "trainer.updates": {"int": [50, 500], "when": {"trainer.epochs": None}}}


@pytest.mark.parametrize(("space", "typed", "said"), [
    (STEPS, ["trainer.epochs=20"], r"space: trainer\.updates does nothing beside trainer\.epochs=20, .*epochs=null"),
    (STEPS, ["experiment=s3t_bci4_2a"], r"beside trainer\.epochs=1000"),
    (EPOCHS, ["trainer.updates=250"], r"trainer\.updates=250 does nothing beside trainer\.epochs, .*: leave it out"),
    ({**EPOCHS, **STEPS}, [], r"both are searched: .*when: \{trainer\.epochs: null\}"),
    ({**STEPS, **EPOCHS}, [], r"both are searched"),
    (STEPS, [], ""), (STEPS, ["experiment=s3t_bci4_2a", "trainer.epochs=null"], ""), (EPOCHS, [], ""), (EITHER, [], ""),
    (EPOCHS, ["trainer=long"], ""), (SOME, ["trainer.updates=250"], ""),
    (LR, ["trainer.updates=250", "trainer.epochs=5"], r"updates=250 does nothing beside trainer\.epochs=5: leave"),
    (LR, ["trainer.updates=250", "experiment=s3t_bci4_2a"], r"beside trainer\.epochs=1000"),
    (LR, ["trainer.updates=250", "trainer.epochs=null"], ""), (LR, ["trainer=long", "trainer.epochs=5"], ""),
])    # fmt: skip
def test_steps_and_epochs_of_which_one_does_nothing_are_not_searched(door, space, typed, said):
    search = make_search("x", {"space": space}, typed=typed)
    with pytest.raises(ValueError, match=said) if said else nullcontext():
        check_space(search.space, door.compose_training, search.fixed, typed=search.typed)


def test_the_base_of_a_search_may_have_steps_where_epochs_are_typed(door):
    search = make_search("x", {"space": LR, "base": ["trainer.updates=250"]}, typed=["trainer.epochs=5"])
    assert check_space(search.space, door.compose_training, search.fixed, typed=search.typed)


def test_no_word_of_hydras_own_is_proposed_for_a_typo(door):
    search = make_search("x", {"space": {"model.partial": {"int": [1, 2]}}})
    with pytest.raises(ValueError, match=r"the configuration has no model\.partial") as caught:
        check_space(search.space, door.compose_training, search.fixed)
    assert "_partial_" not in str(caught.value)


def test_a_search_notes_its_settings_and_code_and_those_that_a_choice_brings(door):
    path = ROOT / "configs" / "search" / "sttransformer_search.yaml"
    search = make_search(path.stem, yaml.safe_load(path.read_text()))
    made = made_with(search, door.compose_training, data={}, splits="")
    settings, code = made["settings"], made["code"]
    assert settings["trainer.updates"] == 500
    assert settings["augment.noise (augment=noise)"] == 0.1
    assert not {name for name in settings if name.startswith(("device", "logger", "out_dir", "run_store"))}
    assert not {f"trainer.{name}" for name in COMPUTING} & set(settings)
    assert {"eegdecode.models.sttransformer.STTransformer", "eegdecode.training.chain.Chain", "torch"} <= set(code)


def test_the_best_configuration_is_an_experiment_that_composes_to_the_same(door, tmp_path, monkeypatch):
    events = "dataset.events={1: right}"
    typed = ["dataset=mi_openbci", events, "device=cpu", "~trainer.clip"]
    search = make_search("x", yaml.safe_load(SEARCHES[-1].read_text()), typed=typed)
    chosen = {"trainer.lr": 2.5e-05, "model.depth": 3, "model.width": 24, "augment": "noise", "augment.noise": 0.25}
    words = [*search.fixed, *overrides(chosen), "sweep.seeds=[1000,1001]", "trainer.validation=0.0"]
    monkeypatch.setattr("eegdecode.search.best.verdict", lambda found, scores: "It is better.")
    monkeypatch.setattr("eegdecode.search.best.final_scores", lambda found: None)

    row = {"trial": 3, "state": "done", "took": 1.0, "score": 0.5, "repeated": False}
    trials, command = pd.DataFrame([row]), "python scripts/sweep.py sweep=x"
    about = {"command": command, "metric": "accuracy", "objectives": {"score": "maximize"}}
    final = {"winner": {"trial": 3}, "seeds": [1000, 1001]}
    found = SearchFolder(tmp_path, about, trials, {}, final)
    (tmp_path / "experiment").mkdir()
    text = best_yaml(door.compose_training(words), words, search=search, found=found)
    (tmp_path / "experiment" / "x_best.yaml").write_text(text)
    assert text.startswith("# @package _global_\n# Claim: It is better.\n# Command: python scripts/train.py")
    (command,) = [line for line in text.splitlines() if line.startswith("# Command: ")]
    _, *typed = shlex.split(command)[4:]
    assert typed == [events, "~trainer.clip"]
    again = compose("train", ["experiment=x_best", *typed, f"hydra.searchpath=[file://{tmp_path}]", "device=cpu"])
    assert again == compose("train", words)


def run(*words, folder):
    env = {**os.environ, "EEGDECODE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1",
           "PYTHONPATH": str(ROOT / "src")}    # fmt: skip
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "sweep.py"), *words], cwd=folder, env=env,
                          capture_output=True, text=True, timeout=300)    # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_real_search_of_two_trials(tmp_path):
    code, said = run("sweep=sttransformer_search", "n_trials=2", *SMALL, folder=tmp_path)
    assert code == 0, said
    folder = tmp_path / "data" / "runs" / "sttransformer_search"
    assert (pd.read_csv(folder / "trials.csv")["state"] == "done").all()
    for name in ("report.md", "best.yaml", "study.db", "final/default/report.md"):
        assert (folder / name).exists(), name
    code, said = run("status", folder=tmp_path)
    assert code == 0, said
    assert "2 of 2 trials are over" in said
    code, said = run("sweep=sttransformer_search", "n_trials=2", "trainer.epocs=2", folder=tmp_path)
    assert code == 1
    assert said == "error: there is no trainer.epocs with model=sttransformer; did you mean trainer.epochs?\n"


@pytest.mark.parametrize(("word", "said"), [
    ("n_trial=3", "there is no n_trial with model=eegnet; did you mean n_trials?"),    # an option of the search
    ("model.filter=3", "there is no model.filter with model=eegnet; did you mean model.filters?"),    # of its own base
    ("+n_trial=3", "nothing takes n_trial; did you mean n_trials?"),
    ("+verbose=true", "nothing takes verbose; there are augment, dataset, device, frontend, logger, model, out_dir, "
                      "preprocess, protocol, run_store, seed, sweep, trainer"),
    ("seed=x", "seed=x must be a whole number"),
])    # fmt: skip
def test_a_typo_is_told_in_words_before_the_first_trial(tmp_path, word, said):
    assert run("sweep=eegnet_search", word, folder=tmp_path) == (1, f"error: {said}\n")
    assert not (tmp_path / "data").exists()
