"""Where the electrodes sit."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import mne
import numpy as np

HEAD = 0.3    # m: no electrode is farther from the middle of the head


def electrode_positions(
    info: mne.Info, ch_names: Sequence[str], *, standard: Sequence[str] | None = None
) -> np.ndarray:    # fmt: skip
    """Positions in m, head coordinates, shape (C, 3): the recording's, else a template's, else NaN.

    ``standard``: the names by which the template is asked, where they are others than the recording's.
    """
    locations = {ch["ch_name"]: ch["loc"][:3] for ch in info["chs"]}
    positions = np.array([locations[name] for name in ch_names], dtype=np.float64)
    distance = np.linalg.norm(positions, axis=1)
    unknown = ~((distance > 0) & (distance < HEAD))    # NaN, 0: not set; beyond: not in m (Kalunga2016: mm)
    positions[unknown] = np.nan
    if unknown.all():    # a mixture of measured and standard positions would be neither
        positions = template_positions(tuple(standard or ch_names)).copy()
    return positions


@functools.lru_cache(maxsize=64)    # every recording of a set asks for the same
def template_positions(ch_names: tuple[str, ...]) -> np.ndarray:
    """Positions on the template head, shape (C, 3); NaN where it does not know the name."""
    template = mne.create_info(list(ch_names), 1.0, "eeg", verbose="error")
    # The template knows T3 to T6; MNE's aliases would put T5 and T6 at T9 and T10 (not P7, P8).
    alike = len({name.lower() for name in ch_names}) < len(ch_names)    # a1 and A1: MNE then wants the case to match
    template.set_montage(standard_montage(), match_case=alike, on_missing="ignore", verbose="error")
    return np.array([ch["loc"][:3] for ch in template["chs"]], dtype=np.float64)


@functools.cache
def standard_montage() -> mne.channels.DigMontage:
    """Return the 10-05 template head, under the name that this version of MNE gives it."""
    known = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage("colin27_1005" if "colin27_1005" in known else "standard_1005")
