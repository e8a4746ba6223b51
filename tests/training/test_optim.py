import numpy as np
import pytest
import torch

from eegdecode.training.optim import Adam, Plateau, clip, flatten, schedule


@pytest.mark.parametrize("decoupled", [True, False])
def test_one_run_gives_what_torch_gives(decoupled):
    torch.manual_seed(0)
    start, targets = torch.randn(3, 4), torch.randn(10, 3, 4)
    theirs = start.clone().requires_grad_()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimiser = kind([theirs], lr=0.02, weight_decay=0.1, betas=(0.5, 0.9))
    ours = {"w": start[None].clone()}
    adam = Adam(betas=(0.5, 0.9), decoupled=decoupled)
    for target in targets:
        optimiser.zero_grad()
        (theirs - target).square().sum().backward()
        optimiser.step()
        grad = 2 * (ours["w"] - target)
        adam.step(ours, flatten({"w": grad}), lr=torch.tensor([0.02]), weight_decay=torch.tensor([0.1]))
    torch.testing.assert_close(ours["w"][0], theirs.detach(), rtol=1e-5, atol=1e-6)


def test_runs_have_their_own_rate_and_decay_and_biases_none():
    params = {"w": torch.ones(2, 3, 3), "b": torch.ones(2, 3)}
    grads = {"w": torch.zeros(2, 3, 3), "b": torch.zeros(2, 3)}
    Adam().step(params, flatten(grads), lr=torch.tensor([0.1, 0.2]), weight_decay=torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(params["w"][0], torch.full((3, 3), 0.95))
    torch.testing.assert_close(params["w"][1], torch.ones(3, 3))
    torch.testing.assert_close(params["b"], torch.ones(2, 3))


def test_clip_looks_at_each_run_alone():
    grads = {"w": torch.tensor([[[3.0]], [[0.3]]]), "b": torch.tensor([[4.0], [0.4]])}
    clipped, norm = clip(flatten(grads), 1.0)
    torch.testing.assert_close(norm, torch.tensor([5.0, 0.5]))
    torch.testing.assert_close(clipped, torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    torch.testing.assert_close(clip(flatten(grads), None)[0], flatten(grads))


def test_schedules_rise_and_fall():
    cosine = schedule("cosine", steps=100, warmup=0.1)
    assert cosine.argmax() == 10
    assert cosine[10] == 1
    assert cosine[-1] < 0.001
    assert np.all(np.diff(cosine[:10]) > 0)
    assert np.all(np.diff(cosine[10:]) < 0)
    constant = schedule("constant", steps=10, warmup=0.0)
    np.testing.assert_array_equal(constant, 1)


@pytest.mark.parametrize("steps", [7, 100, 501])
def test_one_cycle_is_torchs(steps):
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1.0, total_steps=steps, cycle_momentum=False)
    rates = []
    for _ in range(steps):
        rates.append(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step() if len(rates) < steps else None
    np.testing.assert_allclose(schedule("one_cycle", steps=steps, warmup=0.05), rates, atol=1e-9)
    assert np.isfinite(schedule("one_cycle", steps=1, warmup=0.0)).all()
    np.testing.assert_array_equal(schedule("plateau", steps=9, warmup=0.2), schedule("constant", steps=9, warmup=0.2))


def test_a_plateau_is_torchs():
    losses = np.random.default_rng(0).uniform(size=40)
    parameter = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(parameter, patience=3, factor=0.5, eps=0.0)
    plateau, rate = Plateau(2, patience=3, factor=0.5), np.ones(2)
    for loss in losses:
        theirs.step(loss)
        history = {"val_loss": np.array([loss, np.nan]), "train_loss": np.array([0.0, loss])}
        rate *= plateau.note(history)
        np.testing.assert_allclose(rate, theirs.get_last_lr()[0])
    assert rate[0] < 0.1


def test_biases_and_norms_decay_on_request():
    params = {"w": torch.ones(1, 3, 3), "b": torch.ones(1, 3)}
    grads = {"w": torch.zeros(1, 3, 3), "b": torch.zeros(1, 3)}
    Adam(decay_norms=True).step(params, flatten(grads), lr=torch.tensor([0.1]), weight_decay=torch.tensor([0.5]))
    torch.testing.assert_close(params["b"], torch.full((1, 3), 0.95))
