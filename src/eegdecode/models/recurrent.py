"""Recurrent layers over patches of time, as baselines for attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from eegdecode.models.layers import Dropout
from eegdecode.models.pooling import AttentionPooling
from eegdecode.models.recurrence import Recurrence
from eegdecode.models.stems import FourierStem, make_stem


class RecurrentNet(nn.Module):
    """Tokens of log power, a recurrent layer, mean of its states with learned weights, classify.

    No paper's network: the tokens are made as those of `STTransformer`, so that both tell what recurrence and attention
    are worth. For (22, 1000, 4) at 250 Hz ``model=bilstm`` has 21,988 parameters and ``model=gru`` 23,396.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    width, hidden : int
        Width of a token and of a state, each direction's.
    cell : str
        ``lstm`` or ``gru``.
    both : bool
        Whether a second layer goes from the last patch to the first.
    patch, stride : float
        Patch, and distance between patches, in s. A shorter trial is one patch.
    drop : float
        Dropout rate of tokens and of states.
    stem : str
        One of `STEMS`: what makes patches tokens.
    stem_options : mapping
        More of the stem (``kernels``, ``fmax``).

    References
    ----------
    Cho et al., Learning phrase representations using RNN encoder-decoder for statistical machine translation, EMNLP
    2014.
    Graves and Schmidhuber, Framewise phoneme classification with bidirectional LSTM, Neural Netw. 18, 2005.
    Zhang et al., Classification of hand movements from EEG using a deep attention-based LSTM network, IEEE Sens. J. 20,
    2020 (states pooled by attention).
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        width: int = 40, hidden: int = 32, cell: str = "lstm", both: bool = True, patch: float = 0.5,
        stride: float = 0.125, drop: float = 0.5, stem: str = "fourier", stem_options: Mapping[str, Any] | None = None,
    ) -> None:    # fmt: skip
        super().__init__()
        self.stem = make_stem(
            stem, stem_options, n_chans=n_chans, n_times=n_times, width=width, sfreq=sfreq,
            patch=patch, stride=stride, drop=drop,
        )    # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.recur = Recurrence(width, hidden, cell=cell, both=both)
        self.drop = Dropout(drop)
        self.pool = AttentionPooling((1 + both) * hidden)
        self.head = nn.Linear((1 + both) * hidden, n_classes)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Tensor | None:
        """What `forward` takes as ``memory``: the coefficients of a Fourier stem."""
        return self.stem.coefficients(x) if isinstance(self.stem, FourierStem) else None

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Tensor | None = None
    ) -> Float[Tensor, "batch class"]:    # fmt: skip
        """Logits of each trial."""
        z = self.stem(self.stem.coefficients(x) if memory is None else memory)               # (B, N, D)
        z = self.drop(self.recur(self.norm(z)))                              # (B, N, H), or 2 H
        return self.head(self.pool(z))
