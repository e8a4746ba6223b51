"""Pretraining by masked patches: an encoder sees some patches, a decoder tells the rest of the trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegdecode.models.decoder import Decoder
from eegdecode.models.patches import seen_samples
from eegdecode.models.pieces import BAND, Pieces, Reconstruction, build_encoder, errors

LEAST_HIDING = 0.9    # share of the trials of which something is told; of the others the error is 0


class MaskedAutoencoder(nn.Module):
    """Hide most patches from the encoder; the decoder tells the pieces of which nothing was seen (He et al., 2022).

    The decoder has a learned mask token for each piece, which attends to the encoder by cross-attention (Vaswani et
    al., 2017). Patches of our networks overlap: what is hidden is every sample that lies in no visible patch, also for
    the likeness of channels (`STTransformer.encode`), and only pieces without any visible sample count. A window that
    reaches beyond its patch finds silence there, where the trial goes on when it is classified. What goes before the
    network is not hidden: a front end with ``own`` or ``per_trial`` divides a trial by its own covariance, so that the
    power of the whole trial is told. With ``model.position=none`` the decoder is not told where the visible patches
    lie: ``learned`` tells it.

    Parameters
    ----------
    network : callable
        The network whose encoder is trained; built with the sizes and, if given, ``drop``. It has a method ``encode``.
    ratio : float
        Share of the patches that is masked; He et al. found 0.75 the best for images.
    piece, target, band
        See `Pieces`.
    depth, heads : int
        Of the decoder; its width is the network's.
    drop : float or None
        Dropout rate everywhere while it is pretrained. None: the network's own, and none in the decoder.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *, network: Callable[..., Any],
        positions: Sequence[Sequence[float]] | None = None, ratio: float = 0.75, piece: float = 0.5,
        target: str = "power", band: Sequence[float] = BAND, depth: int = 1, heads: int = 4,
        drop: float | None = 0.1,
    ) -> None:    # fmt: skip
        super().__init__()
        if not 0 < ratio < 1:
            raise ValueError(f"task.ratio must lie between 0 and 1, got {ratio}")
        sizes = {"n_chans": n_chans, "n_times": n_times, "n_classes": n_classes, "sfreq": sfreq}
        self.network: Any = build_encoder(network, drop, **sizes, positions=positions)
        self.n_tokens = self.network.stem.n_tokens
        self.n_visible = min(self.n_tokens - 1, max(1, round((1 - ratio) * self.n_tokens)))
        self.pieces = Pieces(n_chans, n_times, sfreq, length=piece, target=target, band=band)
        self._check_hidden(n_times, ratio)
        width = self.network.width
        self.mask = nn.Parameter(torch.randn(width) * 0.02)
        self.decoder = Decoder(
            width, n_pieces=self.pieces.n_pieces, n_features=self.pieces.n_features, depth=depth, heads=heads,
            drop=drop or 0.0, causal=False,
        )    # fmt: skip

    @property
    def n_draws(self) -> int:
        """Random numbers a trial."""
        return self.n_tokens

    def plan(self, draws: Float[Tensor, "*run batch token"], progress: float) -> Bool[Tensor, "*run batch token"]:
        """Choose the visible patches of each trial: those with the largest numbers."""
        return draws.argsort(dim=-1).argsort(dim=-1) >= self.n_tokens - self.n_visible

    def reconstruct(
        self, x: Float[Tensor, "batch chan time"], visible: Bool[Tensor, "batch token"]
    ) -> Reconstruction:    # fmt: skip
        """Tell every piece from the visible patches alone."""
        hidden, seen = self._hide(visible, x.shape[-1])
        tokens, there = self.network.encode(x, visible, seen)
        told = self.decoder(self.mask.expand(len(x), self.pieces.n_pieces, -1), tokens, there)
        truth, known = self.pieces(x), ~hidden[..., None]                    # (B, S, features), (B, S, 1)
        mean = (truth * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
        return Reconstruction(told, truth, mean.expand_as(truth), hidden)

    def _check_hidden(self, n_times: int, ratio: float) -> None:
        """Refuse a ratio at which visible patches, which overlap, cover what is hidden: nothing would be told."""
        draws = torch.rand(256, self.n_tokens, generator=torch.Generator().manual_seed(0))
        hides = float(self._hide(self.plan(draws, 0.0), n_times)[0].any(1).float().mean())
        if hides < LEAST_HIDING:
            raise ValueError(
                f"task.ratio={ratio} hides a whole piece in only {hides:.0%} of the trials, for patches overlap: raise "
                "it, or lower task.piece or model.patch"
            )

    def _hide(self, visible: Tensor, n_times: int) -> tuple[Tensor, Tensor]:
        """Which pieces are hidden, and which samples are seen."""
        stem = self.network.stem
        return self.pieces.hidden(seen_samples(visible, size=stem.patch, stride=stem.stride, n_times=n_times))

    def forward(
        self, x: Float[Tensor, "batch chan time"], plan: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch kind"]:    # fmt: skip
        """Errors of each trial, see `errors`."""
        return errors(*self.reconstruct(x, plan))
