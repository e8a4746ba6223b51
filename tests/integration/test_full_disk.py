"""A disk that is full for a while, a small tmpfs: what is trained stays, the path is named, a second start goes on."""

import subprocess
from collections import Counter

import pytest
from tests.integration.sweeps import ended, until
from tests.search import stub
from tests.search.stub import start as start_search
from tests.search.test_work import table
from tests.test_story import start

from eegdecode.reporting.results import load_results


@pytest.fixture
def disk(tmp_path):
    """Mount a disk of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk, leave=0):
    """Leave no room on a disk but some bytes."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    with filler.open("ab") as file:
        file.truncate(filler.stat().st_size - leave)
    return filler


def test_a_search_ends_with_the_path_and_goes_on_when_there_is_room(disk):
    folder, diary, words = disk / "search", disk.parent / "diary.txt", ["n_trials=5", "grace=2"]
    process = start_search(folder, *words, **{stub.DIARY: str(diary)})
    until(lambda: (folder / "trials" / "0002").exists(), process)
    filler = fill(disk)
    said = ended(process, 1)
    assert f"cannot write {folder}/" in said
    assert "the disk is full" in said
    filler.unlink()
    ended(start_search(folder, *words, **{stub.DIARY: str(diary)}), 0)
    trials = table(folder)
    assert (trials["state"] == "done").sum() == 5
    assert trials.loc[~trials["repeated"], "state"].eq("done").all()
    trained = Counter(diary.read_text().splitlines())
    assert sum(trained.values()) <= len(trained) + 1    # the one whose result found no room


def test_a_job_without_room_is_told_the_next_one_ends_and_a_second_start_completes_it(disk):
    words = ["launcher=joblib", "hydra.launcher.n_jobs=1", "hydra.launcher.cores=1", "dataset.n_trials=9", "seed=0,1",
             "dataset.subjects=[1]", "preprocess.sfreq=100", "model=csp_lda", "out_dir=disk/out"]    # fmt: skip
    filler = fill(disk, leave=70_000)    # enough to begin
    process = start(*words, folder=disk.parent)
    lines: list[str] = []
    while "FAILED" not in "".join(lines):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    filler.unlink()
    said = "".join(lines) + ended(process, 1)
    assert "[1/2] FAILED" in said
    assert "cannot write disk/out/0_csp_lda" in said
    assert "[2/2] done" in said
    ended(start(*words, folder=disk.parent), 0)
    assert all(load_results(disk / "out" / f"{number}_csp_lda").summary["complete"] for number in (0, 1))
