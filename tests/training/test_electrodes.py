"""Networks that tell channels by their electrodes serve others; those tied to their channels say what ties them."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.training.test_transfer import DEEP, few

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSubject
from eegdecode.reporting.disk import plain
from eegdecode.runs import Source
from eegdecode.sweeps import Sweep, expand, stacks
from eegdecode.training.align import Align
from eegdecode.training.decoder import decode
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.electrodes import moved_weights
from eegdecode.training.frontend import Identity, ZScore

DIVIDED = partial(STTransformer, width=8, heads=2, spatial="interleaved", patch=0.5, stride=0.25)
TRAINER = DeepTrainer(**DEEP, epochs=2)
HERE = ["C0", "C1", "C2", "C3"]    # the channels of the training
PLACES = np.random.default_rng(0).normal(0, 0.05, (6, 3))


@pytest.fixture
def trials(make_trials):
    made = make_trials(n_subjects=2)
    return replace(made, signal=replace(made.signal, positions=PLACES.copy()))


def pick(trials, names, called=None):
    """Trials with some of their channels, in this order, perhaps under other names."""
    rows = [trials.signal.ch_names.index(name) for name in names]
    signal = replace(trials.signal, ch_names=tuple(called or names), positions=trials.signal.positions[rows])
    return replace(trials, X=np.ascontiguousarray(trials.X[:, rows]), signal=signal)


def train(trials, *, model=DIVIDED, frontend=None):
    """A run, and what its checkpoint tells, as it comes back from the file."""
    frontend = frontend or ZScore(per_trial=True)
    runs = expand(CrossSubject()(trials.meta, validation=0.0)[:1], Sweep(), seed=0)
    (run,) = TRAINER.fit(model, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None)
    return run, {"model": json.loads(json.dumps(plain(run.model)))}


@pytest.mark.parametrize("frontend", [ZScore(per_trial=True), ZScore(over="all"), Identity()], ids=str)
@pytest.mark.parametrize("spatial", ["before", "after", "interleaved"])
def test_a_network_knows_electrodes_by_their_places_and_not_by_their_names(trials, spatial, frontend):
    """The same electrodes under other names and in another order get the same answers."""
    mine = pick(trials, HERE)
    run, about = train(mine, model=partial(DIVIDED, spatial=spatial), frontend=frontend)
    renamed = pick(trials, ["C2", "C0", "C3", "C1"], called=["X2", "X0", "X3", "X1"])
    answers = [decode(run.weights, about, each, device="cpu") for each in (mine, renamed)]
    np.testing.assert_allclose(*answers, atol=1e-4)
    np.testing.assert_allclose(answers[0][0, run.run.split.test], run.logits["test"], atol=1e-5)


@pytest.mark.parametrize("names", [["C4", "C5"], ["C5", "C0", "C4", "C1"], ["C2"], ["C4", *HERE]], ids=str)
def test_other_electrodes_are_served_and_told(trials, names, caplog):
    caplog.set_level("INFO")
    run, about = train(pick(trials, HERE))
    logits = decode(run.weights, about, pick(trials, names), device="cpu")
    assert logits.shape == (1, len(trials), 3)
    assert np.isfinite(logits).all()
    said = f"takes the {len(names)} channels {', '.join(names)} in place of the 4 channels C0, C1, C2, C3, told apart"
    assert said in caplog.text


def test_the_front_end_of_the_nearest_electrode_is_taken(trials):
    mine = pick(trials, HERE)
    model = {"sizes": {"positions": [*PLACES[:3].tolist(), [None] * 3]}, "ch_names": HERE}
    weights = {"frontend.filters": np.diag(np.arange(1.0, 5)), "frontend.offset": np.arange(4.0), "head": np.ones(2)}
    signal = replace(mine.signal, positions=PLACES[[2, 0, 2]] + 1e-4, ch_names=("A", "B", "C"))
    moved = moved_weights(weights, model, signal)
    np.testing.assert_array_equal(moved["frontend.filters"], np.diag([3.0, 1, 3]))
    np.testing.assert_array_equal(moved["frontend.offset"], [2.0, 0, 2])
    assert moved["head"] is weights["head"]


TIED = {
    "EEGNet has weights for each channel": {"model": partial(EEGNet, filters=4, depth=1, kernel=0.1)},
    "model.spatial=whiten learns filters with a weight for each": {"model": partial(DIVIDED, spatial="whiten")},
    "model.spatial=off learns filters with a weight for each": {"model": partial(DIVIDED, spatial="off")},
    "model.block.kernel=linformer knows channels by their place in the list .softmax, additive, linear, performer do":
        {"model": partial(DIVIDED, block={"kernel": "linformer"})},
    "model.block.kernel=local knows": {"model": partial(DIVIDED, block={"kernel": "local"})},
    "its front end, Align, mixes channels": {"frontend": Align(by=[], reference="train")},
}    # fmt: skip
WAY = r"model.spatial=interleaved .or before, after. model.block.kernel=softmax frontend=zscore .or none.$"


@pytest.mark.parametrize("tie", TIED)
def test_what_is_tied_to_its_channels_says_so_with_the_way_out(trials, tie):
    mine, others = pick(trials, HERE), pick(trials, ["C0", "C1", "C4"])
    parts = TIED[tie]
    run, about = train(mine, **parts)
    with pytest.raises(ValueError, match=f"used on recordings without C2, C3.* it cannot take: {tie}.*{WAY}"):
        decode(run.weights, about, others)
    source = Source(run.weights, about, "")
    given = {"model": DIVIDED, "frontend": ZScore(per_trial=True), **parts}
    runs = [replace(each, source=source) for each in few(others, [0])]
    message = rf"these have \['C0', 'C1', 'C4'\]; prepare both alike \(preprocess.channels\). .*take: {tie}.*{WAY}"
    with pytest.raises(ValueError, match=message):
        TRAINER.compare(given["model"], others, runs, frontend=given["frontend"])


def test_an_electrode_without_a_place_is_named(trials):
    run, about = train(pick(trials, HERE))
    unknown = pick(trials, ["C0", "C4", "C5"])
    unknown.signal.positions[1] = np.nan
    with pytest.raises(ValueError, match=r"no position is known here for C4; preprocess.channels leaves them out"):
        decode(run.weights, about, unknown)
    nowhere = replace(trials, signal=replace(trials.signal, positions=np.full((6, 3), np.nan)))
    run, about = train(pick(nowhere, HERE))
    with pytest.raises(ValueError, match="it was trained without positions, a code for each channel"):
        decode(run.weights, about, pick(trials, ["C0", "C4"]))


@pytest.mark.parametrize("names", [["C4", "C5"], ["C3", "C4", "C0", "C5"]], ids=str)
@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_a_run_starts_from_a_network_of_other_electrodes(trials, names, mode):
    """Zero-shot it answers as the source does there, by the places that they have here; and it learns."""
    frontend, others = ZScore(per_trial=True), pick(trials, names)
    run, about = train(pick(trials, HERE), frontend=frontend)
    source = Source(run.weights, about, "")
    runs = [replace(each, source=source) for each in few(others, [0, 4])]
    trainer = replace(TRAINER, ensemble=mode, new_head=False)
    told = trainer.compare(DIVIDED, others, runs, frontend=frontend)
    assert told["channels"].startswith(f"the {len(names)} channels {', '.join(names)} in place of the 4 channels C0")
    assert told["not_used"] == "none"
    answers = decode(run.weights, about, others, device="cpu")[0]
    for done in trainer.fit(DIVIDED, others, stacks(runs), frontend=frontend, on_epoch=lambda run, row: None):
        test, split = done.logits["test"], done.run.split
        assert np.isfinite(test).all()
        assert np.allclose(test, answers[split.test], atol=1e-4) == (len(split.train) == 0)
        assert done.model["ch_names"] == names
        assert done.model["sizes"]["positions"] == others.signal.positions.tolist()
