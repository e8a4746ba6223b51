"""Where an experiment ran: versions, commit and command, so that its numbers can be made again."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("eegdecode", "torch", "numpy", "scipy", "scikit-learn", "mne", "moabb", "pyriemann")


def environment() -> dict[str, Any]:
    """Facts for a `Store`: versions (nothing is imported for them), git commit, command, log, system."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": git_commit(),
        "command": shlex.join(["python", *sys.argv]),
        "log": _log(),
        "system": platform.platform(terse=True),
    }


def _log() -> str | None:
    """The file that the output of this process goes to, if it goes to one and the system tells."""
    try:
        path = Path("/proc/self/fd/1").resolve(strict=True)
    except OSError:
        return None
    return str(path) if path.is_file() else None


def git_commit() -> str | None:
    """Commit of the source, with ``+changes`` where files differ from it; None outside a git clone."""
    here = Path(__file__).parent
    try:
        ask = ["git", "-C", str(here)]
        commit = _output([*ask, "rev-parse", "HEAD"])
        changed = _output([*ask, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.SubprocessError):
        return None
    return commit[:12] + ("+changes" if changed else "")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
