"""Assemble the trials of one subject: its recordings are preprocessed, cut and put into one table."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from eegdecode.data.continuous import preprocess_recording, standardise
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.quality import Note, crossing_trials, loud_trials, marked_trials, overlaps, rows, silent_trials
from eegdecode.data.recording import Dataset, Recording
from eegdecode.data.windows import cut_windows
from eegdecode.trials import NOTE_COLUMNS, Signal, Trials, fingerprint, signal_digests

log = logging.getLogger(__name__)


class Cut(NamedTuple):
    """Trials of one recording.

    ``kept`` are the numbers of their cues, ``begins`` the first sample of each, ``n_samples`` of the recording.
    """

    X: np.ndarray
    kept: np.ndarray
    begins: np.ndarray
    n_samples: int
    signal: Signal
    notes: list[Note]


def prepare_subject(
    dataset: Dataset, preprocess: Preprocess, subject: str, recordings: Iterable[Recording] | None = None
) -> Trials:
    """Turn the recordings of one subject into trials; nothing of any other subject enters."""
    interval = _interval(dataset, preprocess)
    parts, tables, notes, first, source, passed = [], [], [], None, "", 0
    cues: Counter[tuple[str, str]] = Counter()
    elapsed: defaultdict[tuple[str, str], float] = defaultdict(float)
    for recording in dataset.recordings(subject) if recordings is None else recordings:
        if recording.groups is not None:
            _check_sliding(interval, dataset)
        cut = _cut(recording, preprocess, interval)
        if first is None:
            first, source = cut.signal, recording.source
        parts.append(cut.X[:, _order(first, source, cut.signal, recording.source)])
        place = (recording.session, recording.run)
        times = _times(recording) + elapsed[place]
        names = _names(recording, times, begin=cues[place])
        table = _table(recording, cut.kept, tuple(dataset.classes), names=names, times=times)
        tables.append(table.assign(begin=passed + cut.begins, end=passed + cut.begins + cut.X.shape[2]))
        notes += rows(cut.notes, recording, names=names)
        cues[place] += len(recording.onsets)    # a run may lie in several files
        elapsed[place] += len(recording.raw.times) / float(recording.raw.info["sfreq"])
        passed += cut.n_samples
    if first is None or not sum(map(len, tables)):
        _check_rejection(notes, preprocess, f"{dataset.name}: subject {subject}")
        raise ValueError(
            f"{dataset.name}: subject {subject} has no trial of the classes {', '.join(dataset.classes)} "
            f"in {len(tables)} recordings; check the class names and what marks the cues"
        )
    X, meta = np.concatenate(parts), pd.concat(tables, ignore_index=True)
    meta["signal"] = signal_digests(X)
    marks, seen = {subject: fingerprint(X, meta)}, pd.DataFrame(notes, columns=list(NOTE_COLUMNS))
    return Trials(X, meta, first, tuple(dataset.classes), dataset.name, marks, seen)


def _cut(recording: Recording, preprocess: Preprocess, interval: tuple[float, float]) -> Cut:
    continuous = preprocess_recording(recording, preprocess)
    sfreq = continuous.sfreq
    starts, n_times = continuous.onsets + round(interval[0] * sfreq), round((interval[1] - interval[0]) * sfreq)
    loud = loud_trials(continuous.data, continuous.ch_names, starts, n_times=n_times, limit=preprocess.reject)
    tmin, tmax = interval
    silent = silent_trials(recording, continuous.changes, tmin=tmin, tmax=tmax)
    marked = marked_trials(recording, tmin=tmin, tmax=tmax) if preprocess.annotated == "drop" else []
    crossing = crossing_trials(recording, tmin=tmin, tmax=tmax) if preprocess.annotated == "drop" else []
    continuous = standardise(continuous, preprocess)
    X, kept = cut_windows(continuous, recording, preprocess=preprocess, interval=interval)
    partial = [Note("incomplete", "", 1.0, cue) for cue in sorted(set(range(len(starts))) - set(kept.tolist()))]
    why = {
        f"beyond {preprocess.reject or 0:g} µV": loud,
        "which the file marks bad (preprocess.annotated)": marked,
        "across a cut or a pause that the file marks (preprocess.annotated)": crossing,
        "in which no channel moves": silent,
    }
    for reason, dropped in why.items():
        if dropped:
            log.warning("%s: dropped %d of %d trials, %s", recording.source, len(dropped), len(starts), reason)
    quiet = ~np.isin(kept, [note.cue for note in [*loud, *marked, *crossing, *silent]])
    X, kept = X[quiet], kept[quiet]
    shared = overlaps(starts[kept], n_times=n_times) if recording.groups is None else []
    signal = Signal(continuous.ch_names, sfreq, interval[0], continuous.positions)
    notes = [*continuous.notes, *shared, *partial, *loud, *marked, *crossing, *silent]
    return Cut(X, kept, starts[kept], continuous.data.shape[1], signal, notes)


def _check_rejection(notes: list[dict[str, object]], preprocess: Preprocess, who: str) -> None:
    """Say why no trial is left, where there were some."""
    rejected = [row["value"] for row in notes if row["what"] == "rejected"]
    if rejected:
        raise ValueError(
            f"{who}: preprocess.reject={preprocess.reject:g} µV rejects every trial; their median is "
            f"{np.median(np.array(rejected, float)):.0f} µV peak to peak. Raise it, or set it to null"
        )
    counts = Counter(row["what"] for row in notes)
    if counts["marked"] or counts["boundary"] or counts["incomplete"] or counts["silent"]:
        raise ValueError(
            f"{who}: no trial is left. The file marks {counts['marked']} bad and {counts['boundary']} as cut or paused "
            f"(preprocess.annotated=keep takes them), no channel moves in {counts['silent']}, and "
            f"{counts['incomplete']} are not whole (shorten preprocess.tmin and preprocess.tmax, or choose other "
            "channels)"
        )


def _interval(dataset: Dataset, preprocess: Preprocess) -> tuple[float, float]:
    tmin = dataset.interval[0] if preprocess.tmin is None else preprocess.tmin
    tmax = dataset.interval[1] if preprocess.tmax is None else preprocess.tmax
    if tmin >= tmax:
        raise ValueError(
            f"the window begins at {tmin:g} s and ends at {tmax:g} s: set both preprocess.tmin and "
            f"preprocess.tmax ({dataset.name} has {dataset.interval[0]:g} to {dataset.interval[1]:g} s)"
        )
    return float(tmin), float(tmax)


def _check_sliding(interval: tuple[float, float], dataset: Dataset) -> None:
    """Windows that are laid one after another and then cut longer reach into those of the next cue."""
    begin, end = (float(time) for time in dataset.interval)
    if interval[0] < begin or interval[1] > end:
        raise ValueError(
            f"{dataset.name}: dataset.until lays windows of {begin:g} to {end:g} s, and preprocess.tmin and "
            f"preprocess.tmax cut {interval[0]:g} to {interval[1]:g} s, so that they would reach into the next cue's. "
            f"Set dataset.interval=[{interval[0]:g},{interval[1]:g}] and leave preprocess.tmin and preprocess.tmax null"
        )


def _times(recording: Recording) -> np.ndarray:
    """When each trial's cue or window comes, s after the recording began, however it is resampled."""
    raw = recording.raw
    return (raw.first_samp + np.asarray(recording.onsets)) / float(raw.info["sfreq"])


