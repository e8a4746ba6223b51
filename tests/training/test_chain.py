"""Each change of training trials does what it says, on trials drawn by the run's own generator."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from eegdecode.models.eegnet import EEGNet
from eegdecode.protocols import CrossSession, WithinSession
from eegdecode.runs import Source
from eegdecode.sweeps import Sweep, expand
from eegdecode.training import transforms
from eegdecode.training.align import Align
from eegdecode.training.chain import CHANGES, Chain, Changer
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.dice import Dice
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.mirror import mirror_channels, mirror_classes
from eegdecode.trials import Trials

SFREQ, N = 128.0, 256
STRENGTHS = {
    "time_shift": 0.2, "crop": 0.3, "frequency_shift": 2.0, "fourier": 1.0, "amplitude": 0.3, "channel_dropout": 0.4,
    "time_mask": 0.5, "noise": 0.1,
}    # fmt: skip


def dice(n_runs=2, seed=0):
    return Dice([np.random.default_rng([seed, run]) for run in range(n_runs)], "cpu")


def noise(n_runs=2, n_trials=3, n_chans=4, n_times=N):
    return torch.randn(n_runs, n_trials, n_chans, n_times, generator=torch.Generator().manual_seed(0))


def sine(hertz, n_times=N):
    time = torch.arange(n_times) / SFREQ
    return torch.sin(2 * torch.pi * hertz * time).expand(1, 2, 3, n_times)


def test_a_time_shift_moves_samples_and_mirrors_them_at_the_edge():
    x = torch.arange(10.0).expand(1, 3, 2, 10)
    moved = transforms.shift_time(x, torch.tensor([[0, 2, -3]]))
    assert moved[0, 0, 0].tolist() == list(range(10))
    assert moved[0, 1, 1].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert moved[0, 2, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 8, 7, 6]


def test_a_crop_begins_later_and_is_filled_with_itself():
    x = torch.arange(10.0).expand(1, 2, 1, 10)
    assert transforms.crop_time(x, torch.tensor([[0, 6]]), 4)[0, :, 0].tolist() == [
        [0, 1, 2, 3, 2, 1, 0, 1, 2, 3], [6, 7, 8, 9, 8, 7, 6, 7, 8, 9],
    ]    # fmt: skip


@pytest.mark.parametrize("n_times", [N, N - 1])
@pytest.mark.parametrize("hertz", [-3.0, 2.0])
def test_a_frequency_shift_moves_a_peak_by_so_many_hertz(hertz, n_times):
    x = sine(20.0, n_times)
    moved = transforms.shift_frequency(x, torch.full((1, 2), hertz), SFREQ)
    freqs = torch.fft.rfftfreq(n_times, 1 / SFREQ)
    before, after = (freqs[torch.fft.rfft(each).abs().argmax(-1)] for each in (x, moved))
    torch.testing.assert_close(after - before, torch.full_like(before, hertz), atol=SFREQ / n_times, rtol=0)
    torch.testing.assert_close(transforms.shift_frequency(noise(1), torch.zeros(1, 3), SFREQ), noise(1))


@pytest.mark.parametrize("n_times", [N, N - 1])
def test_a_fourier_surrogate_keeps_spectra_and_the_phase_between_channels_but_no_waveform(n_times):
    x = noise(n_times=n_times)
    made = transforms.turn_phases(x, 2 * torch.pi * torch.rand(2, 3, n_times // 2 + 1))
    one, other = torch.fft.rfft(x), torch.fft.rfft(made)
    torch.testing.assert_close(one.abs(), other.abs(), atol=1e-3, rtol=1e-3)
    cross = [each[:, :, 0] * each[:, :, 1].conj() for each in (one, other)]
    torch.testing.assert_close(*cross, atol=1e-2, rtol=1e-3)
    correlation = (x * made).mean(-1) / (x.std(-1) * made.std(-1))
    assert correlation.abs().max() < 0.5


def test_a_time_mask_fades_a_stretch_out_smoothly_and_leaves_the_rest():
    x = torch.ones(1, 1, 2, N)
    out = transforms.mask_time(x, torch.tensor([[0.5]]), 0.5, SFREQ)[0, 0, 0]
    time = torch.arange(N) / SFREQ
    assert out[(time > 0.65) & (time < 0.85)].max() < 0.01
    assert out[(time < 0.35) | (time > 1.15)].min() > 0.99
    assert out.diff().abs().max() < 0.15    # no edge


def test_channel_dropout_zeroes_whole_channels_and_scales_the_others():
    x = noise(1, 500, 8, 4)
    kept = dice(1).uniform(500, 8) >= 0.25
    out = transforms.drop_channels(x, kept, 0.25)
    gone = (out == 0).all(-1)
    assert (gone == ~kept).all()
    assert abs(gone.float().mean() - 0.25) < 0.03
    torch.testing.assert_close(out[~gone], x[~gone] / 0.75)


def test_noise_has_the_asked_share_of_a_channels_deviation_and_amplitudes_are_scaled():
    x = noise(1, 50, 2, 500) * torch.tensor([1.0, 30.0])[:, None]
    added = transforms.add_noise(x, torch.randn(x.shape), 0.2) - x
    torch.testing.assert_close(added.std((0, 1, 3)), torch.tensor([0.2, 6.0]), rtol=0.03, atol=0)
    torch.testing.assert_close(transforms.scale(x, torch.full((1, 50), 2.0)), 2 * x)


@pytest.mark.parametrize("name", CHANGES)
def test_a_kind_changes_its_share_of_trials_within_its_bounds_and_no_label(name):
    x, y = noise(2, 400, 3, 64), torch.zeros(2, 400, dtype=torch.long)
    changer = Changer(Chain(probability=0.25, **{name: STRENGTHS[name]}), 32.0)
    out, labels = changer.change(x, y, dice())
    assert (labels == y).all()
    assert torch.isfinite(out).all()
    changed = (out != x).flatten(2).any(-1).float().mean(1)
    torch.testing.assert_close(changed, torch.full((2,), 0.25), atol=0.08, rtol=0)
    for run in range(2):    # alone it throws what it throws beside another
        alone, _ = changer.change(x[run : run + 1], y[:1], Dice([np.random.default_rng([0, run])], "cpu"))
        torch.testing.assert_close(alone[0], out[run])


def test_drawn_shifts_and_factors_stay_within_what_was_asked():
    x = torch.ones(1, 300, 1, 64).cumsum(-1)
    y = torch.zeros(1, 300, dtype=torch.long)
    shifted, _ = Changer(Chain(probability=1.0, time_shift=0.25), 32.0).change(x, y, dice(1))
    lag = (x - shifted)[0, :, 0, 30]
    assert lag.abs().max() == 8    # samples: a quarter of a second
    assert len(lag.unique()) == 17
    scaled, _ = Changer(Chain(probability=1.0, amplitude=0.3), 32.0).change(x, y, dice(1))
    factor = (scaled / x)[0, :, 0, 0]
    assert 0.7 < factor.min() < 0.72
    assert 1.28 < factor.max() < 1.3


def placed(trials, *, names=("C3", "C4", "Cz", "F3", "Fz", "F4"), classes=("left_hand", "right_hand", "feet")):
    """The same trials, with these names."""
    return Trials(trials.X, trials.meta, replace(trials.signal, ch_names=names), classes, "toy", trials.fingerprints)


def test_symmetry_exchanges_the_channels_of_both_sides_and_left_and_right_labels(make_trials):
    changer = Chain(symmetry=1.0).prepare(placed(make_trials()), electrodes=True)
    x, y = noise(2, 3, 6), torch.tensor([[0, 1, 2], [2, 0, 0]])
    out, labels = changer.change(x, y, dice())
    torch.testing.assert_close(out, x[:, :, [1, 0, 2, 5, 4, 3]])
    assert labels.tolist() == [[1, 0, 2], [2, 1, 1]]
    back, again = changer.change(out, labels, dice())
    torch.testing.assert_close(back, x)
    assert (again == y).all()


def test_partners_across_the_midline():
    assert mirror_channels(["FCC5h", "FCC6h", "T7", "T8", "POz", "FP1", "Fp2"]) == [1, 0, 3, 2, 4, 6, 5]
    assert mirror_classes(["left_hand_right_foot", "rest", "right_hand_left_foot"]) == [2, 1, 0]
    assert mirror_channels(["A2", "A1", "C3", "C4"]) == [1, 0, 3, 2]
    elsewhere = ["E1", "E2"], ["EEG1", "EEG2"], ["A31", "A32", "C3", "C4"]    # counted, not placed
    for names in (["C3", "Cz"], ["C3", "C4", "EEG"], ["Cz", "Pz"], *elsewhere):
        with pytest.raises(ValueError, match=r"C3 and C4.*preprocess.channels.*augment.symmetry=0"):
            mirror_channels(names)
    for classes in (["left_hand", "feet"], ["13", "17"]):
        with pytest.raises(ValueError, match=r"left_hand and right_hand.*augment.symmetry=0"):
            mirror_classes(classes)


def fit(trials, runs, augment, *, frontend=None, **settings):
    trainer = DeepTrainer(**{"epochs": 2, "batch_size": 16, "device": "cpu", "workers": 1, **settings})
    return list(trainer.fit(
        partial(EEGNet, drop=0.0), trials, [runs], frontend=frontend or ZScore(), on_epoch=lambda run, row: None,
        augment=augment,
    ))    # fmt: skip


def some_runs(trials, n=1):
    return expand(WithinSession(folds=4)(trials.meta, validation=0.25), Sweep(), seed=0)[:n]


@pytest.mark.parametrize(
    ("chain", "message"),
    [(Chain(), r"augment=chain names no change: give one"), (Chain(symmetry=0.5), r"partners across the midline"),
     (Chain(time_shift=1.0), r"augment.time_shift=1.0 s is no less than a trial's 1 s"),
     (Chain(crop=0.95), r"augment.crop=0.95 leaves 0.05 s of a trial, less than 0.1 s"),
     (Chain(noise=0.1, probability=0.0), r"augment.probability=0 leaves every change out: raise it"),
     (Chain(segments=4, probability=0.9), r"augment.probability=0.9 is of neither segments nor symmetry"),
     (Chain(segments=129), r"augment.segments=129 are more than a trial has samples \(128\); lower it"),
     (Chain(time_mask=2.0), r"augment.time_mask"), (Chain(frequency_shift=64.0), r"augment.frequency_shift=64.0 Hz")],
)    # fmt: skip
def test_what_does_not_suit_the_trials_is_named_before_training(make_trials, chain, message):
    trials = make_trials()
    with pytest.raises(ValueError, match=message):
        fit(trials, some_runs(trials), chain)
    with pytest.raises(ValueError, match=message):    # and before there is a folder
        DeepTrainer(device="cpu").check(partial(EEGNet), trials, some_runs(trials), frontend=ZScore(), augment=chain)


def test_symmetry_needs_electrodes_behind_the_front_end(make_trials):
    trials = placed(make_trials())
    for frontend in (ZScore(), Align()):
        assert fit(trials, some_runs(trials), Chain(symmetry=0.5), frontend=frontend)[0].status == "done"
    refused = pytest.raises(ValueError, match="take frontend=zscore, align or whiten")
    csp, (run,) = CSP(n_filters=2), some_runs(trials)
    with refused:
        fit(trials, [run], Chain(symmetry=0.5), frontend=csp)
    begun = replace(run, source=Source(fit(trials, [run], None, frontend=csp)[0].weights, {}, ""))
    for each in (run, begun):    # before there is a folder, also of a run that starts from another
        with refused:
            DeepTrainer(device="cpu").check(partial(EEGNet), trials, [each], frontend=csp, augment=Chain(symmetry=0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"probability": 1.5}, r"augment.probability must be in \[0, 1\], got 1.5"),
     ({"symmetry": -0.1}, "augment.symmetry"), ({"channel_dropout": 1.0}, "augment.channel_dropout"),
     ({"crop": 1.0}, r"augment.crop must be in \[0, 1\), got 1.0"),
     ({"noise": -1.0}, "augment.noise must be 0 deviations or more, got -1"), ({"time_shift": float("nan")}, "got nan"),
     ({"segments": -1}, "augment.segments must be a whole number"), ({"segments": 4, "share": 1.0}, "augment.share"),
     ({"noise": 0.1, "share": 0.3}, "augment.share=0.3 is of the trials that augment.segments puts together")],
)    # fmt: skip
def test_bad_strengths_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Chain(**settings)


def test_trials_are_put_together_before_they_are_changed(make_trials):
    trials = make_trials()
    runs = some_runs(trials)
    one, other, both = (fit(trials, runs, chain, lr=0.02)[0].history["running_loss"] for chain in (
        Chain(segments=4), Chain(noise=0.3), Chain(segments=4, noise=0.3),
    ))    # fmt: skip
    assert min(np.abs(both - each).max() for each in (one, other)) > 1e-4


def test_no_test_or_validation_trial_matters(make_trials):
    trials = placed(make_trials())
    run = expand(CrossSession()(trials.meta, validation=0.25), Sweep(), seed=0)[0]
    X = trials.X.copy()
    X[np.concatenate([run.split.val, run.split.test])] *= 50
    changed = Trials(X, trials.meta, trials.signal, trials.classes, trials.dataset, trials.fingerprints)
    chain = Chain(symmetry=0.5, segments=4, **STRENGTHS)
    (before,), (after,) = (fit(each, [run], chain, mixup=0.2, class_weights="balanced") for each in (trials, changed))
    for name, weight in before.weights.items():
        np.testing.assert_array_equal(weight, after.weights[name], err_msg=name)
