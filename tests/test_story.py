"""The main job as users start it: a command, a folder of results, an interruption, a mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.data.bnci_files import write_bnci2014_001

from eegdecode.reporting.metrics import score
from eegdecode.reporting.predictions import load_predictions

ROOT = Path(__file__).parents[1]
SMALL = [
    "dataset.n_trials=9", "dataset.subjects=[1,2]", "preprocess.sfreq=100", "trainer.batch_size=16", "device=cpu",
    "model.width=8", "model.depth=1",
]    # fmt: skip


def start(*arguments, folder, **environment):
    """Start scripts/train.py in a folder of its own."""
    env = {
        **os.environ, "EEGDECODE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "100",
        "PYTHONPATH": str(ROOT / "src"), **environment,
    }    # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )    # fmt: skip


def run(*arguments, folder, code=0, **environment):
    """Run it to its end and return what it printed."""
    process = start(*arguments, folder=folder, **environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One small experiment, run once for all that look at its folder."""
    folder = tmp_path_factory.mktemp("story")
    output = run(*SMALL, "trainer.epochs=2", "sweep.seeds=2", "out_dir=out", folder=folder)
    return folder / "out", output


def test_the_folder_holds_what_the_readme_promises(finished):
    folder, _ = finished
    for name in ("config.yaml", "scores.csv", "history.csv", "predictions.npz", "summary.json", "report.md"):
        assert (folder / name).stat().st_size > 0, name
    assert len(list((folder / "checkpoints").glob("*.safetensors"))) == 4
    assert len(list((folder / "figures").glob("*.png"))) >= 3
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["n_done"], summary["n_expected"]) == (4, 4)
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == 4 * 2
    for image in (folder / "figures").glob("*.png"):
        assert image.name in (folder / "report.md").read_text()


def test_the_last_screen_says_score_chance_protocol_and_folder(finished):
    _, output = finished
    for text in ("sttransformer on simulated", "cross_session", "test accuracy", "chance", "4/4 runs", "out"):
        assert text in output


def test_every_score_can_be_recomputed_from_the_predictions(finished):
    folder, _ = finished
    scores = pd.read_csv(folder / "scores.csv")
    predictions = {kept.key: kept for kept in load_predictions(folder)}
    assert len(predictions) == len(scores)
    for row in scores.to_dict("records"):
        kept = predictions[row["key"]]
        for part in ("val", "test"):
            for name, value in score(kept.logits[part], kept.labels[part]).items():
                np.testing.assert_allclose(row[f"{part}_{name}"], value, rtol=1e-6, err_msg=name)