def _names(recording: Recording, times: np.ndarray, *, begin: int) -> list[str]:
    """Names of all trials: numbered by cue, so that a dropped one renames no other; windows of a cue by their time."""
    if recording.groups is None:
        return [f"{recording.name}_trial-{begin + i:04d}" for i in range(len(times))]
    return [f"{recording.name}_at-{time:.3f}" for time in times]    # s: a number would depend on length and overlap


def _table(
    recording: Recording, kept: np.ndarray, classes: tuple[str, ...], *, names: list[str], times: np.ndarray
) -> pd.DataFrame:
    """One row a trial."""
    unknown = sorted({str(label) for label in recording.labels} - set(classes))
    if unknown:
        raise ValueError(f"{recording.source}: labels {', '.join(unknown)} are no classes ({classes})")
    cues = kept if recording.groups is None else recording.groups[kept]    # of windows, the first stands at the cue
    table = pd.DataFrame(
        {
            "trial": [names[i] for i in kept],
            "subject": recording.subject,
            "session": recording.session,
            "run": recording.run,
            "recorded": _recorded(recording, kept),
            "cue": [f"{time:.3f}" for time in times[cues]],
            "label": np.array([classes.index(str(recording.labels[i])) for i in kept], dtype=np.int64),
        }
    )
    if recording.groups is not None:    # windows of one cue
        table["group"] = f"{recording.name}_cue-" + table["cue"]
    return table


def _recorded(recording: Recording, kept: np.ndarray) -> np.ndarray:
    """Time of each cue in s since 1970, as the recording is dated; NaN where it is not."""
    date = recording.raw.info["meas_date"]
    begin = date.timestamp() if date else np.nan    # of what was cut by MNE, the begin of the whole
    return begin + _times(recording)[kept]


def _order(first: Signal, source: str, signal: Signal, other: str) -> list[int] | slice:
    """Where the channels of the first recording stand in another one."""
    if signal.sfreq != first.sfreq:
        rates = f"{source} has {first.sfreq:.10g} Hz, {other} {signal.sfreq:.10g} Hz"
        raise ValueError(f"{rates}; set one rate by preprocess.sfreq")
    odd = sorted(set(first.ch_names) ^ set(signal.ch_names))
    if odd:
        common = ",".join(name for name in first.ch_names if name in signal.ch_names)
        raise ValueError(
            f"{source} and {other} differ in the channels {', '.join(odd)}; "
            f"keep those of both: preprocess.channels=[{common}]"
        )
    if signal.ch_names == first.ch_names:
        return slice(None)
    return [signal.ch_names.index(name) for name in first.ch_names]
