from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from pyriemann.geometry.geodesic import geodesic_riemann

from eegdecode.models.eegnet import EEGNet
from eegdecode.protocols import CrossSession, CrossSubject, WithinSession
from eegdecode.runs import Split
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.align import Align, align_trials, fit_frontend
from eegdecode.training.batches import Signals
from eegdecode.training.classical import ClassicalTrainer, pipeline
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.fitted import find_places, open_frontend
from eegdecode.training.frontend import CSP, Identity, Moments, ZScore
from eegdecode.training.spd import riemannian_mean


@pytest.fixture
def mixed(make_trials):
    """Subjects whose channels are mixed in ways of their own."""

    def make(**settings):
        trials = make_trials(n_subjects=3, **settings)
        X = trials.X.copy()
        for number, subject in enumerate(("1", "2", "3")):
            mix = np.random.default_rng(number).normal(size=(6, 6)).astype(np.float32)
            rows = (trials.meta["subject"] == subject).to_numpy()
            X[rows] = (10.0**number) * mix @ X[rows]
        return replace(trials, X=X)

    return make


def split_of(trials, fold=2):
    return CrossSubject()(trials.meta, validation=0.0)[fold]


def aligned(trials, split=None, **settings):
    moments = Moments.of(trials.X)
    return align_trials(Align(**settings), trials.X, trials.meta, split or split_of(trials), moments)


@pytest.mark.parametrize("metric", ["euclid", "riemann"])
def test_every_subject_has_the_identity_as_its_mean(mixed, metric):
    trials = mixed()
    X = aligned(trials, metric=metric)
    for subject in ("1", "2", "3"):
        second = Moments.of(X[trials.meta["subject"] == subject]).second
        mean = second.mean(0) if metric == "euclid" else riemannian_mean(second)
        np.testing.assert_allclose(mean, np.eye(6), atol=1e-4 if metric == "euclid" else 0.3)


def test_the_riemannian_mean_is_that_of_pyriemann(mixed):
    geometry = pytest.importorskip("pyriemann.geometry.mean")
    cov = Moments.of(mixed().X[:40]).second
    np.testing.assert_allclose(riemannian_mean(cov), geometry.mean_riemann(cov, tol=1e-10), rtol=1e-5)


def test_the_riemannian_mean_is_found_behind_a_loose_electrode(mixed):
    """Full steps go back and forth around it for ever."""
    geometry = pytest.importorskip("pyriemann.geometry.mean")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(15, 15)) @ rng.normal(0, 10, (150, 15, 500))
    loose = np.flatnonzero(rng.random(150) < 0.3)
    X[loose, rng.integers(15, size=len(loose))] *= 1000
    cov = X @ X.transpose(0, 2, 1)
    cov += 1e-3 * cov.trace(axis1=1, axis2=2)[:, None, None] / 15 * np.eye(15)
    np.testing.assert_allclose(riemannian_mean(cov), geometry.mean_riemann(cov, tol=1e-9, maxiter=500), rtol=1e-4)


def test_of_an_average_reference_the_mean_is_that_of_the_other_directions(mixed):
    geometry = pytest.importorskip("pyriemann.geometry.mean")
    X = mixed().X[:40].astype(float)
    X -= X.mean(1, keepdims=True)
    cov = X @ X.transpose(0, 2, 1)
    basis = np.linalg.svd(np.ones((1, 6)))[2][1:]
    mean = riemannian_mean(cov)
    theirs = geometry.mean_riemann(basis @ cov @ basis.T, tol=1e-10)
    np.testing.assert_allclose(basis @ mean @ basis.T, theirs, rtol=1e-4)
    np.testing.assert_allclose(mean.sum(0), 0, atol=1e-6 * np.abs(mean).max())


def first(reference):
    return {"n_first": 5} if reference == "first" else {}


@pytest.mark.parametrize("reference", ["all", "first", "train"])
@pytest.mark.parametrize("metric", ["euclid", "riemann"])
def test_no_label_alters_the_maps(mixed, reference, metric):
    trials = mixed()
    other = replace(trials, meta=trials.meta.assign(label=(trials.y + 1) % 3))
    settings = {"reference": reference, "metric": metric, **first(reference)}
    np.testing.assert_array_equal(aligned(trials, **settings), aligned(other, **settings))


def changed_after(trials, split, n):
    """Other signals in the test trials from number n on."""
    X = trials.X.copy()
    X[split.test[n:]] = 7 * X[split.test[n:], ::-1]
    return replace(trials, X=X)


def maps_of(trials, split, reference):
    front = Align(reference=reference, **first(reference))
    matrices, which = front.maps(Moments.of(trials.X), trials.meta, split)
    return matrices[which]


@pytest.mark.parametrize("protocol", [CrossSubject(), CrossSession()])
@pytest.mark.parametrize(("reference", "n"), [("first", 5), ("train", 0)])
def test_inductive_forms_see_the_first_test_trials_at_most(mixed, protocol, reference, n):
    trials = mixed()
    split = protocol(trials.meta, validation=0.0)[-1]
    before, after = (maps_of(each, split, reference) for each in (trials, changed_after(trials, split, n)))
    np.testing.assert_array_equal(before, after)
    assert not Align(reference=reference).transductive


