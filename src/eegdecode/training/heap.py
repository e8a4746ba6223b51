"""How freed memory is handled: kept for the next step, not given back and asked for again."""

from __future__ import annotations

import ctypes
import functools
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4    # of mallopt(3)


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed; whether it took it.

    A step on a processor makes and frees tensors of many megabytes. By default glibc gives each back to the
    system, which then hands out pages one by one, filled with zeros: half of a step of the plain EEGNet, a quarter
    of one in its factored form, a sixth of one of S3T. Other C libraries have no such switch and are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    options = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 * 2**20}
    return all(set_option(name, value) for name, value in options.items())
