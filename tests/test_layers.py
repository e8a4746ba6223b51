"""Who may import whom: the table of CONTRIBUTING.md, kept by reading every import."""

import ast
from pathlib import Path

import pytest

from eegdecode.identity import SHARED_LAYERS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "eegdecode"

# wing -> (modules of ours, heavy third parties) that it may import
ALLOWED = {
    "trials.py": ((), ()),
    "runs.py": ((), ()),
    "identity.py": (("trials", "runs"), ()),
    "pretrained.py": (("runs",), ()),
    "data": (("trials", "runs", "identity", "data"), ("mne", "moabb", "scipy")),
    "overlaps.py": ((), ()),
    "guards.py": (("runs", "overlaps"), ()),
    "folds.py": (("runs", "overlaps"), ("sklearn",)),
    "protocols.py": (("runs", "guards", "folds"), ("sklearn",)),
    "calibration.py": (("runs", "guards", "folds"), ()),
    "bounds.py": ((), ()),
    "sweeps.py": (("runs", "bounds"), ()),
    "models": (tuple(f"models.{name}" for name in SHARED_LAYERS), ("torch",)),    # no network knows another
    "training": (("trials", "runs", "identity", "pretrained", "training"), ("torch", "sklearn", "pyriemann", "scipy")),
    "reporting": (
        ("runs", "identity", "pretrained", "reporting"),
        ("sklearn", "scipy", "matplotlib", "wandb", "safetensors", "rich"),
    ),
    "launching": (("launching",), ("joblib", "submitit", "ray", "pydantic")),
    "experiment.py": (("trials", "runs", "identity", "data", "protocols", "bounds", "sweeps", "reporting"), ("rich",)),
    "prediction.py": (("trials", "runs", "identity", "data", "reporting"), ()),
    "pretraining.py": (("trials", "runs", "identity", "data", "protocols", "bounds", "sweeps", "reporting"), ()),
    "nested.py": (("runs", "guards", "folds", "overlaps", "protocols"), ()),
    "search": (("runs", "identity", "nested", "experiment", "reporting", "search"), ("optuna",)),
    "card.py": (("trials", "data", "protocols", "sweeps", "reporting"), ()),
    "__init__.py": ((), ()),
}
FOREIGN = {"models/foreign.py": "braindecode"}    # an optional extra, imported where its networks are asked for
HEAVY = {
    "braindecode", "torch", "mne", "moabb", "sklearn", "pyriemann", "matplotlib", "wandb", "scipy", "safetensors",
    "rich", "optuna", "joblib", "submitit", "ray", "pydantic",
}    # fmt: skip
AT_THE_DOOR = {"hydra", "omegaconf"}
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wing(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_follow_the_table(path):
    ours, heavy = ALLOWED[wing(path)]
    for name in imports(path):
        top = name.partition(".")[0]
        assert top not in AT_THE_DOOR, f"{path} imports {name}: configs stay in scripts/"
        if top == "eegdecode":
            rest = name.removeprefix("eegdecode.")
            assert rest.startswith(ours) if ours else rest == name, f"{path} imports {name}"
        else:
            home = FOREIGN.get(str(path.relative_to(SOURCE)))
            assert top not in HEAVY or top in heavy or top == home, f"{path} imports {name}"


def test_torch_func_has_one_home():
    users = [str(path.relative_to(SOURCE)) for path in FILES if "torch.func" in " ".join(imports(path))]
    assert users == ["training/ensemble.py"]


def test_optuna_stays_where_the_study_is():
    users = [str(path.relative_to(SOURCE)) for path in FILES if "optuna" in " ".join(imports(path))]
    assert users == [f"search/{name}.py" for name in ("alive", "database", "journal", "pruners", "repeats", "study")]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 250
    assert path.name != "utils.py"


def test_scripts_are_doors():
    for path in sorted((ROOT / "scripts").glob("*.py")):
        if path.name != "benchmark.py":    # a measurement, not a door
            assert len(path.read_text().splitlines()) <= 50, f"{path.name} holds logic"
