from __future__ import annotations

import re
from functools import partial

import pytest
import torch

from eegdecode.bounds import check_bounds
from eegdecode.models.eeg_conformer import EEGConformer
from eegdecode.models.eegnet import EEGNet
from eegdecode.models.recurrent import RecurrentNet
from eegdecode.models.s3t import S3T
from eegdecode.models.sttransformer import STTransformer
from eegdecode.models.tcformer import TCFormer


def test_a_dropout_that_none_can_be_is_named_as_it_is_typed():
    check_bounds(model=partial(dict, drop=0.0), task=partial(dict, drop=None))
    check_bounds(model=partial(dict))
    with pytest.raises(ValueError, match=re.escape("task.drop=1: dropout must be in [0, 1)")):
        check_bounds(model=partial(dict, drop=0.5), task=partial(dict, drop=1.0))


@pytest.mark.parametrize(
    ("network", "setting", "words"),
    [(EEGNet, {"filters": -3}, "model.filters must be a whole number of at least 1, got -3"),
     (EEGNet, {"kernel": 0.0}, "model.kernel must be a number above 0, got 0.0"),
     (EEGConformer, {"depth": 0}, "model.depth must be a whole number of at least 1, got 0"),
     (EEGConformer, {"scale": float("nan")}, "model.scale must be a number above 0, got nan"),
     (RecurrentNet, {"width": 0}, "model.width must be a whole number of at least 1"),
     (STTransformer, {"heads": 0}, "model.heads must be a whole number of at least 1"),
     (TCFormer, {"kernels": []}, "model.kernels must be a list of numbers above 0, got []"),
     (TCFormer, {"kernels": [0.1, -1]}, "model.kernels must be a list of numbers above 0, got [0.1, -1]"),
     (S3T, {"depth": -1}, "model.depth must be a whole number of at least 0, got -1")],
)  # fmt: skip
def test_a_number_that_no_network_of_ours_can_have_is_named(network, setting, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_bounds(model=partial(network, **setting))


@pytest.mark.parametrize(
    "model",
    [partial(EEGConformer, scale=None, drop=0.0), partial(STTransformer, heads=None, drop_tokens=0.0),
     partial(S3T, depth=0)],    # the paper's ablation without its temporal part
)  # fmt: skip
def test_what_is_let_pass_is_a_network_that_answers(model):
    check_bounds(model=model)
    network = model(6, 256, 3, 128.0).eval()
    assert network(torch.randn(2, 6, 256)).shape == (2, 3)


class Own:
    """A network of the user's own, in which 0 and -1 mean something."""

    def __init__(self, n_chans: int, *, n_layers: int = 1) -> None: ...


def test_networks_of_the_users_own_have_their_own_bounds():
    check_bounds(model=partial(Own, n_layers=-1))
    ours = type("Ours", (Own,), {"__module__": "eegdecode.models.ours"})
    with pytest.raises(ValueError, match=r"model\.n_layers must be a whole number of at least 1, got -1"):
        check_bounds(model=partial(ours, n_layers=-1))