def test_the_first_trials_are_not_aligned_by_themselves(mixed):
    trials = mixed()
    split = split_of(trials)
    maps = maps_of(trials, split, "first")
    other = maps_of(changed_after(trials, split, 0), split, "first")
    np.testing.assert_array_equal(maps[split.test[:5]], other[split.test[:5]])
    assert not np.allclose(maps[split.test[5:]], other[split.test[5:]])
    assert not np.allclose(maps[split.test[0]], maps[split.test[5]])


def test_the_transductive_form_sees_them_and_says_so(mixed):
    trials = mixed()
    split = split_of(trials)
    assert not np.allclose(maps_of(trials, split, "all"), maps_of(changed_after(trials, split, 5), split, "all"))
    assert Align(reference="all").transductive


@pytest.mark.parametrize("by", [[], ["session"], ["subject"]])
def test_subjects_that_have_no_trial_in_a_run_change_nothing_in_it(mixed, by):
    """Its key tells of the others alone: what is finished would be taken for what it is not."""
    trials = mixed()
    split = WithinSession(folds=3)(trials.meta, validation=0.25)[0]
    (others,) = np.where(trials.meta["subject"] != split.subject)
    X = trials.X.copy()
    X[others] *= 3
    maps = [fit_frontend(Align(by=by), Moments.of(x), trials.y, trials.meta, split) for x in (trials.X, X)]
    np.testing.assert_array_equal(*(m.filters[m.which[split.train]] for m in maps))


@pytest.mark.parametrize("then", [CSP(n_filters=2), None])
def test_a_stack_on_the_device_sees_what_numpy_computes(mixed, then):
    trials = mixed()
    front = Align(then=then) if then else Align(reference="first", n_first=5)
    moments = Moments.of(trials.X)
    splits = CrossSubject()(trials.meta, validation=0.0)
    maps = [fit_frontend(front, moments, trials.y, trials.meta, split) for split in splits]
    rows = np.array([[0, 60, 140]] * 3)
    seen = Signals(torch.tensor(trials.X), maps)[torch.tensor(rows)].numpy()
    for r, split in enumerate(splits):
        X = align_trials(front, trials.X, trials.meta, split, moments)
        fitted = front.then.fit(Moments.of(X[split.train]), trials.y[split.train])
        expected = fitted.filters @ X[rows[r]] + fitted.offset[:, None]
        np.testing.assert_allclose(seen[r], expected, atol=2e-3)


def accuracy(trainer, model, trials, frontend):
    runs = expand(CrossSubject()(trials.meta, validation=trainer.validation), Sweep(), seed=0)
    predictions = trainer.fit(model, trials, [runs], frontend=frontend, on_epoch=lambda run, row: None)
    return np.mean([(p.logits["test"].argmax(1) == trials.y[p.run.split.test]).mean() for p in predictions])


def test_alignment_helps_a_pipeline_across_subjects_of_other_scales(make_trials):
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression

    trials = make_trials(n_subjects=3)
    gain = {"1": np.ones(6), "2": np.geomspace(1, 100, 6), "3": np.geomspace(100, 1, 6)}
    scale = np.stack([gain[subject] for subject in trials.meta["subject"]])[:, :, None]
    trials = replace(trials, X=(trials.X * scale).astype(np.float32))
    model = partial(pipeline, covariance=Covariances("oas"), tangent=TangentSpace(), classify=LogisticRegression())
    plain = accuracy(ClassicalTrainer(), model, trials, None)
    assert accuracy(ClassicalTrainer(), model, trials, Align()) > plain + 0.3
    assert accuracy(ClassicalTrainer(), model, trials, Align(reference="first", n_first=6)) > plain + 0.2


def test_networks_train_on_aligned_trials(make_trials):
    trials = make_trials(n_subjects=3, strength=3.0)
    trainer = DeepTrainer(epochs=2, batch_size=32, validation=0.0, device="cpu", workers=1)
    assert accuracy(trainer, partial(EEGNet, kernel=0.1), trials, Align()) > 0.2


def test_a_trial_is_recentred_by_itself(mixed):
    trials = mixed()
    split = split_of(trials)
    second = Moments.of(aligned(trials, split, by=[], reference="train", own=1.0)).second
    np.testing.assert_allclose(second, np.broadcast_to(np.eye(6), second.shape), atol=1e-3)


@pytest.mark.parametrize("own", [0.25, 0.8])
def test_what_a_trial_is_recentred_by_lies_on_the_geodesic(mixed, own):
    """Under the map of a trial the point of pyriemann's geodesic becomes the identity."""
    trials = mixed()
    split, source = split_of(trials), Moments.of(trials.X).second
    reference = source[split.train].mean(0)
    maps, which = Align(by=[], reference="train", own=own).maps(Moments.of(trials.X), trials.meta, split)
    for row in split.test[:3]:
        point, seen = geodesic_riemann(reference, source[row], alpha=own), maps[which[row]]
        np.testing.assert_allclose(seen @ point @ seen.T, np.eye(6), atol=1e-4)


