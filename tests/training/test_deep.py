from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.few import some_runs
from torch import nn

from eegdecode.identity import identify, run_key
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.sttransformer import STTransformer
from eegdecode.protocols import CrossSession
from eegdecode.runs import WATCHED
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.align import Align
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.devices import find_device
from eegdecode.training.frontend import CSP, Identity, ZScore
from eegdecode.training.keeper import Keeper
from eegdecode.trials import Trials

NETWORKS = [partial(EEGNet, drop=0.0), partial(STTransformer, width=8, heads=2, depth=1, drop=0.0)]


def fit(trials, runs, *, model=NETWORKS[0], frontend=None, on_epoch=lambda run, row: None, **settings):
    trainer = DeepTrainer(**{"epochs": 3, "batch_size": 16, "device": "cpu", "workers": 1, **settings})
    return list(trainer.fit(model, trials, [runs], frontend=frontend or ZScore(), on_epoch=on_epoch))


@pytest.mark.parametrize("model", NETWORKS, ids=["eegnet", "sttransformer"])
@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_a_run_alone_and_in_a_stack_of_four_gives_the_same(make_trials, model, mode):
    trials = make_trials()
    runs = some_runs(trials)
    together = fit(trials, runs, model=model, ensemble=mode)
    for run, mine in zip(runs, together, strict=True):
        (alone,) = fit(trials, [run], model=model, ensemble=mode)
        for part in ("val", "test"):
            np.testing.assert_allclose(alone.logits[part], mine.logits[part], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(alone.history, mine.history, rtol=1e-3, atol=1e-4)


def test_networks_get_the_places_of_electrodes_but_none_for_csp(make_trials):
    trials = make_trials()
    placed = replace(trials, signal=replace(trials.signal, positions=np.arange(18.0).reshape(6, 3) / 100))
    model = partial(STTransformer, width=8, heads=2, depth=1, spatial="after")
    cases = [(placed, Align(), True), (placed, CSP(n_filters=2), False), (trials, ZScore(), False)]
    for data, frontend, known in cases:
        (done,) = fit(data, some_runs(data, 1), model=model, frontend=frontend)
        assert done.model["sizes"]["positions"] == (placed.signal.positions.tolist() if known else None)


@pytest.mark.parametrize("model", NETWORKS, ids=["eegnet", "sttransformer"])
def test_both_modes_give_the_same(make_trials, model):
    trials = make_trials()
    runs = some_runs(trials)
    loop, stacked = (fit(trials, runs, model=model, ensemble=mode) for mode in ("loop", "vectorise"))
    for one, other in zip(loop, stacked, strict=True):
        np.testing.assert_allclose(one.logits["test"], other.logits["test"], rtol=2e-3, atol=2e-4)


def test_the_same_seed_gives_the_same_bits_with_dropout_on(make_trials):
    trials = make_trials()
    runs = some_runs(trials, 2)
    model = partial(EEGNet, drop=0.5)
    first, second = (fit(trials, runs, model=model) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.logits["test"], other.logits["test"])
    other_seed = fit(trials, expand([runs[0].split], Sweep(), seed=1), model=model)
    assert np.abs(other_seed[0].logits["test"] - first[0].logits["test"]).max() > 1e-3


@pytest.mark.parametrize("frontend", [Identity(), ZScore(), ZScore(per_trial=True), CSP(n_filters=2)], ids=repr)
@pytest.mark.parametrize("select", ["last", "best_val"])
def test_test_trials_change_no_fitted_quantity(make_trials, frontend, select):
    """Scramble the test signals and labels: weights, front end, history and chosen epoch stay to the bit."""
    trials = make_trials()
    run = expand(CrossSession()(trials.meta, validation=0.25), Sweep(), seed=0)[0]
    X, meta = trials.X.copy(), trials.meta.copy()
    rng = np.random.default_rng(1)
    X[run.split.test] = 50 * rng.normal(size=X[run.split.test].shape)
    meta.loc[run.split.test, "label"] = rng.permutation(meta["label"].to_numpy()[run.split.test])
    changed = Trials(X, meta, trials.signal, trials.classes, trials.dataset, trials.fingerprints)
    (before,) = fit(trials, [run], frontend=frontend, select=select)
    (after,) = fit(changed, [run], frontend=frontend, select=select)
    assert before.best_epoch == after.best_epoch
    for name, weight in before.weights.items():
        np.testing.assert_array_equal(weight, after.weights[name], err_msg=name)
    np.testing.assert_array_equal(before.history, after.history)
    assert np.abs(before.logits["test"] - after.logits["test"]).max() > 1e-3


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
@pytest.mark.parametrize("select", ["last", "best_val"])
def test_watching_test_trials_alters_nothing_but_the_history(make_trials, mode, select):
    trials = make_trials()
    runs, settings = some_runs(trials, 2), {"ensemble": mode, "select": select, "epochs": 6, "lr": 0.02}
    both = (fit(trials, runs, watch_test=watch, **settings) for watch in (False, True))
    for plain, watched in zip(*both, strict=True):
        assert plain.best_epoch == watched.best_epoch
        for name, weight in plain.weights.items():
            np.testing.assert_array_equal(weight, watched.weights[name], err_msg=name)
        np.testing.assert_array_equal(plain.logits["test"], watched.logits["test"])
        assert WATCHED not in plain.history
        np.testing.assert_array_equal(plain.history, watched.history.drop(columns=WATCHED))
        accuracy = (watched.logits["test"].argmax(1) == trials.y[watched.run.split.test]).mean()
        assert watched.history[WATCHED].iloc[watched.best_epoch - 1] == pytest.approx(accuracy)


def test_validation_trials_change_no_weight_either_and_choose_the_epoch(make_trials):
    trials = make_trials(n_trials=48)
    run = some_runs(trials, 1)[0]
    (best,) = fit(trials, [run], epochs=12, select="best_val", lr=0.02)
    (last,) = fit(trials, [run], epochs=12, select="last", lr=0.02)
    assert best.best_epoch == int(best.history["val_loss"].idxmin()) + 1
    assert last.best_epoch == 12
    y, logits = trials.y[run.split.val], torch.tensor(best.logits["val"])
    loss = nn.functional.cross_entropy(logits, torch.tensor(y)).item()
    assert loss == pytest.approx(best.history["val_loss"].min(), rel=1e-4)


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_it_learns_and_stops_early(make_trials, mode):
    trials = make_trials(n_trials=60, strength=3.0)
    runs = some_runs(trials, 2)
    for prediction in fit(trials, runs, epochs=60, lr=0.01, patience=5, select="best_val", ensemble=mode):
        y = trials.y[prediction.run.split.test]
        assert (prediction.logits["test"].argmax(1) == y).mean() > 0.7
        assert prediction.best_epoch <= len(prediction.history)
        assert len(prediction.history) <= prediction.best_epoch + 5


def test_swept_numbers_reach_the_run(make_trials):
    trials = make_trials()
    runs = some_runs(trials, None, lr=[1e-3, 1e-2], drop=[0.0, 0.5])
    runs = [run for run in runs if run.split is runs[0].split]
    assert len(runs) == 4
    for mode in ("loop", "vectorise"):
        for prediction in fit(trials, runs, ensemble=mode, schedule="constant", warmup=0.0):
            numbers = prediction.run.numbers
            assert prediction.history["lr"].iloc[-1] == pytest.approx(numbers["lr"])
            rates = [w for name, w in prediction.weights.items() if name.endswith("rate")]
            assert rates == [pytest.approx(numbers["drop"])] * len(rates)


class Exploding(nn.Module):
    """Its loss is NaN as soon as it sees a trial of huge amplitude."""

    def __init__(self, n_chans, n_times, n_classes, sfreq, drop=0.0):
        super().__init__()
        self.head = nn.Linear(n_chans, n_classes)

    def forward(self, x):
        return self.head(x.mean(2)) / (x.abs().amax((1, 2), keepdim=False) < 1e6)[:, None]


@pytest.mark.parametrize("mode", ["loop", "vectorise"])
def test_a_loss_that_is_nan_ends_its_run_alone(make_trials, mode):
    trials = make_trials()
    runs = some_runs(trials, 3)
    only_first = np.setdiff1d(runs[0].split.train, np.concatenate([runs[1].split.train, runs[2].split.train]))
    X = trials.X.copy()
    X[only_first] = 1e9
    sick = Trials(X, trials.meta, trials.signal, trials.classes, "toy", trials.fingerprints)
    first, second, third = fit(sick, runs, model=partial(Exploding), frontend=Identity(), ensemble=mode)
    assert "loss is" in first.status
    assert "epoch 1" in first.status
    assert np.isnan(first.logits["test"]).all()
    assert second.status == third.status == "done"
    assert np.isfinite(second.history["running_loss"]).all()
    assert np.isfinite(second.logits["test"]).any()


def test_every_epoch_is_told(make_trials):
    trials, seen = make_trials(), []
    runs = some_runs(trials, 2)
    fit(trials, runs, on_epoch=lambda run, row: seen.append((run.name(), row["epoch"])))
    assert seen == [(run.name(), epoch) for run in runs for epoch in (1, 2, 3)]


def test_of_many_epochs_some_are_measured_and_the_last(make_trials):
    """Measuring draws no random number, so what is measured does not alter what is learned."""
    trials = make_trials()
    (run,) = some_runs(trials, 1)
    told = []
    (few,) = fit(trials, [run], epochs=401, on_epoch=lambda run, row: told.append(row["epoch"]))
    assert told == [*range(4, 401, 4), 401] == few.history["epoch"].tolist()
    (all_of_them,) = fit(trials, [run], epochs=401, watch_test=True)
    assert len(all_of_them.history) == 401
    np.testing.assert_array_equal(few.logits["test"], all_of_them.logits["test"])


def test_no_validation_trials_leave_gaps_and_no_error(make_trials):
    trials = make_trials()
    splits = CrossSession()(trials.meta, validation=0.0)
    (prediction,) = fit(trials, expand(splits, Sweep(), seed=0)[:1], validation=0.0)
    assert prediction.history["val_loss"].isna().all()
    assert prediction.logits["val"].shape == (0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "trainer.lr must be between 0 and 10, got -1"), ({"lr": 0.0}, "trainer.lr must be above 0"),
        ({"lr": 0.0}, "trainer.lr"),
        ({"epochs": 0}, "trainer.epochs must be a whole number of at least 1 or null, got 0"),
        ({"select": "best_test"}, "trainer.select must be one of last, best_val; got 'best_test'"),
        ({"validation": 1.0}, "trainer.validation"),
        ({"validation": 0.0, "patience": 3}, "need validation trials"),
        ({"clip": 0.0}, "clip must be positive"),
        ({"clip": float("nan")}, "clip must be positive or null, got nan"),
        ({"patience": 0}, "trainer.patience must be a whole number of at least 1 or null, got 0"),
        ({"betas": [0.9]}, r"trainer.betas must be two numbers in \[0, 1\), got \[0.9\]"),
        ({"betas": [1.5, 0.9]}, "trainer.betas must be two numbers"),
        ({"device": "gpu"}, "device=gpu is unknown"),
        ({"device": "cuda:99"}, "device=cuda:99 is not there"),
        ({"precision": "bf16", "device": "cpu"}, "for GPUs"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepTrainer(**settings)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("epochs", "ten", "a whole number of at least 1 or null, got 'ten'"), ("epochs", 1.5, "a whole number"),
    ("updates", None, "a whole number of at least 1, got None"), ("batch_size", 8.5, "a whole number"),
    ("lr", None, "a number, got None"), ("lr", True, "a number, got True"), ("updates", True, "a whole number"),
    ("clip", True, "positive or null, got True"), ("validation", "some", "a number, got 'some'"),
    ("betas", 0.9, "two numbers"),
    ("clip", "hard", "positive or null, got hard"), ("save_every", "often", "null or at least 0 s, got often"),
])    # fmt: skip
def test_words_in_place_of_numbers_are_named(name, value, message):
    """As they come from the command line, where nothing checks types."""
    typed = DeepTrainer(device="cpu")
    object.__setattr__(typed, name, value)
    with pytest.raises(ValueError, match=rf"trainer\.{name} must be {message}"):
        typed.__post_init__()


