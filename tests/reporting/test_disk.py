"""What a full disk or a closed folder says."""

import errno
from pathlib import Path

import pytest

from eegdecode.reporting.disk import clear_errors, make_folder


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"), (errno.EROFS, "no permission to write there. Give another folder"),
        (errno.EEXIST, "a file stands where a folder is needed"), (errno.ENOENT, "no folder can be made there"),
    ],
)    # fmt: skip
def test_it_names_the_file_and_the_way_out(number, advice):
    words = f"cannot write somewhere/scores.csv: .*{advice}.*stays intact"
    with pytest.raises(OSError, match=words) as told, clear_errors(Path("somewhere/scores.csv")):
        raise OSError(number, "as the system says it")
    assert told.value.errno == number


def test_an_error_is_told_once():
    caught = pytest.raises(OSError, match="cannot write inner")
    with caught as told, clear_errors(Path("outer")), clear_errors(Path("inner")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "outer" not in str(told.value)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file" / "inside")
