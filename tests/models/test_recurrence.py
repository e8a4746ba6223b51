import pytest
import torch
from torch import nn

from eegdecode.models.recurrence import Recurrence


@pytest.mark.parametrize(("cell", "theirs"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
@pytest.mark.parametrize("both", [True, False])
def test_states_and_gradients_are_torchs(cell, theirs, both):
    torch.manual_seed(0)
    layer, other = Recurrence(5, 7, cell=cell, both=both), theirs(5, 7, bidirectional=both, batch_first=True)
    layer.load_state_dict(other.state_dict())
    x = torch.randn(3, 11, 5)
    states, expected = layer(x), other(x)[0]
    torch.testing.assert_close(states, expected)
    names = [name for name, _ in other.named_parameters()]
    for z in (states, expected):
        z.pow(3).sum().backward()
    for name in names:
        torch.testing.assert_close(layer.get_parameter(name).grad, other.get_parameter(name).grad)
