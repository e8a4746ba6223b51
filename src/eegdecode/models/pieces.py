"""What pretraining reconstructs: pieces of a trial side by side, as power by frequency or as waves; and how wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.layers import choose
from eegdecode.models.patches import samples_of

Signals = Float[Tensor, "batch chan time"]
Told = Float[Tensor, "batch piece feature"]
Chosen = Bool[Tensor, "batch piece"]

EDGE = 0.05    # share of a piece that may lie in a visible patch beside it
TARGETS = ("power", "signal")
BAND = (4.0, 40.0)    # Hz, that of our motor imagery
LEAST = 1e-6    # power below which all is silence, as in `eegdecode.models.stems`


class Reconstruction(NamedTuple):
    """What was told of each piece and what is true, (B, S, features); what repeating tells; which pieces count."""

    told: Tensor
    truth: Tensor
    repeated: Tensor
    counted: Tensor


class Pieces(nn.Module):
    """Cut a trial into pieces that share no sample, and say what is to be told of each.

    ``signal``: its samples, normalised over the whole piece (He et al., 2022, section 4, normalised pixels).
    ``power``: log power by channel and frequency under a Hann window. Both are put on mean 0 and deviation 1 by
    numbers that training measures on the training trials of a run, so that telling the mean costs about 1.

    Power is the default: behind a stem that takes the power of its patches, nothing is left of the phase by which a
    wave goes on. Errors on validation trials (four subjects, one left out, 384 and 154 training trials, 150 updates of
    32, one seed; *repeat*: what was seen of the trial is repeated):

    ==================== ============================ =============================
    set and task         power: network, mean, repeat signal: network, mean, repeat
    ==================== ============================ =============================
    mi_openbci masked    0.907, 1.010, 1.255          1.003, 1.002, 1.489
    ssvep_exo masked     0.946, 1.017, 1.371          1.016, 1.008, 1.508
    ssvep_exo forecast   0.966, 1.021, 1.863          1.065, 1.008, 2.023
    ==================== ============================ =============================

    Of the signal nothing is learned that holds for other trials.

    Parameters
    ----------
    length : float
        Of a piece, in s.
    target : {"power", "signal"}
    band : sequence of float
        Least and largest frequency of ``power``, in Hz; no other target has one.
    """

    def __init__(
        self, n_chans: int, n_times: int, sfreq: float, *, length: float, target: str, band: Sequence[float]
    ) -> None:    # fmt: skip
        super().__init__()
        self.target = choose("task.target", target, {word: word for word in TARGETS})
        if not length > 0:
            raise ValueError(f"task.piece must be a time above 0 s, got {length}")
        if len(band) != 2 or not 0 < band[0] < band[1]:
            raise ValueError(f"task.band must be two frequencies above 0 Hz, [4,40], got {list(band)}")
        if target != "power" and tuple(band) != BAND:
            raise ValueError(f"task.band={list(band)} is of task.target=power, and that is {target}: type both, or "
                             "leave task.band out")    # fmt: skip
        self.size = max(2, round(length * sfreq))
        self.n_pieces = n_times // self.size
        if self.n_pieces < 2:
            raise ValueError(f"task.piece={length} s leaves a trial of {n_times / sfreq:g} s no two pieces; shorten it")
        resolution, (low, high) = sfreq / self.size, band
        self.bins = slice(math.ceil(low / resolution), int(min(high, 0.45 * sfreq) / resolution) + 1)
        n_bins = self.bins.stop - self.bins.start
        if n_bins < 1:
            raise ValueError(f"task.band={list(band)} Hz holds no frequency of pieces of {length} s")
        self.frequencies = [resolution * i for i in range(self.bins.start, self.bins.stop)]    # Hz
        self.shape = (n_bins if target == "power" else self.size, n_chans)    # of what is told of a piece
        self.n_features = math.prod(self.shape)
        self.register_buffer("mean", torch.zeros(self.n_features))
        self.register_buffer("deviation", torch.ones(self.n_features))

    def raw(self, x: Signals) -> Told:
        """What is to be told, as it is."""
        x = rearrange(x[..., : self.n_pieces * self.size], "b c (s p) -> b s p c", s=self.n_pieces)
        if self.target == "signal":
            z = x.flatten(2)
            z = z - z.mean(-1, keepdim=True)
            return z / (z.square().mean(-1, keepdim=True) + LEAST).sqrt()
        window = torch.hann_window(self.size, device=x.device)
        window = window * math.sqrt(2 / self.size) / window.norm()
        X = torch.fft.rfft(x * window[:, None], dim=2)[:, :, self.bins]                      # (B, S, F, C)
        return torch.view_as_real(X).square().sum(-1).clamp(min=LEAST).log().flatten(2)

    def forward(self, x: Signals) -> Told:
        """What is to be told, on mean 0 and deviation 1."""
        return (self.raw(x) - self.get_buffer("mean")) / self.get_buffer("deviation")

    def hidden(
        self, touched: Bool[Tensor, "batch time"]
    ) -> tuple[Chosen, Bool[Tensor, "batch time"]]:    # fmt: skip
        """Which pieces lie outside of the samples that visible patches touch, and which samples may then be seen.

        Where a patch is no whole number of pieces (125 samples are twice 62 and one), it touches the one beside it
        with a sample or two. Such a piece is hidden nonetheless, and these samples of the patch with it.
        """
        place = {"size": self.size, "stride": self.size, "n_times": touched.shape[1], "device": touched.device}
        holds = samples_of(self.n_pieces, **place).float()                                   # (S, T)
        hidden = touched.float() @ holds.mT < EDGE * self.size
        return hidden, touched & ~(hidden.float() @ holds > 0)


def errors(told: Told, truth: Told, repeated: Told, counted: Chosen) -> Float[Tensor, "batch kind"]:
    """Mean squared error of each trial over the pieces that count: of the network, of the mean, of repeating.

    The last two are what a network must beat: the mean of all training trials, and what was seen of this trial.
    """
    weight = counted / counted.sum(1, keepdim=True).clamp(min=1)                             # (B, S)
    guesses = (told, torch.zeros_like(truth), repeated)
    return torch.stack([((guess - truth).square().mean(-1) * weight).sum(1) for guess in guesses], dim=1)


def build_encoder(network: Callable[..., Any], drop: float | None, **sizes) -> Any:
    """Build the network whose encoder is pretrained."""
    kind = getattr(network, "func", network)
    if not hasattr(kind, "encode"):
        raise ValueError(f"{getattr(kind, '__name__', kind)} has no `encode` to pretrain; take model=sttransformer")
    built = network(**sizes, **({} if drop is None else {"drop": drop}))
    if built.stem.n_tokens < 2:
        raise ValueError("pretraining needs trials of two patches and more; lower model.patch or model.stride")
    return built
