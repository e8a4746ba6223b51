"""Every lever against over-fitting: off it changes no bit, on it trains, in a loop, in a stack and alone alike."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.few import some_runs
from torch.nn import functional as F

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import WithinSession
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.average import Average
from eegdecode.training.batches import Material, draw_epoch
from eegdecode.training.chain import Chain
from eegdecode.training.checks import check_epochs
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.dice import Dice
from eegdecode.training.ensemble import Ensemble
from eegdecode.training.frontend import ZScore
from eegdecode.training.loop import train_stack
from eegdecode.training.loss import balanced_weights, cross_entropy, mix_trials
from eegdecode.training.optim import Adam, clip, flatten, schedule
from eegdecode.training.settings import DeepSettings
from eegdecode.training.sharpness import worst_nearby
from eegdecode.training.task import Task, seeds_of
from eegdecode.trials import Trials

TRANSFORMER = partial(STTransformer, width=8, heads=2, depth=1, drop=0.0)
NETWORKS = {"eegnet": partial(EEGNet, drop=0.0), "sttransformer": TRANSFORMER}
LEVERS = {
    "decay_norms": {"weight_decay": 0.1, "decay_norms": True}, "label_smoothing": {"label_smoothing": 0.1},
    "one_cycle": {"schedule": "one_cycle"}, "plateau": {"schedule": "plateau", "plateau_patience": 1},
    "balanced": {"class_weights": "balanced"}, "mixup": {"mixup": 0.2}, "ema": {"average": "ema"},
    "swa": {"average": "swa", "schedule": "constant"}, "sam": {"sam": 0.05},
    "accumulate": {"accumulate": 2, "batch_size": 8},
    **{name: {"augment": Chain(**{name: strength})} for name, strength in {
        "symmetry": 0.5, "time_shift": 0.2, "crop": 0.2, "frequency_shift": 1.0, "fourier": 0.5, "amplitude": 0.2,
        "channel_dropout": 0.2, "time_mask": 0.3, "noise": 0.1, "segments": 4,
    }.items()},
    "all": {
        "mixup": 0.2, "sam": 0.05, "average": "ema", "accumulate": 2, "batch_size": 8, "class_weights": "balanced",
        "augment": Chain(segments=4, symmetry=0.2, noise=0.1, time_shift=0.1, channel_dropout=0.1),
    },
}    # fmt: skip


def fit(trials, runs, *, model=NETWORKS["eegnet"], augment=None, **settings):
    trainer = DeepTrainer(**{"epochs": 3, "batch_size": 16, "device": "cpu", "workers": 1, **settings})
    told = {"frontend": ZScore(), "on_epoch": lambda run, row: None}
    return list(trainer.fit(model, trials, [runs], augment=augment, **told))


@pytest.fixture
def placed(make_trials):
    """Return a factory of trials in which left hand and right hand have a channel on either side."""

    def make(**sizes):
        trials = make_trials(**sizes)
        signal = replace(trials.signal, ch_names=("C3", "C4", "Cz", "F3", "Fz", "F4"))
        classes = ("left_hand", "right_hand", "feet")
        return Trials(trials.X, trials.meta, signal, classes, trials.dataset, trials.fingerprints)

    return make


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_trains_and_what_is_learned_holds(placed, name):
    trials = placed(n_trials=48, strength=3.0)
    (run,) = some_runs(trials, 1)
    (done,) = fit(trials, [run], **{"epochs": 40, "lr": 0.02, **LEVERS[name]})
    assert (done.logits["test"].argmax(1) == trials.y[run.split.test]).mean() > 0.6
    assert done.history["train_accuracy"].iloc[-1] > 0.8


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_gives_the_same_in_a_loop_in_a_stack_and_alone(placed, name):
    trials = placed()
    runs = some_runs(trials, 3)
    loop, stack = (fit(trials, runs, **LEVERS[name], ensemble=mode) for mode in ("loop", "vectorise"))
    for run, one, other in zip(runs, loop, stack, strict=True):
        (alone,) = fit(trials, [run], **LEVERS[name], ensemble="vectorise")
        for mine in (one, other):
            np.testing.assert_allclose(alone.logits["test"], mine.logits["test"], rtol=2e-3, atol=2e-4)
            np.testing.assert_allclose(alone.history, mine.history, rtol=2e-3, atol=2e-4)


def test_dropped_patches_train_and_draw_nothing_when_off(make_trials):
    """No lever of the list above: dropout draws other numbers in a stack than alone, as everywhere."""
    trials = make_trials(n_trials=48, strength=3.0)
    (run,) = some_runs(trials, 1)
    model = partial(STTransformer, width=8, heads=2, depth=1, patch=0.25, stride=0.125, drop=0.0)
    settings = {"epochs": 30, "lr": 0.02}
    plain, off, first, second = (
        fit(trials, [run], model=partial(model, **drop), **settings)[0]
        for drop in ({}, {"drop_tokens": 0.0}, {"drop_tokens": 0.3}, {"drop_tokens": 0.3})
    )
    np.testing.assert_array_equal(plain.logits["test"], off.logits["test"])
    np.testing.assert_array_equal(first.logits["test"], second.logits["test"])
    assert np.abs(plain.logits["test"] - first.logits["test"]).max() > 1e-3
    assert (first.logits["test"].argmax(1) == trials.y[run.split.test]).mean() > 0.6


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_does_something(placed, name):
    trials = placed()
    (run,) = some_runs(trials, 1)
    train = run.split.train
    few = train[np.argsort(trials.y[train], kind="stable")][:-2]    # classes of unequal size
    runs = [replace(run, split=replace(run.split, train=few))]
    settings = {"lr": 0.01, "epochs": 5}
    (off,), (on,) = fit(trials, runs, **settings), fit(trials, runs, **settings, **LEVERS[name])
    assert any(np.abs(weight - on.weights[key]).max() > 1e-5 for key, weight in off.weights.items())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_without_levers_training_is_the_plain_loop_to_the_bit(make_trials, network, mode):
    """Shuffle, forward, cross-entropy, clip, Adam, and nothing else: no further random number, no other rounding."""
    trials, model = make_trials(), NETWORKS[network]
    runs = some_runs(trials, 2 if mode == "vectorise" else 1)
    settings = DeepTrainer(epochs=3, batch_size=16, device="cpu", ensemble=mode)
    done = fit(trials, runs, model=model, ensemble=mode)
    material = Material.of(trials, per_trial=False, device="cpu")
    task = Task.build(settings, model, material, runs, frontend=ZScore(), mode=mode)
    rngs, adam = [np.random.default_rng(seeds_of(run)) for run in runs], Adam()
    train = [run.split.train for run in runs]
    rates = iter(schedule("cosine", steps=3 * len(draw_epoch(train, rngs, batch_size=16)), warmup=0.05))
    rngs = [np.random.default_rng(seeds_of(run)) for run in runs]
    for _ in range(3):
        for batch in draw_epoch(train, rngs, batch_size=16):
            rows = torch.tensor(batch)
            x, known = task.memory[rows]
            logits = task.ensemble(x, train=True, memory=known)
            each = F.cross_entropy(logits.flatten(0, 1), task.y[rows].flatten(), reduction="none")
            grad, _ = clip(flatten(task.ensemble.gradients(each.reshape(rows.shape).mean(1))), 1.0)
            rate = torch.full((len(runs),), 1e-3) * float(next(rates))
            adam.step(task.ensemble.params, grad, lr=rate, weight_decay=torch.full((len(runs),), 0.01))
    for i, prediction in enumerate(done):
        for name, weight in task.ensemble.state().items():
            np.testing.assert_array_equal(prediction.weights[name], weight[i].numpy(), err_msg=name)


@pytest.mark.parametrize("lent", [{}, {"label_smoothing": 0.1, "class_weights": "balanced"}], ids=["plain", "weighted"])
@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_accumulated_batches_are_one_large_batch_where_trials_do_not_meet(make_trials, mode, lent):
    """Without batch norm; parts of unequal size count by their trials."""
    trials = make_trials()
    runs = some_runs(trials, 2)
    settings = {"model": TRANSFORMER, "ensemble": mode, "lr": 0.01, **lent}
    large = fit(trials, runs, batch_size=12, **settings)
    parts = fit(trials, runs, batch_size=3, accumulate=4, **settings)
    for one, other in zip(large, parts, strict=True):
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(one.history, other.history, rtol=1e-3, atol=1e-4)
    assert DeepTrainer(batch_size=3, accumulate=4).count_epochs(26) == DeepTrainer(batch_size=12).count_epochs(26)


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_trials_that_fit_into_one_batch_are_not_cut(make_trials, mode):
    trials = make_trials()
    runs = some_runs(trials, 2)
    settings = {"model": NETWORKS["eegnet"], "ensemble": mode, "batch_size": len(runs[0].split.train)}
    for one, other in zip(fit(trials, runs, **settings), fit(trials, runs, accumulate=8, **settings), strict=True):
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=1e-5, atol=1e-6)


def test_mixup_mixes_signals_and_gives_the_loss_of_soft_targets():
    x, y = torch.randn(2, 50, 3, 8), torch.randint(0, 4, (2, 50))
    dice = Dice([np.random.default_rng(run) for run in range(2)], "cpu")
    mixed, (other, share) = mix_trials(x, y, 0.4, dice)
    assert ((share > 0) & (share < 1)).all()
    dice = Dice([np.random.default_rng(run) for run in range(2)], "cpu")
    lam, order = dice.beta(0.4, 50), dice.order(50)
    for run in range(2):
        assert sorted(order[run].tolist()) == list(range(50))
        partner = x[run, order[run]]
        torch.testing.assert_close(mixed[run], lam[run, :, None, None] * (x[run] - partner) + partner)
        assert (other[run] == y[run, order[run]]).all()
    logits = torch.randn(2, 50, 4)
    soft = share[..., None] * F.one_hot(y, 4) + (1 - share[..., None]) * F.one_hot(other, 4)
    for smoothing in (0.0, 0.1):
        loss = cross_entropy(logits, y, smoothing=smoothing, mixed=(other, share))
        expected = [F.cross_entropy(logits[run], soft[run], label_smoothing=smoothing) for run in range(2)]
        torch.testing.assert_close(loss, torch.stack(expected))


def test_balanced_weights_make_classes_count_alike():
    labels = [np.array([0, 0, 0, 1]), np.array([2, 1, 2, 2])]
    weights = balanced_weights(labels, 3)
    np.testing.assert_allclose(weights, [[4 / 6, 2, 0], [0, 2, 4 / 6]])
    for y, mine in zip(labels, weights, strict=True):
        assert mine[y].mean() == pytest.approx(1)
    logits, y = torch.randn(2, 4, 3), torch.tensor(np.stack(labels))
    loss = cross_entropy(logits, y, weights=torch.tensor(weights, dtype=torch.float32))
    for run in range(2):    # the mean of the means of the classes that are there
        each = F.cross_entropy(logits[run], y[run], reduction="none")
        assert loss[run] == pytest.approx(np.mean([each[y[run] == k].mean() for k in y[run].unique()]), rel=1e-5)


def test_averages_are_what_they_are_called():
    states = [{"w": torch.full((2, 1), float(value)), "n": torch.full((2,), value)} for value in range(1, 9)]

    def copied(i):
        return lambda: {name: t.clone() for name, t in states[i].items()}

    swa = Average("swa", share=0.5)
    for epoch in range(1, 9):
        swa.step(copied(epoch - 1))
        swa.epoch(epoch, 8, copied(epoch - 1))
    assert swa.mean is not None
    assert swa.mean["w"].flatten().tolist() == [6.5, 6.5]
    assert swa.mean["n"].tolist() == [8, 8]
    ema, expected = Average("ema", decay=0.3), 1.0
    for step in range(8):
        ema.step(copied(step))
        ema.epoch(step, 8, copied(step))
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
    assert ema.mean is not None
    assert ema.mean["w"][0].item() == pytest.approx(expected)
    ema.take(torch.tensor([1]))
    assert ema.mean["w"].shape == (1, 1)
    off = Average()
    off.step(copied(0))
    off.epoch(8, 8, copied(0))
    assert off.mean is None


@pytest.mark.parametrize(("kind", "select"), [("ema", "last"), ("ema", "best_val"), ("swa", "last")])
def test_the_average_is_what_is_measured_kept_and_tested(make_trials, kind, select):
    trials = make_trials()
    (run,) = some_runs(trials, 1)
    settings = {"epochs": 8, "lr": 0.02, "model": NETWORKS["eegnet"], "schedule": "constant"}
    (plain,) = fit(trials, [run], **settings)
    lever = {"average": kind, **({"swa_share": 0.5} if kind == "swa" else {})}
    (mean,) = fit(trials, [run], select=select, **lever, **settings)
    np.testing.assert_array_equal(plain.history["running_loss"], mean.history["running_loss"])    # training is the same
    assert any(np.abs(plain.weights[name] - mean.weights[name]).max() > 1e-4 for name in plain.weights)
    shown = mean.history["val_loss"].iloc[mean.best_epoch - 1]
    y, logits = torch.tensor(trials.y[run.split.val]), torch.tensor(mean.logits["val"])
    assert F.cross_entropy(logits, y).item() == pytest.approx(shown, rel=1e-4)


@pytest.mark.parametrize("kind", ["ema", "plateau"])
def test_runs_that_stop_early_change_no_other(make_trials, kind):
    trials = make_trials(n_trials=32, strength=3.0)
    runs = some_runs(trials, 5)
    lever = {"average": "ema"} if kind == "ema" else {"schedule": "plateau", "plateau_patience": 1}
    settings = DeepTrainer(epochs=30, batch_size=16, lr=0.02, patience=3, device="cpu", **lever)
    material = Material.of(trials, per_trial=False, device="cpu")

    def train(runs):
        told = {"frontend": ZScore(), "mode": "loop", "on_epoch": lambda run, row: None}
        return train_stack(settings, NETWORKS["eegnet"], material, runs, **told)

    together = train(runs)
    assert len({len(each.history) for each in together}) > 1
    for run, mine in zip(runs, together, strict=True):
        (alone,) = train([run])
        assert alone.best_epoch == mine.best_epoch
        np.testing.assert_allclose(alone.logits["test"], mine.logits["test"], atol=1e-4)
        np.testing.assert_allclose(alone.history, mine.history, atol=1e-4)


@pytest.mark.parametrize("validation", [0.25, 0.0])
def test_a_plateau_lowers_the_rate_of_the_run_whose_loss_stays(make_trials, validation):
    trials = make_trials()
    runs = expand(WithinSession(folds=4)(trials.meta, validation=validation), Sweep(), seed=0)[:2]
    lever = {"schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.1, "warmup": 0.0}
    seen = set()
    for done in fit(trials, runs, epochs=30, lr=0.05, validation=validation, ensemble="vectorise", **lever):
        loss, rate, expected = done.history["val_loss" if validation else "train_loss"], 0.05, []
        least, waits = np.inf, 0
        for value in loss:
            expected.append(rate)
            waits = 0 if value < least * (1 - 1e-4) else waits + 1
            least = min(least, value)
            rate, waits = (0.1 * rate, 0) if waits > 2 else (rate, waits)
        np.testing.assert_allclose(done.history["lr"], expected, rtol=1e-5)
        seen |= set(np.round(np.log10(done.history["lr"] / 0.05)))
    assert len(seen) > 1


def test_the_gradient_is_that_of_the_worst_place_nearby_and_nothing_else_moves():
    parts = torch.nn.Flatten, partial(torch.nn.Linear, 6, 3), partial(torch.nn.BatchNorm1d, 3)
    networks = [torch.nn.Sequential(*(part() for part in parts)) for _ in range(2)]
    ensemble = Ensemble(networks, mode="loop", device="cpu")
    x = torch.randn(2, 20, 2, 3)

    def gradient(mine=ensemble):
        return flatten(mine.gradients((mine(x, train=True) ** 4).mean((1, 2))))

    grad = gradient()
    before = ensemble.state()
    got = worst_nearby(ensemble, grad, gradient, rho=0.1)
    for name, t in ensemble.state().items():
        torch.testing.assert_close(t, before[name], rtol=0, atol=0)
    moved, start = Ensemble(networks, mode="loop", device="cpu"), 0
    for p in moved.params.values():
        part = grad[:, start : start + p[0].numel()]
        start += p[0].numel()
        p.data += (0.1 * part / grad.norm(dim=1, keepdim=True)).reshape(p.shape)
    torch.testing.assert_close(got, gradient(moved))
    assert (got - grad).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "trainer.accumulate must be a whole number of at least 1, got 0"),
        ({"sam": -0.1}, "trainer.sam must be between 0 and 10, got -0.1"),
        ({"mixup": -1.0}, "trainer.mixup must be between 0 and 10, got -1.0"),
        ({"class_weights": "equal"}, "trainer.class_weights must be one of null, balanced; got 'equal'"),
        ({"average": "mean"}, "trainer.average must be one of none, ema, swa; got 'mean'"),
        ({"average": "swa", "patience": 3}, "before which trainer.select=best_val and trainer.patience may end"),
        ({"average": "swa", "select": "best_val"}, "take trainer.average=ema"),
        ({"ema_decay": 1.0}, "trainer.ema_decay must lie between 0 and 1, got 1.0"),
        ({"swa_share": 0.0}, "trainer.swa_share must lie between 0 and 1, got 0.0"),
        ({"schedule": "linear"}, "trainer.schedule must be one of cosine, constant, one_cycle, plateau; got 'linear'"),
        ({"plateau_patience": 0}, "trainer.plateau_patience must be a whole number of at least 1, got 0"),
        ({"plateau_factor": 1.0}, "trainer.plateau_factor must lie between 0 and 1, got 1.0"),
        ({"ema_decay": 0.99}, "trainer.ema_decay=0.99 is of trainer.average=ema, and that is none: type both"),
        ({"swa_share": 0.5, "average": "ema"}, "trainer.swa_share=0.5 is of trainer.average=swa, and that is ema"),
        ({"plateau_patience": 3}, "trainer.plateau_patience=3 is of trainer.schedule=plateau, and that is cosine"),
        ({"schedule": "plateau", "patience": 11}, "trainer.patience=11 ends a training before trainer.schedule"),
        ({"plateau_factor": 0.1}, "trainer.plateau_factor=0.1 is of trainer.schedule=plateau"),
        ({"layer_factor": 2.0}, "trainer.layer_factor=2.0 is of trainer.fine_tune=layerwise, and that is full"),
        ({"sam": 0.05, "compile": True, "ensemble": "vectorise"}, "take trainer.compile=false with"),
        ({"mixup": 0.1, "compile": True, "ensemble": "vectorise"}, "take trainer.compile=false with"),
    ],
)
def test_bad_levers_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepTrainer(device="cpu", **settings)


@pytest.mark.parametrize(("words", "said"), [
    ({"average": "swa", "epochs": 5}, "with 100 training trials 5 epochs are trained, and trainer.swa_share=0.25"),
    ({"average": "swa", "epochs": 6}, ""), ({"average": "ema", "epochs": 1}, ""),
    ({"schedule": "plateau", "epochs": 11}, "never lowers the rate: .* it waits for trainer.plateau_patience=10"),
    ({"schedule": "plateau", "epochs": 12}, ""),
])    # fmt: skip
def test_what_too_few_epochs_never_begin_is_refused(words, said):
    """It stood in the results as if it had been done."""
    settings = DeepSettings(device="cpu", **words)
    with pytest.raises(ValueError, match=said) if said else nullcontext():
        check_epochs(settings, [40, 100])
    check_epochs(settings, [0])    # zero-shot: nothing is trained
