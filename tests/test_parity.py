"""Our scores of classical pipelines equal MOABB's own evaluations on the same recordings and folds. Needs MNE_DATA."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from eegdecode.data.moabb import MoabbDataset
from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.protocols import CrossSubject, WithinSession
from eegdecode.reporting.metrics import accuracy, auroc
from eegdecode.sweeps import Sweep, expand
from eegdecode.training.classical import ClassicalTrainer

pytestmark = pytest.mark.real_data
MODELS = ("csp_lda", "ts_lr", "mdm")
CONFIGS = Path(__file__).parents[1] / "configs" / "model"


def build(name):
    cfg = OmegaConf.load(CONFIGS / f"{name}.yaml")
    cfg.pop("defaults", None)
    return instantiate(cfg, _convert_="all")


def ours(trials, protocol, metric):
    """Model and subject -> mean score over the folds."""
    runs, scores = expand(protocol(trials.meta, validation=0.0), Sweep(), seed=0), {}
    for name in MODELS:
        found = ClassicalTrainer().fit(build(name), trials, [runs], frontend=None, on_epoch=lambda run, row: None)
        for prediction in found:
            split = prediction.run.split
            score = metric(prediction.logits["test"], trials.y[split.test])
            scores.setdefault((name, split.subject), []).append(score)
    return {key: np.mean(values) for key, values in scores.items()}


def moabbs(evaluation, paradigm, dataset, trials, folder):
    """The same from MOABB's own evaluation of the same scikit-learn pipelines."""
    about = {"sfreq": trials.signal.sfreq, "classes": trials.classes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of MOABB's own
        whole = evaluation(paradigm=paradigm, datasets=[dataset], hdf5_path=folder, overwrite=True, random_state=42)
        found = whole.process({name: build(name)(**about) for name in MODELS})
    return {(row.pipeline, str(row.subject)): row.score for row in found.itertuples()}


def need(*parts):
    folder = Path(os.environ.get("MNE_DATA", "absent"), *parts)
    return folder if folder.exists() else pytest.skip(f"no {'/'.join(parts)} below MNE_DATA")


@pytest.mark.parametrize("protocol", ["WithinSession", "CrossSubject"])
def test_ssvep_scores_equal_moabbs(tmp_path, protocol):
    need("MNE-ssvepexo-data", "zenodo", "2392979", "subject03_run2_raw.fif")
    from moabb import evaluations, paradigms
    from moabb.datasets import Kalunga2016

    source = MoabbDataset(
        name="ssvep_exo", class_name="Kalunga2016", subjects=[1, 2, 3], classes=["13", "17", "21", "rest"],
        interval=[2, 4],
    )    # fmt: skip
    trials = load_trials(source, Preprocess(l_freq=7, h_freq=45), cache_dir=tmp_path)
    dataset = Kalunga2016()
    dataset.subject_list = [1, 2, 3]
    paradigm = paradigms.SSVEP(n_classes=4, fmin=7, fmax=45, tmin=0, tmax=2 - 1 / 256)    # without MNE's last sample
    expected = moabbs(getattr(evaluations, f"{protocol}Evaluation"), paradigm, dataset, trials, str(tmp_path))
    found = ours(trials, {"WithinSession": WithinSession(), "CrossSubject": CrossSubject()}[protocol], accuracy)
    assert found == pytest.approx(expected, abs=1e-6)
    assert len(found) == 9


@pytest.mark.parametrize("classes", [("feet", "hands", "left_hand", "right_hand"), ("left_hand", "right_hand")])
def test_motor_imagery_scores_equal_moabbs(tmp_path, classes):
    need("MNE-eegbci-data", "files", "eegmmidb", "1.0.0", "S001", "S001R14.edf")
    from moabb import evaluations, paradigms
    from moabb.datasets import PhysionetMI

    source = MoabbDataset(
        name="physionet_mi", class_name="PhysionetMI", subjects=[1], classes=list(classes), interval=[0, 3],
        unread=["*R01.edf", "*R02.edf"],
    )    # fmt: skip
    trials = load_trials(source, Preprocess(l_freq=8, h_freq=32), cache_dir=tmp_path)
    dataset = PhysionetMI()
    dataset.subject_list = [1]
    paradigm = paradigms.MotorImagery(events=list(classes), n_classes=len(classes), tmin=0, tmax=3 - 1 / 160)
    expected = moabbs(evaluations.WithinSessionEvaluation, paradigm, dataset, trials, str(tmp_path))
    found = ours(trials, WithinSession(), accuracy if len(classes) > 2 else auroc)
    assert found == pytest.approx(expected, abs=1e-6)
    assert len(found) == 3
