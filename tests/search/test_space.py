import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from tests.search import stub

from eegdecode.search.check import check_space
from eegdecode.search.settings import Search, make_search, read_search
from eegdecode.search.space import overrides, points, read_space, suggest, text

SPACE = """
augment: {choice: [none, noise]}
augment.noise: {float: [1e-2, 0.5], log: true, when: {augment: noise}}
model.depth: {int: [1, 4]}
model.drop: {float: [0.1, 0.5], step: 0.2}
"""


class First:
    """Suggests the first choice, or the end that is asked for."""

    def __init__(self, last=False):
        self.last = last

    def suggest_float(self, name, low, high, *, step, log):
        return high if self.last else low

    def suggest_int(self, name, low, high, *, step, log):
        return high if self.last else low

    def suggest_categorical(self, name, choices):
        return choices[-1 if self.last else 0]


def test_a_parameter_exists_only_with_its_condition():
    space = read_space(yaml.safe_load(SPACE), "x")
    assert suggest(space, First()) == {"augment": "none", "model.depth": 1, "model.drop": 0.1}
    assert suggest(space, First(last=True))["augment.noise"] == 0.5
    assert overrides(suggest(space, First(last=True)))[0] == "augment=noise"    # groups before their settings


def test_a_grid_has_every_combination_once():
    space = tuple(p for p in read_space(yaml.safe_load(SPACE), "x") if p.path != "augment.noise")
    found = list(points(space))
    assert len(found) == 2 * 4 * 3
    assert len({tuple(point.items()) for point in found}) == len(found)
    with pytest.raises(ValueError, match=r"augment.noise has endless values"):
        list(points(read_space(yaml.safe_load(SPACE), "x")))


def test_an_endless_grid_is_refused_before_it_is_counted():
    space = {f"a.b{i}": {"int": [1, 10]} for i in range(9)}
    with pytest.raises(ValueError, match=r"sampler=grid: the space has more than 100,000 points"):
        make_search("x", {"space": space}, options={"sampler": "grid"})


def test_values_as_hydra_reads_them():
    values = (None, True, 3, 1e-05, "time_shift", "[a,b]", "1e3", "null")
    words = ["null", "true", "3", "1e-05", "time_shift", "'[a,b]'", "'1e3'", "'null'"]
    assert [text(value) for value in values] == words


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{a.b: {float: [1, 0.5]}}", "low 1 is not below high 0.5"),
        ("{a.b: {float: [0, 1], log: true}}", "begins above 0, got low 0"),
        ("{a.b: {int: [1, 2.5]}}", "2.5 is no whole number"),
        ("{a.b: {float: [low, 1]}}", "'low' is no number"),
        ("{a.b: {float: [0, 1], int: [0, 1]}}", "must say one of"),
        ("{a.b: {float: [0, 1], logarithmic: true}}", "does not know logarithmic"),
        ("{a.b: {choice: [1]}}", "at least two values"),
        ("{a.b: {choice: [1, 1]}}", "stands twice"),
        ("{a.b: {choice: [[1, 2], 3]}}", "a word or a number"),
        ("{a.b: {int: [1, 2], when: {c: 1}}}", "must stand above it"),
        ("{c: {choice: [x, y]}, a.b: {int: [1, 2], when: {c: z}}}", "c is never 'z'"),
        ("{}", "at least one override"),
    ],
)
def test_what_is_wrong_in_a_space_is_named(space, said):
    with pytest.raises(ValueError, match=said):
        read_space(yaml.safe_load(space), "configs/search/x.yaml")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{trainer.lrr: {float: [1.0e-4, 1.0e-2]}}", r"no trainer\.lrr; did you mean trainer\.lr"),
        ("{trainer.depth: {float: [1, 4]}}", r"depth is the whole number 2 .* take int"),
        ("{trainer.kind: {float: [1, 4]}}", "kind is 'good' .* takes choice"),
        ("{trainer: {float: [1, 4]}}", "trainer is no number"),
        ("{trainer.depth: {choice: [a, b]}}", "depth='a' is of another type than 2"),
        ("{augment: {choice: [none, nois]}}", "augment=nois is refused: Could not find"),
    ],
)
def test_a_space_is_held_against_the_configuration(space, said):
    with pytest.raises(ValueError, match=said):
        check_space(read_space(yaml.safe_load(space), "x"), stub.compose, [])


def test_what_is_searched_cannot_be_typed_too():
    space = read_space(yaml.safe_load("{trainer.lr: {float: [1.0e-4, 1.0e-2]}}"), "x")
    with pytest.raises(ValueError, match=r"trainer\.lr is searched, and typed"):
        check_space(space, stub.compose, ["trainer.lr=0.1"])
    with pytest.raises(ValueError, match=r"trainer\.lr is searched, and sweep\.lr=\[0\.1\] would replace it"):
        check_space(space, stub.compose, ["sweep.lr=[0.1]"])
    with pytest.raises(ValueError, match=r"launcher=slurm is for the jobs of train.py -m"):
        check_space(space, stub.compose, [], typed=["launcher=slurm"])
    assert check_space(space, stub.compose, ["trainer.depth=3"]) == {"trainer.lr": 1e-3}    # the default is in it
    narrow = read_space(yaml.safe_load("{trainer.lr: {float: [2.0e-3, 1.0e-2]}}"), "x")
    assert check_space(narrow, stub.compose, []) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sampler": "bayes"}, "sampler must be one of tpe"), ({"n_trials": 0}, "n_trials must be"),
        ({"pruner": "always"}, "pruner must be one of"), ({"metric": "acc"}, "metric must be one of accuracy"),
        ({"share": 1.0}, "share=1.0"), ({"storage": "study.db"}, "storage=study.db: take journal"),
        ({"objectives": {"speed": "maximize"}}, "speed: maximize is none of score"),
        ({"objectives": {"score": "maximize", "n_params": "minimize"}, "pruner": "median"}, "pruner=median judges by"),
        ({"storage": "postgresql://me:secret@host/db"}, "holds a password"),
        ({"storage": "postgresql://me@host/db?password=secret"}, "holds a password"),
        ({"storage": 5}, "storage=5: take journal"), ({"metric": "nll"}, "metric must be one of accuracy"),
        ({"objectives": "score"}, "objectives=score: name each"),
        ({"sampler_seed": "now"}, "sampler_seed must be null or"), ({"sampler_seed": -1}, "sampler_seed must be null"),
        ({"objectives": {"score": "minimize"}, "pruner": "none"}, "give score: maximize"),
    ],
)    # fmt: skip
def test_settings_of_a_search_are_checked(options, said):
    with pytest.raises(ValueError, match=said):
        make_search("x", {"space": stub.SPACE}, options=options)


