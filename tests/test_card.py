import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from tests.data.bnci_files import write_bnci2014_001
from tests.data.fakes import FakeDataset

from eegdecode.card import prepare, tend_cache
from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.simulated import SimulatedDataset
from eegdecode.protocols import CrossSubject
from eegdecode.reporting.facts import broken_promises, measure
from eegdecode.training.classical import ClassicalTrainer, pipeline
from eegdecode.trials import signal_digests

ROOT = Path(__file__).parents[1]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setenv("EEGDECODE_CACHE", str(tmp_path / "cache"))
    model = partial(pipeline, covariance=Covariances("oas"), tangent=TangentSpace(), classify=LogisticRegression())
    return {
        "preprocess": Preprocess(l_freq=4, h_freq=40), "protocol": CrossSubject(), "trainer": ClassicalTrainer(),
        "frontend": None, "model": model, "name": "set", "out_dir": str(tmp_path / "card"),
    }    # fmt: skip


def line(text, name):
    return next(row.removeprefix(name).strip() for row in text.splitlines() if row.startswith(name))


def test_a_good_set_has_a_page_with_figures_and_a_score_above_chance(parts, tmp_path):
    text = prepare(dataset=SimulatedDataset(n_subjects=2, n_trials=12, difficulty=0.5), **parts)
    assert line(text, "subjects").startswith("2: 1, 2")
    assert line(text, "trials") == "192: left_hand 48, right_hand 48, feet 48, tongue 48"
    assert line(text, "split") == "2 splits, sound"
    assert "(above chance" in line(text, "quick score")
    page = (tmp_path / "card" / "card.md").read_text()
    for figure in ("spectra.png", "channels.png", "amplitude.png"):
        assert figure in page
        assert (tmp_path / "card" / figure).stat().st_size > 5000


def test_a_run_folder_takes_no_card(parts, tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "experiment.json").write_text("{}")
    with pytest.raises(ValueError, match="is a run folder, and a card would lie among its results"):
        prepare(dataset=FakeDataset(), **parts)
    assert [path.name for path in (tmp_path / "card").iterdir()] == ["experiment.json"]


@pytest.mark.parametrize("n_jobs", [0, -1])
def test_no_process_prepares_nothing(parts, n_jobs):
    with pytest.raises(ValueError, match=rf"n_jobs={n_jobs} prepares nothing: give at least 1 process"):
        prepare(dataset=FakeDataset(), n_jobs=n_jobs, **parts)


class Copied(FakeDataset):
    """Subject 2 is subject 1 under another name."""

    def recordings(self, subject):
        return (replace(one, subject=subject) for one in FakeDataset.recordings(self, "1"))


def test_noise_is_not_above_chance(parts):
    text = prepare(dataset=FakeDataset(), **parts)
    assert "NOT above chance" in line(text, "quick score")
    assert line(text, "duplicates") == "none"
    assert "the paper" not in text    # nothing was promised


def test_a_fit_that_failed_is_no_accuracy(parts):
    class Refuses(ClassicalTrainer):
        def fit(self, *given, **more):
            for done in super().fit(*given, **more):
                nan = {part: np.full_like(logits, np.nan) for part, logits in done.logits.items()}
                yield replace(done, status="failed: a trial is flat", logits=nan)

    text = prepare(dataset=FakeDataset(), **{**parts, "trainer": Refuses()})
    assert line(text, "quick score").startswith("none: sub-")
    assert line(text, "quick score").endswith("failed: a trial is flat")


def test_a_subject_under_two_names_is_found(parts):
    text = prepare(dataset=Copied(), **parts)
    assert line(text, "duplicates").startswith("16 trials share their signal with another, in 8 groups: sub-1_ses-0")
    assert line(text, "split").startswith("refused: cross_subject, subject 1")


def test_2a_as_its_paper_promises_and_with_a_run_less(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    write_bnci2014_001(tmp_path)
    dataset = MoabbDataset(
        name="bci4_2a", class_name="BNCI2014_001", subjects=[1], classes=["left_hand", "right_hand", "feet", "tongue"],
        interval=[0, 4], cue_delay=2.0,
    )    # fmt: skip
    promises = {"sessions": 2, "runs": 6, "trials_session": 288, "class_session": 72, "channels": 22, "sfreq": 250}
    text = prepare(dataset=dataset, promises=promises, **parts)
    assert line(text, "the paper").startswith("no difference")
    assert "CrossSubject" not in text
    assert line(text, "split").startswith("refused: cross_subject needs at least two subjects")


def test_broken_promises_name_place_and_numbers(make_trials):
    trials = make_trials()
    meta = trials.meta.assign(signal=signal_digests(trials.X))
    facts = measure(
        trials.X, meta, trials.notes, ch_names=trials.signal.ch_names, positions=trials.signal.positions,
        sfreq=128.0, tmin=0.0, classes=trials.classes,
    )    # fmt: skip
    assert broken_promises(facts, meta, {"subjects": 2, "trials_session": 24, "class_session": 8, "channels": 6}) == []
    short = meta.drop(index=[0]).reset_index(drop=True)
    found = broken_promises(facts, short, {"class_session": 8, "sfreq": 250})
    assert found == ["class_session: 1 of 12 have not 8 (1/s0/0: 7)", "sfreq: 128, promised 250"]
    with pytest.raises(ValueError, match="promises: trails"):
        broken_promises(facts, meta, {"trails": 3})


def test_spectra_find_the_rhythm(make_trials):
    trials = make_trials(strength=6.0)
    facts = measure(
        trials.X, trials.meta, trials.notes, ch_names=trials.signal.ch_names, positions=trials.signal.positions,
        sfreq=128.0, tmin=0.0, classes=trials.classes,
    )    # fmt: skip
    assert facts.freqs[facts.spectra[0].argmax()] == pytest.approx(10, abs=1)
    assert facts.duplicates == []
    assert np.isclose(facts.amplitude["deviation"], 1, atol=0.3).all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_spectra_show_no_slow_power_that_is_not_there(make_trials, offset):
    """Behind a high-pass of 8 Hz, and with an offset that none has taken off."""
    trials = make_trials()
    high = sosfiltfilt(butter(4, 8, "highpass", fs=128, output="sos"), np.repeat(trials.X, 8, axis=2), axis=2)
    facts = measure(
        high + offset, trials.meta, trials.notes, ch_names=trials.signal.ch_names, positions=trials.signal.positions,
        sfreq=128.0, tmin=0.0, classes=trials.classes,
    )    # fmt: skip
    level = 10 * np.log10(facts.spectra[0] / facts.spectra[0].max())
    assert level[(facts.freqs > 0) & (facts.freqs <= 1)].max() < -50


def test_the_cache_is_tended(parts):
    prepare(dataset=FakeDataset(), **parts)
    assert "2 entries" in tend_cache("list")
    assert tend_cache("prune").startswith("0 entries removed")
    assert tend_cache("check").startswith("0 current entries whose trials have changed")
    with pytest.raises(ValueError, match="cache=clear is not one of: list, prune, check"):
        tend_cache("clear")


@pytest.mark.slow
def test_the_door(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "prepare.py"), "dataset.n_subjects=1", "dataset.n_trials=6"]
    setting = {**os.environ, "EEGDECODE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "src")}
    run = partial(subprocess.run, cwd=tmp_path, env=setting, capture_output=True, text=True, check=False)
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert "data/cards/simulated/card.md" in done.stdout
    wrong = run([*command, "preprocess.notch=200"])
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].startswith("error: simulated subject 1")
