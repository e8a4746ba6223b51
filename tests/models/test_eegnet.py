import copy

import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.filterbank import FilterBank, lag_moments


@pytest.mark.parametrize(("n_times", "length"), [(200, 50), (200, 51), (40, 64), (33, 2), (64, 63)])
def test_lag_moments_are_those_of_the_unfolded_signal(n_times, length):
    torch.manual_seed(0)
    x = F.pad(torch.randn(3, 4, n_times) + 0.5, (length // 2, length // 2))
    windows = x.unfold(2, length, 1).flatten(1, 2).double()
    m, R = lag_moments(x, length)
    torch.testing.assert_close(m, windows.mean(1).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(R, (windows.mT @ windows / windows.shape[1]).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n_times", "length"), [(200, 50), (200, 51), (40, 64)])
@pytest.mark.parametrize("form", [{}, {"same": True, "max_norm": None}])
def test_the_factored_block_is_the_plain_one(n_times, length, form):
    """Outputs, gradients and running statistics, in training and in evaluation."""
    torch.manual_seed(0)
    fast = FilterBank(5, 4, 2, length, **form)
    with torch.no_grad():
        fast.norm.weight.uniform_(0.5, 2)
        fast.norm.bias.normal_()
        fast.spatial.weight.mul_(3)    # so that the limit of the norm is felt
    slow = copy.deepcopy(fast)
    x = 2 * torch.randn(6, 5, n_times) + 0.3
    for train in (True, True, False):
        z, plain = fast.train(train)(x), slow.train(train).plain(x)
        torch.testing.assert_close(z, plain, rtol=1e-4, atol=1e-5)
        seen = torch.randn_like(plain)
        for one, other in zip(
            torch.autograd.grad((z * seen).sum(), list(fast.parameters())),
            torch.autograd.grad((plain * seen).sum(), list(slow.parameters())),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())
        for name, buffer in fast.named_buffers():
            torch.testing.assert_close(buffer, dict(slow.named_buffers())[name], rtol=1e-4, atol=1e-5)


def test_it_has_the_papers_parameters():
    """EEGNet-8,2 at 128 Hz, 64 channels, 1 s, 4 classes: filters, norms and the dense layer, counted by hand."""
    net = EEGNet(64, 128, 4, 128.0)
    by_hand = 8 * 64 + 2 * 8 + 16 * 64 + 2 * 16 + 16 * 16 + 16 * 16 + 2 * 16 + (16 * 4 * 4 + 4)
    assert sum(p.numel() for p in net.parameters()) == by_hand
