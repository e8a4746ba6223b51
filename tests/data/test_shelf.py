import json
from pathlib import Path

import pytest
from filelock import FileLock
from tests.data.fakes import FakeDataset

from eegdecode.data.prepare import load_trials
from eegdecode.data.preprocess import Preprocess
from eegdecode.data.shelf import check, list_entries, prune


@pytest.fixture
def cache(tmp_path):
    load_trials(FakeDataset(subjects=None), Preprocess(), cache_dir=tmp_path)
    return tmp_path


def outdate(path):
    entry = json.loads((Path(path) / "entry.json").read_text())
    (Path(path) / "entry.json").write_text(json.dumps({**entry, "code": {"source": "of last year"}}))


def test_a_list_says_what_is_there(cache):
    found = list_entries(cache)
    assert list(found["subject"]) == ["1", "2", "3"]
    assert set(found["dataset"]) == {"fake"}
    assert set(found["state"]) == {"current"}
    assert set(found["trials"]) == {8}
    assert found["megabytes"].between(0.02, 0.03).all()
    assert (found["days"] < 1).all()


def test_an_empty_cache(tmp_path):
    assert len(list_entries(tmp_path / "nowhere")) == len(prune(tmp_path / "nowhere")) == 0
    assert len(check(tmp_path)) == 0


def test_pruning_takes_what_is_outdated_damaged_or_left_over_and_nothing_else(cache):
    paths = list(list_entries(cache)["path"])
    outdate(paths[0])
    (Path(paths[1]) / "X.npy").unlink()
    leftover = Path(paths[2]).with_name(f".{Path(paths[2]).name}.partial")
    leftover.mkdir()
    assert sorted(list_entries(cache)["state"]) == ["current", "damaged", "outdated", "unfinished"]
    assert len(prune(cache)) == 3
    assert list(list_entries(cache)["path"]) == paths[2:]


def test_what_another_process_holds_stays(cache):
    path = Path(list_entries(cache)["path"][0])
    outdate(path)
    with FileLock(path.parent / ".locks" / f"{path.name}.lock"):
        assert len(prune(cache)) == 0
    assert path.exists()


def test_a_flipped_bit_is_found_on_demand(cache):
    path = Path(list_entries(cache)["path"][1])
    data = bytearray((path / "X.npy").read_bytes())
    data[5000] ^= 1
    (path / "X.npy").write_bytes(data)
    assert list(check(cache)["subject"]) == ["2"]
