"""From a run folder to runs that start from it: what is loaded, what learns, what is refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tests.models.test_networks import CONFIGS, SIZES
from tests.models.test_networks import NETWORKS as MODELS

from eegdecode.calibration import Calibration
from eegdecode.identity import describe
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSubject
from eegdecode.reporting.store import Store
from eegdecode.reporting.transfer import begin_from
from eegdecode.runs import WATCHED, Source
from eegdecode.sweeps import Sweep, expand, stacks
from eegdecode.training.align import Align
from eegdecode.training.batches import Material
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import ZScore
from eegdecode.training.optim import Adam
from eegdecode.training.sources import check_source, model_of
from eegdecode.training.step import update
from eegdecode.training.task import Task
from eegdecode.training.transfer import layer_rates, layers, load_source, sort_out
from eegdecode.trials import Signal

NETWORKS = {
    "eegnet": partial(EEGNet, filters=4, depth=1, kernel=0.1),
    "sttransformer": partial(STTransformer, width=8, heads=2, depth=2, patch=0.5, stride=0.25),
}
FRONTENDS = {"zscore": ZScore(), "align": Align(), "own": Align(by=[], reference="train", own=0.5)}
DEEP = {"device": "cpu", "workers": 1, "batch_size": 16, "validation": 0.0, "preflight": False}


def fit(trials, runs, *, network="eegnet", frontend="zscore", **settings):
    trainer = DeepTrainer(**{**DEEP, "epochs": 2, **settings})
    options = {"frontend": FRONTENDS[frontend], "on_epoch": lambda run, row: None}
    return list(trainer.fit(NETWORKS[network], trials, stacks(runs), **options))


def learn(folder: Path, trials, *, seeds=1, network="eegnet", frontend="zscore", protocol=None, leave=0, meta=None):
    """A finished run folder: every subject left out once."""
    runs = expand((protocol or CrossSubject())(trials.meta, validation=0.0), Sweep(seeds=seeds), seed=0)
    store = Store(
        folder, runs=runs, meta=trials.meta, classes=trials.classes, fingerprints=trials.fingerprints, context={},
        facts={"dataset": "toy", "model": network, "frontend": frontend},
    )    # fmt: skip
    for prediction in fit(trials, runs[: len(runs) - leave], network=network, frontend=frontend, epochs=1):
        store.add(prediction)
    store.score()
    return folder


def few(trials, numbers=(0, 4), seeds=1):
    return expand(Calibration(trials=numbers)(trials.meta, validation=0.0), Sweep(seeds=seeds), seed=0)


def subset(arrays, start):
    return {name: t for name, t in arrays.items() if name.startswith(start)}


def equal(one, other):
    return all(np.array_equal(np.ravel(one[name]), np.ravel(other[name])) for name in one)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_zero_shot_is_the_source_as_it_is(make_trials, tmp_path, network, frontend):
    trials = make_trials(n_subjects=3, n_sessions=2)
    folder = learn(tmp_path, trials, network=network, frontend=frontend)
    runs = begin_from(folder, few(trials, [0]), meta=trials.meta, dataset="toy")
    theirs = CrossSubject()(trials.meta, validation=0.0)
    for zero, split in zip(fit(trials, runs, network=network, frontend=frontend), theirs, strict=True):
        alone = expand([split], Sweep(), seed=0)
        (source,) = fit(trials, alone, network=network, frontend=frontend, epochs=1)
        mine = np.searchsorted(split.test, zero.run.split.test)
        np.testing.assert_allclose(zero.logits["test"], source.logits["test"][mine], atol=1e-4)
        assert (zero.best_epoch, len(zero.history)) == (0, 0)


MOVES = {    # what learns of EEGNet, whose layers are bank, squash1.0, separable.0, separable.1, squash2.0, head
    "full": {"bank", "squash1", "separable", "squash2", "head"}, "head": {"head"},
    "layerwise": {"bank", "squash1", "separable", "squash2", "head"}, "frozen_front": {"separable", "squash2", "head"},
}    # fmt: skip


@pytest.mark.parametrize("fine_tune", MOVES)
@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_what_is_frozen_stays_and_the_rest_learns(make_trials, tmp_path, fine_tune, mode):
    trials = make_trials(n_subjects=3)
    runs = begin_from(learn(tmp_path, trials), few(trials, [4]), meta=trials.meta, dataset="toy")
    for done in fit(trials, runs, fine_tune=fine_tune, ensemble=mode):
        source = done.run.source.weights
        moved = {name for name in MOVES["full"] if not equal(subset(done.weights, name), subset(source, name))}
        assert moved == MOVES[fine_tune]    # running statistics too
        assert equal(subset(done.weights, "frontend."), subset(source, "frontend."))
        assert not np.isnan(done.logits["test"]).any()


@pytest.mark.parametrize("fine_tune", ["head", "frozen_front"])
def test_what_no_source_has_learns_whatever_is_frozen(make_trials, tmp_path, fine_tune):
    """As the pooling behind a pretrained encoder, and positions of another number of patches."""
    trials = make_trials(n_subjects=3, n_times=384)
    folder = learn(tmp_path, trials, network="sttransformer")
    (run, *_) = begin_from(folder, few(trials, [4]), meta=trials.meta, dataset="toy")
    weights = {name: w for name, w in run.source.weights.items() if not name.startswith(("head", "pool"))}
    weights["position.code"] = weights["position.code"][:3]
    encoder = replace(run, source=replace(run.source, weights=weights))
    settings, material = DeepTrainer(**DEEP, fine_tune=fine_tune), Material.of(trials, per_trial=False, device="cpu")
    task = Task.build(settings, NETWORKS["sttransformer"], material, [encoder], frontend=ZScore(), mode="loop")
    assert {"head.weight", "head.bias", "pool.score.weight", "position.code"} <= set(task.ensemble.params)
    assert {"stem.spatial", "mixing.exponent"} & set(task.ensemble.params) == set()


def test_the_head_is_new_unless_it_is_kept(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    (run, *_) = begin_from(learn(tmp_path, trials), few(trials, [4]), meta=trials.meta, dataset="toy")
    for new_head in (True, False):
        settings = DeepTrainer(**DEEP, new_head=new_head)
        task = Task.build(settings, NETWORKS["eegnet"], Material.of(trials, per_trial=False, device="cpu"), [run],
                          frontend=ZScore(), mode="loop")    # fmt: skip
        head = task.ensemble.params["head.weight"][0].detach().numpy()
        assert np.array_equal(head, run.source.weights["head.weight"]) != new_head
        spatial = task.ensemble.params["bank.spatial.weight"][0].detach().numpy()
        assert np.array_equal(spatial, run.source.weights["bank.spatial.weight"])


def test_layerwise_steps_fall_by_the_factor(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    (run, *_) = begin_from(learn(tmp_path, trials), few(trials, [4]), meta=trials.meta, dataset="toy")
    steps = {}
    for fine_tune, factor in (("full", {}), ("layerwise", {"layer_factor": 3.0})):
        settings = DeepTrainer(**DEEP, fine_tune=fine_tune, **factor, weight_decay=0.1)
        task = Task.build(settings, NETWORKS["eegnet"], Material.of(trials, per_trial=False, device="cpu"), [run],
                          frontend=ZScore(), mode="loop")    # fmt: skip
        before, adam = task.ensemble.state(), Adam(rates=task.rates)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            update(task, adam, torch.tensor(run.split.train)[None], share=1.0)
        steps[fine_tune] = {name: p.detach() - before[name] for name, p in task.ensemble.params.items()}
    for layer, names in layers(list(steps["full"])).items():
        depth = ["head", "squash2.0", "separable.1", "separable.0", "squash1.0", "bank"].index(layer)
        for name in names:
            expected = steps["full"][name] / 3.0**depth
            torch.testing.assert_close(steps["layerwise"][name], expected, rtol=2e-2, atol=1e-7)


def test_layers_go_from_the_front_to_the_head():
    blocks = ["encoder.blocks.0.a.weight", "encoder.blocks.0.b.bias", "encoder.blocks.1.a.weight"]
    names = ["mix.weight", *blocks, "head.0.weight", "head.3.bias"]
    assert list(layers(names)) == ["mix", "encoder.blocks.0", "encoder.blocks.1", "head"]
    assert list(layers([f"net.{name}" for name in names])) == [
        "net.mix", "net.encoder.blocks.0", "net.encoder.blocks.1", "net.head",
    ]    # fmt: skip
    assert layer_rates(names, 2.0)["mix.weight"] == 1 / 8
    assert layer_rates(names, 2.0)["head.0.weight"] == layer_rates(names, 2.0)["head.3.bias"] == 1


DEEP_HEADS = ("eeg_conformer",)    # of several layers


@pytest.mark.parametrize("name", MODELS)
def test_the_last_layer_is_the_head_of_every_network(name):
    """The parameters whose shapes the number of classes alters are in the last layer, and all others before it."""
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    networks = [instantiate(cfg)(**{**SIZES, "n_classes": n}) for n in (3, 4)]
    shapes = [{k: p.shape for k, p in network.named_parameters()} for network in networks]
    head = list(layers(list(shapes[0])).values())[-1]
    differ = [k for k in shapes[0] if shapes[0][k] != shapes[1][k]]
    assert differ
    assert set(differ) == set(head) if name not in DEEP_HEADS else set(differ) < set(head)


def test_adapted_norms_use_the_session_and_no_label(make_trials):
    trials = make_trials(n_subjects=3)
    run = expand(CrossSubject()(trials.meta, validation=0.0), Sweep(), seed=0)[0]
    (plain,), (adapted,) = (fit(trials, [run], adapt_norms=adapt) for adapt in (False, True))
    assert equal(plain.weights, adapted.weights)
    # a session that is louder and shifted: batch norm by its own statistics does not see it
    loud = trials.X.copy()
    session = run.split.test[trials.meta["session"].iloc[run.split.test] == "s1"]
    loud[session] *= 3
    (moved,) = fit(replace(trials, X=loud), [run], adapt_norms=True)
    np.testing.assert_allclose(moved.logits["test"], adapted.logits["test"], atol=2e-2)
    (raw,) = fit(replace(trials, X=loud), [run])
    assert np.abs(raw.logits["test"] - plain.logits["test"]).max() > 0.1
    other = trials.meta.copy()
    other.loc[run.split.test, "label"] = (other.loc[run.split.test, "label"] + 1) % 3
    (blind,) = fit(replace(trials, meta=other), [run], adapt_norms=True)
    np.testing.assert_array_equal(blind.logits["test"], adapted.logits["test"])
    (watched,) = fit(replace(trials, X=loud), [run], adapt_norms=True, watch_test=True)    # as it is scored
    accuracy = (watched.logits["test"].argmax(1) == trials.y[run.split.test]).mean()
    assert watched.history[WATCHED].iloc[-1] == pytest.approx(accuracy)
    assert equal(watched.weights, moved.weights)
    assert DeepTrainer(**DEEP, adapt_norms=True).transductive
    with pytest.raises(ValueError, match="adapt_norms=true is for batch norm, which this network has not"):
        fit(trials, [run], network="sttransformer", adapt_norms=True)


def test_an_encoder_without_a_head_gives_what_fits_and_the_rest_is_new():
    torch.manual_seed(0)
    mine, theirs = (NETWORKS["sttransformer"](n_chans=4, n_times=t, n_classes=2, sfreq=128.0) for t in (128, 256))
    weights = {name: t.numpy() for name, t in theirs.state_dict().items() if not name.startswith("head")}
    fit = load_source(mine, Source(weights | {"decoder.weight": np.zeros(2)}, {}, ""), new_head=True)
    differ = {name for name, t in weights.items() if t.shape != mine.state_dict()[name].shape}
    assert differ    # of longer trials: other positions
    assert differ | {"head.weight", "head.bias"} <= set(fit.new)
    assert "decoder.weight" in fit.unused
    assert torch.equal(mine.norm.weight, theirs.norm.weight)
    with pytest.raises(ValueError, match="the source has no head"):
        load_source(mine, Source(weights, {}, ""), new_head=False)


def test_electrodes_that_stand_elsewhere_stay_there():
    """As many as in the source, so that no shape tells: what it learned is loaded, its places are not."""
    words, rng = {"n_chans": 4, "n_times": 64, "n_classes": 2, "sfreq": 128.0}, np.random.default_rng(0)
    divided = partial(NETWORKS["sttransformer"], spatial="interleaved")
    mine, theirs = (divided(**words, positions=rng.normal(0, 0.05, (4, 3)).tolist()) for _ in range(2))
    weights = {name: t.detach().numpy() for name, t in (*theirs.named_parameters(), *theirs.named_buffers())}
    places = mine.code.waves.clone()
    fit = load_source(mine, Source(weights, {}, ""), new_head=False)
    assert torch.equal(mine.code.waves, places)
    assert torch.equal(mine.code.code, theirs.code.code)
    assert "code.waves" not in {*fit.loaded, *fit.new, *fit.unused}


def test_what_a_source_does_not_tell_is_told_without_it():
    """Checkpoints of before, and networks of other libraries, whose choice has two words."""
    about = {"model": {"network": describe(NETWORKS["eegnet"]), "frontend": describe(Align())}}
    signal = Signal(("C0",), 128.0, 0.0, np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"behind the front end Align, here it is ZScore; .* so type the same$"):
        check_source(Source({}, about, ""), model=NETWORKS["eegnet"], frontend=ZScore(), signal=signal)
    foreign = {"model": {"network": {"name": "ShallowFBCSPNet"}}, "facts": {"model": "braindecode_ShallowFBCSPNet"}}
    assert model_of(Source({}, foreign, "")) == "model=braindecode model.name=ShallowFBCSPNet"
    assert model_of(Source({}, about, "")) == "its model"


def test_a_whole_network_must_fit():
    sizes = {"head.weight": (2, 8), "stem.weight": (8, 4)}
    with pytest.raises(ValueError, match=r"stem.weight has the shape \(8, 4\) here and \(8, 5\) in the source"):
        sort_out(sizes, {"head.weight": (3, 8), "stem.weight": (8, 5)}, names=list(sizes)[::-1], new_head=True)
    with pytest.raises(ValueError, match=r"the source is another network, it lacks stem.weight"):
        sort_out(sizes, {"head.weight": (2, 8), "bank.weight": (8, 5)}, names=list(sizes)[::-1], new_head=True)
    with pytest.raises(ValueError, match=r"no weight of the source fits; it has bank.weight"):
        sort_out(sizes, {"bank.weight": (8, 5)}, names=list(sizes)[::-1], new_head=True)


def test_sources_that_mean_something_else_are_refused_before_any_training(make_trials, tmp_path):
    trials = make_trials(n_subjects=3)
    runs = begin_from(learn(tmp_path, trials), few(trials), meta=trials.meta, dataset="toy")
    trainer = DeepTrainer(**DEEP)
    told = trainer.compare(NETWORKS["eegnet"], trials, runs, frontend=ZScore())
    assert told["new"] == "head.weight head.bias"
    with pytest.raises(ValueError, match=r"the source has model.filters=4, here it is 6; type the same"):
        trainer.compare(partial(EEGNet, filters=6, depth=1, kernel=0.1), trials, runs, frontend=ZScore())
    message = r"trained behind frontend.over=channel, here it is all; .* so type frontend=zscore frontend.over=channel$"
    with pytest.raises(ValueError, match=message):
        trainer.compare(NETWORKS["eegnet"], trials, runs, frontend=ZScore(over="all"))
    with pytest.raises(ValueError, match=r"behind frontend=zscore, here it is Align; .* so type frontend=zscore$"):
        trainer.compare(NETWORKS["eegnet"], trials, runs, frontend=Align())
    message = "another network, EEGNet, here it is STTransformer; take model=eegnet and frontend=zscore$"
    with pytest.raises(ValueError, match=message):    # and not that its front end is another one, too
        trainer.compare(NETWORKS["sttransformer"], trials, runs, frontend=Align())
    with pytest.raises(ValueError, match=r"the source is another network, it lacks .*; take model=eegnet$"):
        trainer.compare(NETWORKS["sttransformer"], trials, runs, frontend=ZScore())
    slow = replace(trials, signal=replace(trials.signal, sfreq=100.0))
    with pytest.raises(ValueError, match=r"the source's trials have sfreq=128.0, these have 100.0"):
        trainer.compare(NETWORKS["eegnet"], slow, runs, frontend=ZScore())
    with pytest.raises(ValueError, match="the source's head is of the classes a, b, c, here are x, b, c"):
        trainer.compare(NETWORKS["eegnet"], replace(trials, classes=("x", "b", "c")), runs, frontend=ZScore())
