"""BaseNet (Wimpff et al., 2024)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.filterbank import FilterBank, Separable, Squash
from eegdecode.models.layers import Dropout, samples


class BaseNet(nn.Module):
    """ShallowConvNet's kernels in EEGNet's form: a spatial filter for each temporal one, mix, a separable convolution.

    3,692 parameters for (22, 1000, 4) at 250 Hz, as in the authors' network without channel attention, which is
    braindecode's ``AttentionBaseNet``, whose logits it gives.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples. A pool that is longer than its signal is cut to it.
    filters, maps : int
        Temporal filters with a spatial filter each, and the maps that they are mixed to.
    kernel, pool, stride : float
        Temporal filter, first pool and distance between its means in s.
    length, size : int
        Kernel and pool of the second convolution, in samples of what the first leaves (17 Hz).
    drop : float
        Dropout rate.

    References
    ----------
    Wimpff, Gizzi, Zerfowski, Yang, EEG motor imagery decoding: a framework for comparative analysis with channel
    attention mechanisms, J. Neural Eng. 21, 2024; github.com/martinwimpff/channel-attention.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 40, maps: int = 16, kernel: float = 0.1, pool: float = 0.3, stride: float = 0.06,
        length: int = 15, size: int = 8, drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        width = samples("model.kernel", kernel, sfreq, n_times=n_times, least=2, cut=False)
        self.bank = FilterBank(n_chans, filters, 1, width, max_norm=None)
        n = n_times + sum(self.bank.pads) + 1 - self.bank.length
        window, step = (samples(f"model.{name}", seconds, sfreq, n_times=n)
                        for name, seconds in (("pool", pool), ("stride", stride)))    # fmt: skip
        self.squash1 = nn.Sequential(
            nn.BatchNorm1d(filters), nn.ELU(inplace=True), nn.AvgPool1d(window, step), Dropout(drop)
        )
        self.mix = nn.Sequential(
            nn.Conv1d(filters, maps, 1, bias=False), nn.BatchNorm1d(maps), nn.ELU(inplace=True)
        )
        self.separable = Separable(maps, length)
        n = (n - window) // step + 2 - length % 2
        self.squash2 = Squash(maps, min(size, n), drop=drop)
        self.head = nn.Linear(maps * (n // min(size, n)), n_classes)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch lag lag_and_one"]:
        """What `forward` takes as ``memory``: see `FilterBank.remember`."""
        return self.bank.remember(x)

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch lag lag_and_one"] | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.mix(self.squash1(self.bank(x, memory)))                     # (B, D, T / stride)
        z = self.squash2(self.separable(z))                                  # (B, D, N)
        return self.head(rearrange(z, "b d n -> b (d n)"))
