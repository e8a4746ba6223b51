"""Which machine this is, and locks that end with the process that has them."""

from __future__ import annotations

import hashlib
import platform
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:    # Windows
    fcntl = None


def lock(file: int) -> bool:
    """Lock a file until the process ends, however it ends; False where the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlocked(file: int) -> bool:
    """Whether nobody has a file locked; False where that cannot be known."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def this_machine() -> str:
    """A digest that tells machines apart, and one machine before and after its start."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = str(uuid.getnode())
    return hashlib.blake2b(f"{platform.node()} {boot}".encode(), digest_size=8).hexdigest()
