"""Leases: one holder at a time, and what a dead one held is taken over, once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from eegdecode.reporting.leases import Leases


@pytest.fixture
def make_leases(tmp_path: Path):
    """As many processes as are wanted: each has a heart of its own."""
    made = []

    def make(**times: float) -> Leases:
        made.append(Leases(tmp_path, **times))
        return made[-1]

    yield make
    for leases in made:
        leases.close()
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".turn", ".part")]


def leave(folder: Path, name: str, *, silent: float, machine: str = "another") -> None:
    """What a process on another machine leaves that gave its last sign of life ``silent`` seconds ago."""
    heart = folder / "node7-1-abc.heart"
    heart.write_text(json.dumps({"machine": machine, "locked": True, "host": "node7", "pid": 1, "command": "train"}))
    os.utime(heart, (time.time() - silent, time.time() - silent))
    (folder / f"{name}.lease").write_text(heart.stem)


def test_one_process_has_it_at_a_time(make_leases) -> None:
    one, other = make_leases(), make_leases()
    assert one.claim("a")
    assert one.claim("a")
    assert not other.claim("a")
    assert other.is_held("a")
    assert other.claim("b")
    one.free("a")
    assert not other.is_held("a")
    assert other.claim("a")
    other.close()
    assert one.claim("b")


def test_a_process_that_has_lost_a_lease_does_not_give_it_back(make_leases, tmp_path: Path) -> None:
    paused, other = make_leases(beat=60, timeout=0.2), make_leases(beat=0.05, timeout=0.2)
    assert paused.claim("a")
    assert not other.claim("a")
    time.sleep(0.3)    # no sign of life meanwhile
    assert other.claim("a")
    paused.free("a")
    assert (tmp_path / "a.lease").read_text() == other.id


def _hold(folder: Path, ready) -> None:
    Leases(folder).claim("a")
    ready.set()
    time.sleep(60)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_killed_process_had_is_free_at_once(make_leases, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()
    process = fork.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(20)
    leases = make_leases()
    assert not leases.claim("a")
    (holder,) = leases.holders()
    assert (holder["pid"], holder["names"]) == (process.pid, ["a"])
    process.kill()
    process.join()
    assert leases.claim("a")    # a lock on this machine tells, not the time-out of a minute


def test_another_machine_is_dead_when_it_is_silent_for_long(make_leases, tmp_path: Path) -> None:
    leases = make_leases(timeout=30)
    leave(tmp_path, "a", silent=10)
    assert not leases.claim("a")
    leave(tmp_path, "a", silent=40)
    assert leases.claim("a")


def test_the_clock_of_the_folder_counts_not_that_of_the_machine(make_leases, tmp_path: Path, monkeypatch) -> None:
    leases = make_leases(timeout=30)
    leave(tmp_path, "a", silent=10)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not leases.claim("a")
    assert leases.is_held("a")


def test_a_process_whose_heart_was_swept_while_it_slept_begins_anew(make_leases, tmp_path: Path) -> None:
    slept, other = make_leases(beat=60.0), make_leases()
    assert slept.claim("one")
    hour = time.time() - 3600
    os.utime(tmp_path / f"{slept.id}.heart", (hour, hour))
    before = slept.id
    other.sweep()
    assert not (tmp_path / f"{before}.heart").exists()
    assert not slept.is_held("one")
    assert slept.claim("two")
    assert not other.claim("two")
    assert slept.id != before


@pytest.mark.parametrize("alive", [True, False])
def test_watching_tells_a_slow_machine_from_a_dead_one(make_leases, tmp_path: Path, alive: bool) -> None:
    leases = make_leases(beat=0.05, timeout=1.0)
    leave(tmp_path, "a", silent=0.5)
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(leases.claim_or_watch, "a")
        if alive:
            time.sleep(0.1)
            os.utime(tmp_path / "node7-1-abc.heart")
        assert claimed.result(20) is not alive


def test_of_many_that_find_a_holder_dead_one_takes_over(make_leases, tmp_path: Path) -> None:
    crowd = [make_leases() for _ in range(8)]
    for turn in range(20):
        leave(tmp_path, f"a{turn}", silent=1000)
        begin = Barrier(len(crowd))

        def rush(leases: Leases, name: str = f"a{turn}", begin: Barrier = begin) -> bool:
            begin.wait()
            return leases.claim(name)

        with ThreadPoolExecutor(len(crowd)) as pool:
            assert sum(pool.map(rush, crowd)) == 1


def test_a_lease_without_a_name_was_cut_off(make_leases, tmp_path: Path) -> None:
    leases = make_leases(beat=0.2)
    (tmp_path / "a.lease").touch()    # killed between creating and writing it, or just about to write
    assert not leases.claim("a")
    time.sleep(0.3)
    assert leases.claim("a")


def test_a_dead_process_that_was_taking_over_is_no_obstacle(make_leases, tmp_path: Path) -> None:
    leave(tmp_path, "a", silent=1000)
    (tmp_path / "a.lease.turn").write_text("node7-1-abc")
    assert make_leases().claim("a")


def test_a_full_disk_leaves_no_lease_behind(make_leases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    leases = make_leases()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="no space"):
                leases.claim("a")
    assert list(tmp_path.iterdir()) == []
    assert leases.claim("a")


def test_what_dead_processes_left_is_swept(make_leases, tmp_path: Path) -> None:
    leases = make_leases()
    leases.claim("mine")
    leave(tmp_path, "a", silent=1000)
    assert {path.name for path in leases.sweep()} == {"a.lease", "node7-1-abc.heart"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"{leases.id}.heart", "mine.lease"])