def test_find_device_finds_one():
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_identity_of_a_run(make_trials):
    """Whatever defines a run changes its key; what does not, does not."""
    trials = make_trials()
    run, other = some_runs(trials, 2)

    def key(run=run, trials=trials, model=NETWORKS[0], **settings):
        return run_key(run, **identify(trials, {"model": model, "trainer": DeepTrainer(**settings)}))

    def named(**other):
        return replace(trials, signal=replace(trials.signal, **other))

    same = key(device="cpu", ensemble="vectorise")
    assert key() == same
    different = [
        key(run=other), key(lr=0.1), key(model=partial(EEGNet, drop=0.1)), key(model=NETWORKS[1]),
        key(trials=make_trials(seed=1)), key(run=expand([run.split], Sweep(), seed=1)[0]),
        key(run=expand([run.split], Sweep(lr=[0.1]), seed=0)[0]),
        key(trials=replace(trials, classes=trials.classes[::-1])),    # pipelines read them, checkpoints keep them
        key(trials=named(ch_names=trials.signal.ch_names[::-1])), key(trials=named(sfreq=trials.signal.sfreq / 2)),
        key(trials=named(tmin=1.5)), key(trials=named(positions=np.ones_like(trials.signal.positions))),
    ]    # fmt: skip
    assert len({same, *different}) == 1 + len(different)


