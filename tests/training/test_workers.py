import logging
import multiprocessing
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.few import some_runs
from torch import nn

from eegdecode.models.eegnet import EEGNet
from eegdecode.training import workers as wing
from eegdecode.training.crew import count_cores
from eegdecode.training.deep import DeepTrainer
from eegdecode.training.frontend import CSP, ZScore
from eegdecode.training.job import job_folder

MODEL = partial(EEGNet, drop=0.5)


class Deadly(nn.Module):
    """Kills the worker that builds it with ``drop=0.5``."""

    def __init__(self, n_chans, n_times, n_classes, sfreq, drop=0.0):
        super().__init__()
        if drop and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        self.head = nn.Linear(n_chans, n_classes)

    def forward(self, x):
        return self.head(x.square().mean(2))


@pytest.fixture(autouse=True)
def one_thread_and_a_folder(monkeypatch, tmp_path):
    """Results are equal to the bit for equal numbers of threads; and whatever is left behind is seen."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    assert multiprocessing.active_children() == []
    assert list(tmp_path.glob("eegdecode-*")) == []


def fit(trials, runs, *, model=MODEL, frontend=None, workers=2, epochs=2, on_epoch=lambda run, row: None):
    trainer = DeepTrainer(epochs=epochs, batch_size=16, device="cpu", workers=workers)
    return trainer.fit(model, trials, [runs[:1], runs[1:]], frontend=frontend or ZScore(), on_epoch=on_epoch)


@pytest.mark.parametrize("frontend", [ZScore(), CSP(n_filters=2, per_trial=True)], ids=["zscore", "csp"])
def test_workers_give_what_one_process_gives(make_trials, frontend):
    trials = make_trials()
    runs = some_runs(trials)
    told = {1: [], 2: []}
    here, there = (
        {p.run: p for p in fit(trials, runs, frontend=frontend, workers=n, on_epoch=lambda *e, n=n: told[n].append(e))}
        for n in (1, 2)
    )
    assert set(here) == set(there) == set(runs)
    for run in runs:
        for part in ("val", "test"):
            np.testing.assert_array_equal(here[run].logits[part], there[run].logits[part])
        np.testing.assert_array_equal(here[run].history, there[run].history)
        assert here[run].weights.keys() == there[run].weights.keys()
        assert here[run].model == there[run].model
        epochs = [[row for of, row in told[n] if of is run] for n in (1, 2)]
        np.testing.assert_equal(*epochs)
        assert len(epochs[0]) == 2


def test_signals_on_disk_are_not_written_again(make_trials, tmp_path):
    trials = make_trials()
    np.save(tmp_path / "X.npy", trials.X)
    mapped = replace(trials, X=np.load(tmp_path / "X.npy", mmap_mode="r"))
    for X, written in ((trials.X, True), (mapped.X, False), (mapped.X[::-1], True)):
        with job_folder(DeepTrainer(device="cpu"), MODEL, replace(trials, X=X), ZScore()) as folder:
            assert (folder / "X.npy").exists() is written
    runs = some_runs(trials, 2)
    here, there = (list(fit(mapped, runs, workers=n)) for n in (1, 2))
    for one in here:
        (other,) = [p for p in there if p.run is one.run]
        np.testing.assert_array_equal(one.logits["test"], other.logits["test"])


def test_what_cannot_be_sent_is_trained_here(make_trials, caplog):
    trials = make_trials()

    class Local(EEGNet):
        pass

    with caplog.at_level(logging.WARNING):
        assert len(list(fit(trials, some_runs(trials, 2), model=partial(Local)))) == 2
    assert "in this process" in caplog.text
    assert "Local" in caplog.text


def test_a_network_of_a_notebook_is_trained_here(make_trials, monkeypatch, caplog):
    """It is pickled by its name in ``__main__``, which a worker does not find."""
    trials = make_trials()
    monkeypatch.setattr(EEGNet, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "EEGNet", EEGNet, raising=False)
    monkeypatch.setattr("eegdecode.training.task.describe", repr)
    assert len(list(fit(trials, some_runs(trials, 2), epochs=1, workers="auto"))) == 2
    if count_cores() > 1:
        assert "the workers do not start (AttributeError" in caplog.text


def test_without_room_for_the_signals_runs_are_trained_here(make_trials, monkeypatch, caplog):
    trials = make_trials()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert len(list(fit(trials, some_runs(trials, 2)))) == 2
    assert "no room" in caplog.text


def test_an_error_comes_after_what_is_finished(make_trials):
    trials = make_trials()
    runs = some_runs(trials, 3)
    train = runs[2].split.train
    runs[2] = replace(runs[2], split=replace(runs[2].split, train=train[trials.y[train] == 0]))
    seen = []
    with pytest.raises(ValueError, match="CSP needs training trials of two classes"):
        seen.extend(prediction.run for prediction in fit(trials, runs, frontend=CSP(n_filters=2)))
    assert seen
    assert set(seen) <= set(runs[:2])


def test_a_killed_worker_is_told_in_words(make_trials):
    trials = make_trials()
    gentle, deadly = (some_runs(trials, 2, drop=[drop]) for drop in (0.0, 0.5))
    runs = [*gentle, deadly[0]]
    seen = []
    with pytest.raises(RuntimeError, match=r"was killed.*finished runs are kept, and the same command goes on"):
        seen.extend(prediction.run for prediction in fit(trials, runs, model=partial(Deadly)))
    assert seen


def test_leaving_half_way_ends_the_workers_at_once(make_trials):
    trials = make_trials()
    predictions = fit(trials, some_runs(trials), model=MODEL, epochs=1)
    next(predictions)
    predictions.close()
    assert multiprocessing.active_children() == []

    def stop(run, row):
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(fit(trials, some_runs(trials), epochs=10_000, on_epoch=stop))
    assert time.monotonic() - began < 30


def test_what_a_worker_sends_is_one_piece(make_trials, monkeypatch):
    """Killed between two pieces of a result it would leave the parent waiting for ever."""
    trials = make_trials()
    (run,) = some_runs(trials, 1)
    monkeypatch.setattr(wing, "_told", multiprocessing.SimpleQueue())
    monkeypatch.setattr(wing, "_device", "cpu")
    settings = DeepTrainer(epochs=1, batch_size=16, device="cpu", workers=1)
    with job_folder(settings, MODEL, trials, ZScore()) as folder:
        sent = wing._train(folder, 0, [run])
        (prediction,) = pickle.loads(sent.read_bytes())
    assert len(pickle.dumps(sent)) < select.PIPE_BUF // 4 < sum(w.nbytes for w in prediction.weights.values())


LONG = """
import multiprocessing, sys
from functools import partial
from tests.conftest import make_trials
from tests.training.few import some_runs
from tests.training.test_workers import MODEL, DeepTrainer, ZScore

