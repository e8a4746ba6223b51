"""The spatial-temporal Transformer: attention over channels, then over patches of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eegdecode.models.attention import UNORDERED
from eegdecode.models.block import OFF, Encoder, TokenDropout
from eegdecode.models.divided import ORDERS, DividedEncoder
from eegdecode.models.layers import at_least, choose
from eegdecode.models.masks import valid_tokens
from eegdecode.models.patches import patch_counts
from eegdecode.models.pooling import AttentionPooling, pooling
from eegdecode.models.positions import POSITIONS
from eegdecode.models.spatial import ElectrodeCode, SpatialAttention, WhiteningAttention
from eegdecode.models.stems import Bend, FourierStem, make_stem

SPATIAL = ("whiten", "signals", "noop", "off", *ORDERS)


class STTransformer(nn.Module):
    """Spatial attention, patches of time, temporal attention, classify.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Sizes of the input (C, T) and the output (K).
    sfreq : float
        Sampling rate in Hz; turns the times below into samples.
    positions : sequence of shape (C, 3) or None
        Of the electrodes in m, for `ElectrodeCode`; None where channels are no electrodes.
    width, depth, expand : int
        Width of a token, number of blocks, width of the feed-forward as a multiple.
    heads : int or None
        Of the attention in the blocks; None: four, or none where ``block`` has no attention.
    patch, stride : float
        Patch, and distance between patches, in s. A shorter trial is one patch.
    drop : float
        Dropout rate everywhere.
    drop_tokens : float
        Rate at which whole patches are zeroed before they are told their places.
    spatial : str
        Where channels attend to each other. ``"whiten"``: in the signals, by a power of their covariance, to be used
        with ``frontend=whiten``; ``"signals"``: in the signals, by likeness, as in S3T;
        ``"before"``, ``"after"``, ``"interleaved"``: every channel has tokens of its own, and blocks over
        channels stand before, after or between those over time (Bertasius et al., 2021, divided attention);
        ``"off"``: not at all; ``"noop"``: as the authors of S3T wrote it, without effect.
    spatial_heads : int
        Heads of the attention in the signals; one where it is in the blocks, which have ``heads``.
    stem, position, pool : str
        Words of `STEMS`, `POSITIONS` and `POOLINGS` (of a single patch ``"attention"`` is the mean).
    stem_options, block : mapping
        More of the stem (``kernels``, ``fmax``) and of each `Block` (``norm``, ``order``, ``feed``, ``skip``,
        ``kernel`` and its settings); by themselves those of a plain Transformer, layer norm and softmax, where
        ``model=sttransformer`` has what its ablation left. With ``kernel="off"`` patches do not see each other in
        the blocks, and attention over time is what the pooling does.

    Attributes
    ----------
    tied : str
        What ties the weights to the channels that they learn from; empty where `ElectrodeCode` tells channels apart,
        so that the network serves other electrodes, too. ``scripts/predict.py`` and ``model.init_from`` then build it
        anew with their positions.

    References
    ----------
    Song, Jia, Yang, Xie, Transformer-based spatial-temporal feature learning for EEG decoding,
    arXiv 2106.11170, 2021.
    """

    def __init__(
        self, n_chans: int, n_times: int, n_classes: int, sfreq: float, *,
        positions: Sequence[Sequence[float]] | None = None,
        width: int = 80, heads: int | None = None, depth: int = 1, expand: int = 2,
        patch: float = 1.0, stride: float = 0.5, drop: float = 0.5, drop_tokens: float = 0.0,
        spatial: str = "whiten", spatial_heads: int = 1,
        stem: str = "fourier", position: str = "learned", pool: str = "attention",
        stem_options: Mapping[str, Any] | None = None, block: Mapping[str, Any] | None = None,
    ) -> None:    # fmt: skip
        super().__init__()
        choose("model.spatial", spatial, dict.fromkeys(SPATIAL))
        for name, number in {"width": width, "depth": depth, "expand": expand, "spatial_heads": spatial_heads}.items():
            at_least(f"model.{name}", number, 1)
        self.tied = self._tie(spatial, positions, (block or {}).get("kernel", "softmax"))
        divided, self.width = spatial in ORDERS, width
        self._refuse(spatial, spatial_heads, position, pool, heads, block or {})
        self.mixing = self.code = None
        if spatial in ("signals", "noop"):
            self.mixing = SpatialAttention(n_chans, heads=spatial_heads, drop=drop, noop=spatial == "noop")
        elif spatial == "whiten":
            self.mixing = WhiteningAttention(width, heads=spatial_heads)
        self.stem = make_stem(
            stem, stem_options, n_chans=1 if divided else n_chans, n_times=n_times, width=width, sfreq=sfreq,
            patch=patch, stride=stride, drop=drop,
        )    # fmt: skip
        self.drop_tokens = TokenDropout(drop_tokens) if drop_tokens else nn.Identity()    # draws nothing
        pooled = pooling(pool, width, self.stem.n_tokens)
        self.position = choose("model.position", position, POSITIONS)(width, self.stem.n_tokens)
        inner = {
            "width": width, "heads": 4 if heads is None else heads, "depth": depth, "expand": expand, "drop": drop,
            "n_tokens": self.stem.n_tokens + pooled.added, "rotary": position == "rotary", **(block or {}),
        }    # fmt: skip
        if divided:
            self.code = ElectrodeCode(n_chans, width, positions)
            self.encoder = DividedEncoder(layout=spatial, n_chans=n_chans, **inner)
        else:
            self.encoder = Encoder(**inner)
        self.norm, self.pool = nn.LayerNorm(width), pooled    # here, for layers count from front to head
        self.head = nn.Linear(pooled.parts * width, n_classes)

    def remember(self, x: Float[Tensor, "batch chan time"]) -> Float[Tensor, "batch number"] | None:
        """What `forward` takes as ``memory``: how channels relate, and the coefficients of a Fourier stem."""
        parts = [] if self.mixing is None else [self.mixing.relations(x)]
        parts += [self.stem.coefficients(self._channels(x))] if isinstance(self.stem, FourierStem) else []
        return torch.cat([part.reshape(len(x), -1) for part in parts], dim=1) if parts else None

    def forward(
        self, x: Float[Tensor, "batch chan time"], memory: Float[Tensor, "batch number"] | None = None,
        valid_lens: Int[Tensor, " batch"] | None = None, return_attention: bool = False,
    ) -> Float[Tensor, "batch class"] | tuple[Tensor, dict[str, Tensor]]:    # fmt: skip
        """Logits of each trial.

        Parameters
        ----------
        valid_lens : Tensor of int, shape (B,), or None
            Samples of each trial, at least a patch; what comes after is padding and changes nothing.
        return_attention : bool
            Also return the weights of what attends: ``spatial`` (B, H, C, C) of the signals, ``temporal``
            (depth, B, H, N, N) of the blocks, ``pooling`` (B, N) of the patches; of blocks over channels and patches
            (depth, B, N, H, C, C) and (depth, B, C, H, N, N), pooled by (B, C, N).
        """
        seen = valid = None
        if valid_lens is not None:
            seen = torch.arange(x.shape[-1], device=x.device) < valid_lens[:, None]
            x = x.masked_fill(~seen[:, None], 0)
            counts = patch_counts(valid_lens, size=self.stem.patch, stride=self.stem.stride)
            valid = valid_tokens(counts, self.stem.n_tokens)
        related, known = self._recall(x, memory, seen)
        z = self.drop_tokens(self.stem(known, self._bend(related), self._of_each(seen)))    # (B, N, D) or (B C, N, D)
        z, weights = self._encode(z, valid, return_attention)                # (B, D)
        logits = self.head(z)
        if not return_attention:
            return logits
        of_chans = {} if self.mixing is None or related is None else {"spatial": self.mixing.weights(related)}
        return logits, {**of_chans, **weights}

    def encode(
        self, x: Float[Tensor, "batch chan time"], visible: Bool[Tensor, "batch token"],
        seen: Bool[Tensor, "batch time"],
    ) -> tuple[Float[Tensor, "batch added_token width"], Bool[Tensor, "batch added_token"]]:    # fmt: skip
        """Tokens behind the blocks, and which of them are there: what pretraining asks for.

        Samples that are not seen are taken away first, as padding is, so that nothing of them reaches a token: neither
        through a patch that overlaps theirs, nor through how the channels relate.
        """
        if self.code is not None:
            raise ValueError("model.spatial=before, after and interleaved cannot be pretrained; take signals or off")
        related, known = self._recall(x.masked_fill(~seen[:, None], 0), None, seen)
        z = self.drop_tokens(self.stem(known, self._bend(related), seen))
        z, there = self.pool.extend(self.position(z, visible), visible)
        assert there is not None    # as what is visible was given
        return self.norm(self.encoder(z, there)), there

    @staticmethod
    def _refuse(
        spatial: str, spatial_heads: int, position: str, pool: str, heads: int | None, block: Mapping[str, Any]
    ) -> None:    # fmt: skip
        """Name two words that do not go together."""
        if spatial_heads > 1 and spatial in (*ORDERS, "off"):
            way = "leaves it out" if spatial == "off" else "attends in the blocks, whose heads are model.heads"
            said = f"model.spatial_heads={spatial_heads} is of attention over channels in the signals"
            raise ValueError(f"{said}, and model.spatial={spatial} {way}: take model.spatial_heads=1")
        if block.get("kernel") == OFF:
            way = "take model.block.kernel=softmax beside it"
            if spatial in ORDERS:
                raise ValueError(f"model.spatial={spatial} attends in the blocks, of which kernel=off has none; {way}")
            if heads is not None:
                said = f"model.heads={heads} is of attention in the blocks, of which kernel=off has none"
                raise ValueError(f"{said}; {way}")
            if pool == "token":
                raise ValueError(f"model.pool=token gathers in the blocks, where kernel=off has no attention; {way}")
            if position == "rotary":
                raise ValueError(f"model.position=rotary turns what kernel=off has not, queries and keys; {way}")

    @staticmethod
    def _tie(spatial: str, positions: Sequence[Sequence[float]] | None, kernel: str) -> str:
        """What ties the weights to channels, as it is typed."""
        if spatial not in ORDERS:
            return f"model.spatial={spatial} learns filters with a weight for each channel"
        if kernel not in UNORDERED:
            others = ", ".join(UNORDERED)
            return f"model.block.kernel={kernel} knows channels by their place in the list ({others} do not)"
        return "it was trained without positions, a code for each channel" if positions is None else ""

    def _channels(self, x: Tensor) -> Tensor:
        """Take channels for trials of one channel, where each has tokens of its own."""
        return x if self.code is None else rearrange(x, "b c t -> (b c) 1 t")

    def _of_each(self, mask: Tensor | None) -> Tensor | None:
        """A mask (B, N) of the trials of `_channels`."""
        return mask if mask is None or self.code is None else repeat(mask, "b n -> (b c) n", c=self.encoder.n_chans)

    def _bend(self, related: Tensor | None) -> Bend:
        """Return what the attention over channels does to the spatial filters."""
        mixing = self.mixing
        return None if mixing is None or related is None else lambda filters: mixing.bend(filters, related)

    def _recall(self, x: Tensor, memory: Tensor | None, seen: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Return how the channels relate, and what the stem takes."""
        if memory is None:
            related = None if self.mixing is None else self.mixing.relations(x, seen)
            return related, self.stem.coefficients(self._channels(x))
        related, size = None, 0
        if self.mixing is not None:
            shape = (x.shape[1], x.shape[1] + self.mixing.columns)
            size = shape[0] * shape[1]
            related = memory[:, :size].reshape(-1, *shape)
        if not isinstance(self.stem, FourierStem):
            return related, self._channels(x)
        return related, memory[:, size:].reshape(-1, *self.stem.shape)

    def _encode(self, z: Tensor, valid: Tensor | None, return_attention: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Attend, and pool the tokens of a trial."""
        if self.code is None:
            z, seen = self.pool.extend(self.position(z, valid), valid)
            z, mixed = self.encoder(z, seen, True) if return_attention else (self.encoder(z, seen), None)
            weights, z = {} if mixed is None else {"temporal": mixed}, self.norm(z)
            if return_attention and isinstance(self.pool, AttentionPooling):
                weights["pooling"] = self.pool.weights(z, seen)
            return self.pool(z, seen), weights
        n_chans = self.encoder.n_chans
        of_each = self._of_each(valid)
        z, of_each = self.pool.extend(self.position(z, of_each), of_each)
        z = self.code(rearrange(z, "(b c) n d -> b c n d", c=n_chans))
        seen = None if of_each is None else of_each[::n_chans]
        z, mixed = self.encoder(z, seen, return_attention)
        z = rearrange(self.norm(z), "b c n d -> (b c) n d")
        if return_attention and isinstance(self.pool, AttentionPooling):
            mixed["pooling"] = rearrange(self.pool.weights(z, of_each), "(b c) n -> b c n", c=n_chans)
        return rearrange(self.pool(z, of_each), "(b c) d -> b c d", c=n_chans).mean(1), mixed
