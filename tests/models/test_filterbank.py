import copy

import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.filterbank import FilterBank, TimeSpaceConv, lag_moments
from eegdecode.models.tcformer import MultiKernelBank


@pytest.mark.parametrize(("n_times", "length"), [(200, 50), (200, 51), (40, 64), (33, 2), (64, 63)])
def test_lag_moments_are_those_of_the_unfolded_signal(n_times, length):
    torch.manual_seed(0)
    x = F.pad(torch.randn(3, 4, n_times) + 0.5, (length // 2, length // 2))
    windows = x.unfold(2, length, 1).flatten(1, 2).double()
    m, R = lag_moments(x, length)
    torch.testing.assert_close(m, windows.mean(1).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(R, (windows.mT @ windows / windows.shape[1]).float(), rtol=1e-5, atol=1e-5)


BANKS = {
    "eegnet": lambda length: FilterBank(5, 4, 2, length),
    "keras": lambda length: FilterBank(5, 4, 2, length, same=True, max_norm=None),
    "kernels": lambda length: MultiKernelBank(5, 2, 2, [length - 5, length // 2, length]),
}


@pytest.mark.parametrize(("n_times", "length"), [(200, 50), (200, 51), (40, 64)])
@pytest.mark.parametrize("form", BANKS)
def test_the_factored_block_is_the_plain_one(n_times, length, form):
    """Outputs, gradients and running statistics, in training and in evaluation."""
    torch.manual_seed(0)
    fast = BANKS[form](length)
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


@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_over_time_and_channels_are_one(bias):
    torch.manual_seed(0)
    conv, x = TimeSpaceConv(5, 6, 9, bias=bias), torch.randn(3, 5, 40)
    z, plain = conv(x), conv.plain(x)
    torch.testing.assert_close(z, plain)
    grads = [torch.autograd.grad(each.square().sum(), list(conv.parameters())) for each in (z, plain)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
