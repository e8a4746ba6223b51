"""ATCNet (Altaheri et al., 2022)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.attention import Softmax
from eegdecode.models.filterbank import ConvBlock
from eegdecode.models.layers import Dropout, MaxNormLinear, at_least
from eegdecode.models.tcn import TCN


class NarrowAttention(nn.Module):
    """Attention whose heads together are narrower than a token, after a layer norm, added to what was there."""

    def __init__(self, width: int, *, heads: int, head_width: int, drop: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_width**-0.5
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * heads * head_width)
        self.mix = Softmax(heads, head_width, None, drop=drop)
        self.out = nn.Linear(heads * head_width, width)
        self.drop = Dropout(0.6 * drop)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """One residual step."""
        q, k, v = rearrange(self.qkv(self.norm(x)), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed = rearrange(self.mix(q * self.scale, k, v), "b h n d -> b n (h d)")
        return x + self.drop(self.out(mixed))


class Window(nn.Module):
    """Attention and a temporal convolutional network for one window of tokens: (B, D, N) -> (B, D)."""

    def __init__(
        self, width: int, *, heads: int, head_width: int, tcn_depth: int, tcn_kernel: int, drop: float
    ) -> None:    # fmt: skip
        super().__init__()
        self.attend = NarrowAttention(width, heads=heads, head_width=head_width, drop=drop)
        self.tcn = TCN(width, width, depth=tcn_depth, kernel=tcn_kernel, drop=0.6 * drop)

    def forward(self, z: Float[Tensor, "batch width token"]) -> Float[Tensor, "batch width"]:
        """What the window's last token knows."""
        z = self.attend(rearrange(z, "b d n -> b n d"))                      # (B, N, D)
        z = self.tcn(rearrange(z, "b n d -> b d n"))                         # (B, D, N)
        return z[..., -1]


class ATCNet(nn.Module):
    """EEGNet's blocks make tokens; windows of them, one token apart, have a classifier each; the mean of their logits.

    113,732 parameters for (22, 1000, 4) at 250 Hz (115,172 with the running statistics, which Keras counts), as in
    braindecode's ``ATCNet``, whose logits it gives where no weight is at its limit. Spatial filters have a norm of at
    most 1, as in the authors' first code (braindecode: any; the authors' later code: 0.6 for all convolutions), and
    the weights of a class in a classifier one of at most 0.25 (braindecode limits the weights of a map to all classes,
    which acts from the start). Dropout is where the authors have it, of single numbers after the convolutions and of
    the attention's scores (braindecode: of whole maps, and of what comes out of the attention). Their decay of 0.009
    and 0.5 for some weights is no part of it.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    filters, depth : int
        F1 temporal filters, and D spatial filters for each of them.
    kernel, pool : float
        Temporal filter and first pool in s.
    size : int
        Samples of the second pool.
    windows : int
        How many; no more than there are tokens.
    heads, head_width, tcn_depth, tcn_kernel : int
        Attention heads and their width, blocks of the temporal convolutional network and tokens that they see.
    drop : float
        Dropout rate of the attention; three fifths of it elsewhere.

    References
    ----------
    Altaheri, Muhammad, Alsulaiman, Physics-informed attention temporal convolutional network for EEG-based motor
    imagery classification, IEEE Trans. Ind. Inform. 19, 2023, table I; github.com/Altaheri/EEG-ATCNet.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 16, depth: int = 2, kernel: float = 0.256, pool: float = 0.032, size: int = 7, windows: int = 5,
        heads: int = 2, head_width: int = 8, tcn_depth: int = 2, tcn_kernel: int = 4, drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        self.embed = ConvBlock(
            n_chans, n_times, sfreq, filters=filters, depth=depth, kernel=kernel, pool1=pool, pool2=size,
            drop=0.6 * drop, separable=False, max_norm=1.0,
        )    # fmt: skip
        n_windows = min(at_least("model.windows", windows, 1), self.embed.n_tokens)
        self.n_tokens = self.embed.n_tokens - n_windows + 1
        self.windows = nn.ModuleList([
            Window(
                filters * depth, heads=heads, head_width=head_width,
                tcn_depth=tcn_depth, tcn_kernel=tcn_kernel, drop=drop,
            )
            for _ in range(n_windows)
        ])    # fmt: skip
        # last, and apart from their windows: what is new on top of a pretrained network
        self.heads = nn.ModuleList([MaxNormLinear(filters * depth, n_classes, max_norm=0.25) for _ in range(n_windows)])

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.embed.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.embed(x, memory)                                            # (B, D, N + windows - 1)
        pairs = enumerate(zip(self.windows, self.heads, strict=True))
        return torch.stack([head(window(z[..., i : i + self.n_tokens])) for i, (window, head) in pairs]).mean(0)
