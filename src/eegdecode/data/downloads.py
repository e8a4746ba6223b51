"""Public files: what is on disk is used as it is; what is not is fetched whole, checked, or named."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mne

PAGE = (b"<!doctype html", b"<html", b"<?xml")    # how a web page begins, in small letters


class MissingFileError(FileNotFoundError):
    """A file that is neither on disk nor can be fetched; the message says what it is and where it belongs."""


@contextlib.contextmanager
def files_on_disk(name: str, subject: str, *, module: Any = None, unread: Sequence[str] = ()) -> Iterator[None]:
    """While MOABB asks for files: take those on disk, fetch others, and explain a failure.

    MOABB has no switch for this. It hashes every file that is there, takes whatever a server sends for a
    recording, and where a file is missing and there is no network, it fails with a traceback of the network
    library.

    Parameters
    ----------
    name, subject : str
        Of the data set and the subject, for the message.
    module : module or None
        Where the class of the data set lives: some bring a downloader of their own.
    unread : sequence of str
        Patterns of files that are listed, but not read.
    """
    import moabb.datasets.download as download
    import pooch

    def retrieve(url: str, known_hash: str | None = None, fname: str | None = None, path: Any = None,
                 processor: Any = None, downloader: Any = None, progressbar: Any = True) -> Any:    # fmt: skip
        folder = Path(path or pooch.os_cache("pooch")).resolve()
        file = folder / (fname or pooch.utils.unique_file_name(url))
        action = "fetch"
        if not file.is_file() and not any(fnmatch(file.name, text) for text in unread):
            action = "download"
            _fetch(fetch, url, known_hash, file, downloader, f"{name}: the file {file.name} of subject {subject}")
        return processor(str(file), action, None) if processor else str(file)

    fetch = download.retrieve
    places = [(place, "retrieve", retrieve) for place in (download, pooch, module) if hasattr(place, "retrieve")]
    with contextlib.ExitStack() as stack:
        for place, attribute, ours in [*places, (download, "file_hash", lambda file: None)]:
            stack.callback(setattr, place, attribute, getattr(place, attribute))
            setattr(place, attribute, ours)
        stack.enter_context(mne.utils.use_log_level("error"))
        stack.enter_context(warnings.catch_warnings())
        # MOABB asks for the template head by a name that MNE 1.13 is about to drop.
        warnings.filterwarnings("ignore", message="Montage name", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
        yield


def _fetch(
    fetch: Callable[..., Any], url: str, known_hash: str | None, file: Path, downloader: Any, what: str
) -> None:
    """Fetch one file under a temporary name, with a progress bar; nothing stays unless it is whole."""
    if getattr(downloader, "progressbar", None) is False:
        downloader.progressbar = True
    settings = {"downloader": downloader} if downloader else {"progressbar": True}
    try:
        fetch(url, known_hash, fname=file.name, path=str(file.parent), **settings)
        _check(file)
    except Exception as error:    # whatever the network, a proxy or a full disk throw
        raise MissingFileError(
            f"{what} is missing and could not be fetched. It belongs in {file.parent} and comes from {url}. "
            "Fetch it, set MNE_DATA to the folder that has it, or leave the subject out "
            f"(dataset.subjects=[...]). Cause: {brief(error)}"
        ) from None


def _check(file: Path) -> None:
    """Remove an answer that is no file of data: servers send a page, or nothing, with a good status."""
    with file.open("rb") as opened:
        begin = opened.read(64).lstrip().lower()
    if not begin or begin.startswith(PAGE):
        file.unlink()
        raise OSError("the server sent a web page in place of the file" if begin else "the server sent nothing")


def data_folder() -> Path:
    """Return the folder of public data sets, made if need be; nothing is written into the user's settings."""
    # MOABB would ask a mirror about every set, and wait for minutes where there is no network.
    os.environ.setdefault("MOABB_DOWNLOAD_PROVIDER", "upstream")
    # Without this, MOABB writes the folder of its choice into the user's MNE settings.
    os.environ.setdefault("MNE_DATA", str(mne.get_config("MNE_DATA", Path.home() / "mne_data")))
    folder = Path(os.environ["MNE_DATA"]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"MNE_DATA={folder}, the folder of public data sets: {error}") from error
    return folder


def brief(error: Exception) -> str:
    """Kind and message of an error on one short line: what was tried stands at its begin, the cause at its end."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) < 240 else f'{text[:90]} [...] {text[-140:]}'}"
