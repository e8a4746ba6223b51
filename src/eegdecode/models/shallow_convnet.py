"""ShallowConvNet (Schirrmeister et al., 2017)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.filterbank import TimeSpaceConv
from eegdecode.models.layers import Dropout, samples, start_as_glorot

LEAST = 1e-6    # power below which all is silence


class ShallowConvNet(nn.Module):
    """Filter in time and space, square, average, log, classify: the log band power of learned components.

    46,084 parameters for (22, 1000, 4) at 250 Hz, as in braindecode's ``ShallowFBCSPNet``, whose logits it gives. Both
    read a whole trial at once; the paper trained on crops of 2 s.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples. What is longer than its signal is cut to it.
    filters : int
        Temporal filters, and as many spatial ones over all of them.
    kernel, pool, stride : float
        Temporal filter, mean of the power and distance between means, in s.
    drop : float
        Dropout rate of the log powers.

    References
    ----------
    Schirrmeister et al., Deep learning with convolutional neural networks for EEG decoding and visualization,
    Hum. Brain Mapp. 38, 2017, figure 2.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        filters: int = 40, kernel: float = 0.1, pool: float = 0.3, stride: float = 0.06, drop: float = 0.5,
    ) -> None:    # fmt: skip
        super().__init__()
        length = samples("model.kernel", kernel, sfreq, n_times=n_times)
        n = n_times - length + 1
        size, step = (samples(f"model.{name}", seconds, sfreq, n_times=n)
                      for name, seconds in (("pool", pool), ("stride", stride)))    # fmt: skip
        self.conv = TimeSpaceConv(n_chans, filters, length, bias=False)
        start_as_glorot(self.conv)    # as the authors
        self.norm = nn.BatchNorm1d(filters)
        self.pool, self.drop = nn.AvgPool1d(size, step), Dropout(drop)
        self.head = nn.Linear(filters * ((n - size) // step + 1), n_classes)
        with torch.no_grad():    # logs of small powers are large and alike: a usual head would start far above ln K
            self.head.weight.mul_(0.1)

    def forward(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch class"]:
        """Logits of each trial."""
        z = self.norm(self.conv(x))                                          # (B, D, T')
        z = self.pool(z.square()).clamp(min=LEAST).log()                     # (B, D, N): log band power
        return self.head(rearrange(self.drop(z), "b d n -> b (d n)"))
