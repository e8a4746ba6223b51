import pytest
import torch

from eegdecode.models.eegnet import EEGNet
from eegdecode.models.plain import PlainEEGNet, PlainS3T
from eegdecode.models.s3t import S3T, ChannelAttention


@pytest.mark.parametrize(("n_chans", "n_classes", "count"), [(16, 4, 8684), (3, 2, 6504)])
def test_s3t_has_the_published_number_of_parameters(n_chans, n_classes, count):
    assert sum(p.numel() for p in S3T(n_chans, 1000, n_classes, 250.0).parameters()) == count


def test_the_official_sum_gives_its_input_and_teaches_q_and_k_nothing():
    torch.manual_seed(0)
    x = torch.randn(4, 6, 300)
    for noop in (True, False):
        layer = ChannelAttention(6, pool=30, drop=0.0, official_noop=noop).double()
        mixed = x.double() * layer.weights(x.double()).sum(-1, keepdim=True)
        torch.testing.assert_close(mixed, x.double())
        official = torch.einsum("bcs,bcm->bcs", x.double(), layer.weights(x.double()))
        assert torch.allclose(layer(x.double()), layer.project(official.mT).mT) == noop
        layer(x.double()).pow(3).sum().backward()
        grads = [part[0].weight.grad.abs().max().item() for part in (layer.query, layer.key)]
        assert (max(grads) < 1e-9) if noop else (min(grads) > 1e-4), (noop, grads)
        one = layer.project(x.double().mT).mT
        assert torch.allclose(layer(x.double()), one) == noop


@pytest.mark.parametrize("shape", [(16, 1000, 4, 250.0), (3, 700, 2, 200.0)])
@pytest.mark.parametrize(("fast", "plain"), [(S3T, PlainS3T), (EEGNet, PlainEEGNet)])
def test_the_fast_form_is_the_plain_one(fast, plain, shape):
    """The same logits and gradients, in training and evaluation, with dropout off."""
    torch.manual_seed(0)
    slow, quick = plain(*shape, drop=0.0), fast(*shape, drop=0.0)
    missing, unexpected = quick.load_state_dict(slow.state_dict(), strict=False)
    assert not unexpected
    assert all(name.endswith("rate") for name in missing)
    x, y = torch.randn(7, *shape[:2]), torch.arange(7) % shape[2]
    for train in (True, False):
        logits, expected = quick.train(train)(x), slow.train(train)(x)
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        grads = [
            torch.autograd.grad(torch.nn.functional.cross_entropy(z, y), list(net.parameters()))
            for net, z in ((quick, logits), (slow, expected))
        ]
        whole = torch.cat([g.flatten() for g in grads[1]]).norm()
        by_name = dict(zip([name for name, _ in quick.named_parameters()], grads[0], strict=True))
        for (name, _), g in zip(slow.named_parameters(), grads[1], strict=True):
            assert (by_name[name] - g).norm() < 1e-4 * whole, name


def test_it_begins_as_the_authors_does():
    """Xavier-normal maps without bias in the spatial attention, dropout .3 in it and .5 elsewhere."""
    torch.manual_seed(0)
    net = S3T(256, 1000, 4, 250.0)
    for part in (net.spatial.query, net.spatial.key, net.spatial.project):
        weight = part[0].weight / 256**-0.5
        assert weight.std().item() == pytest.approx(1, rel=0.02)
        assert weight.abs().max() > 3    # normal, not uniform
        assert part[0].bias.abs().max() == 0
    rates = {name: rate.item() for name, rate in net.named_buffers() if name.endswith("rate")}
    assert {name for name, rate in rates.items() if rate != pytest.approx(0.5)} == {
        f"spatial.{part}.2.rate" for part in ("query", "key", "project")
    }
    assert rates["spatial.query.2.rate"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "at least 56 samples, got 50"), ({"pool": 10.0}, "at least 2500 samples, got 50"),
        ({"stride": 0.0}, r"model\.stride must be a number above 0, got 0\.0"),
        ({"heads": 0}, r"model\.heads must be at least 1, got 0"), ({"depth": -1}, r"model\.depth must be at least 0"),
        ({"width": 11}, "width 11 must be a multiple of heads 5"),
    ],
)
def test_what_it_cannot_be_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        S3T(4, 50 if words.keys() != {"width"} else 500, 2, 250.0, **words)
