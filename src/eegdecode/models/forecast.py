"""Pretraining by forecasts: an encoder sees the beginning of a trial, a causal decoder tells piece after piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.decoder import Decoder
from eegdecode.models.pieces import BAND, EDGE, Pieces, Reconstruction, build_encoder, errors


class Forecaster(nn.Module):
    """Tell the next piece of a trial from its beginning and the pieces so far (Vaswani et al., 2017).

    The encoder sees the first patches and no sample after them. The decoder takes the pieces from there on (the first
    may begin within the context), each in place of the one after it, and tells all at once: each attends to itself, to
    those before it, and to the encoder.
    In training it takes the true pieces (teacher forcing) or, with a probability that grows linearly from 0 to
    ``sampling``, what it told itself (scheduled sampling, Bengio et al., 2015), in two passes: the first tells all
    pieces from true ones, the second learns with some of them replaced, and no gradient goes back into the first
    (Mihaylova and Martins, 2019). For the front end see `MaskedAutoencoder`.

    Parameters
    ----------
    network : callable
        The network whose encoder is trained, see `MaskedAutoencoder`.
    context : float
        Share of the patches that the encoder sees.
    sampling : float
        Probability, at the end of the training, that a piece is replaced by its forecast; 0: teacher forcing alone.
    piece, target, band
        See `Pieces`.
    depth, heads : int
        Of the decoder.
    drop : float or None
        See `MaskedAutoencoder`.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *, network: Callable[..., Any],
        positions: Sequence[Sequence[float]] | None = None, context: float = 0.5, sampling: float = 0.5,
        piece: float = 0.5, target: str = "power", band: Sequence[float] = BAND, depth: int = 1, heads: int = 4,
        drop: float | None = 0.1,
    ) -> None:    # fmt: skip
        super().__init__()
        if not 0 < context < 1 or not 0 <= sampling <= 1:
            raise ValueError(f"task.context must lie between 0 and 1, task.sampling from 0 to 1: {context}, {sampling}")
        sizes = {"n_chans": n_chans, "n_times": n_times, "n_classes": n_classes, "sfreq": sfreq}
        self.network: Any = build_encoder(network, drop, **sizes, positions=positions)
        self.sampling, stem = sampling, self.network.stem
        self.n_visible = max(1, int(context * stem.n_tokens))    # of three patches one: then two pieces are told
        self.pieces = Pieces(n_chans, n_times, sfreq, length=piece, target=target, band=band)
        size, end = self.pieces.size, (self.n_visible - 1) * stem.stride + stem.patch
        self.first = max(1, math.ceil(end / size - EDGE))                    # piece that comes after the context
        self.end = min(end, self.first * size)                               # samples of the context
        if self.first >= self.pieces.n_pieces:
            raise ValueError(f"no piece comes after the context: lower task.context={context} or task.piece={piece}")
        width, n_features = self.network.width, self.pieces.n_features
        self.embed = nn.Linear(n_features, width)
        self.decoder = Decoder(
            width, n_pieces=self.n_draws, n_features=n_features, depth=depth, heads=heads, drop=drop or 0.0, causal=True
        )    # fmt: skip

    @property
    def n_draws(self) -> int:
        """Random numbers a trial: one for each piece that is told."""
        return self.pieces.n_pieces - self.first

    def plan(self, draws: Float[Tensor, "*run batch piece"], progress: float) -> Bool[Tensor, "*run batch piece"]:
        """Choose the pieces in whose place the decoder takes its own forecast; never the one that ends the context."""
        return draws < self.sampling * progress

    def reconstruct(
        self, x: Float[Tensor, "batch chan time"], replaced: Bool[Tensor, "batch piece"]
    ) -> Reconstruction:    # fmt: skip
        """Tell the pieces after the context, each from those before it."""
        tokens, there = self._context(x)
        truth = self.pieces(x)
        known, truth = truth[:, self.first - 1 : -1], truth[:, self.first :]
        told = self.decoder(self.embed(known), tokens, there)                # from true pieces
        own = torch.cat([known[:, :1], told[:, :-1].detach()], dim=1)
        taken = torch.where(replaced[..., None], own, known)
        told = self.decoder(self.embed(taken), tokens, there)
        return Reconstruction(told, truth, known, torch.ones_like(truth[..., 0], dtype=torch.bool))

    def forward(
        self, x: Float[Tensor, "batch chan time"], plan: Bool[Tensor, "batch piece"]
    ) -> Float[Tensor, "batch kind"]:    # fmt: skip
        """Errors of each trial, see `errors`."""
        return errors(*self.reconstruct(x, plan))

    def roll_out(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch piece feature"]:
        """Tell the pieces one after the other, each from the forecasts before it: no sample of those that are told."""
        tokens, there = self._context(x)
        taken = self.pieces(x)[:, self.first - 1 : self.first]
        for _ in range(self.n_draws):
            told = self.decoder(self.embed(taken), tokens, there)
            taken = torch.cat([taken, told[:, -1:]], dim=1)
        return taken[:, 1:]

    def _context(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n_tokens = self.network.stem.n_tokens
        visible = torch.arange(n_tokens, device=x.device) < self.n_visible
        seen = torch.arange(x.shape[-1], device=x.device) < self.end
        return self.network.encode(x, visible.expand(len(x), -1), seen.expand(len(x), -1))
