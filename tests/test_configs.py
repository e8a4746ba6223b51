"""Every YAML of configs/ is instantiated, and each of its keys is a parameter of its target."""

import inspect
import itertools
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext
from hydra.utils import get_class, get_method, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from eegdecode.experiment import check_pair
from eegdecode.launching.record import job_folder, quoted
from eegdecode.models.eegnet import EEGNet
from eegdecode.reporting.words import PROTOCOLS
from eegdecode.training.classical import ClassicalTrainer, pipeline
from eegdecode.training.deep import DeepTrainer
from swept import swept_beside

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(p for p in CONFIGS.glob("*/*.yaml"))
GROUPS = [p for p in FILES if p.parent.name not in ("experiment", "launcher", "promises", "task", "search")]
EXPERIMENTS = [p for p in FILES if p.parent.name == "experiment"]


@pytest.fixture(autouse=True)
def configs():
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        yield


def targets(node):
    """Every part of a configuration that has a `_target_`."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for key in node:
            if not OmegaConf.is_missing(node, key):    # ??? is for the user to say
                yield from targets(node[key])
    elif isinstance(node, ListConfig):
        for item in node:
            yield from targets(item)


def parameters(target):
    thing = get_class(target) if target.rpartition(".")[2][0].isupper() else get_method(target)
    names = inspect.signature(thing).parameters.values()
    return {p.name for p in names}, any(p.kind is p.VAR_KEYWORD for p in names)


@pytest.mark.parametrize("path", GROUPS, ids=lambda p: f"{p.parent.name}={p.stem}")
def test_every_choice_composes_and_instantiates(path, monkeypatch, tmp_path):
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    cfg = compose("train", overrides=[f"{path.parent.name}={path.stem}"])
    chosen = cfg[path.parent.name]
    for part in targets(chosen):
        known, open_ended = parameters(part._target_)
        keys = {key for key in part if not str(key).startswith("_")}
        keys -= {"init_from"} if part is chosen else set()    # of any model; the experiment takes it out
        assert open_ended or keys <= known, f"{part._target_} does not know {keys - known}"
    if OmegaConf.missing_keys(chosen):
        pytest.skip(f"needs {OmegaConf.missing_keys(chosen)} from the user")
    instantiate(cfg, _convert_="all")


PLAIN = [    # choices that stand for a class as it is
    "augment=chain", "augment=snr", "dataset=simulated", "frontend=align", "frontend=csp", "frontend=none",
    "frontend=zscore", "logger=wandb", "protocol=cross_session", "protocol=cross_subject", "protocol=pooled",
    "protocol=within_session", "sweep=none", "task=forecast", "task=masked", "trainer=classical", "trainer=deep",
    "trainer=pretrain",
]    # fmt: skip
ON_PURPOSE = {"frontend=zscore per_trial", "frontend=csp per_trial", "dataset=simulated sfreq"}    # the classes say why


@pytest.mark.parametrize("choice", PLAIN)
def test_a_choice_and_its_class_have_the_same_defaults(choice):
    group, _, name = choice.partition("=")
    root = "pretrain" if group == "task" or name == "pretrain" else "train"
    chosen = compose(root, overrides=[choice])[group]
    other = set()
    for part in targets(chosen):
        known = inspect.signature(get_class(part._target_)).parameters
        for key, value in OmegaConf.to_container(part, resolve=True).items():
            default = known[key].default if key in known else inspect.Parameter.empty    # _target_ and the like
            default = list(default) if isinstance(default, tuple) else default
            if default is not inspect.Parameter.empty and not isinstance(value, dict) and value != default:
                other.add(f"{choice} {key}")
    assert other == {each for each in ON_PURPOSE if each.startswith(f"{choice} ")}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_composes_and_says_what_it_claims(path):
    cfg = compose("train", overrides=[f"experiment={path.stem}"])
    instantiate(cfg, _convert_="all")
    assert path.read_text().startswith(("# @package _global_", "# Claim"))


FAIR = [p.stem for p in EXPERIMENTS if p.stem.startswith(("bci4_", "high_gamma_"))]


@pytest.mark.parametrize("name", FAIR)
@pytest.mark.parametrize("typed", [[], ["augment=snr"], ["model=eegnet", "augment=snr"], ["model=s3t"]], ids=" ".join)
def test_fair_experiments_choose_nothing_whatever_model_and_augmentation(name, typed):
    cfg = compose("train", overrides=[f"experiment={name}", *typed])
    parts = instantiate(cfg, _convert_="all")
    trainer = parts["trainer"]
    assert (trainer.validation, trainer.select, trainer.patience, trainer.watch_test) == (0.0, "last", None, False)
    assert trainer.epochs == (125 if name == "bci4_2a_loso" else 1000)    # of 8 times as many trials
    tested = {"bci4_2a_loso": ("later", True), "bci4_2b_cross_session": ("test", 2)}.get(name, ("test", "last"))
    assert getattr(parts["protocol"], tested[0]) == tested[1]
    assert parts["sweep"].seeds == 5
    assert (parts["augment"] is None) == ("augment=snr" not in typed)
    assert parts["model"].func.__name__ == {"model=eegnet": "EEGNet", "model=s3t": "S3T"}.get(
        typed[0] if typed else "", "STTransformer"
    )


def test_one_command_names_every_fair_experiment():
    text = Path(CONFIGS, "experiment", "bci4_2a_cross_session.yaml").read_text()
    (words,) = [line.split("experiment=")[1].split() for line in text.splitlines() if "train.py -m experiment=" in line]
    assert sorted(words[0].split(",")) == sorted(FAIR)
    assert "augment=none,snr" in words


COMPARISONS = [p.stem for p in EXPERIMENTS if p.stem.startswith("compare_")]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_name_what_there_is_and_choose_nothing(name):
    params = compose("train", overrides=[f"experiment={name}"], return_hydra_config=True).hydra.sweeper.params
    models, protocols = ([word.strip() for word in params[group].split(",")] for group in ("model", "protocol"))
    assert len(set(models)) == len(models)
    assert len(protocols) == 3
    assert set(protocols) <= {path.stem for path in FILES if path.parent.name == "protocol"}
    there = {path.stem for path in FILES if path.parent.name == "model"}
    assert set(models) <= there
    for model in models:
        trainer = instantiate(compose("train", overrides=[f"experiment={name}", f"model={model}"]).trainer)
        assert trainer.validation == 0
        assert getattr(trainer, "select", "last") == "last"


@pytest.fixture
def next_jobs():
    """Return a function that gives the jobs that are left of those typed, as the sweeper hands them to a launcher."""

    def batch(jobs, *words):
        cfg = compose("train", list(words), return_hydra_config=True)
        sweeper = instantiate(cfg.hydra.sweeper)
        sweeper.config, sweeper.overrides, sweeper.batch_index = cfg, [jobs], 0
        loader = GlobalHydra.instance().config_loader()
        sweeper.hydra_context = HydraContext(callbacks=Callbacks(), config_loader=loader)
        return sweeper.get_job_batch()

    return batch


def test_pipelines_of_a_comparison_go_without_the_settings_of_networks(next_jobs, capsys):
    models, typed = ("ts_lr", "csp_lda", "eegnet"), ["trainer.updates=20", "trainer.validation=0.1"]
    protocols = ("cross_session", "cross_subject")
    jobs = [["experiment=compare_simulated", f"model={m}", f"protocol={p}", *typed] for m in models for p in protocols]
    left = next_jobs(jobs)
    assert [[*job[:3], *typed] for job in left] == jobs
    assert [job[3:] for job in left] == [typed[1:]] * 4 + [typed] * 2
    assert capsys.readouterr().out == "trainer.updates=20 is left out of ts_lr, csp_lda: no setting of theirs\n"
    for job in left:
        compose("train", overrides=list(job))


def test_settings_of_a_launcher_may_be_typed_beside_those_of_a_trainer(next_jobs):
    jobs = [["launcher=joblib", f"model={model}", "trainer.updates=20"] for model in ("ts_lr", "eegnet")]
    assert next_jobs(jobs, "launcher=joblib", "hydra.launcher.n_jobs=1") == [jobs[0][:2], jobs[1]]


def test_a_grid_over_what_a_model_has_not_is_one_job_of_it(next_jobs):
    jobs = [[f"model={model}", f"trainer.lr={lr}"] for model in ("ts_lr", "eegnet") for lr in (1, 2)]
    assert next_jobs(jobs) == [["model=ts_lr"], *jobs[2:]]


@pytest.mark.parametrize(("axis", "typed", "where"), [
    ("trainer.average=none,ema", "trainer.ema_decay=0.9", "trainer.average=none"),
    ("trainer.epochs=5,null", "trainer.updates=20", "trainer.epochs=5"),
    ("model.init_from=null,here", "trainer.fine_tune=head", "model.init_from=null"),
    ("experiment=s3t_bci4_2a,compare_simulated", "trainer.updates=20", "trainer.epochs=1000"),
])    # fmt: skip
def test_jobs_in_which_a_setting_does_nothing_go_without_it(next_jobs, capsys, axis, typed, where):
    path, _, values = axis.partition("=")
    without, with_it = ([f"{path}={value}"] for value in values.split(","))
    assert next_jobs([[*without, typed], [*with_it, typed]]) == [without, [*with_it, typed]]
    assert capsys.readouterr().out == f"{typed} is left out of {where}: it does nothing there\n"


def test_what_is_of_a_setting_that_is_left_out_is_left_out_too(next_jobs):
    typed = ["trainer.fine_tune=layerwise", "trainer.layer_factor=2.0"]
    jobs = [["model.init_from=null", *typed], ["model.init_from=here", *typed]]
    assert next_jobs(jobs) == [["model.init_from=null"], jobs[1]]


def test_what_does_nothing_in_any_job_is_left_to_be_refused(next_jobs, capsys):
    assert next_jobs([["model=ts_lr", "trainer.ema_decay=0.9"], ["model=eegnet", "trainer.ema_decay=0.9"]]) == [
        ["model=ts_lr"], ["model=eegnet", "trainer.ema_decay=0.9"],
    ]    # fmt: skip
    assert capsys.readouterr().out == "trainer.ema_decay=0.9 is left out of ts_lr: no setting of theirs\n"
    both = [["trainer.average=none", "trainer.ema_decay=0.9"], ["trainer.average=swa", "trainer.ema_decay=0.9"]]
    assert next_jobs(both) == both


def test_a_grid_of_pipelines_networks_and_means_is_each_job_once(next_jobs):
    grid = itertools.product(("ts_lr", "eegnet"), ("none", "ema"), (0.9, 0.99))
    jobs = [[f"model={m}", f"trainer.average={average}", f"trainer.ema_decay={decay}"] for m, average, decay in grid]
    eegnet = ["model=eegnet", "trainer.average=ema"]
    assert next_jobs(jobs) == [
        ["model=ts_lr"], ["model=eegnet", "trainer.average=none"],
        *([*eegnet, f"trainer.ema_decay={decay}"] for decay in (0.9, 0.99)),
    ]    # fmt: skip


def test_what_no_trainer_has_is_left_for_hydra_to_refuse(next_jobs, capsys):
    jobs = [["model=ts_lr", "trainer.updatse=20"], ["model=eegnet", "trainer.updatse=20"]]
    assert [list(job) for job in next_jobs(jobs)] == jobs
    assert not capsys.readouterr().out


def test_the_folder_of_a_job_is_its_own_also_where_folders_are_swept():
    from hydra_plugins.eegdecode_launchers import CommandLauncher

    launcher, loader = CommandLauncher("joblib"), GlobalHydra.instance().config_loader()
    launcher.setup(hydra_context=HydraContext(callbacks=Callbacks(), config_loader=loader), task_function=print,
                   config=compose("train", return_hydra_config=True))    # fmt: skip
    assert launcher._arguments(["model=ts_lr", "out_dir=first place"], 3)[1] == "out_dir='first place/3_ts_lr'"
    assert launcher._arguments(["model=ts_lr", "out_dir=other"], 4)[1] == "out_dir=other/4_ts_lr"


@pytest.mark.parametrize("value", ["data/läufe/1", "it's", "a\\b", "a\\'b", "ends\\", "plain/x-1", "two words"])
def test_a_folder_of_any_name_comes_through_hydras_grammar(value):
    parsed = OverridesParser.create().parse_override(f"out_dir={quoted(value)}").value()
    assert str(parsed.text if hasattr(parsed, "text") else parsed) == value


def test_jobs_of_a_comparison_that_differ_in_more_than_its_groups_have_folders_of_their_own():
    typed = ["-m", "model=eegnet,ts_lr", "trainer.lr=1e-3,4e-3", "+model.options.x=[1, 2],[3]", "seed=1"]
    job = ["model=eegnet", "protocol=cross_run", "trainer.lr=1e-3", "+model.options.x=[1,2]", "seed=1"]
    beside = swept_beside(job, typed)
    assert beside == ["model=eegnet", "trainer.lr=1e-3", "+model.options.x=[1,2]"]
    about = {"number": 0, "choices": {"model": "eegnet", "protocol": "cross_run"}, "swept": ["protocol", "model"]}
    folder = job_folder("out", **about, beside=beside)
    assert folder.startswith("out/cross_run/eegnet_trainer.lr=1e-3_+model.options.x=-1-2--")
    assert folder != job_folder("out", **about, beside=["trainer.lr=1e-3", "+model.options.x=[1.2]"])
    assert job_folder("out", **about, beside=swept_beside(job, ["model=eegnet"])) == "out/cross_run/eegnet"


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.parent.name == "launcher"])
def test_launchers_give_what_their_function_takes(name):
    starts = {"joblib": "here.run_here", "slurm": "slurm.run_on_slurm", "ray": "on_ray.run_on_ray"}
    launcher = compose("train", overrides=[f"launcher={name}"], return_hydra_config=True).hydra.launcher
    if name == "local":
        assert launcher._target_.endswith("BasicLauncher")
        return
    known, _ = parameters(f"eegdecode.launching.{starts[launcher.where]}")
    assert set(launcher) == known - {"jobs"} | {"_target_", "where"}


def test_readings_of_s3t_differ_in_the_protocol_and_only_the_leaky_one_watches():
    heads = {reading: compose("train", overrides=[f"experiment=s3t_bci4_2a{reading}"])
             for reading in ("", "_pooled", "_leaky")}    # fmt: skip
    assert [cfg.protocol.name for cfg in heads.values() if "name" in cfg.protocol] == ["pooled_one_split"]
    assert [cfg.protocol._target_.rpartition(".")[2] for cfg in heads.values()] == ["CrossSession", "Pooled", "Pooled"]
    assert [cfg.trainer.watch_test for cfg in heads.values()] == [False, False, True]
    assert all(cfg.model == heads[""].model and cfg.trainer.select == "last" for cfg in heads.values())


def test_the_root_gives_what_the_experiment_takes():
    from eegdecode.experiment import run_experiment

    cfg = compose("train")
    assert set(cfg) | {"choices", "config", "screen"} == set(inspect.signature(run_experiment).parameters)


def test_the_root_of_the_card_gives_what_it_takes_and_the_promises_of_the_set():
    from eegdecode.card import prepare

    cfg = compose("prepare", overrides=["dataset=bci4_2a"])
    assert cfg.promises.trials_session == 288
    known = set(inspect.signature(prepare).parameters)
    assert set(cfg) - {"cache", "device"} | {"name"} == known
    assert "promises" not in compose("prepare", overrides=["dataset=files"])


@pytest.mark.parametrize("task", [path.stem for path in FILES if path.parent.name == "task"])
def test_the_root_of_pretraining_gives_what_it_takes_for_every_task(task):
    from eegdecode.pretraining import pretrain

    typed = [f"task={task}", "model.width=8", "trainer.updates=7", "task.piece=0.25"]
    cfg = compose("pretrain", overrides=typed)
    assert set(cfg) | {"choices", "config"} == set(inspect.signature(pretrain).parameters)
    known, _ = parameters(cfg.task._target_)
    assert {key for key in cfg.task if not str(key).startswith("_")} <= known
    parts = instantiate(cfg, _convert_="all")
    assert type(parts["trainer"]).__name__ == "Pretrainer"    # whatever trainer the model brings
    assert parts["trainer"].updates == 7
    network = parts["task"](n_chans=4, n_times=500, n_classes=2, sfreq=125.0, network=parts["model"])
    assert network.pieces.size == 31
    mine, theirs = (compose(root, overrides=["model=sttransformer"]) for root in ("pretrain", "train"))
    assert mine.frontend == theirs.frontend    # else its weights would not fit
    assert mine.model == {key: value for key, value in theirs.model.items() if key != "init_from"}


def test_names_people_type():
    typed = [
        "dataset.subjects=[1,2]", "protocol=within_session", "protocol.folds=3", "model.drop=0.4", "trainer.epochs=3",
        "trainer.lr=3e-4", "trainer.batch_size=16", "trainer.weight_decay=0.1", "trainer.select=best_val",
        "sweep.seeds=5", "seed=3", "augment=snr", "augment.segments=4", "device=cpu", "out_dir=/tmp/x", "logger=none",
    ]    # fmt: skip
    parts = instantiate(compose("train", overrides=typed), _convert_="all")
    assert parts["trainer"].lr == 3e-4
    assert parts["trainer"].device == "cpu"
    assert parts["protocol"].folds == 3
    assert parts["sweep"].seeds == 5
    assert parts["augment"].segments == 4


def test_one_change_of_trials_by_its_name_and_others_beside_it():
    typed = ["augment=noise", "augment.time_shift=0.3", "trainer.mixup=0.2", "trainer.average=ema", "trainer.sam=0.05"]
    parts = instantiate(compose("train", overrides=typed), _convert_="all")
    assert (parts["augment"].noise, parts["augment"].time_shift, parts["augment"].crop) == (0.1, 0.3, 0.0)
    trainer = parts["trainer"]
    assert (trainer.mixup, trainer.average, trainer.sam, trainer.class_weights) == (0.2, "ema", 0.05, None)
    for name, strength in compose("train", overrides=["augment=chain"]).augment.items():
        if strength == 0 and name != "segments":    # each kind has a file
            assert compose("train", overrides=[f"augment={name}"]).augment[name] > 0


def test_a_model_brings_its_trainer_and_a_typed_one_wins():
    assert "Classical" in compose("train", overrides=["model=csp_lda"]).trainer._target_
    assert compose("train", overrides=["model=csp_lda", "model.classify.solver=lsqr"]).model.classify.solver == "lsqr"
    assert "CSP" in compose("train", overrides=["model=eegnet", "frontend=csp"]).frontend._target_


def test_a_typo_is_an_error():
    with pytest.raises(ConfigCompositionException):
        compose("train", overrides=["trainer.epohcs=3"])


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.parent.name == "protocol"])
def test_every_protocol_is_told_in_words(name):
    assert instantiate(compose("train", overrides=[f"protocol={name}"]).protocol).name in PROTOCOLS


class OwnNetwork(EEGNet):
    """A network of somebody else, that hands its sizes on."""

    def __init__(self, *, note="x", **sizes):
        super().__init__(**sizes)


def test_models_and_trainers_of_one_kind():
    deep, classical = DeepTrainer(device="cpu"), ClassicalTrainer()
    choices = {"model": "mine", "trainer": "deep"}
    for network in (EEGNet, OwnNetwork):
        check_pair(partial(network), deep, choices)
    check_pair(partial(pipeline), classical, choices)
    with pytest.raises(ValueError, match="model=mine is a pipeline, and trainer=deep is for networks"):
        check_pair(partial(pipeline), deep, choices)
    with pytest.raises(ValueError, match="model=mine is a network"):
        check_pair(partial(EEGNet), classical, choices)


def test_a_study_of_ones_own_is_a_file_with_what_differs(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text(
        'defaults: [files]\nname: mine\nfolder: recordings\npattern: "{subject}_{session}.edf"\n'
        'events: {"Fuß (beide), 100 %": feet, "S  1": rest}\n'
    )
    cfg = compose("train", ["dataset=mine", f"hydra.searchpath=[file://{tmp_path}]"])
    own = instantiate(cfg.dataset)
    assert own.classes == ("feet", "rest")
    assert own.name == "mine"
    assert list(own.interval) == [0.0, 4.0]    # of files.yaml
