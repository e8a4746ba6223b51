import numpy as np
import pytest

from eegdecode.runs import Split
from eegdecode.training.align import Align, fit_frontend
from eegdecode.training.frontend import CSP, Identity, Moments, ZScore

FRONT_ENDS = [Identity(), ZScore(), ZScore(over="all"), CSP(n_filters=2)]


def apply(fitted, X):
    return np.einsum("fc,nct->nft", fitted.filters, X) + fitted.offset[:, None]


def test_moments_are_those_of_numpy(make_trials):
    X = make_trials().X
    moments = Moments.of(X, chunk=7)
    np.testing.assert_allclose(moments.mean, X.mean(2), atol=1e-5)
    np.testing.assert_allclose(moments.second[3], X[3] @ X[3].T / X.shape[2], rtol=1e-4)


@pytest.mark.parametrize("over", ["channel", "all"])
def test_zscore_standardises_training_trials(make_trials, over):
    X = make_trials().X * 7 + np.arange(6, dtype=np.float32)[:, None]
    z = apply(ZScore(over=over).fit(Moments.of(X), np.zeros(len(X), int)), X)
    axes = (0, 2) if over == "channel" else None
    np.testing.assert_allclose(z.mean(axes), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axes), 1, rtol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_csp_finds_the_channels_that_were_made_to_oscillate(make_trials, n_classes):
    trials = make_trials(n_classes=n_classes, n_trials=40, strength=3.0)
    fitted = CSP(n_filters=1).fit(Moments.of(trials.X), trials.y)
    assert fitted.filters.shape == (n_classes, 6)
    np.testing.assert_array_equal(np.abs(fitted.filters).argmax(1), np.arange(n_classes))
    features = apply(fitted, trials.X)
    np.testing.assert_allclose(features.var(), 1, rtol=0.05)
    power = features.var(2)
    for k in range(n_classes):    # a class's own filter passes more of it than of the rest
        assert power[trials.y == k, k].mean() > 2 * power[trials.y != k, k].mean()


def test_csp_is_the_whitened_problem_of_the_paper(make_trials):
    """Whiten class + rest, diagonalise the whitened rest, ascending: the same filters up to sign and scale."""
    trials = make_trials(n_classes=3)
    second = Moments.of(trials.X).second
    cov = second / np.trace(second, axis1=1, axis2=2)[:, None, None]
    one, rest = cov[trials.y == 0].mean(0), cov[trials.y != 0].mean(0)
    values, vectors = np.linalg.eigh(one + rest)
    whiten = vectors / np.sqrt(values)
    _, inner = np.linalg.eigh(whiten.T @ rest @ whiten)
    theirs = (whiten @ inner[:, :2]).T
    ours = CSP(n_filters=2).fit(Moments.of(trials.X), trials.y).filters[:2]
    cosine = np.sum(ours * theirs, 1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    np.testing.assert_allclose(np.abs(cosine), 1, rtol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_csp_takes_no_direction_without_signal(make_trials, n_classes):
    """Average reference and an interpolated channel: in them every class has 0 of 0, which was the least share."""
    trials = make_trials(n_trials=40, n_classes=n_classes)
    X = trials.X.copy()
    X[:, 5] = (X[:, 3] + X[:, 4]) / 2
    X -= X.mean(1, keepdims=True)
    fitted = CSP(n_filters=4).fit(Moments.of(X), trials.y)
    variances = apply(fitted, X).var((0, 2))
    assert 0.3 < variances.min() <= variances.max() < 3
    first = CSP(n_filters=1).fit(Moments.of(X), trials.y)
    power = apply(first, X).var(2)
    for k in range(n_classes):
        assert power[trials.y == k, k].mean() > 1.3 * power[trials.y != k, k].mean()
    if n_classes == 2:
        assert len(fitted.filters) == 4    # one set
        return
    with pytest.raises(ValueError, match="more than the 4 directions of the 6 channels"):
        CSP(n_filters=5).fit(Moments.of(X), trials.y)


@pytest.mark.parametrize("rest", [0.0, 3.0, 5e6])
def test_a_channel_that_was_off_in_training_drowns_no_other_under_test(make_trials, rest):
    """It holds one value then, which a deviation of rounding would blow up a million times when it is on again."""
    trials = make_trials(n_subjects=1)
    X = trials.X.copy()
    X[:24, 5] = rest
    z = apply(ZScore().fit(Moments.of(X[:24]), trials.y[:24]), X[24:])
    assert z[:, :5].std() == pytest.approx(1, rel=0.1)
    assert np.abs(z[:, 5]).max() == 0


@pytest.mark.parametrize("value", [0.0, 1.0, 5e6])
@pytest.mark.parametrize("frontend", [*FRONT_ENDS, Align(), Align(own=0.7), Align(metric="riemann")], ids=str)
@pytest.mark.parametrize("per_trial", [False, True])
def test_a_silent_trial_spoils_no_other(make_trials, frontend, per_trial, value):
    trials = make_trials(n_subjects=1, n_trials=40)
    X = trials.X.copy()
    X[8] = value
    split = Split(np.arange(40), np.arange(0), np.arange(40, 80), "1", "s1", 0, "x")
    moments = Moments.of(X)
    assert moments.scales()[8] == 0
    scales = moments.scales() if per_trial else np.ones(len(X))
    fitted = fit_frontend(frontend, moments.scaled(scales), trials.y, trials.meta, split)
    filters = fitted.filters if fitted.which is None else fitted.filters[fitted.which]
    z = filters @ (X * scales[:, None, None]) + fitted.offset[:, None]
    assert np.isfinite(z).all()
    if per_trial or value == 0:    # else 5 V are the loudest of signals
        assert z[40:].std() == pytest.approx(1, rel=0.5) or isinstance(frontend, Identity)
        assert np.abs(z[8]).max() < 3


def test_bad_settings_are_named(make_trials):
    trials = make_trials()
    moments = Moments.of(trials.X)
    with pytest.raises(ValueError, match="got 'trial'"):
        ZScore(over="trial")
    with pytest.raises(ValueError, match="got 0"):
        CSP(n_filters=0)
    with pytest.raises(ValueError, match="more than the 6 channels"):
        CSP(n_filters=7).fit(Moments.of(make_trials(n_classes=3).X), make_trials(n_classes=3).y)
    with pytest.raises(ValueError, match="two classes"):
        CSP(n_filters=2).fit(moments, np.zeros(len(trials), int))
