"""Attention over channels: by the likeness of their time courses, or between their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegdecode.models.layers import Dropout, exactly, wide

HEAD_RADIUS = 0.095    # m, of an adult's head
GENTLE = 0.1    # of S3T's mixture at first: from its full size on, `mi_openbci` lost 8 points (run to run)
CALM = 0.1    # of the learning rate: at its full size exponents wander (simulated people -1.5 points, five seeds)
LEAST = 1e-6    # of the loudest principal axis: quieter ones hold no signal (average reference)
WAVES = (0.5, 1.0, 2.0)    # periods of the position code on a radius; electrodes are a fifth of one apart


def likeness(
    x: Float[Tensor, "batch chan time"], seen: Bool[Tensor, "batch time"] | None = None
) -> Float[Tensor, "batch chan chan"]:    # fmt: skip
    """How alike the time courses of channels are: z zᵀ / √T of standardised z, of the samples that are seen alone."""
    if seen is None:
        z = F.layer_norm(x, x.shape[-1:])                                    # every channel: mean 0, deviation 1
        return z @ z.mT / math.sqrt(x.shape[-1])
    z, n = _centred(x, seen)
    z = z / (z.square().sum(-1, keepdim=True) / n + 1e-5).sqrt()
    return z @ z.mT / n.sqrt()


def _centred(x: Tensor, seen: Bool[Tensor, "batch time"]) -> tuple[Tensor, Tensor]:
    """Take the mean of the samples that are seen away, and the others; also return how many are seen."""
    there, n = seen[:, None], seen.sum(1)[:, None, None]
    return (x - x.masked_fill(~there, 0).sum(-1, keepdim=True) / n).masked_fill(~there, 0), n


class SpatialAttention(nn.Module):
    """Channels attend to each other by the likeness of their time courses (Song et al., 2021, section 3.2).

    ``out = x + sum_h W_h softmax(q_h k_hᵀ / √T) x`` with q = Wq x, k = Wk x: every channel becomes a mixture of
    channels, weighted by what this very trial looks like. Here the score (m, c) is summed over c, the axis
    on which it was normalised *by the query m*. The authors' code sums over the queries instead and gets
    the input back, whatever q and k are: ``noop`` does that.

    Unlike the paper, q and k are taken from the standardised time courses at the full rate: averaging 30
    samples first, as the paper does, leaves nothing of a rhythm above sfreq / 30. So the scores are
    ``Wq L Wkᵀ`` of `likeness` L, which no parameter changes.

    Parameters
    ----------
    heads : int
        Each with its own q and k for all channels.
    noop : bool
        Sum over the wrong axis.
    """

    columns = 0    # of `relations`, beside one for each channel

    def __init__(self, n_chans: int, *, heads: int, drop: float, noop: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.mix = (nn.Parameter(torch.empty(heads, n_chans, n_chans)) for _ in range(3))
        self.noop, self.drop = noop, Dropout(drop)
        for weight in (self.query, self.key, self.mix):
            for head in weight:
                nn.init.xavier_normal_(head, gain=GENTLE if weight is self.mix else 1.0)

    relations = staticmethod(likeness)

    def weights(self, like: Float[Tensor, "batch chan chan"]) -> Float[Tensor, "batch head chan chan"]:
        """How much each channel (row) takes from each (column); rows sum to one."""
        return (self.query @ like[:, None] @ self.key.mT).softmax(dim=-1)    # = softmax(q kᵀ / √T)

    def forward(self, weights: Float[Tensor, "batch head chan chan"]) -> Float[Tensor, "batch chan chan"]:
        """Return what is added to the channels, as a matrix A: x + A x."""
        if self.noop:
            weights = torch.diag_embed(weights.sum(-1))                      # ones
        return (self.mix @ self.drop(weights)).sum(1)

    def bend(
        self, filters: Float[Tensor, "width chan"], like: Float[Tensor, "batch chan chan"]
    ) -> Float[Tensor, "batch width chan"]:    # fmt: skip
        """Filters over the channels of a trial that do to it what ``filters`` would do to the mixture."""
        return filters + filters @ self(self.weights(like))


def principal(
    x: Float[Tensor, "batch chan time"], seen: Bool[Tensor, "batch time"] | None = None
) -> Float[Tensor, "batch chan chan_and_one"]:    # fmt: skip
    """Principal axes of a trial's channels as columns, and last the log power along each, of the samples seen.

    Those of a trial that is not finite are NaN, and no error that ends its whole batch.
    """
    with exactly(x):
        x = wide(x)
        z, n = (x - x.mean(-1, keepdim=True), x.shape[-1]) if seen is None else _centred(x, seen)
        C = z @ z.mT / n
        broken = ~C.isfinite().flatten(-2).all(-1)[..., None, None]
        powers, axes = torch.linalg.eigh(C.masked_fill(broken, 0))
    powers = powers.maximum(LEAST * powers[..., -1:]).clamp(min=1e-12)
    return torch.cat([axes, powers.log()[..., None]], dim=-1).masked_fill(broken, torch.nan)


class WhiteningAttention(nn.Module):
    """Channels attend to each other so that directions which are loud in this very trial become as loud as others.

    ``out_h = C^(-p_h / 2) x``: like softmax(q kᵀ) the weights come from the products of all pairs of channels, the
    covariance C of the trial, but by a matrix power, so that they can subtract; a softmax only averages. The exponent
    p_h of each head is learned, at a tenth of the rate: 0 leaves the trial as it is, 1 whitens it. Those of several
    heads begin evenly between the two, that of one at 0.5. Behind whitening by all training trials
    (``frontend=whiten``) this is a step along the geodesic from their covariance to the trial's own (Bhatia, 2007,
    Positive definite matrices, section 6.1), as ``frontend=recentre`` is with a fixed share; attention by covariance,
    with a softmax, is El-Nouby et al., 2021, XCiT.

    Parameters
    ----------
    width, heads : int
        Maps of the stem, and how many exponents they share: map d has that of head d modulo H.
    """

    columns = 1    # of `relations`, beside one for each channel

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        if heads > width:    # the others would have no map
            raise ValueError(f"model.spatial_heads must be from 1 to model.width={width}, got {heads}")
        self.exponent = nn.Parameter((torch.arange(heads) + 0.5) / heads / CALM)    # in units of `CALM`

    relations = staticmethod(principal)

    def weights(self, axes: Float[Tensor, "batch chan chan_and_one"]) -> Float[Tensor, "batch head chan chan"]:
        """How much each channel (row) takes from each (column), of either sign."""
        U, gains = axes[:, None, :, :-1], self._gains(axes)
        return (U * gains[:, :, None]) @ U.mT

    def bend(
        self, filters: Float[Tensor, "width chan"], axes: Float[Tensor, "batch chan chan_and_one"]
    ) -> Float[Tensor, "batch width chan"]:    # fmt: skip
        """Filters over the channels of a trial that do to it what ``filters`` would do to the mixture of their head."""
        head = torch.arange(len(filters), device=filters.device) % len(self.exponent)
        U = axes[..., :-1]
        return ((filters @ U) * self._gains(axes)[:, head]) @ U.mT

    def _gains(self, axes: Tensor) -> Float[Tensor, "batch head chan"]:
        """What each head does to the amplitude along each principal axis."""
        return torch.exp(-0.5 * CALM * self.exponent[:, None] * axes[:, None, :, -1])


class ElectrodeCode(nn.Module):
    """Tell channels apart by where their electrodes are, not by their number.

    Sines and cosines of the three coordinates pass a linear map, so a trained network can be applied to other
    channels: by ``scripts/predict.py checkpoint=PATH preprocess.channels=[...]``, or as a start by ``scripts/train.py
    model.init_from=RUN_FOLDER preprocess.channels=[...]``, if it was trained with ``frontend=zscore`` or ``none``.
    Positions are no part of the weights. Without positions each channel learns a vector of its own, and the network
    is bound to its channels.

    Parameters
    ----------
    positions : sequence of (float, float, float), shape (C, 3), or None
        In m from the middle of the head. A channel without one (NaN) gets a code of zeros.
    """

    def __init__(self, n_chans: int, width: int, positions: Sequence[Sequence[float]] | None) -> None:
        super().__init__()
        if positions is None:
            self.waves, self.code = None, nn.Parameter(torch.randn(n_chans, width) * 0.02)
            return
        place = torch.as_tensor(positions, dtype=torch.float32) / HEAD_RADIUS
        angle = 2 * math.pi * place[:, :, None] * torch.tensor(WAVES)        # (C, 3, waves)
        waves = torch.cat([angle.sin(), angle.cos()], dim=2).flatten(1).nan_to_num(0.0)
        self.register_buffer("waves", waves, persistent=False)
        self.code = nn.Parameter(torch.randn(waves.shape[1], width) * waves.shape[1] ** -0.5)

    def forward(self, x: Float[Tensor, "batch chan token width"]) -> Float[Tensor, "batch chan token width"]:
        """Add each channel's code to its tokens."""
        code = self.code if self.waves is None else self.waves @ self.code
        return x + rearrange(code, "c d -> c 1 d")