def test_a_trial_of_few_samples_is_recentred_by_itself(mixed):
    """Its covariance is singular: what it lacks is not blown up without end."""
    few = mixed()
    few = replace(few, X=few.X[:, :, :4])
    assert np.abs(aligned(few, split_of(few), by=[], reference="train", own=0.5)).max() < 100


def test_trials_recentred_by_themselves_need_no_others(mixed):
    """Test trials may be altered or absent: what the others become stays the same, and so do checkpoints."""
    trials, front = mixed(), Align(by=[], reference="train", own=0.8)
    split = split_of(trials)
    one = replace(split, test=split.test[:1])
    moments = Moments.of(trials.X)
    maps = [fit_frontend(front, moments, trials.y, trials.meta, each) for each in (split, one)]
    np.testing.assert_array_equal(*(m.filters[m.which[split.test[0]]] for m in maps))
    assert not front.transductive
    assert maps[0].weights().keys() >= {"frontend.references", "frontend.then", "frontend.offset"}
    np.testing.assert_allclose(maps[0].weights()["frontend.references"][-1], moments.second[split.train].mean(0))


def test_runs_with_their_own_numbers_of_maps_stand_in_one_stack(mixed):
    trials, front = mixed(), Align(by=[], reference="train", own=0.8)
    split = split_of(trials)
    splits, moments = [split, replace(split, test=split.test[:2])], Moments.of(trials.X)
    maps = [fit_frontend(front, moments, trials.y, trials.meta, each) for each in splits]
    together = Signals(torch.from_numpy(trials.X), maps)
    rows = torch.tensor([split.test[:2].tolist(), split.train[:2].tolist()])
    for run in range(2):
        alone = Signals(torch.from_numpy(trials.X), maps[run : run + 1])
        torch.testing.assert_close(together[rows][run], alone[rows[run : run + 1]][0])


@pytest.mark.parametrize("own", [0.0, 0.7])
def test_a_channel_that_was_off_in_training_drowns_no_other(make_trials, own):
    """The reference of a subject knows it from the test session; training must not blow up the little it has of it."""
    trials = make_trials(n_subjects=1, n_trials=60)
    X = trials.X.copy()
    X[:60, 5] = 0
    split = CrossSession()(trials.meta, validation=0.0)[0]
    fitted = fit_frontend(Align(own=own), Moments.of(X), trials.y, trials.meta, split)
    z = fitted.filters[fitted.which] @ X + fitted.offset[:, None]
    assert z[split.train].std() == pytest.approx(1, rel=0.05)
    assert z[split.test].std((0, 2)).max() < 3


@pytest.mark.parametrize("then", [ZScore(), Identity()], ids=str)
@pytest.mark.parametrize("own", [0.0, 0.5])
def test_a_checkpoint_leaves_out_the_direction_that_was_off_in_training(make_trials, then, own):
    """Bridged electrodes: what new trials have between them was blown up by the kept map, not by the run's own."""
    trials = make_trials(n_subjects=3, n_trials=40)
    X, meta = trials.X.copy(), trials.meta
    known = (meta["subject"] != "3").to_numpy()
    X[known, 5] = X[known, 4]
    split = Split(np.flatnonzero(known), np.arange(0), np.flatnonzero(~known), "3", "s0", 0, "x")
    front, moments = Align(then=then, own=own), Moments.of(X)
    fitted = fit_frontend(front, moments, trials.y, meta, split)
    new = meta[~known].reset_index(drop=True)
    places = find_places(front, fitted.groups, new, same_set=True)
    kept = open_frontend(front, fitted.weights(), places, moments[split.test])(np.arange(len(new)))
    theirs = fitted.filters[fitted.which[split.test]]
    np.testing.assert_allclose(kept.filters[kept.which], theirs, atol=1e-5 * np.abs(theirs).max())


def test_an_average_reference_stays_finite(make_trials):
    trials = make_trials(n_subjects=3)
    trials = replace(trials, X=trials.X - trials.X.mean(1, keepdims=True))
    for metric in ("euclid", "riemann"):
        assert np.isfinite(aligned(trials, metric=metric)).all()


@pytest.mark.parametrize(
    "settings",
    [{"metric": "log"}, {"reference": "last"}, {"n_first": 0}, {"by": "subject"}, {"by": ["label"]}, {"own": 1.5}],
)
def test_bad_settings_are_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Align(**settings)


@pytest.mark.parametrize("reference", ["all", "train"])
def test_a_number_of_first_trials_is_of_one_reference_alone(reference):
    said = f"frontend.n_first=5 is of frontend.reference=first, and that is {reference}: type both"
    with pytest.raises(ValueError, match=said):
        Align(reference=reference, n_first=5)
