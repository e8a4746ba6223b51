"""EEG Conformer (Song et al., 2023)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.block import Encoder
from eegdecode.models.filterbank import TimeSpaceConv
from eegdecode.models.layers import Dropout, samples


class EEGConformer(nn.Module):
    """ShallowConvNet's convolutions make tokens, six Transformer blocks, three dense layers over all tokens.

    789,572 parameters for (22, 1000, 4) at 250 Hz, of which 633,000 are dense, as in braindecode's ``EEGConformer``.
    The paper (equation 2) and the authors' code divide scores by the root of a token's width; braindecode by that of a
    head's, whose logits ``scale=0.5`` gives.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples. What is longer than its signal is cut to it.
    width, heads, depth : int
        Width of a token, attention heads, Transformer blocks.
    kernel, pool, stride : float
        Temporal filter, tokens' length and distance between tokens in s.
    drop : float
        Dropout rate; three fifths of it before the last layer.
    scale : float or None
        What scores of the attention are multiplied by; None: 1 / √width.

    References
    ----------
    Song, Zheng, Liu, Gao, EEG Conformer: convolutional Transformer for EEG decoding and visualization, IEEE Trans.
    Neural Syst. Rehabil. Eng. 31, 2023, table I; github.com/eeyhsong/EEG-Conformer.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        width: int = 40, heads: int = 10, depth: int = 6, kernel: float = 0.1, pool: float = 0.3, stride: float = 0.06,
        drop: float = 0.5, scale: float | None = None,
    ) -> None:    # fmt: skip
        super().__init__()
        length = samples("model.kernel", kernel, sfreq, n_times=n_times)
        n = n_times - length + 1
        size, step = (samples(f"model.{name}", seconds, sfreq, n_times=n)
                      for name, seconds in (("pool", pool), ("stride", stride)))    # fmt: skip
        self.embed = nn.Sequential(
            TimeSpaceConv(n_chans, width, length, bias=True), nn.BatchNorm1d(width), nn.ELU(inplace=True),
            nn.AvgPool1d(size, step), Dropout(drop),
        )    # fmt: skip
        self.project = nn.Linear(width, width)
        self.encoder = Encoder(
            width, depth=depth, heads=heads, expand=4, drop=drop, scale=width**-0.5 if scale is None else scale
        )
        self.head = nn.Sequential(
            nn.Linear(width * ((n - size) // step + 1), 256), nn.ELU(inplace=True), Dropout(drop),
            nn.Linear(256, 32), nn.ELU(inplace=True), Dropout(0.6 * drop), nn.Linear(32, n_classes),
        )    # fmt: skip

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        z = rearrange(self.embed(x), "b d n -> b n d")                       # (B, N, D)
        z = self.encoder(self.project(z))                                    # (B, N, D)
        return self.head(rearrange(z, "b n d -> b (n d)"))