def test_the_notebook_runs_on_a_finished_folder(finished, monkeypatch, capsys):
    folder, _ = finished
    monkeypatch.setenv("EEGDECODE_RUNS", str(folder.parent))
    book = json.loads((ROOT / "notebooks" / "look_at_a_run.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for cell in cells:
        exec(cell, names)
    assert "4/4 runs" in capsys.readouterr().out
    assert len(names["kept"]) == 4


def test_another_folder_takes_what_was_trained_before(finished):
    folder, _ = finished
    command = [*SMALL, "trainer.epochs=2", "sweep.seeds=2"]
    output = run(*command, "out_dir=other", folder=folder.parent)
    assert "4 of 4 runs were trained before, by out (4)" in output
    one, other = (pd.read_csv(folder.parent / name / "scores.csv") for name in ("out", "other"))
    pd.testing.assert_frame_equal(one, other)    # seconds are those of the training
    assert (folder.parent / "other" / "report.md").exists()


def test_the_same_command_trains_nothing_twice_and_another_setting_trains_anew(finished):
    folder, _ = finished
    again = run(*SMALL, "trainer.epochs=2", "sweep.seeds=2", "out_dir=out", folder=folder.parent)
    assert "4 of 4 runs were finished before" in again
    assert "[1/" not in again
    changed = run(*SMALL, "trainer.epochs=2", "sweep.seeds=1", "trainer.lr=2e-3", "out_dir=out", folder=folder.parent)
    assert "[2/2]" in changed
    assert "finished before" not in changed


def test_what_is_refused_leaves_the_results_alone(finished):
    folder, _ = finished
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    for word in (
        "model.depth=0", "augment.symmetry=0.5 augment=chain preprocess.channels=[C3,Cz]",
        "frontend=csp augment=symmetry",
    ):    # fmt: skip
        words = [*SMALL, "trainer.epochs=2", *word.split(), "out_dir=out"]
        run(*words, folder=folder.parent, code=1)
        assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def half_way(root):
    """Whether a run is finished and another one has left a state since."""
    written = {kind: [] for kind in ("finished", "in_work")}
    for kind, times in written.items():
        for path in root.glob(f"*/{kind}/*.npz"):
            with suppress(FileNotFoundError):    # gone with its run meanwhile
                times.append(path.stat().st_mtime_ns)
    return written["finished"] and max(written["in_work"], default=0) > max(written["finished"])


def test_a_killed_experiment_goes_on_where_it_stopped(tmp_path):
    command = [*SMALL, "trainer.epochs=80", "sweep.seeds=3", "trainer.save_every=0"]
    process = start(*command, folder=tmp_path)
    root = tmp_path / "data" / "runs" / "simulated" / "sttransformer"
    until = time.monotonic() + 300
    while not half_way(root) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (folder,) = root.iterdir()
    kept = {path: path.stat().st_mtime_ns for path in (folder / "finished").glob("*.npz")}
    assert 1 <= len(kept) < 6
    output = run(*command, folder=tmp_path)
    assert f"{len(kept)} of 6 runs were finished before" in output
    assert "goes on after epoch" in output    # to the bit, of the runs that were in work
    assert not (folder / "in_work").exists()
    assert list(root.iterdir()) == [folder]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    run(*command, "out_dir=whole", "run_store=null", folder=tmp_path)    # trained by itself
    measured = ["seconds", "trials_per_s", "peak_memory_mb", "energy_wh"]    # no two trainings take the same
    broken, whole = (
        pd.read_csv(f / "scores.csv").drop(columns=measured, errors="ignore") for f in (folder, tmp_path / "whole")
    )
    pd.testing.assert_frame_equal(broken, whole)
    assert (folder / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    for path in (folder / "checkpoints").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "whole" / "checkpoints" / path.name).read_bytes()


def test_ctrl_c_reports_what_is_finished(tmp_path):
    process = start(*SMALL, "trainer.epochs=150", "sweep.seeds=8", "out_dir=out", folder=tmp_path)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("out/finished/*.npz")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert 1 <= summary["n_done"] < summary["n_expected"] == 16
    assert f"{summary['n_done']}/16" in output
    assert output.endswith("interrupted: finished runs are kept; the same command goes on where it stopped\n")


def test_an_augmented_and_watched_experiment_is_another_one_and_says_what_it_is(finished, tmp_path):
    command = [*SMALL, "trainer.epochs=2", "trainer.validation=0", "protocol=pooled_one_split", "protocol.n_test=20"]
    output = run(*command, "augment=snr", "trainer.watch_test=true", "out_dir=out", folder=tmp_path)
    assert "LEAKY, NOT A RESULT" in output
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert (scores["leaky_best_test_accuracy"] >= scores["test_accuracy"]).all()
    assert scores["n_val"].eq(0).all()
    assert scores["n_test"].eq(20).all()
    assert "segments: 8" in (tmp_path / "out" / "config.yaml").read_text()
    plain = run(*command, "trainer.watch_test=true", "out_dir=out", folder=tmp_path)    # the same folder, trained anew
    assert "finished before" not in plain


def test_2a_through_moabbs_own_loader(tmp_path):
    """Files in the published layout: two sessions, runs without events, missing samples, artefact flags."""
    write_bnci2014_001(tmp_path / "mne_data")
    output = run(
        "dataset=bci4_2a", "dataset.subjects=[1]", "model=sttransformer", "trainer.epochs=4", "out_dir=out",
        "model.width=16", "device=cpu", folder=tmp_path, MNE_DATA=str(tmp_path / "mne_data"),
    )    # fmt: skip
    row = pd.read_csv(tmp_path / "out" / "scores.csv").iloc[0]
    assert row["n_train"] + row["n_val"] == row["n_test"] == 288, output
    (kept,) = load_predictions(tmp_path / "out")
    np.testing.assert_array_equal(np.bincount(kept.labels["test"]), [72] * 4)
    assert row["test_accuracy"] > 0.4    # a class is a loud rhythm in one channel


def test_a_network_of_braindecode_is_trained_under_its_own_name(tmp_path):
    pytest.importorskip("braindecode", exc_type=ImportError)
    small = ["dataset.n_trials=9", "dataset.subjects=[1]", "preprocess.sfreq=100", "device=cpu"]
    command = [*small, "model=braindecode", "model.name=ShallowFBCSPNet", "trainer.epochs=2"]
    output = run(*command, "+model.options.drop_prob=0.3", folder=tmp_path)
    assert "braindecode_ShallowFBCSPNet on simulated" in output
    (folder,) = (tmp_path / "data" / "runs" / "simulated" / "braindecode_ShallowFBCSPNet").iterdir()
    assert pd.read_csv(folder / "scores.csv")["model"].tolist() == ["braindecode_ShallowFBCSPNet"]
    swept = run(*command, "sweep.drop=[0.1,0.2]", "trainer.workers=1", folder=tmp_path, code=1)
    assert "+model.options.drop_prob=0.3" in swept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.epohcs=3"], "error: there is no trainer.epohcs; did you mean trainer.epochs?"),
        (["model=ts_lr", "trainer.updates=20"], "there is no trainer.updates with model=ts_lr; trainer has"),
        (["model=braindecode"], "give it: model.name="),
        (["model=eegnett"], "error: there is no model=eegnett; did you mean model=eegnet?"),
        (["model=ts_lr", "trainer=deep"], "model=ts_lr is a pipeline, and trainer=deep is for networks"),
        (["trainer=classical"], "model=sttransformer is a network, and trainer=classical is for pipelines"),
        (["seed=abc"], "error: seed=abc must be a whole number"),
        (["trainer.lr=-1"], "trainer.lr must be between 0 and 10, got -1"),
        (["device=cuda:7"], "device=cuda:7 is not there"),
        (["dataset.subjects=[9]"], "9"),
        (["protocol=within_session", "protocol.folds=100"], "fewer than protocol.folds=100"),
        (["preprocess.tmax=100"], "tmax"),
        (["preprocess.l_freq=50", "preprocess.h_freq=40"], "40"),
        (["dataset=physionet_mi", "dataset.subjects=[1]"], "S001"),
        (["dataset=mi_openbci", "dataset.folder=nowhere"], "nowhere"),
        (["model.heads=7", "model.block.kernel=softmax"], "(STTransformer with model.width=80, model.heads=7)"),
        (["model=eegnet", "model.depth=0"], "error: model.depth must be a whole number of at least 1, got 0"),
        (["model=bilstm", "+model.stem_options.foo=1"], "model.stem=fourier has no setting foo; its settings are"),
        (["model=bilstm", "+model.stem_options.fmax=nan"], "model.stem_options.fmax must be a number above 0"),
        (["model=eeg_tcnet", "model.tcn_depth=40"], "tcn_depth=40: beyond 12 is a block that looks back further"),
        (["model=ts_svm", "model.classify.C=2"], "C=2 does nothing beside model.search, which tries classify__C"),
        (["model=ts_svm", "model.classify.C=-1", "model.search=null"], "cannot be fitted to trials of"),
        (["model.heads=8"], "model.heads=8 is of attention in the blocks, of which kernel=off has none"),
        (["model.position=rotary"], "take model.block.kernel=softmax beside it"),
        (["model.spatial=before"], "take model.block.kernel=softmax beside it"),
        (["model.block.kernel=soft"], "kernel must be one of softmax, additive, local"),
        (["+model.block.window=2"], "kernel=off has no attention that window could set"),
        (["model=csp_lda", "augment=snr"], "fitted on real trials alone; take augment=none"),
        (["augment=chain"], "augment=chain names no change: give one, augment.noise=0.1"),
        (["trainer.average=mean"], "trainer.average must be one of none, ema, swa; got 'mean'"),
        (["augment=snr", "augment.segments=0"], "augment.segments must be a whole number of at least 1, got 0"),
        (["model.drop=2"], "error: model.drop=2: dropout must be in [0, 1)"),
        (["trainer.fine_tune=head"], "trainer.fine_tune=head is for networks that start from others"),
        (["trainer.new_head=false"], "trainer.new_head=false is for networks that start from others"),
        (["trainer.replay=maybe"], "trainer.replay=maybe must be true or false"),
        (["trainer.epochs=ten"], "trainer.epochs=ten must be a whole number or null"),
        (["out_dir=/proc/nowhere"], "/proc/nowhere"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_named_without_a_traceback(arguments, message, tmp_path):
    small = ["dataset.n_trials=9", "dataset.subjects=[1]"] if not any("dataset" in a for a in arguments) else []
    output = run(*small, *arguments, folder=tmp_path, code=1, MNE_DATA=str(tmp_path / "empty"))
    assert message in output
    assert "Traceback" not in output
    assert len([line for line in output.splitlines() if line[:1] != "\t"]) < 15, output    # Hydra lists what there is


@pytest.mark.parametrize(("fault", "verdict"), [
    ("trainer.lr=1e-6", "rate too low"), ("trainer.lr=1", "diverged"), ("trainer.epochs=3", "too few steps"),
    ("model=eegnet model.drop=0.95", "over-regularised"), ("dataset.n_trials=3", "too few trials"),
])    # fmt: skip
def test_an_induced_fault_is_named_in_the_report(fault, verdict, tmp_path):
    words = ["dataset.n_trials=18", "dataset.subjects=[1]", "device=cpu", "out_dir=out"]
    words += ["trainer.updates=60"] * ("trainer.epochs" not in fault)
    said = " ".join(run(*words, *fault.split(), folder=tmp_path).split())
    assert f"Diagnosis: {verdict} (one run). Try: " in said
    report = (tmp_path / "out" / "report.md").read_text()
    assert f"**{verdict}**: 1 of 1 runs" in report
    assert pd.read_csv(tmp_path / "out" / "diagnosis.csv")["verdict"].tolist() == [verdict]


@pytest.mark.parametrize("launcher", ["local", "joblib"])
def test_a_multirun_does_all_jobs_and_reports_the_failed_one(tmp_path, launcher):
    output = run(
        "-m", f"launcher={launcher}", "dataset.n_trials=6", "dataset.subjects=[1]", "model=csp_lda", "device=cpu",
        "out_dir=out", "protocol.test=first,last,each", folder=tmp_path, code=1,
    )    # fmt: skip
    reason = "protocol.test must be last, each, a number or a list of sessions, got 'first'"
    assert output.count(reason) == 2    # at once, and at the end
    assert re.search(rf"{re.escape(reason)}\n  command: python .*protocol.test=first", output)
    assert sorted(p.name for p in tmp_path.glob("out/*/summary.json")) == ["summary.json"] * 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0_csp_lda", "1_csp_lda", "2_csp_lda"]
    assert [p.name for p in (tmp_path / "out" / "0_csp_lda").iterdir()] == ["error.json"]    # for runs.py


def test_a_comparison_trains_what_is_missing_and_names_the_failed_job(tmp_path):
    typed = [
        "experiment=compare_simulated", "model=mdm,cca", "protocol=cross_session,cross_subject", "out_dir=out",
        "dataset.n_trials=6", "dataset.subjects=[1,2]", "device=cpu",
    ]    # fmt: skip
    output = run(*typed, folder=tmp_path, code=1)
    for protocol in ("cross_session", "cross_subject"):
        summary = json.loads((tmp_path / "out" / protocol / "mdm" / "summary.json").read_text())
        assert (summary["n_done"], summary["n_expected"]) == (2, 2)
        assert f"error: out/{protocol}/cca: cca needs classes that are named by their stimulus frequency" in output
    assert "Report: python scripts/report.py out\n" in output
    again = run(*typed[:1], "model=mdm", *typed[2:], folder=tmp_path)
    assert again.count("2 of 2 runs were finished before and are not trained again") == 2
