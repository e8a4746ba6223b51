"""Factories that every wing's tests share."""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:    # a process a core: more threads than one would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:    # in the background of a shell: tests inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pandas as pd
import pytest
import tests.typecheck  # noqa: F401  (the hook looks it up by name)
from jaxtyping import install_import_hook

os.environ.setdefault("MPLBACKEND", "Agg")
install_import_hook("eegdecode", "tests.typecheck.check")

from eegdecode.trials import Signal, Trials, fingerprint  # noqa: E402  (after the hook)


@pytest.fixture
def make_trials():
    """Return a factory of small labelled trials: each class makes one channel oscillate."""

    def make(n_subjects=2, n_sessions=2, n_trials=24, n_chans=6, n_times=128, n_classes=3, seed=0, strength=2.0):
        rng = np.random.default_rng(seed)
        time = np.arange(n_times) / 128
        signals, rows = [], []
        for subject in range(1, n_subjects + 1):
            for session in range(n_sessions):
                for trial in range(n_trials):
                    label = trial % n_classes
                    x = rng.normal(size=(n_chans, n_times))
                    x[label] += strength * np.sin(2 * np.pi * 10 * time + rng.uniform(0, 6.28))
                    signals.append(x)
                    rows.append((f"{subject}/{session}/{trial}", str(subject), f"s{session}", "0", label))
        meta = pd.DataFrame(rows, columns=["trial", "subject", "session", "run", "label"])
        X = np.asarray(signals, np.float32)
        names = tuple(f"C{i}" for i in range(n_chans))
        marks = {s: fingerprint(X[meta["subject"] == s], meta[meta["subject"] == s]) for s in meta["subject"].unique()}
        signal = Signal(names, 128.0, 0.0, np.full((n_chans, 3), np.nan))
        return Trials(X, meta, signal, tuple("abcdef"[:n_classes]), "toy", marks)

    return make
