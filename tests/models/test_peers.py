"""Our networks give what other implementations give, with their weights. Needs the extra ``braindecode``."""

import warnings

import pytest
import torch

from eegdecode.models.deep_convnet import DeepConvNet
from eegdecode.models.eeg_conformer import EEGConformer
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.shallow_convnet import ShallowConvNet

SIZES = {"n_chans": 22, "n_outputs": 4, "n_times": 1000, "sfreq": 250.0}


@pytest.fixture
def peers():
    warnings.simplefilter("ignore")    # of its imports
    return pytest.importorskip("braindecode.models", exc_type=ImportError)


def copy(theirs, ours, names):
    """Copy weights and statistics by names, braindecode's -> ours; several of theirs may be parts of one of ours."""
    theirs, joined = dict(theirs.named_modules()), {}
    for source, target in names.items():
        joined.setdefault(target, []).append(theirs[source])
    for target, modules in joined.items():
        mine = ours.get_submodule(target)
        state = mine.state_dict()
        if "running_mean" in state or type(modules[0]).__name__ == "LayerNorm":
            mine.eps = modules[0].eps
        for key, value in state.items():
            if key != "num_batches_tracked":
                value.copy_(torch.cat([getattr(module, key).detach() for module in modules]).reshape(value.shape))


def same(theirs, ours, names, *, count=0):
    """Compare logits in evaluation after norms and weights were made any, and the number of parameters."""
    for module in theirs.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.1)
    theirs, ours = theirs.double().eval(), ours.double().eval()
    copy(theirs, ours, names)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) + count
    x = torch.randn(5, 22, 1000, dtype=torch.double)
    logits = theirs(x)
    assert logits.std() > 1e-3
    torch.testing.assert_close(ours(x), logits, rtol=1e-5, atol=1e-5)


def test_eegnet(peers):
    """Its norms have Keras's epsilon and momentum (1e-3, 0.01), ours torch's; by default it does not limit the norm of
    the last layer, as the paper does.
    """
    torch.manual_seed(0)
    names = {
        "conv_temporal": "bank.temporal", "bnorm_temporal": "bank.norm", "conv_spatial": "bank.spatial",
        "bnorm_1": "squash1.0", "conv_separable_depth": "separable.0", "conv_separable_point": "separable.1",
        "bnorm_2": "squash2.0", "final_layer.linearconstraint": "head",
    }    # fmt: skip
    theirs = peers.EEGNet(**SIZES, final_layer_with_constraint=True)
    same(theirs, EEGNet(22, 1000, 4, 250.0, kernel=64 / 250), names)


def test_shallow_convnet(peers):
    torch.manual_seed(0)
    names = {
        "conv_time_spat.conv_time": "conv.temporal", "conv_time_spat.conv_spat": "conv.spatial", "bnorm": "norm",
        "final_layer.conv_classifier": "head",
    }    # fmt: skip
    same(peers.ShallowFBCSPNet(**SIZES), ShallowConvNet(22, 1000, 4, 250.0), names)


def test_deep_convnet(peers):
    torch.manual_seed(0)
    names = {
        "conv_time_spat.conv_time": "blocks.0.temporal", "conv_time_spat.conv_spat": "blocks.0.spatial",
        "bnorm": "blocks.1.0", "final_layer.conv_classifier": "head",
    }    # fmt: skip
    for i in (2, 3, 4):
        names |= {f"conv_{i}": f"blocks.{3 * i - 3}", f"bnorm_{i}": f"blocks.{3 * i - 2}.0"}
    same(peers.Deep4Net(**SIZES), DeepConvNet(22, 1000, 4, 250.0), names)


def test_eeg_conformer(peers):
    """It divides scores by the root of a head's width, the authors by that of a token's."""
    torch.manual_seed(0)
    names = {
        "patch_embedding.shallownet.0": "embed.0.temporal", "patch_embedding.shallownet.1": "embed.0.spatial",
        "patch_embedding.shallownet.2": "embed.1", "patch_embedding.projection.0": "project",
        "fc.fc.0": "head.0", "fc.fc.3": "head.3", "final_layer": "head.6",
    }    # fmt: skip
    for i in range(6):
        first, second = (f"transformer.{i}.{step}.fn" for step in (0, 1))
        names |= block(f"{first}.1", f"{second}.1", f"encoder.{i}")
        names |= {f"{first}.0": f"encoder.{i}.norm1", f"{second}.0": f"encoder.{i}.norm2"}
    same(peers.EEGConformer(**SIZES), EEGConformer(22, 1000, 4, 250.0, scale=0.5), names)


def block(attention, feed, ours):
    """Names of the attention and the feed-forward of a Transformer block."""
    return {
        f"{attention}.queries": f"{ours}.attend.qkv", f"{attention}.keys": f"{ours}.attend.qkv",
        f"{attention}.values": f"{ours}.attend.qkv", f"{attention}.projection": f"{ours}.attend.out",
        f"{feed}.0": f"{ours}.feed.0", f"{feed}.3": f"{ours}.feed.3",
    }    # fmt: skip
