"""The process' memory once it has started: what the start made stays, and what calls free is kept.

Knows Python's collector and glibc's malloc; nothing of what is in memory."""

from __future__ import annotations

import ctypes
import gc

# Some payloads of the largest size and their copies.
KEEP_FREED_BYTES = 64 * 1024 * 1024
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def settle_memory() -> None:
    """Objects of the start stay: the collector need not look at them again, between calls. Memory that
    large payloads took is kept for the next ones: a third of a 5 MB call went into new pages
    (bench/README.md)."""
    gc.collect()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024)  # the most that glibc takes
        mallopt(M_TRIM_THRESHOLD, KEEP_FREED_BYTES)
