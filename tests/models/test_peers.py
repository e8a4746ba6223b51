"""Our networks give what other implementations give, with their weights. Needs the extra ``braindecode``."""

import re

import pytest
import torch

from eegdecode.models.atcnet import ATCNet
from eegdecode.models.basenet import BaseNet
from eegdecode.models.ctnet import CTNet
from eegdecode.models.deep_convnet import DeepConvNet
from eegdecode.models.eeg_conformer import EEGConformer
from eegdecode.models.eeg_tcnet import EEGTCNet
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.shallow_convnet import ShallowConvNet
from eegdecode.models.tcformer import TCFormer

SIZES = {"n_chans": 22, "n_outputs": 4, "n_times": 1000, "sfreq": 250.0}


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


def assert_same(theirs, ours, names, *, before=lambda: None):
    """Compare logits in evaluation after norms and weights were made any, and the number of parameters."""
    for module in theirs.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.1)
    before()
    theirs, ours = theirs.double().eval(), ours.double().eval()
    copy(theirs, ours, names)
    assert count(ours) == count(theirs)
    x = torch.randn(5, 22, 1000, dtype=torch.double)
    logits = theirs(x)
    assert logits.std() > 1e-3
    torch.testing.assert_close(ours(x), logits, rtol=1e-5, atol=1e-5)


def count(network):
    return sum(p.numel() for p in network.parameters())


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
    assert_same(theirs, EEGNet(22, 1000, 4, 250.0, kernel=64 / 250), names)
    counts = [count(EEGNet(22, 1000, 4, 250.0)), count(peers.EEGNet(**SIZES))]
    assert counts == [3932, 3444]    # told in the docstring: kernels of half a second and of 64 samples
    assert count(EEGNet(64, 128, 2, 128.0)) == count(peers.EEGNet(n_chans=64, n_outputs=2, n_times=128, sfreq=128.0))


def test_shallow_convnet(peers):
    torch.manual_seed(0)
    names = {
        "conv_time_spat.conv_time": "conv.temporal", "conv_time_spat.conv_spat": "conv.spatial", "bnorm": "norm",
        "final_layer.conv_classifier": "head",
    }    # fmt: skip
    assert_same(peers.ShallowFBCSPNet(**SIZES), ShallowConvNet(22, 1000, 4, 250.0), names)


def test_deep_convnet(peers):
    torch.manual_seed(0)
    names = {
        "conv_time_spat.conv_time": "blocks.0.temporal", "conv_time_spat.conv_spat": "blocks.0.spatial",
        "bnorm": "blocks.1.0", "final_layer.conv_classifier": "head",
    }    # fmt: skip
    for i in (2, 3, 4):
        names |= {f"conv_{i}": f"blocks.{3 * i - 3}", f"bnorm_{i}": f"blocks.{3 * i - 2}.0"}
    assert_same(peers.Deep4Net(**SIZES), DeepConvNet(22, 1000, 4, 250.0), names)


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
    assert_same(peers.EEGConformer(**SIZES), EEGConformer(22, 1000, 4, 250.0, scale=0.5), names)


def test_eeg_tcnet(peers):
    """The paper has no ELU after the temporal filters (which a bias of 100 makes the identity), but biases."""
    torch.manual_seed(0)
    theirs, ours = peers.EEGTCNet(**SIZES), EEGTCNet(22, 1000, 4, 250.0, kernel=64 / 250)
    names = {
        "eegnet_tc.conv1": "embed.bank.temporal", "eegnet_tc.bn1": "embed.bank.norm",
        "eegnet_tc.depthwise_conv": "embed.bank.spatial", "eegnet_tc.bn2": "embed.squash1.0",
        "eegnet_tc.separable_conv_depthwise": "embed.conv.0", "eegnet_tc.separable_conv_pointwise": "embed.conv.1",
        "eegnet_tc.bn3": "embed.squash2.0", "tcn_block.downsample": "tcn.0.keep", "final_layer": "head",
    }    # fmt: skip
    with torch.no_grad():
        theirs.eegnet_tc.conv1.weight.mul_(10)
        theirs.final_layer.weight = 0.1 * theirs.final_layer.weight    # it limits norms over classes, not of a class
    for i in range(2):
        places = ((0, 0), (2, 1), (5, 4), (7, 5))    # convolution, norm, convolution, norm
        names |= {f"tcn_block.layers.{i}.{a}": f"tcn.{i}.steps.{b}" for a, b in places}
    for block in ours.tcn:
        for step in (0, 4):
            block.steps[step].register_parameter("bias", None)
    assert_same(theirs, ours, names, before=lambda: theirs.eegnet_tc.bn1.bias.data.fill_(100))
    assert count(EEGTCNet(22, 1125, 4, 250.0)) == 4096
    statistics = {k: b for k, b in EEGTCNet(22, 1125, 4, 250.0).named_buffers() if "running" in k}
    assert 4096 + sum(b.numel() for b in statistics.values()) == 4272    # Keras counts them: the paper's 4.27 k


