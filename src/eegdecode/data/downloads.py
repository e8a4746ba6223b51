"""Public files: what is on disk is used as it is; what is not is fetched whole, checked, or named."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

LOCK = threading.RLock()    # MOABB's functions are exchanged for one data set at a time
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
    import mne
    import moabb.datasets.download as download
    import pooch

    retrieve = _offline_first(download.retrieve, f"{name}: the file {{}} of subject {subject}", unread)
    ours: dict[str, Any] = {"retrieve": retrieve, "file_hash": lambda file: None}
    ours["fs_issue_request"] = _remembering(download.fs_issue_request)
    ours["get_user_agent"] = functools.cache(download.get_user_agent)    # it reads MOABB's metadata for each file
    places = [(download, attribute) for attribute in ours]
    places += [(place, "retrieve") for place in (pooch, module) if hasattr(place, "retrieve")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(LOCK)
        for place, attribute in places:
            stack.callback(setattr, place, attribute, getattr(place, attribute))
            setattr(place, attribute, ours[attribute])
        stack.enter_context(mne.utils.use_log_level("error"))
        stack.enter_context(warnings.catch_warnings())
        # MOABB asks for the template head by a name that MNE 1.13 is about to drop.
        warnings.filterwarnings("ignore", message="Montage name", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
        yield


def _offline_first(fetch: Callable[..., Any], title: str, unread: Sequence[str]) -> Callable[..., Any]:
    """Return pooch's ``retrieve`` with files on disk before all, and with failures explained."""
    import pooch

    def retrieve(url: str, known_hash: str | None = None, fname: str | None = None, path: Any = None,
                 processor: Any = None, downloader: Any = None, progressbar: Any = True) -> Any:    # fmt: skip
        folder = Path(path or pooch.os_cache("pooch")).resolve()
        file = folder / (fname or pooch.utils.unique_file_name(url))
        action = "fetch"
        if not file.is_file() and not any(fnmatch(file.name, text) for text in unread):
            action = "download"
            _fetch(fetch, url, known_hash, file, downloader, title.format(file.name))
        return processor(str(file), action, None) if processor else str(file)

    return retrieve


def _remembering(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Keep which files an article of Figshare has: MOABB asks each time, also when all of them are on disk."""

    def ask_once(method: str, url: str, headers: Any, data: Any = None, binary: bool = False) -> Any:
        kept = data_folder() / "figshare-lists" / f"{hashlib.blake2b(url.encode(), digest_size=8).hexdigest()}.json"
        with contextlib.suppress(OSError, ValueError):
            return json.loads(kept.read_text())
        answer = ask(method, url, headers, data, binary)
        if method == "GET" and isinstance(answer, list | dict):
            with contextlib.suppress(OSError):    # a folder that is read only, or full
                kept.parent.mkdir(exist_ok=True)
                partial = kept.with_suffix(f".{os.getpid()}")
                partial.write_text(json.dumps(answer))
                partial.replace(kept)
        return answer

    return ask_once


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
    if "MNE_DATA" not in os.environ:
        import mne

        os.environ["MNE_DATA"] = str(mne.get_config("MNE_DATA", Path.home() / "mne_data"))
    folder = Path(os.environ["MNE_DATA"]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(f"MNE_DATA={folder}, the folder of public data sets: {error}") from error
    return folder


def brief(error: Exception) -> str:
    """Kind and message of an error on one short line: what was tried stands at its begin, the cause at its end.

    Without a full stop: a sentence goes on behind it.
    """
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text if len(text) < 240 else f'{text[:90]} [...] {text[-140:]}'}"
