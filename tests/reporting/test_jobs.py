"""What run folders tell of their jobs, and the commands that are typed again."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eegdecode.reporting import folders
from eegdecode.reporting.disk import write_json
from eegdecode.reporting.jobs import list_jobs, retry, summary, without_jobs
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
    assert again == [
        "python -c 'exit(6)' (exit code 6)", "python -c 'exit(7)' (exit code 7)",
        f"{four_jobs / 'failed'} has failed, 2/4 runs are done; failed: loss is NaN in epoch 3, at once (1 runs)",
        f"{four_jobs / 'waiting'} still waits, 2/4 runs are done",
    ]    # fmt: skip


WRITER = "import pathlib, sys; (pathlib.Path(sys.argv[-1].partition('=')[2]) / 'ran').touch()"


@pytest.fixture
def leave(make_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a factory of unfinished run folders below ``runs``, as a command has left them."""
    monkeypatch.chdir(tmp_path)
    Path("scripts").mkdir()
    Path("scripts/train.py").write_text(WRITER)

    def make(name: str, words: str, out_dir: str | None = None) -> Path:
        folder = Path("runs", name)
        command = f"python scripts/train.py {words}".strip()
        store = make_store(folder=folder, facts={"dataset": "toy", "model": "eegnet", "command": command})
        fill(store, 2)
        folders.release(folder)
        (folder / "config.yaml").write_text(f"out_dir: {out_dir or 'null'}\n")
        return folder

    return make


@pytest.mark.parametrize(("words", "own"), [
    ("model=eegnet out_dir=runs/one seed=1", "runs/one"),
    ("out_dir=\"'runs/one'\"", "runs/one"),
    ("model=eegnet", None),    # would take the newest unfinished folder, which is another
    ("experiment=mine out_dir=runs/one", "runs/one"),
])    # fmt: skip
def test_retry_works_in_a_copied_folder(leave: Any, words: str, own: str | None) -> None:
    copy = shutil.copytree(leave("one", words, own), Path("runs", "it's a copy"))
    (job,) = list_jobs([copy])
    rest = [word for word in shlex.split(words) if not word.startswith("out_dir=")]
    assert shlex.split(job.command) == ["python", "scripts/train.py", *rest, r"out_dir='runs/it\'s a copy'"]
    moved = copy.rename("runs/copy")
    (job,) = list_jobs([moved])
    said = list(retry([job]))
    assert (moved / "ran").exists()
    assert not Path("runs/one/ran").exists()
    assert said == [f"{moved} still waits, 2/4 runs are done"]    # for all that its command ended well


def test_a_command_that_works_where_it_was_typed_stays_as_it_is(leave: Any) -> None:
    single = leave("one", "out_dir=runs/one", "runs/one")
    sweep = [leave(f"many/{name}", "-m model=a,b out_dir=runs/many", f"runs/many/{name}") for name in "ab"]
    unnamed = leave("unnamed", "-m model=a,b")
    commands = {job.folder: job.command for job in list_jobs(["runs"])}
    assert commands == {
        single: "python scripts/train.py out_dir=runs/one", unnamed: "python scripts/train.py -m model=a,b",
        **dict.fromkeys(sweep, "python scripts/train.py -m model=a,b out_dir=runs/many"),
    }    # fmt: skip


@pytest.mark.parametrize("words", ["-m model=a,b out_dir=runs/many", "experiment=compare"])
def test_a_job_of_a_sweep_that_was_moved_does_not_begin_the_sweep_elsewhere(leave: Any, words: str) -> None:
    moved = leave("many/a", words, "runs/many/a").rename("runs/a")
    (job,) = list_jobs([moved])
    assert job.command == ""
    assert "copied or moved from runs/many/a, where the command of its sweep would work: python scri" in str(job)
    (said,) = retry([job])
    assert said.startswith("runs/a still waits, 2/4 runs are done; copied or moved from runs/many/a")


def test_a_job_that_failed_early_is_tried_in_its_own_folder(leave: Any) -> None:
    folders.note_error(Path("runs/early"), "no subject 99", command="python scripts/train.py out_dir=runs/elsewhere")
    assert list_jobs(["runs"])[0].command == "python scripts/train.py out_dir=runs/early"


def test_a_folder_without_a_job_is_named(leave: Any) -> None:
    leave("one", "")
    Path("empty").mkdir()
    jobs = list_jobs(["runs", "empty", "."])
    assert without_jobs(["runs", "empty", "."], jobs) == ["empty holds no job: no run folder at or below it"]


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
    looked = subprocess.run([sys.executable, DOOR, "status", four_jobs / "empty"], capture_output=True, text=True)
    assert "empty holds no job: no run folder at or below it\n0 jobs: none" in looked.stdout
    pruned = subprocess.run([sys.executable, DOOR, "prune", four_jobs / "empty"], capture_output=True, text=True)
    assert (pruned.returncode, pruned.stdout) == (0, "0 files removed\n")