def test_atcnet(peers):
    torch.manual_seed(0)
    names = {
        "conv_block.conv1": "embed.bank.temporal", "conv_block.bn1": "embed.bank.norm",
        "conv_block.conv2": "embed.bank.spatial", "conv_block.bn2": "embed.squash1.0",
        "conv_block.conv3": "embed.conv", "conv_block.bn3": "embed.squash2.0",
    }    # fmt: skip
    for i in range(5):
        attention, ours = f"attention_blocks.{i}", f"windows.{i}"
        names |= {f"{attention}.mha.fc_{part}": f"{ours}.attend.qkv" for part in "qkv"}
        names |= {f"{attention}.mha.fc_o": f"{ours}.attend.out", f"{attention}.ln": f"{ours}.attend.norm"}
        for j in range(2):
            tcn, steps = f"temporal_conv_nets.{i}.{j}", f"{ours}.tcn.{j}.steps"
            names |= {f"{tcn}.conv1": f"{steps}.0", f"{tcn}.bn1": f"{steps}.1"}
            names |= {f"{tcn}.conv2": f"{steps}.4", f"{tcn}.bn2": f"{steps}.5"}
        names[f"final_layer.{i}"] = f"heads.{i}"
    theirs = peers.ATCNet(**SIZES)
    with torch.no_grad():    # it limits norms over classes, not of a class: below both limits
        for head in theirs.final_layer:
            head.weight = 0.1 * head.weight
    assert_same(theirs, ATCNet(22, 1000, 4, 250.0), names)


def test_ctnet(peers):
    """It divides scores by the root of a head's width, the authors by that of a token's."""
    torch.manual_seed(0)
    names = {f"cnn.eegnet_module.{at}": f"embed.{part}" for at, part in [
        (0, "bank.temporal"), (1, "bank.norm"), (2, "bank.spatial"), (3, "squash1.0"), (7, "conv"), (8, "squash2.0"),
    ]} | {"final_layer": "head"}    # fmt: skip
    for i in range(6):
        theirs, ours = f"trans.layers.{i}", f"encoder.{i}"
        names |= block(f"{theirs}.attention.module.0", f"{theirs}.feed_forward.module.0", ours)
        names |= {f"{theirs}.attention.layernorm": f"{ours}.norm1", f"{theirs}.feed_forward.layernorm": f"{ours}.norm2"}
    theirs, ours = peers.CTNet(**SIZES), CTNet(22, 1000, 4, 250.0, scale=10**-0.5)
    ours.position.code.data.copy_(theirs.position.encoding[0])
    assert_same(theirs, ours, names)


def test_basenet(peers):
    """The authors' network without channel attention."""
    torch.manual_seed(0)
    names = {
        "input_block.temporal_conv": "bank.temporal", "input_block.intermediate_bn": "bank.norm",
        "input_block.spatial_conv": "bank.spatial", "input_block.bn": "squash1.0",
        "channel_expansion.0": "mix.0", "channel_expansion.1": "mix.1",
        "channel_attention_block.conv.0": "separable.0", "channel_attention_block.conv.1": "separable.1",
        "channel_attention_block.conv.2": "squash2.0", "final_layer.1": "head",
    }    # fmt: skip
    assert_same(peers.AttentionBaseNet(**SIZES), BaseNet(22, 1000, 4, 250.0), names)


def test_tcformer(peers):
    torch.manual_seed(0)
    names = {f"conv_block.temporal_convs.{i}.1": f"bank.temporal.{i}" for i in range(3)}
    names |= {f"conv_block.temporal_convs.{i}.2": "bank.norm" for i in range(3)}
    names |= {f"conv_block.{theirs}": ours for theirs, ours in [
        ("channel_dw_conv.0", "bank.spatial"), ("channel_dw_conv.1", "squash.0"),
        ("channel_reduction.0", "narrow.0"), ("channel_reduction.1", "narrow.1"),
        ("temporal_conv_2.0", "narrow.2"), ("temporal_conv_2.1", "narrow.3"),
        ("group_attn.att_fc1", "narrow.5.squeeze"), ("group_attn.att_fc2", "narrow.5.excite"),
    ]}    # fmt: skip
    names |= {"mix.0": "mix.0", "mix.1": "mix.1", "reduce.1": "reduce.0", "reduce.2": "reduce.1"}
    for i in range(2):
        theirs, ours = f"transformer.{i}", f"blocks.{i}"
        names |= {f"{theirs}.norm1": f"{ours}.norm1", f"{theirs}.norm2": f"{ours}.norm2"}
        names |= {f"{theirs}.attn.query_proj": f"{ours}.attend.q", f"{theirs}.attn.key_value_proj": f"{ours}.attend.kv"}
        names |= {f"{theirs}.attn.out_proj": f"{ours}.attend.out"}
        names |= {f"{theirs}.mlp.0": f"{ours}.feed.0", f"{theirs}.mlp.2": f"{ours}.feed.2"}
        for conv, norm, step in (("conv1", "bn1", 0), ("conv2", "bn2", 4)):
            steps = f"tcn.{i}.steps"
            names |= {f"tcn.blocks.{i}.{conv}": f"{steps}.{step}", f"tcn.blocks.{i}.{norm}": f"{steps}.{step + 1}"}
    assert_same(peers.TCFormer(**SIZES), TCFormer(22, 1000, 4, 250.0), names | {"final_layer.conv": "head"})


@pytest.mark.parametrize(
    "network", [EEGNet, ShallowConvNet, DeepConvNet, EEGTCNet, EEGConformer, ATCNet, CTNet, BaseNet, TCFormer]
)
def test_the_docstring_tells_the_number_of_parameters(network):
    told = re.search(r"([\d,]+) parameters", network.__doc__)
    assert int(told[1].replace(",", "")) == count(network(22, 1000, 4, 250.0))


def block(attention, feed, ours):
    """Names of the attention and the feed-forward of a Transformer block."""
    return {
        f"{attention}.queries": f"{ours}.attend.qkv", f"{attention}.keys": f"{ours}.attend.qkv",
        f"{attention}.values": f"{ours}.attend.qkv", f"{attention}.projection": f"{ours}.attend.out",
        f"{feed}.0": f"{ours}.feed.0", f"{feed}.3": f"{ours}.feed.3",
    }    # fmt: skip
