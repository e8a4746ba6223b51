"""Recurrent layers that can be stacked by ``vmap``, which torch's own cannot: a visible loop over few tokens.

The parameters have the names and shapes of ``nn.LSTM`` and ``nn.GRU``, so that one's ``state_dict`` is the other's.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import choose

State = tuple[Tensor, ...]
Gates = Float[Tensor, "batch gates"]


def lstm_step(given: Gates, own: Gates, state: State) -> State:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000): forget, write, read."""
    write, forget, new, read = (given + own).chunk(4, dim=1)
    cell = forget.sigmoid() * state[1] + write.sigmoid() * new.tanh()
    return read.sigmoid() * cell.tanh(), cell


def gru_step(given: Gates, own: Gates, state: State) -> State:
    """Gated recurrent unit (Cho et al., 2014): a mixture of the last state and a new one."""
    (reset, keep, new), (own_reset, own_keep, own_new) = given.chunk(3, dim=1), own.chunk(3, dim=1)
    new = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    keep = (keep + own_keep).sigmoid()
    return (keep * state[0] + (1 - keep) * new,)


CELLS = {"lstm": (lstm_step, 4, 2), "gru": (gru_step, 3, 1)}    # the step, its gates, and the parts of its state


class Recurrence(nn.Module):
    """States after each token of a sequence, (B, N, D) -> (B, N, H), or (B, N, 2 H) in both directions.

    Parameters
    ----------
    width, hidden : int
        D, and H numbers of a state.
    cell : str
        One of `CELLS`: the next state, of what the token and what the last state give.
    both : bool
        Whether a second layer goes from the last token to the first; its states come after the first's.
    """

    def __init__(self, width: int, hidden: int, *, cell: str, both: bool = False) -> None:
        super().__init__()
        self.step, gates, self.parts = choose("model.cell", cell, CELLS)
        self.hidden, self.ways = hidden, ("", "_reverse")[: 1 + both]
        n, most = gates * hidden, 1 / math.sqrt(hidden)
        for way in self.ways:
            shapes = {"weight_ih": (n, width), "weight_hh": (n, hidden), "bias_ih": (n,), "bias_hh": (n,)}
            for name, shape in shapes.items():
                self.register_parameter(f"{name}_l0{way}", nn.Parameter(torch.empty(shape).uniform_(-most, most)))

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token state"]:
        """States after each token."""
        passes = [self._scan(x.flip(1), way).flip(1) if way else self._scan(x, way) for way in self.ways]
        return torch.cat(passes, dim=2)

    def _scan(self, x: Tensor, way: str) -> Tensor:
        """Token after token; what tokens alone give is one product."""
        w, u, b, c = (getattr(self, f"{name}_l0{way}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state, states = (x.new_zeros(x.shape[0], self.hidden),) * self.parts, []
        for given in F.linear(x, w, b).unbind(1):                            # (B, gates H)
            state = self.step(given, F.linear(state[0], u, c), state)
            states.append(state[0])
        return torch.stack(states, dim=1)
