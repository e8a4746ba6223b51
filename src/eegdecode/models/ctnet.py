"""CTNet (Zhao et al., 2024)."""

from __future__ import annotations

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.block import Encoder
from eegdecode.models.filterbank import ConvBlock
from eegdecode.models.layers import Dropout
from eegdecode.models.positions import Learned

PLACES = 100    # of the authors' table of positions, of which a trial of 4 s takes 15


class CTNet(nn.Module):
    """EEGNet's blocks make tokens, six Transformer blocks, both added; one dense layer over all tokens.

    152,684 parameters for (22, 1000, 4) at 250 Hz, the paper's 152.7 k, as in braindecode's ``CTNet``. The authors'
    code divides scores by the root of a token's width, braindecode by that of a head's, whose logits ``scale=10**-0.5``
    gives; the authors drop features before the last layer, braindecode does not. Positions start small here.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    filters, expand : int
        F1 temporal filters, and D spatial filters for each of them; a token is F1 D wide.
    kernel, pool : float
        Temporal filter and first pool in s.
    size : int
        Samples of the second pool.
    heads, depth : int
        Attention heads and Transformer blocks.
    drop : float
        Dropout rate; three fifths of it in the convolutions, a fifth of it after the positions.
    scale : float or None
        What scores of the attention are multiplied by; None: 1 / √width.

    References
    ----------
    Zhao, Jiang, Zhang, Xiao, Weng, CTNet: a convolutional transformer network for EEG-based motor imagery
    classification, Sci. Rep. 14, 20237, 2024; github.com/snailpt/CTNet.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 20, expand: int = 2, kernel: float = 0.256, pool: float = 0.032, size: int = 8,
        heads: int = 4, depth: int = 6, drop: float = 0.5, scale: float | None = None,
    ) -> None:    # fmt: skip
        super().__init__()
        width = filters * expand
        self.embed = ConvBlock(
            n_chans, n_times, sfreq, filters=filters, depth=expand, kernel=kernel, pool1=pool, pool2=size,
            drop=0.6 * drop, separable=False, max_norm=None,
        )    # fmt: skip
        self.position, self.drop = Learned(width, max(PLACES, self.embed.n_tokens)), Dropout(0.2 * drop)
        self.encoder = Encoder(
            width, depth=depth, heads=heads, expand=4, drop=drop, order="post",
            scale=width**-0.5 if scale is None else scale,
        )    # fmt: skip
        self.drop_last = Dropout(drop)
        self.head = nn.Linear(width * self.embed.n_tokens, n_classes)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.embed.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = rearrange(self.embed(x, memory), "b d n -> b n d")               # (B, N, D)
        z = self.drop(self.position(z * math.sqrt(z.shape[-1])))             # (B, N, D)
        z = z + self.encoder(z)                                              # (B, N, D)
        return self.head(self.drop_last(rearrange(z, "b n d -> b (n d)")))
