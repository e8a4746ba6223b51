"""States of trainings on disk: used for exactly the runs and keys that they were written for, whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eegdecode.reporting.states import DiskStates
from eegdecode.runs import Run

from .conftest import fill

ARRAYS = {"weights/a": np.arange(6, dtype=np.float32).reshape(2, 3), "torch": np.arange(5, dtype=np.uint8)}
STATE = (ARRAYS, {"epoch": 7, "rngs": [{"state": {"state": 2**120 + 1}}]})


@pytest.fixture
def states(runs: list[Run], tmp_path: Path) -> DiskStates:
    return DiskStates(tmp_path / "in_work", {run.name(): f"key of {run.name()}" for run in runs})


def files(states: DiskStates) -> list[Path]:
    return sorted(states.folder.glob("*"))


def test_what_is_written_is_read_and_gone_with_its_last_run(states: DiskStates, runs: list[Run], caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    states.write(runs[:2], STATE)
    states.write(runs[2:3], STATE)
    states.begin(runs)
    assert f"{runs[1].name()} and 1 beside it: goes on after epoch 7" in caplog.text
    kept = states.read(runs[:2])
    assert kept is not None
    assert kept[1] == STATE[1]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(kept[0][name], array)
        assert kept[0][name].dtype == array.dtype
    states.drop(runs[0])    # its neighbour is not yet stored
    assert states.read(runs[:2]) is not None
    states.drop(runs[1])
    assert states.read(runs[:2]) is None
    states.drop(runs[2])
    assert not states.folder.exists()
    states.begin(runs)    # without a folder


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "foreign"])
def test_damage_is_said_and_not_used(states: DiskStates, runs: list[Run], caplog: Any, damage: str) -> None:
    states.write(runs[:1], STATE)
    (path,) = files(states)
    content = path.read_bytes()
    at = content.index(ARRAYS["weights/a"].tobytes()) + 5
    altered = content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    path.write_bytes({"cut": content[: len(content) // 2], "altered": altered, "empty": b"", "foreign": b"PK"}[damage])
    assert states.read(runs[:1]) is None
    states.begin(runs)
    assert "is damaged" in caplog.text
    assert not files(states)


def test_a_state_of_another_key_is_refused_and_kept_for_those_who_wrote_it(
    states: DiskStates, runs: list[Run], caplog: Any
) -> None:
    states.write(runs[:1], STATE)
    other = DiskStates(states.folder, dict.fromkeys(states.keys, "another"))
    other.begin(runs)
    assert "is of other data, settings or versions: not used" in caplog.text
    assert other.read(runs[:1]) is None
    assert states.read(runs[:1]) is not None


def test_another_version_of_torch_is_another_key(make_store: Any, tmp_path: Path, runs: list[Run]) -> None:
    """As the experiment makes them: the store's keys hold versions and settings."""
    old, new = (
        DiskStates(tmp_path / "in_work", make_store(context={"torch": torch, "trainer": {"lr": 1e-3}}).keys)
        for torch in ("2.12.0", "2.13.0")
    )
    old.write(runs[:1], STATE)
    assert new.read(runs[:1]) is None
    assert old.read(runs[:1]) is not None


def test_a_stack_that_is_dealt_otherwise_is_refused(states: DiskStates, runs: list[Run], caplog: Any) -> None:
    states.write(runs[:3], STATE)
    assert states.read(runs[1:3]) is None
    assert "left by a training of 3 runs side by side, now they are 2" in caplog.text
    assert states.read(runs[:3]) is not None


def test_a_state_of_a_finished_run_goes(make_store: Any, runs: list[Run], caplog: Any) -> None:
    """A kill between the result and the end of its state."""
    store = make_store()
    states = DiskStates(store.folder / "in_work", store.keys)
    done = fill(store, 1)
    states.write(done, STATE)
    (states.folder / ".x.npz.1.part").write_bytes(b"half")
    states.begin(store.unfinished())
    assert not files(states)
    assert "anew" not in caplog.text


def test_states_are_no_results(make_store: Any, meta: pd.DataFrame) -> None:
    store = make_store()
    fill(store, 1)
    DiskStates(store.folder / "in_work", store.keys).write(store.unfinished()[:1], STATE)
    assert store.score().summary["n_done"] == 1
    assert len(make_store().unfinished()) == 3