@pytest.mark.parametrize(("words", "said"), [
    ({"space": {"trainer.kind": {"choice": ["good", "bad"]}}, "sampler": "cmaes"}, "this space has none: it would"),
    ({"space": stub.SPACE, "base": "model=eegnet"}, r"base must be a list of overrides, \[model=eegnet\], got "),
    ({"space": stub.SPACE, "base": [{"model": "eegnet"}]}, "base must be a list of overrides"),
])    # fmt: skip
def test_what_a_file_of_a_search_may_not_say(words, said):
    with pytest.raises(ValueError, match=said):
        make_search("x", words)


@pytest.mark.parametrize("path", ["dataset.difficulty", "protocol", "seed", "trainer.validation", "preprocess.reject"])
def test_what_a_trial_is_judged_by_is_not_searched(path):
    """The winner would be an easier data set."""
    search = make_search("x", {"space": {path: {"choice": [1, 2]}}})
    with pytest.raises(ValueError, match=rf"space: {path} is .*, which all trials share: type it beside sweep=NAME"):
        check_space(search.space, stub.compose, [])


def test_several_rates_are_no_trial():
    search = make_search("x", {"space": stub.SPACE})
    with pytest.raises(ValueError, match=r"sweep.drop=\[0.1, 0.2\] are several settings, and a trial is one"):
        check_space(search.space, with_drops, [])


def with_drops(overrides):
    composed = stub.compose(overrides)
    return replace(composed, config={**composed.config, "sweep": {"seeds": 1, "drop": [0.1, 0.2]}})


def test_workers_whose_data_lie_elsewhere_are_of_one_search():
    words = {"space": stub.SPACE}
    one, other = (make_search("x", words, typed=[f"dataset.folder={at}", "trainer.lr=1"]) for at in ("/a", "/b"))
    assert one.identity() == other.identity()


def test_a_package_that_is_missing_is_installed_from_here_for_there_is_no_release(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install -c constraints\.txt -e "\.\[sweep\]"'):
        make_search("x", {"space": stub.SPACE}, options={"sampler": "cmaes"})


def test_no_optuna_is_allowed_whose_inside_nobody_has_tried():
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (needed,) = [Requirement(word) for word in extras["sweep"] if word.startswith("optuna")]
    (tested,) = [line.partition("==")[2] for line in (root / "constraints.txt").read_text().splitlines()
                 if line.startswith("optuna==")]    # fmt: skip
    major, minor, _ = Version(tested).release
    assert tested in needed.specifier
    assert f"{major}.{minor}.99" in needed.specifier    # mends nothing but faults
    assert f"{major}.{minor + 1}.0" not in needed.specifier


def test_a_command_is_taken_apart(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"space": stub.SPACE, "base": ["model=eegnet"], "n_trials": 9}))
    words = ["sweep=small", "dataset=zhou2016", "sweep.seeds=3", "test_subjects=[1,2]"]
    search = read_search([*words, "n_trials=20"], tmp_path)
    assert isinstance(search, Search)
    assert (search.n_trials, search.test_subjects) == (20, [1, 2])
    assert search.fixed == ["model=eegnet", "dataset=zhou2016", "sweep.seeds=3"]
    assert read_search([*words[:-1], "test_subjects=2"], tmp_path).test_subjects == [2]
    other = read_search([*words, "device=cuda"], tmp_path)
    assert other.identity() == search.identity()    # a worker on another machine
    for words, said in [(["sweep=smal"], "did you mean small"), (["n_trials=3"], "say which search"),
                        (["sweep=small", "fast"], "'fast' is no override"),
                        (["sweep=small", "n_trials=[1"], "n_trials cannot be read as YAML")]:    # fmt: skip
        with pytest.raises(ValueError, match=said):
            read_search(words, tmp_path)
    (tmp_path / "odd.yaml").write_text("n_trails: 3\nspace: {}\n")
    with pytest.raises(ValueError, match=r"n_trails; did you mean n_trials\?"):
        read_search(["sweep=odd"], tmp_path)
    (tmp_path / "cut.yaml").write_text("space: {")
    with pytest.raises(ValueError, match=r"configs/search/cut\.yaml cannot be read as YAML"):
        read_search(["sweep=cut"], tmp_path)


def test_searches_lie_below_the_runs_of_all_experiments(monkeypatch):
    monkeypatch.setenv("EEGDECODE_RUNS", "elsewhere")
    assert str(make_search("x", {"space": stub.SPACE}).folder) == "elsewhere/x"