if __name__ == "__main__":
    trials = make_trials.__wrapped__()() if hasattr(make_trials, "__wrapped__") else make_trials._fixture_function()()
    tell = lambda run, row: print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    trainer = DeepTrainer(epochs=100_000, device="cpu", workers=2)
    list(trainer.fit(MODEL, trials, [some_runs(trials, None)], frontend=ZScore(), on_epoch=tell))
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(sent, tmp_path):
    root = Path(__file__).parents[2]
    script = tmp_path / "long.py"
    script.write_text(LONG)
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )    # fmt: skip
    assert process.stdout is not None
    pids = process.stdout.readline().split()
    assert len(pids) == 2
    if sent == signal.SIGINT:    # as a terminal does: to all of the group
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    until = time.monotonic() + 20
    while (any(map(alive, pids)) or list(tmp_path.glob("eegdecode-*"))) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    assert list(tmp_path.glob("eegdecode-*")) == []
    assert "Process " not in errors, errors
    assert errors.count("Traceback") == (sent == signal.SIGINT), errors


@pytest.mark.parametrize("workers", [0, "many"])
def test_bad_numbers_of_workers_are_named(workers):
    with pytest.raises(ValueError, match=f"trainer.workers must be auto or at least 1, got {workers!r}"):
        DeepTrainer(workers=workers)


def test_a_trainer_has_as_many_workers_as_its_job_has_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert count_cores() == 8
    monkeypatch.setenv("EEGDECODE_CORES", "2")
    assert count_cores() == 2
    monkeypatch.setenv("EEGDECODE_CORES", "99")
    assert count_cores() == 8
