"""Files from a server on this machine: whole or not at all, named when missing, never asked for when on disk."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import moabb.datasets.download as download
import pooch
import pytest
from requests import Response

from eegdecode.data.downloads import MissingFileError, data_folder, files_on_disk

# pooch leaves the connections of failed downloads to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BODIES = {"page": b"\n<!DOCTYPE html><p>Log in first</p>", "empty": b"", "files": b'[{"id": 1}]'}
CONTENT = b"MATLAB 5.0 MAT-file" + bytes(200_000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        name = Path(self.path.partition("?")[0]).stem
        if name == "absent":
            self.send_error(404)
            return
        body = BODIES.get(name, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2 if name in ("cut", "slow") else None])
        if name == "slow":
            self.server.stop.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.stop = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()
    gc.collect()    # here, where the filter above holds


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Ask as a class of MOABB does; returns the path."""
    monkeypatch.setenv("MNE_DATA", str(tmp_path))

    def fetch(name, **settings):
        with files_on_disk("toy", "7", **settings):
            return download.data_dl(f"http://127.0.0.1:{server.server_port}/{name}.mat", "TOY")

    return fetch


def left(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_download_is_whole_shows_progress_and_leaves_no_other_file(fetch, tmp_path, capfd):
    assert Path(fetch("whole")).read_bytes() == CONTENT
    assert left(tmp_path) == ["whole.mat"]
    assert "100%" in capfd.readouterr().err


def test_a_file_on_disk_is_not_asked_for(fetch, server, monkeypatch):
    file = fetch("whole")
    monkeypatch.setattr(download, "file_hash", lambda file: pytest.fail("hashed"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("asked the network"))
    assert fetch("whole") == file
    assert server.asked == ["/whole.mat"]


def test_files_that_are_listed_but_not_read_are_not_asked_for(fetch, server):
    fetch("R01", unread=["R0*.mat"])
    assert server.asked == []


@pytest.mark.parametrize(
    ("name", "cause"),
    [("cut", "Incomplete"), ("absent", "404"), ("page", "web page in place of the file"), ("empty", "sent nothing")],
)
def test_what_is_not_the_file_is_named_and_removed(fetch, tmp_path, name, cause):
    with pytest.raises(MissingFileError) as caught:
        fetch(name)
    place = str(tmp_path / "MNE-toy-data")
    for word in (f"{name}.mat of subject 7", "toy:", place, "http://127.0.0.1", "MNE_DATA", "dataset.subjects", cause):
        assert word in str(caught.value)
    assert left(tmp_path) == []


def test_a_server_that_is_not_there(fetch, server, tmp_path):
    server.server_port = 1
    with pytest.raises(MissingFileError, match=r"whole.mat of subject 7 is missing.*refused"):
        fetch("whole")
    assert left(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(fetch, tmp_path, monkeypatch):
    def interrupted(self, chunk_size):
        yield b"half"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("whole")
    assert left(tmp_path) == []
    assert Path(fetch("whole")).read_bytes() == CONTENT


def test_a_killed_download_is_begun_anew(fetch, server, tmp_path):
    code = (
        "import moabb.datasets.download as download\n"
        "from eegdecode.data.downloads import files_on_disk\n"
        "with files_on_disk('toy', '7'):\n"
        f"    download.data_dl('http://127.0.0.1:{server.server_port}/slow.mat', 'TOY')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    server.stop.set()
    assert "slow.mat" not in left(tmp_path)
    (tmp_path / "MNE-toy-data" / "slow.mat").write_bytes(CONTENT)    # fetched by hand
    assert Path(fetch("slow")).read_bytes() == CONTENT


def test_classes_with_a_downloader_of_their_own_are_served_from_disk_too(server, tmp_path):
    class Module:
        retrieve = staticmethod(pooch.retrieve)

    url = f"http://127.0.0.1:{server.server_port}/page.zip"
    (tmp_path / "data.zip").write_bytes(b"on disk")
    with files_on_disk("toy", "7", module=Module):
        assert Module.retrieve(url, None, "data.zip", tmp_path) == str(tmp_path / "data.zip")
        assert pooch.retrieve(url, "md5:0", fname="data.zip", path=tmp_path, processor=lambda *seen: seen[1]) == "fetch"
        with pytest.raises(MissingFileError, match=r"other.zip of subject 7"):
            Module.retrieve(url, None, "other.zip", tmp_path, progressbar=True)
    assert Module.retrieve is pooch.retrieve


def test_the_list_of_an_article_is_asked_for_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    for _ in range(2):
        with files_on_disk("toy", "7"):
            url = f"http://127.0.0.1:{server.server_port}/files?page=1"
            assert download.fs_issue_request("GET", url, headers={}) == [{"id": 1}]
    assert server.asked == ["/files?page=1"]
    assert [path.suffix for path in (tmp_path / "figshare-lists").iterdir()] == [".json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MNE_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(FileNotFoundError, match=r"MNE_DATA=.*file/below, the folder of public data sets"):
        data_folder()