def test_keeper_keeps_the_epoch_of_the_least_validation_loss():
    keeper = Keeper(2, select="best_val", patience=2)
    losses = [(3.0, 3.0), (2.0, 4.0), (2.5, 5.0), (2.6,)]    # the second run has left by then
    for epoch, val in enumerate(losses, 1):
        n = len(val)
        history = {"epoch": np.full(n, epoch), "running_loss": np.ones(n), "val_loss": np.array(val)}
        weights = {"w": torch.full((n, 1), float(epoch))}
        told = [run for run, _ in keeper.note(epoch, history, state=lambda w=weights: w)]
        assert told == ([0, 1] if epoch < 4 else [0])
    assert keeper.finished
    assert keeper.epochs == [2, 1]
    assert keeper.best(lambda: {"w": torch.zeros(2, 1)})["w"].flatten().tolist() == [2.0, 1.0]


def test_updates_take_the_place_of_epochs(make_trials):
    trials = make_trials()
    for run in some_runs(trials, 1):
        (done,) = fit(trials, [run], updates=7, batch_size=8, epochs=None)
        steps = -(-len(run.split.train) // 8)
        assert len(done.history) == -(-7 // steps)
    with pytest.raises(ValueError, match="updates must be a whole number of at least 1, got 0"):
        DeepTrainer(updates=0)
