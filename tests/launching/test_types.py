"""Values of a configuration against the types of its settings."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from eegdecode.experiment import run_experiment
from eegdecode.launching.idle import idle
from eegdecode.launching.types import wrong_types
from typed import parts_of

CONFIGS = Path(__file__).parents[2] / "configs"


def told(*words: str, name: str = "train") -> list[str]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = OmegaConf.to_container(compose(name, list(words)), resolve=True)
    return list(wrong_types(config, run_experiment if name == "train" else None))


@pytest.mark.parametrize(("words", "said"), [
    ("dataset.subjects=1", "dataset.subjects=1 must be a list or null: dataset.subjects=[1]"),
    ("dataset=files dataset.folder=2024", "must be a text, which quotes make of it: dataset.folder=\"'2024'\""),
    ("dataset=files dataset.events=[a,b]", "dataset.events=[a,b] must be a mapping, such as {a: b} or null"),
    ("dataset=files dataset.interval=3", "interval=3 must be a list of numbers, such as dataset.interval=[0.0,4.0]"),
    ("trainer.betas=0.9", "trainer.betas=0.9 must be a list of numbers, such as trainer.betas=[0.9,0.999]"),
    ("frontend=align frontend.by=session", "frontend.by=session must be a list of texts: frontend.by=[session]"),
    ("seed=abc", "seed=abc must be a whole number"),
    ("trainer.device=[[a]]", "trainer.device=[[a]] must be a text or a list of texts"),
    ("model._target_=foo.bar", "model._target_=foo.bar cannot be found: No module named 'foo'"),
    ("out_dir=2025", "out_dir=2025 must be a text or null"),
    ("preprocess.tmin=soon", "preprocess.tmin=soon must be a number or null"),
    ("trainer.clip=true", "trainer.clip=true must be a number or null"),
    ("model.depth=2.5", "model.depth=2.5 must be a whole number"),
    ("augment=snr augment.segments=x", "augment.segments=x must be a whole number"),
    ("protocol=within_session protocol.blocks=1", "protocol.blocks=1 must be true or false"),
    ("+trainer.lrr=1", "there is no trainer.lrr; did you mean trainer.lr?"),
    ("+model.xyz=2", "there is no model.xyz; model has block, depth, drop, drop_tokens"),
])    # fmt: skip
def test_a_value_of_another_type_is_told(words, said):
    (found,) = told(*words.split())
    assert said in found


def test_what_each_choice_brings_has_the_types_that_it_declares():
    groups = ("augment", "dataset", "experiment", "frontend", "logger", "model", "preprocess", "protocol", "sweep")
    choices = [f"{group}={file.stem}" for group in groups for file in sorted((CONFIGS / group).glob("*.yaml"))]
    assert len(choices) > 80
    assert {choice: said for choice in choices if (said := told(choice))} == {}
    assert [told(f"task={file.stem}", name="pretrain") for file in (CONFIGS / "task").glob("*.yaml")] == [[], []]


@pytest.mark.parametrize("words", [
    "device=[cpu,cpu] trainer.clip=null trainer.lr=1 trainer.betas=[0.9,1]", "dataset.subjects=[1,'02']",
    "dataset=files dataset.folder=/tmp dataset.events={1:left,2:right} dataset.interval=[0,2] dataset.until=4",
    "dataset=ssvep_exo dataset.classes=[13,17]", "protocol.test=[1]", "preprocess.channels=[1,2] preprocess.bads=[1]",
    "sweep.lr=[1e-3,3e-4] sweep.seeds=3", "preprocess.channels=[C3,C4]", "model.patch=1", "dataset=files",
])    # fmt: skip
def test_what_may_be_typed_is_let_pass(words):
    assert told(*words.split()) == []


@pytest.mark.parametrize(("words", "said"), [
    ("trainer.epochs=50 trainer.updates=20", "trainer.updates=20 does nothing beside trainer.epochs=50: leave it out"),
    ("experiment=s3t_bci4_2a ++trainer.updates=20", "beside trainer.epochs=1000: leave it out, or take trainer.epochs"),
    ("experiment=s3t_bci4_2a trainer.epochs=null trainer.updates=20", ""), ("trainer=long trainer.epochs=50", ""),
    ("model=ts_lr", ""), ("trainer.updates=20", ""),
    ("sweep.lr=[0.001,0.002] trainer.lr=0.1", r"trainer.lr=0.1 does nothing beside sweep.lr=\[0.001,0.002\]"),
    ("sweep.drop=0.5 model.drop=0.1", "model.drop=0.1 does nothing beside sweep.drop=0.5"), ("model.drop=0.1", ""),
    ("trainer.schedule=one_cycle trainer.warmup=0.1", "warmup=0.1 does nothing with trainer.schedule=one_cycle"),
    ("preprocess.factor_new=0.01", "with preprocess.standardise=null: leave it out, or take .*=moving"),
    ("preprocess.factor_new=0.01 preprocess.standardise=moving", ""), ("trainer.schedule=one_cycle", ""),
    ("+foo=1", "there is no foo; there are augment, dataset"), ("+sed=1", "there is no sed; did you mean seed"),
    ("~augment", "~augment: augment cannot be left out; augment=... takes another choice"), ("~run_store", ""),
])    # fmt: skip
def test_what_is_typed_and_would_do_nothing_is_refused(words, said):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("train", words.split())
    with pytest.raises(ValueError, match=said) if said else nullcontext():
        parts_of(config, run_experiment, words.split())


def test_what_a_search_varies_turns_nothing_off_for_good() -> None:
    config = {"trainer": {"schedule": "one_cycle", "epochs": 50}, "sweep": {"lr": None}}
    typed = ["trainer.warmup=0.1", "trainer.updates=20"]
    assert "does nothing with trainer.schedule" in str(idle(typed, config))
    assert "does nothing beside trainer.epochs=50" in str(idle(typed, config, varied=["trainer.schedule"]))
    assert idle(typed, config, varied=["trainer.schedule", "trainer.epochs"]) is None


class Odd:
    """Hints that say nothing of what JSON holds."""

    def __init__(self, module: type[Path], array: np.ndarray, number: int): ...


def worded(share: "float between 0 and 1"): ...    # pyright: ignore


def test_hints_that_are_no_plain_types_refuse_nothing():
    given = {"module": "pathlib.Path", "array": [1, 2], "number": 3, "_target_": f"{__name__}.Odd"}
    assert list(wrong_types(given)) == []
    assert list(wrong_types({**given, "number": "x"})) == ["number=x must be a whole number"]
    assert list(wrong_types({"share": "x", "_target_": f"{__name__}.worded"})) == []
