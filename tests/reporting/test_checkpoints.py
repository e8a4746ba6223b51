"""Checkpoints: what cannot be trusted is named."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from eegdecode.reporting.checkpoints import read_checkpoint, write_checkpoint

WEIGHTS = {"head.weight": np.arange(12, dtype=np.float32).reshape(4, 3), "frontend.offset": np.zeros(3, np.float64)}
ABOUT = {"key": "a" * 32, "run": "sub-1", "model": {"network": {"call": {"name": "x"}}}}
NAME = "sub-1_lr-0.001_aaaaaaaa"    # a name with a point: no suffix


@pytest.fixture
def path(tmp_path):
    write_checkpoint(tmp_path / "checkpoints", NAME, WEIGHTS, ABOUT)
    return tmp_path / "checkpoints" / NAME


def test_it_comes_back_whole(path):
    weights, about = read_checkpoint(path)
    assert weights.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(weights[name], array)
        assert weights[name].dtype == array.dtype
    assert about == ABOUT


def test_a_truncated_file_is_named(path):
    file = path.with_name(f"{NAME}.safetensors")
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f"{NAME}.safetensors is no whole safetensors file"):
        read_checkpoint(path)


def test_a_foreign_file_is_named(path):
    save_file(WEIGHTS, path.with_name(f"{NAME}.safetensors"))
    with pytest.raises(ValueError, match="was not written by eegdecode"):
        read_checkpoint(path)


@pytest.mark.parametrize("text", ["", "[1]", '{"key": "aaaa"', '{"key": "aaaa"}', '{"key": "aaaa", "model": 3}'])
def test_a_truncated_or_foreign_description_is_named(path, text):
    path.with_name(f"{NAME}.json").write_text(text)
    with pytest.raises(ValueError, match=f"{NAME}.json was not written by eegdecode, or is cut off"):
        read_checkpoint(path)


def test_files_of_two_trainings_are_refused(path):
    path.with_name(f"{NAME}.json").write_text(json.dumps({**ABOUT, "key": "b" * 32}))
    with pytest.raises(ValueError, match=r"\(aaaaaaaa\) and .* \(bbbbbbbb\) are not of one training"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_say_what_to_name(path, tmp_path):
    with pytest.raises(ValueError, match=f"name one of its 1 checkpoints, e.g. .*{NAME}.safetensors"):
        read_checkpoint(tmp_path)
    path.with_name(f"{NAME}.json").unlink()
    with pytest.raises(FileNotFoundError, match=f"{NAME}.json is not there; a checkpoint is two files"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=f"did you mean .*{NAME}.safetensors"):
        read_checkpoint(path.with_name(NAME[:-2]))
