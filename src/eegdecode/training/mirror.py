"""Left and right of the head exchanged: which channel and which class stand for which."""

from __future__ import annotations

import re
from collections.abc import Sequence

WAY_OUT = "leave augment.symmetry=0"
# Letters of the 10-05 system. Caps of other systems count their electrodes: of E1 and EEG2 odd and even say nothing.
ROWS = frozenset([
    "fp", "afp", "af", "aff", "f", "fft", "ffc", "ft", "ftt", "fc", "fcc", "t", "ttp", "c", "ccp", "tp", "tpp", "cp",
    "cpp", "p", "ppo", "po", "poo", "o", "oi", "i", "n", "nfp",
])    # fmt: skip
EARS = frozenset("am")    # A1, A2, M1, M2; A3 is BioSemi's


def mirror_channels(ch_names: Sequence[str]) -> list[int]:
    """Position of each channel's partner across the midline: C3 and C4, FCC5h and FCC6h; Cz is its own.

    In the 10-05 system odd numbers stand left, and the next even one is the same place on the right.

    Raises
    ------
    ValueError
        If a channel has no partner in the list, or its name tells no place.
    """
    place = {name.lower(): i for i, name in enumerate(ch_names)}
    partners = [_partner(name.lower()) for name in ch_names]
    alone = [name for name, partner in zip(ch_names, partners, strict=True) if partner not in place]
    if alone or all(place[partner] == i for i, partner in enumerate(partners)):
        who = f"{', '.join(alone[:4])} {'has' if len(alone) == 1 else 'have'} none" if alone else "there is no pair"
        raise ValueError(
            f"augment.symmetry exchanges channels with their partners across the midline (C3 and C4), and {who}: "
            f"choose channels in pairs (preprocess.channels) or {WAY_OUT}"
        )
    return [place[partner] for partner in partners]


def _partner(name: str) -> str:
    found = re.fullmatch(r"([a-z]+?)(\d+)(h?)", name)
    if not found:
        return name if re.fullmatch(r"[a-z]*z", name) else ""
    letters, number, half = found[1], int(found[2]), found[3]
    if letters not in ROWS and not (letters in EARS and number in (1, 2)):
        return ""
    return f"{letters}{number + 1 if number % 2 else number - 1}{half}"


def mirror_classes(classes: Sequence[str]) -> list[int]:
    """Class of a mirrored trial: left_hand becomes right_hand, feet stay.

    Raises
    ------
    ValueError
        If no class has a side, or the other side of one is no class.
    """
    place = {name: i for i, name in enumerate(classes)}
    partners = [re.sub("left|right", lambda side: "left" if side[0] == "right" else "right", name) for name in classes]
    alone = [name for name, partner in zip(classes, partners, strict=True) if partner not in place]
    if alone or partners == list(classes):
        who = f"{', '.join(alone)} has none" if alone else f"{', '.join(classes)} have no side"
        raise ValueError(
            f"augment.symmetry exchanges left and right classes (left_hand and right_hand), and {who}: {WAY_OUT}"
        )
    return [place[partner] for partner in partners]
