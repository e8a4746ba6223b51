import numpy as np
import pytest
import torch

from eegdecode.training import batches as batches_module
from eegdecode.training.batches import Memory, Signals, cut, draw_epoch, steps_per_epoch
from eegdecode.training.frontend import Identity, LinearMap, Moments


@pytest.mark.parametrize(("n", "size"), [(288, 64), (10, 64), (65, 64), (7, 1)])
def test_an_epoch_shows_every_trial_once_in_equal_batches(n, size):
    rows = [np.arange(n), np.arange(n) + 1000]
    batches = draw_epoch(rows, [np.random.default_rng(0), np.random.default_rng(1)], batch_size=size)
    assert len(batches) == steps_per_epoch(n, size)
    widths = [b.shape[1] for b in batches]
    assert max(widths) <= size
    assert max(widths) - min(widths) <= 1
    for run, mine in enumerate(rows):
        np.testing.assert_array_equal(np.sort(np.concatenate([b[run] for b in batches])), mine)


def test_no_trials_is_an_error_and_not_a_silence():
    with pytest.raises(ValueError, match="zero steps"):
        steps_per_epoch(0, 64)


def test_cut_covers_rows_of_different_length():
    batches = list(cut([np.arange(5), np.arange(2) + 10, np.array([], int)], batch_size=3))
    whole = np.concatenate(batches, axis=1)
    assert whole.shape == (3, 5)
    np.testing.assert_array_equal(whole[0], np.arange(5))
    np.testing.assert_array_equal(whole[1], [10, 11, 10, 10, 10])


def test_signals_pass_through_each_runs_own_front_end(make_trials):
    X = torch.tensor(make_trials().X)
    rng = np.random.default_rng(0)
    maps = [LinearMap(rng.normal(size=(4, 6)).astype("f4"), rng.normal(size=4).astype("f4")) for _ in range(2)]
    rows = torch.tensor([[0, 1, 2], [5, 3, 0]])
    seen = Signals(X, maps)[rows]
    for run in range(2):
        by_hand = torch.tensor(maps[run].filters) @ X[rows[run]] + torch.tensor(maps[run].offset)[:, None]
        torch.testing.assert_close(seen[run], by_hand, rtol=1e-4, atol=1e-5)


def test_scaled_trials_have_deviation_one_and_know_nothing_of_each_other(make_trials):
    trials = make_trials()
    X = np.float32(5) * trials.X + np.float32(1e4)    # an amplifier's offset leaves the deviation as it is
    moments = Moments.of(X)
    scales = torch.tensor(moments.scales(), dtype=torch.float32)
    front = Identity().fit(moments, trials.y)
    seen = Signals(torch.tensor(X), [front], scales)[torch.arange(len(X))[None]][0].numpy()
    np.testing.assert_allclose([x.var(axis=1, dtype=float).mean() for x in seen], 1, rtol=1e-4)
    np.testing.assert_array_equal(Moments.of(X[:1]).scales(), moments.scales()[:1])


def test_moments_of_scaled_trials_are_those_that_are_measured(make_trials):
    X = make_trials().X
    moments = Moments.of(X)
    scales = moments.scales()
    measured, told = Moments.of((X * scales[:, None, None]).astype(np.float32)), moments.scaled(scales)
    np.testing.assert_allclose(told.mean, measured.mean, atol=1e-6)
    np.testing.assert_allclose(told.second, measured.second, atol=1e-6)


def test_memory_gives_each_run_what_it_asked_for_once(monkeypatch):
    x, asked = torch.randn(20, 3, 10), []
    maps = [LinearMap(np.eye(3, dtype=np.float32) * scale, np.zeros(3, np.float32)) for scale in (1, 2)]
    signals, rows = Signals(x, maps), [np.array([3, 5, 7, 11, 2]), np.array([19, 0, 4, 6, 8])]

    def ask(trials):
        asked.append(len(trials))
        return trials.square().mean(2)

    batch = torch.tensor([[11, 3], [8, 19]])
    for most, times in ((2**29, 1), (240, 2), (50, 2)):    # 5 trials have 600 bytes, what is asked for has 60
        monkeypatch.setattr(batches_module, "MOST", most)
        asked.clear()
        memory = Memory(signals, rows, ask, batch_size=2)
        seen, known = memory[batch]
        torch.testing.assert_close(seen, signals[batch])
        assert (memory._signals is not None) == (times == 1)
        if most == 50:
            assert known is None
            continue
        assert sum(asked) == 10
        torch.testing.assert_close(known, torch.stack([ask(each) for each in signals[batch]]))
        second = memory.take(torch.tensor([1]), Signals(x, maps[1:]))[batch[1:]]
        torch.testing.assert_close(second[0], seen[1:])
        torch.testing.assert_close(second[1], known[1:])
    assert Memory(signals, rows, lambda trials: None)[batch][1] is None
