"""EEGNet (Lawhern et al., 2018)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.filterbank import FilterBank, Separable, Squash
from eegdecode.models.layers import MaxNormLinear, samples


class EEGNet(nn.Module):
    """Temporal filters, spatial filters of each, a separable convolution, classify.

    3,932 parameters for (22, 1000, 4) at 250 Hz. braindecode's ``EEGNet`` has 3,444: its first kernel is 64 samples at
    every rate, half a second at the paper's 128 Hz, where the counts are equal. With that kernel, and with its option
    to limit the last layer as the paper does, both give the same logits. The pools (4 and 8 samples) and the second
    kernel (16 samples) are counted in samples, as in the paper: at 250 Hz they are half as long in s. Even kernels are
    padded as there, by half their length on both sides; Keras, which the authors used, pads one sample less in front.
    Norms have torch's epsilon and momentum. Weights start as torch's do, and mostly braindecode's; with Keras's start
    (`start_as_glorot`) it is level: 0.3 and 0.9 points across subjects of `ssvep_exo` and `mi_openbci` (those that
    chose the defaults, five seeds, 2000 steps; a subclass that calls it at the end of its ``__init__``).

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; sets the length of the temporal kernel.
    filters, depth : int
        F1 temporal filters, and D spatial filters for each of them: EEGNet-F1,D.
    kernel : float
        Length of the temporal kernel in s; the paper takes half a second, so that 2 Hz can be seen.
    drop : float
        Dropout rate; the paper takes 0.5 within and 0.25 across subjects.

    References
    ----------
    Lawhern et al., EEGNet: a compact convolutional neural network for EEG-based brain-computer interfaces,
    J. Neural Eng. 15, 2018, table 2.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 8, depth: int = 2, kernel: float = 0.5, drop: float = 0.25,
    ) -> None:    # fmt: skip
        super().__init__()
        maps = filters * depth
        length = samples("model.kernel", kernel, sfreq, n_times=n_times, least=2, cut=False)
        if n_times < 32:
            raise ValueError(f"EEGNet pools time by 32: it needs at least 32 samples, got n_times={n_times}")
        self.bank = FilterBank(n_chans, filters, depth, length)
        self.squash1 = Squash(maps, 4, drop=drop)
        self.separable = Separable(maps, 16)
        self.squash2 = Squash(maps, 8, drop=drop)
        n = n_times + 1 - length % 2                           # an even kernel adds one sample
        self.head = MaxNormLinear(maps * ((n // 4 + 1) // 8), n_classes, max_norm=0.25)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.squash1(self.bank(x, memory))                 # (B, F D, T / 4)
        z = self.squash2(self.separable(z))                    # (B, F D, T / 32)
        return self.head(rearrange(z, "b d n -> b (d n)"))
