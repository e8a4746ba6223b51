"""What run folders tell of their jobs, and the commands that are typed again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eegdecode.reporting import folders
from eegdecode.reporting.disk import write_json
from eegdecode.reporting.jobs import list_jobs, retry, summary
from eegdecode.reporting.pretraining import PretrainingFolder

from .conftest import fill, make_failed

DOOR = Path(__file__).parents[2] / "scripts" / "runs.py"


@pytest.fixture
def four_jobs(make_store: Any, meta: pd.DataFrame, tmp_path: Path) -> Path:
    """One done, one in work, one with a failed run, one that was interrupted."""
    root = tmp_path / "runs"
    stores = {}
    for name in ("done", "in work", "failed", "waiting"):
        facts = {"dataset": "simulated", "model": "eegnet", "log": f"{name}.log"}
        command = f"python -c 'exit({len(name)})'"
        stores[name] = make_store(folder=root / name, facts={**facts, "command": command})
    fill(stores["done"])
    for name in ("in work", "failed", "waiting"):
        fill(stores[name], 2)
    stores["failed"].add(make_failed(stores["failed"].unfinished()[0], meta))
    for name in ("done", "failed", "waiting"):
        folders.release(stores[name].folder)
    yield root
    folders.release(stores["in work"].folder)


def test_each_job_is_told_with_what_it_needs(four_jobs: Path) -> None:
    jobs = list_jobs([four_jobs])
    assert [job.folder.name for job in jobs] == [job.state for job in jobs] == ["failed", "waiting", "in work", "done"]
    assert [job.n_done for job in jobs] == [2, 2, 2, 4]
    text = str(jobs[0])
    for part in ("loss is NaN in epoch 3", "2/4 runs", "command: python -c 'exit(6)'", "log: failed.log"):
        assert part in text
    assert "command" not in str(jobs[3])
    assert summary(jobs) == "4 jobs: 1 failed, 1 waiting, 1 in work, 1 done; 10/16 runs"


def test_a_job_that_failed_before_its_first_run_is_told_until_it_has_one(four_jobs: Path, make_store: Any) -> None:
    early = four_jobs / "early"
    folders.note_error(early, "no subject 99", command="python -c 'exit(5)'")
    folders.note_error(four_jobs / "done", "no such thing", command="")    # it has results
    (job,) = [job for job in list_jobs([four_jobs]) if job.folder == early]
    assert job.state == "failed"
    assert "no subject 99\n  command: python -c 'exit(5)'" in str(job)
    assert "python -c 'exit(5)' (exit code 5)" in list(retry([job]))
    folders.release(make_store(folder=early).folder)
    assert not (early / folders.ERROR).exists()
    assert [job.state for job in list_jobs([four_jobs]) if job.folder == early] == ["waiting"]


def test_a_damaged_marker_is_told(four_jobs: Path) -> None:
    (four_jobs / "failed" / folders.MARKER).write_text('{"key": "ab')
    (job,) = [job for job in list_jobs([four_jobs]) if job.folder.name == "failed"]
    assert job.state == "waiting"
    assert "experiment.json is damaged; the same command makes it anew" in str(job)


def test_retry_types_what_is_left_and_says_what_fails_again(four_jobs: Path) -> None:
    again = list(retry(list_jobs([four_jobs])))
    assert again == ["python -c 'exit(6)' (exit code 6)", "python -c 'exit(7)' (exit code 7)"]


def test_a_trial_that_its_search_has_stopped_waits_for_nobody(make_store: Any, tmp_path: Path) -> None:
    facts = {"dataset": "simulated", "model": "eegnet", "command": "python -c 'exit(7)'"}
    for number in (0, 1, 3):
        store = make_store(folder=tmp_path / "found" / "trials" / f"000{number}", facts=facts)
        fill(store, 1)
        folders.release(store.folder)
    rows = ["0,failed,trials/0000,a kill", "1,pruned,trials/0001,behind at 8/20", "2,running,trials/0000,",
            "3,failed,trials/0003,the kernel died"]    # fmt: skip
    (tmp_path / "found" / "trials.csv").write_text("\n".join(["trial,state,folder,why", *rows]))
    jobs = list_jobs([tmp_path])
    assert [(job.folder.name, job.state) for job in jobs] == [
        ("0003", "failed"), ("0000", "waiting"), ("0001", "pruned"),
    ]    # fmt: skip
    assert jobs[0].command == f"python scripts/sweep.py retry {tmp_path / 'found'} 3"    # its search goes on without it
    assert jobs[0].reason == "the kernel died"
    assert jobs[0].log.endswith("0003/error.txt")
    assert str(jobs[2]).endswith("\n  behind at 8/20")
    assert summary(jobs) == "3 jobs: 1 failed, 1 waiting, 1 pruned; 3/12 runs"


def test_encoders_are_counted_by_their_summary(meta: pd.DataFrame, tmp_path: Path) -> None:
    shelf = PretrainingFolder(tmp_path / "encoders", keys={"sub-1": "a" * 32}, key="b" * 32, meta=meta, facts={})
    shelf.finish()
    folders.release(shelf.folder)
    (job,) = list_jobs([tmp_path])
    assert (job.state, job.n_done, job.n_expected) == ("waiting", 0, 1)
    write_json(shelf.folder / folders.SUMMARY, {"n_done": 1, "n_expected": 1})
    assert list_jobs([tmp_path])[0].state == "done"


def test_folders_may_be_typed_as_short_as_they_are(
    make_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:    # fmt: skip
    store = make_store(folder=tmp_path / "mine")
    fill(store)
    folders.release(store.folder)
    for here, typed in ((tmp_path, "mine"), (tmp_path / "mine", ".")):
        monkeypatch.chdir(here)
        (job,) = list_jobs([typed])
        assert (job.state, job.n_done) == ("done", 4)


def test_a_damaged_table_hides_no_other_folder(four_jobs: Path) -> None:
    for name, text in (("done", "dataset,prot"), ("waiting", "")):
        (four_jobs / name / "scores.csv").write_text(text)
    jobs = {job.folder.name: job for job in list_jobs([four_jobs])}
    assert len(jobs) == 4
    assert jobs["done"].state == "waiting"
    assert "scores.csv is damaged" in str(jobs["done"])


def test_no_folder_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder"):
        list_jobs([tmp_path / "nowhere"])


def test_the_door(four_jobs: Path) -> None:
    done = subprocess.run([sys.executable, DOOR, "status", four_jobs], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr    # something has failed
    assert "command: python -c 'exit(6)'" in done.stdout
    (four_jobs / "empty").mkdir()
    pruned = subprocess.run([sys.executable, DOOR, "prune", four_jobs / "empty"], capture_output=True, text=True)
    assert (pruned.returncode, pruned.stdout) == (0, "0 files removed\n")
