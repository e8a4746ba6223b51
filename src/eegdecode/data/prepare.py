"""Prepare a data set: recordings become trials, subject by subject; each is computed once and kept."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from eegdecode.data.cache import Cache
from eegdecode.data.entry import join_signals
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.recording import Dataset, Recording
from eegdecode.trials import Trials, concatenate

log = logging.getLogger(__name__)


def load_trials(
    dataset: Dataset, preprocess: Preprocess, *, cache_dir: str | Path | None = None, n_jobs: int = 1,
    labelled: bool = True,
) -> Trials:    # fmt: skip
    """Return the trials of the selected subjects, from the cache where they have been prepared before.

    Parameters
    ----------
    cache_dir : path or None
        Where prepared trials are kept; None: ``$EEGDECODE_CACHE``, by default ``data/cache``.
    n_jobs : int
        Processes that prepare, each one subject at a time: memory is bounded by as many subjects.
    labelled : bool
        Whether trials of each class must be there, as whoever learns from them needs.

    Raises
    ------
    ValueError
        If what is asked for does not fit the recordings; the message names the recording and the way out.
    FileNotFoundError
        If a recording is not on disk and cannot be fetched.
    """
    subjects = dataset.subject_names()
    preprocess = _settle_channels(dataset, preprocess, cache_dir)
    cache = Cache(dataset, preprocess, cache_dir)
    ready = {subject: trials for subject in subjects if (trials := cache.load(subject)) is not None}
    # Ask for all that is missing before any work: a gap in the last subject shows now.
    sources = {subject: dataset.recordings(subject) for subject in subjects if subject not in ready}
    if n_jobs > 1 and len(sources) > 1:
        _prepare_side_by_side(dataset, preprocess, list(sources), cache_dir=cache_dir, n_jobs=n_jobs)
    for number, (subject, recordings) in enumerate(sources.items(), start=1):
        begin = time.perf_counter()
        ready[subject] = cache.load_or_compute(subject, recordings, partial(_compute, dataset, preprocess))
        _report(ready[subject], subject, f"{number} of {len(sources)}", time.perf_counter() - begin)
    trials = concatenate([ready.pop(subject) for subject in subjects], join=join_signals)
    if labelled:
        _check_classes(trials)
    return trials


def _prepare_side_by_side(
    dataset: Dataset, preprocess: Preprocess, subjects: Sequence[str], *, cache_dir: str | Path | None, n_jobs: int
) -> None:    # fmt: skip
    """Fill the cache by several processes; trials come back through the disk, never through a pipe."""
    context = multiprocessing.get_context("spawn")    # a fork may copy the locks of another library's threads
    with ProcessPoolExecutor(min(n_jobs, len(subjects)), mp_context=context) as pool:
        futures = [pool.submit(_prepare_into_cache, dataset, preprocess, subject, cache_dir) for subject in subjects]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare_into_cache(
    dataset: Dataset, preprocess: Preprocess, subject: str, cache_dir: str | Path | None
) -> None:    # fmt: skip
    cache = Cache(dataset, preprocess, cache_dir)
    cache.load_or_compute(subject, dataset.recordings(subject), partial(_compute, dataset, preprocess))


def _settle_channels(dataset: Dataset, preprocess: Preprocess, cache_dir: str | Path | None) -> Preprocess:
    """Replace ``channels: common`` by their names, for which every recording is opened once."""
    if preprocess.channels != "common":
        return preprocess
    subjects = dataset.subject_names()
    cache = Cache(dataset, preprocess, cache_dir)
    channels = cache.remember("channels", subjects, partial(_common_channels, preprocess))
    others = tuple(name for name in channels if name != preprocess.reference)
    return replace(preprocess, channels=others or channels)    # of none left `pick` tells, with the recording


def _common_channels(preprocess: Preprocess, recordings: Iterable[Recording]) -> tuple[str, ...]:
    from eegdecode.data.channels import common_channels  # as in `_compute`

    return common_channels(recordings, preprocess.names)


def _compute(dataset: Dataset, preprocess: Preprocess, subject: str, recordings: Iterable[Recording]) -> Trials:
    """Prepare a subject. With a full cache nothing comes here, and mne and scipy (a second) are not imported."""
    from eegdecode.data.assembly import prepare_subject

    return prepare_subject(dataset, preprocess, subject, recordings)


def _check_classes(trials: Trials) -> None:
    counts = np.bincount(trials.y, minlength=len(trials.classes))
    present = [name for name, count in zip(trials.classes, counts, strict=True) if count]
    absent = [name for name in trials.classes if name not in present]
    if len(present) < 2:
        others = f" and none of {', '.join(absent)}" if absent else ""
        raise ValueError(
            f"{trials.dataset}: all {len(trials)} trials are of one class ({present[0]}){others}: there is "
            "nothing to tell apart. Check dataset.events of your own files, dataset.classes of a published set"
        )
    if absent:
        raise ValueError(f"{trials.dataset}: no trial of class {', '.join(absent)}; name only what is there")


def _report(trials: Trials, subject: str, progress: str, seconds: float) -> None:
    n, n_chans, n_times = trials.X.shape
    log.info(
        "%s: subject %s (%s): %d trials, %d channels, %d samples at %g Hz, %.1f s",
        trials.dataset, subject, progress, n, n_chans, n_times, trials.signal.sfreq, seconds,
    )
