"""Channels of a recording: which, under what names, mended, and against what reference. All maps are linear."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import mne
import numpy as np

from eegdecode.data.positions import electrode_positions, standard_montage
from eegdecode.data.recording import Recording

# The 10-20 names of 1958 and their successors (Klem et al., 1999).
RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
N_NEIGHBOURS = 4    # of a Laplacian, as Hjorth took
# EDF and GDF know no types: MNE takes all that they hold for EEG
OTHER = re.compile(
    r"(eeg[ :_-]*)?([hv]?eog[hv]?|[hv]eo|eye|exg\d|erg\d|ecg|ekg|emg|gsr|eda|resp|pulse?|plet|ppg|temp|trig|status|"
    r"marker)(?![a-z])", re.I
)
LOUD = 5.0    # times the median of all channels: a channel is bad

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Channels:
    """Signals of some channels.

    Attributes
    ----------
    data : ndarray, shape (C, n_samples)
    names : tuple of str
    positions : ndarray, shape (C, 3)
        In m, head coordinates; NaN where unknown.
    mended : tuple of str
        Those that were interpolated.
    """

    data: np.ndarray
    names: tuple[str, ...]
    positions: np.ndarray
    mended: tuple[str, ...] = ()


def eeg_names(recording: Recording, spelling: str | None) -> list[str]:
    """Names of the EEG channels of a recording, in its order; what only the format calls EEG is left out."""
    return [name for name in _called_eeg(recording, spelling) if not OTHER.match(name)]


def _called_eeg(recording: Recording, spelling: str | None) -> list[str]:
    known = unify(recording.raw.ch_names, spelling, recording.source)
    return [name for name, kind in zip(known, recording.raw.get_channel_types(), strict=True) if kind == "eeg"]


def common_channels(recordings: Iterable[Recording], spelling: str | None) -> tuple[str, ...]:
    """EEG channels that all recordings have, in the order of the first."""
    common: list[str] | None = None
    for recording in recordings:
        names = eeg_names(recording, spelling)
        left = names if common is None else [name for name in common if name in names]
        if not left:
            raise ValueError(
                f"{recording.source}: no EEG channel is common to it and those before (preprocess.channels=common): "
                f"it has {', '.join(names) or 'none'}, they have {', '.join(common or ['none'])}"
            )
        common = left
    return tuple(common or ())


def unify(names: Sequence[str], spelling: str | None, source: str) -> list[str]:
    """Spell names as the 10-05 system does: ``EEG FP1-REF`` is ``Fp1``, ``T3`` is ``T7``; others stay.

    Parameters
    ----------
    spelling : {None, "standard"}
        None changes nothing.
    """
    if spelling is None:
        return list(names)
    known = {name.lower(): name for name in standard_montage().ch_names}
    found = []
    for name in names:
        plain = name.strip().strip(".").upper().removeprefix("EEG ").removesuffix("-REF").removesuffix("-LE")
        found.append(RENAMED.get(plain) or known.get(plain.strip().lower(), name))
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        both = [name for name, new in zip(names, found, strict=True) if new == twice[0]]
        raise ValueError(f"{source}: the channels {' and '.join(both)} are both {twice[0]}; set preprocess.names=null")
    return found


def pick(recording: Recording, *, channels: Sequence[str] | None, reference: str | None, names: str | None) -> Channels:
    """Read the wanted channels in V; the channel ``reference``, if it is one, stands last."""
    raw = recording.raw
    known = unify(raw.ch_names, names, recording.source)
    wanted = list(channels) if channels else eeg_names(recording, names)
    if not channels and (others := [each for each in _called_eeg(recording, names) if each not in wanted]):
        log.warning("%s: %s left out, no EEG by name (preprocess.channels=[...])", recording.source, ", ".join(others))
    if not wanted:
        types = sorted(set(raw.get_channel_types()))
        raise ValueError(
            f"{recording.source}: no channel of type EEG (types: {', '.join(types)}); "
            "name them by preprocess.channels"
        )
    extra = [reference] if reference not in (None, "average") else []
    rest = [name for name in wanted if name != reference]
    absent = [name for name in [*rest, *extra] if name not in known]
    if absent:
        raise ValueError(f"{recording.source}: no channel {', '.join(absent)}; it has {', '.join(known)}")
    if not rest or (reference == "average" and len(rest) == 1):
        raise ValueError(f"{recording.source}: preprocess.reference={reference} leaves nothing of {', '.join(wanted)}")
    wanted = rest + extra
    picks = np.array([known.index(name) for name in wanted])
    data = np.asarray(raw.get_data(picks=picks), dtype=np.float64)
    positions = electrode_positions(raw.info, [raw.ch_names[i] for i in picks], standard=wanted)
    return Channels(data, tuple(wanted), positions)


def mend(
    channels: Channels, bads: Sequence[str] | str | None, source: str, *, reference: str | None = None
) -> Channels:    # fmt: skip
    """Replace bad channels by what spherical splines make of the others (Perrin et al., 1989).

    Parameters
    ----------
    bads : sequence of str, "auto" or None
        ``"auto"``: channels that are flat or missing throughout, or whose difference from sample to sample
        deviates five times as much as the median channel's.
    """
    found = find_bads(channels) if bads == "auto" else list(bads or ())
    # The reference is flat by nature: what neighbours make of it is not to be subtracted.
    bad = [name for name in found if bads != "auto" or name != reference]
    if not bad:
        return channels
    absent = [name for name in bad if name not in channels.names]
    if absent:
        known = ", ".join(channels.names)
        raise ValueError(f"{source}: no channel {', '.join(absent)} (preprocess.bads); there are {known}")
    unknown = [name for name, at in zip(channels.names, channels.positions, strict=True) if np.isnan(at).any()]
    if unknown or len(channels.names) - len(bad) < 4:
        reason = f"no position is known for {', '.join(unknown)}" if unknown else "fewer than four channels are good"
        raise ValueError(f"{source}: {', '.join(bad)} cannot be interpolated (preprocess.bads): {reason}")
    info = mne.create_info(list(channels.names), 1.0, "eeg", verbose="error")
    places = dict(zip(channels.names, channels.positions, strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    weights = mne.io.RawArray(np.eye(len(places)), info, verbose="error")    # interpolation is linear
    weights.info["bads"] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of the fit of a sphere
        weights.interpolate_bads(verbose="error")
    matrix = np.array(weights.get_data())
    matrix[:, [channels.names.index(name) for name in bad]] = 0
    return replace(channels, data=apply(matrix, channels.data), mended=tuple(bad))


def marked_bad(recording: Recording, channels: Channels, spelling: str | None) -> list[str]:
    """Those of the channels that the file itself marks bad."""
    marked = unify(recording.raw.info["bads"], spelling, recording.source)
    return [name for name in channels.names if name in marked]


def find_bads(channels: Channels) -> list[str]:
    """Channels that are flat, missing throughout, or far louder than the others."""
    deviation = np.zeros(len(channels.names))
    for i, x in enumerate(channels.data):
        steps = np.diff(x[np.isfinite(x)])
        deviation[i] = steps.std() if len(steps) else 0
    alive = deviation > 0
    limit = LOUD * np.median(deviation[alive]) if alive.any() else 0
    return [name for name, d in zip(channels.names, deviation, strict=True) if d == 0 or d > limit]


def rereference(channels: Channels, reference: str | None) -> Channels:
    """Subtract the average of all, or the channel ``reference``, which is dropped."""
    if reference == "average":
        return replace(channels, data=channels.data - channels.data.mean(axis=0))
    if reference is None:
        return channels
    at = channels.names.index(reference)
    rest = [i for i in range(len(channels.names)) if i != at]
    names = tuple(channels.names[i] for i in rest)
    data = channels.data[rest] - channels.data[at]
    return replace(channels, data=data, names=names, positions=channels.positions[rest])


def bipolar(channels: Channels, pairs: Sequence[Sequence[str]], source: str) -> Channels:
    """Differences of pairs of channels, named ``C3-Cz``; each sits half-way between its two."""
    absent = sorted({name for pair in pairs for name in pair if name not in channels.names})
    if absent:
        known = ", ".join(channels.names)
        raise ValueError(f"{source}: no channel {', '.join(absent)} (preprocess.bipolar); there are {known}")
    first, second = (np.array([channels.names.index(pair[i]) for pair in pairs]) for i in (0, 1))
    names = tuple(f"{a}-{b}" for a, b in pairs)
    positions = (channels.positions[first] + channels.positions[second]) / 2
    return replace(channels, data=channels.data[first] - channels.data[second], names=names, positions=positions)


def laplacian(channels: Channels, source: str) -> Channels:
    """Subtract from each channel the mean of its four nearest, weighted by 1 / distance (Hjorth, 1975).

    The nearest-neighbour form stays in µV and needs no model of the head; with electrodes as sparse as in
    BCI it is as good as splines (McFarland et al., 1997, Electroencephalogr. Clin. Neurophysiol. 103).
    """
    unknown = [name for name, at in zip(channels.names, channels.positions, strict=True) if np.isnan(at).any()]
    if unknown or len(channels.names) <= N_NEIGHBOURS:
        reason = f"no position is known for {', '.join(unknown)}" if unknown else f"{len(channels.names)} channels"
        raise ValueError(f"{source}: preprocess.spatial=laplacian needs five channels with positions: {reason}")
    distance = np.linalg.norm(channels.positions[:, None] - channels.positions, axis=2)
    np.fill_diagonal(distance, np.inf)
    if (distance < 1e-6).any():
        raise ValueError(f"{source}: two channels share a position; preprocess.spatial=laplacian cannot be")
    matrix = np.eye(len(distance))
    for i, row in enumerate(distance):
        near = np.argsort(row)[:N_NEIGHBOURS]
        matrix[i, near] = -(1 / row[near]) / (1 / row[near]).sum()
    return replace(channels, data=apply(matrix, channels.data))


def apply(matrix: np.ndarray, data: np.ndarray) -> np.ndarray:
    """``matrix @ data``, where missing samples (NaN) reach only those channels that they have a part in."""
    if np.isfinite(data).all():
        return matrix @ data
    rows = [np.flatnonzero(row) for row in matrix]
    return np.stack([row[used] @ data[used] for row, used in zip(matrix, rows, strict=True)])
