"""The temporal convolutional network that EEG-TCNet, ATCNet and TCFormer end with (Bai et al., 2018)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import Dropout

DEEPEST = 12    # blocks: the last one's convolutions look back thousands of tokens

Maps = Float[Tensor, "batch map token"]
Mixed = Float[Tensor, "batch map2 token"]


class CausalConv(nn.Conv1d):
    """A convolution that sees the past alone: (B, D, N) -> (B, D', N)."""

    def forward(self, input: Maps) -> Mixed:
        """Put zeros before the first token."""
        return super().forward(F.pad(input, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class CausalBlock(nn.Module):
    """Two causal convolutions with norm, ELU and dropout, added to what was there, ELU.

    Parameters
    ----------
    n_in, maps : int
        Maps before and after; where they differ, what was there is mixed by a convolution of one token.
    kernel, dilation : int
        Tokens that a convolution sees, and their distance.
    groups : int
        Groups of maps that do not see each other.
    """

    def __init__(self, n_in: int, maps: int, *, kernel: int, dilation: int, groups: int, drop: float) -> None:
        super().__init__()
        self.steps = nn.Sequential()
        for n in (n_in, maps):
            conv = CausalConv(n, maps, kernel, dilation=dilation, groups=groups)
            nn.init.kaiming_uniform_(conv.weight)    # as the authors of EEG-TCNet and ATCNet
            self.steps.extend([conv, nn.BatchNorm1d(maps), nn.ELU(inplace=True), Dropout(drop)])
        self.keep = nn.Identity() if n_in == maps else nn.Conv1d(n_in, maps, 1)

    def forward(self, x: Maps) -> Mixed:
        """One residual step."""
        return F.elu(self.keep(x) + self.steps(x))


class TCN(nn.Sequential):
    """Causal blocks, each with twice the dilation of the one before; the last token has seen the others.

    With a kernel of 4 two blocks see 19 tokens.
    """

    def __init__(
        self, n_in: int, maps: int, *, depth: int, kernel: int, drop: float, groups: int = 1
    ) -> None:    # fmt: skip
        if depth > DEEPEST:    # zeros before the first token take twice the memory with each block
            raise ValueError(f"tcn_depth={depth}: beyond {DEEPEST} is a block that looks back further than any trial")
        super().__init__(*[
            CausalBlock(maps if i else n_in, maps, kernel=kernel, dilation=2**i, groups=groups, drop=drop)
            for i in range(depth)
        ])
