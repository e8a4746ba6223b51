import pytest
import torch
from torch.nn import functional as F

from eegdecode.models.filters import TimeFilter, _Products, _Spectra, fast_length


@pytest.mark.parametrize("form", [_Spectra, _Products])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (31, 32), (40, 0), (0, 7)])
@pytest.mark.parametrize(("n_times", "length"), [(1000, 64), (63, 63), (130, 1), (64, 16), (33, 40)])
def test_maps_are_filtered_as_by_a_depthwise_convolution(form, n_times, length, before, after):
    if n_times + before + after < length:
        pytest.skip("a signal that is shorter than the filter")
    torch.manual_seed(0)
    x, w = torch.randn(3, 4, n_times, requires_grad=True), torch.randn(4, length, requires_grad=True)
    fast = form.apply(x, w, before, after)[0]
    plain = F.conv1d(F.pad(x, (before, after)), w[:, None], groups=4)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-4)
    seen = torch.randn_like(plain)
    for one, other in zip(
        torch.autograd.grad(fast, (x, w), seen), torch.autograd.grad(plain, (x, w), seen), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


@pytest.mark.parametrize("form", [_Spectra, _Products])
def test_filters_of_a_stack_are_those_of_each(form):
    """Training stacks networks by vmap, gradients and all."""
    torch.manual_seed(0)
    x, w = torch.randn(5, 3, 4, 100), torch.randn(5, 4, 16)

    def gradient(x, w):
        return torch.func.grad(lambda w: form.apply(x, w, 8, 8)[0].square().sum())(w)

    torch.testing.assert_close(torch.vmap(gradient)(x, w), torch.stack(list(map(gradient, x, w))), rtol=1e-4, atol=1e-2)


def test_a_transform_is_even_and_has_small_factors():
    lengths = [fast_length(n) for n in range(1, 2000)]
    assert all(n <= found < 1.34 * n + 2 and found % 2 == 0 for n, found in enumerate(lengths, start=1))
    assert [fast_length(n) for n in (1, 512, 577, 641, 1062)] == [2, 512, 600, 648, 1080]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 200])
@pytest.mark.parametrize("n_times", [30, 64, 129])
def test_time_filter_is_a_depthwise_convolution(length, n_times):
    torch.manual_seed(0)
    layer, x = TimeFilter(4, length), torch.randn(2, 4, n_times)
    padded = F.pad(x, (length // 2, (length - 1) // 2))
    plain = F.conv1d(padded, layer.weight[:, None], groups=4)
    torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)
    seen = torch.randn_like(plain)
    fast = torch.autograd.grad((layer(x) * seen).sum(), layer.weight)[0]
    slow = torch.autograd.grad((plain * seen).sum(), layer.weight)[0]
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)
