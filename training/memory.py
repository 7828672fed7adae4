"""Keeps the C library from giving large blocks back to the system between gradient steps."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST = 2**30


def keep_large_blocks() -> None:
    """Reuse freed blocks up to 1 GiB: an update's activations otherwise fault in afresh, page by page, every time.

    Where the C library is not glibc, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGEST):
        mallopt(M_TRIM_THRESHOLD, LARGEST)
