"""What one training epoch costs at least: operations and bytes, counted from the factored forms.

Counted are products and sums of the matrix products (two a multiply-add), the way back twice the way there less the
gradient of the input, which nobody wants; of long filters what Fourier transforms need, where that is less. Bytes:
signals are read once on the way there and once on the way back; a map that the way back needs is written once and read
once. Element-wise work, exponentials, random numbers and the optimiser are not counted, so that no program reaches the
floor.
"""

import math
from typing import NamedTuple

FLOAT = 4    # bytes


class Floor(NamedTuple):
    """Of one epoch."""

    operations: float
    bytes: float


def eegnet(n_chans: int, n_times: int, n_trials: int) -> Floor:
    """EEGNet-8,2 with 64 taps: channels are mixed first, so that 16 maps are filtered, not 8 x C."""
    maps, taps, pooled = 16, 64, n_times // 4
    mix = 2 * 2 * n_chans * maps * n_times    # there, and the gradient of the weights
    filters = _filtered(maps, taps, n_times)
    separable = _filtered(maps, 16, pooled) + 3 * 2 * pooled * maps * maps
    operations = mix + filters + separable
    touched = 2 * n_chans * n_times + 2 * maps * n_times    # the signals twice; the filtered maps written and read
    return Floor(n_trials * operations, n_trials * FLOAT * touched)


def s3t(n_chans: int, n_times: int, n_trials: int) -> Floor:
    """S3T with 51 and 5 samples: attention over 190 tokens in 5 heads of width 2, scores never written."""
    taps, stride, width, blocks = 51, 5, 10, 3
    filtered = n_times - taps + 1
    n_tokens = filtered // stride
    spatial = 3 * 3 * 2 * n_times * n_chans**2
    embed = _filtered(2 * n_chans, taps, n_times) + 3 * 2 * filtered * n_chans * 2 * width
    attention = (2 + 4) * 2 * n_tokens**2 * width    # q k and a v; then dv, da, dq and dk
    feed = 3 * 2 * n_tokens * (4 * width**2 + 2 * 4 * width**2)
    operations = spatial + embed + blocks * (attention + feed)
    touched = 2 * n_chans * n_times + 2 * 2 * n_chans * filtered    # the signals; the filtered maps
    return Floor(n_trials * operations, n_trials * FLOAT * touched)


def sttransformer(n_chans: int, n_times: int, n_trials: int) -> Floor:
    """Patches of 250 samples every 125, 45 frequencies of which are known; 80 maps; a block without attention."""
    n_tokens, freqs, width = (n_times - 250) // 125 + 1, 45, 80
    known = n_tokens * 2 * freqs * n_chans
    mixing = 3 * 2 * 2 * width * n_chans**2    # the filters times known axes, scaled, and back
    stem = 2 * 2 * known * width    # there, and the gradient of the filters
    feed = 3 * 2 * n_tokens * 2 * 2 * width**2
    pooling = 3 * 2 * 2 * n_tokens * width    # scores, and the mean by them
    operations = mixing + stem + feed + pooling
    touched = 2 * (known + n_chans * (n_chans + 1))    # what is remembered, read on both ways
    return Floor(n_trials * operations, n_trials * FLOAT * touched)


def _filtered(maps: int, taps: int, n_times: int) -> float:
    """Filters over time, there and back: as sums of products, or by two transforms of 2.5 n log2 n operations.

    Those of the output and of its gradient: the input's spectrum may be known, and its gradient wanted as one.
    """
    n = n_times + taps
    return min(3 * 2 * maps * taps * n_times, 2 * maps * 2.5 * n * math.log2(n))


FLOORS = {"eegnet": eegnet, "s3t": s3t, "sttransformer": sttransformer}
