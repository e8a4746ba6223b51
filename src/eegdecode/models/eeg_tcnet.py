"""EEG-TCNet (Ingolfsson et al., 2020)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.filterbank import ConvBlock
from eegdecode.models.layers import MaxNormLinear
from eegdecode.models.tcn import TCN


class EEGTCNet(nn.Module):
    """EEGNet without its head, then a temporal convolutional network, whose last token is classified.

    4,096 parameters on 2a, with the running statistics of the norms 4,272, the paper's 4.27 k. braindecode's
    ``EEGTCNet`` (4,304) deviates from the paper: a kernel of 64 samples, an ELU between temporal and spatial filters,
    no biases in the causal convolutions, spatial filters of any norm (here at most 1), and in the head a limit of the
    weights of a map to all classes (here of those of a class: at most 0.25). Without the first three and where no
    weight is at its limit both give the same logits. Even kernels are padded as there, by half their length on both
    sides; Keras, which the authors used, pads one sample less in front.

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
    maps, tcn_depth, tcn_kernel : int
        Width, blocks, and tokens that a convolution sees, of the temporal convolutional network.
    drop : float
        Dropout rate of it; two thirds of it before.

    References
    ----------
    Ingolfsson et al., EEG-TCNet: an accurate temporal convolutional network for embedded motor-imagery brain-machine
    interfaces, IEEE SMC 2020, table I; github.com/iis-eth-zurich/eeg-tcnet.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 8, depth: int = 2, kernel: float = 0.128, pool: float = 0.032, size: int = 8,
        maps: int = 12, tcn_depth: int = 2, tcn_kernel: int = 4, drop: float = 0.3,
    ) -> None:    # fmt: skip
        super().__init__()
        self.embed = ConvBlock(
            n_chans, n_times, sfreq, filters=filters, depth=depth, kernel=kernel, pool1=pool, pool2=size,
            drop=drop * 2 / 3, separable=True, max_norm=1.0,
        )    # fmt: skip
        self.tcn = TCN(filters * depth, maps, depth=tcn_depth, kernel=tcn_kernel, drop=drop)
        self.head = MaxNormLinear(maps, n_classes, max_norm=0.25)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.embed.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.embed(x, memory)                                            # (B, F D, N)
        z = self.tcn(z)                                                      # (B, maps, N)
        return self.head(z[..., -1])
