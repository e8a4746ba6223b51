"""DeepConvNet (Schirrmeister et al., 2017)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.filterbank import TimeSpaceConv
from eegdecode.models.layers import Dropout, samples, start_as_glorot


class DeepConvNet(nn.Module):
    """Four convolutions, each with norm, ELU and maximum of neighbours; the first over time and channels.

    282,879 parameters for (22, 1000, 4) at 250 Hz, as in braindecode's ``Deep4Net``, whose logits it gives. Both read
    a whole trial at once; the paper trained on crops of 2 s.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz.
    filters : int
        Of the first block; the others have 2, 4 and 8 times as many.
    kernel, pool : float
        Temporal filter and pool of the first block in s. They set the rate (83 Hz) in which ``length`` and ``size``,
        kernel and pool of the others, are counted. What is longer than its signal is cut to it.
    drop : float
        Dropout rate before each block but the first.

    References
    ----------
    Schirrmeister et al., Deep learning with convolutional neural networks for EEG decoding and visualization,
    Hum. Brain Mapp. 38, 2017, figure 1.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 25, kernel: float = 0.04, pool: float = 0.012, length: int = 10, size: int = 3,
        drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        first = samples("model.kernel", kernel, sfreq, n_times=n_times)
        n = n_times - first + 1
        shrink = samples("model.pool", pool, sfreq, n_times=n)
        n //= shrink
        self.blocks = nn.Sequential(TimeSpaceConv(n_chans, filters, first, bias=False), _squash(filters, shrink))
        for maps in (filters, 2 * filters, 4 * filters):
            width = min(length, n)
            n = n - width + 1
            shrink = min(size, n)
            n //= shrink
            conv = nn.Conv1d(maps, 2 * maps, width, bias=False)
            self.blocks.extend([Dropout(drop), conv, _squash(2 * maps, shrink)])
        self.head = nn.Linear(8 * filters * n, n_classes)
        start_as_glorot(self)    # as the authors

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        z = self.blocks(x)                                                   # (B, 8 D, N)
        return self.head(rearrange(z, "b d n -> b (d n)"))


def _squash(maps: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(maps), nn.ELU(inplace=True), nn.MaxPool1d(size))
