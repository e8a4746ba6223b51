"""Our networks give what other implementations give, with their weights. Needs the extra ``braindecode``."""

import warnings

import pytest
import torch

from eegdecode.models.eegnet import EEGNet

NAMES = {    # braindecode's -> ours
    "conv_temporal": "bank.temporal", "bnorm_temporal": "bank.norm", "conv_spatial": "bank.spatial",
    "bnorm_1": "squash1.0", "conv_separable_depth": "separable.0", "conv_separable_point": "separable.1",
    "bnorm_2": "squash2.0", "final_layer.linearconstraint": "head",
}    # fmt: skip


def test_eegnet_gives_the_logits_of_braindecodes():
    """The same network and number of parameters.

    Its norms have Keras's epsilon and momentum (1e-3, 0.01), ours torch's; by default it does not limit the norm of
    the last layer, as the paper does.
    """
    warnings.simplefilter("ignore")    # of its imports
    models = pytest.importorskip("braindecode.models", exc_type=ImportError)
    torch.manual_seed(0)
    theirs = models.EEGNet(n_chans=22, n_outputs=4, n_times=1000, final_layer_with_constraint=True)
    ours = EEGNet(22, 1000, 4, 250.0, kernel=64 / 250)
    modules = dict(theirs.named_modules())
    with torch.no_grad():
        for source, target in NAMES.items():
            module, mine = modules[source], ours.get_submodule(target)
            if "norm" in source:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                mine.load_state_dict(module.state_dict())
                mine.eps = module.eps
                continue
            mine.weight.copy_(module.weight.reshape(mine.weight.shape))
            if mine.bias is not None:
                mine.bias.copy_(module.bias)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x = torch.randn(5, 22, 1000)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-5, atol=1e-5)
