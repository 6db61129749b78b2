"""What a process settles before it trains, because of how steps of a few milliseconds use memory."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 128 * 2**20
LARGEST_KEPT = 32 * 2**20  # the most that glibc allows


def settle() -> None:
    """Keeps freed memory for the next step; may be called twice. Only glibc needs it.

    A training step frees and allocates the same tensors again. glibc hands them back to the system in between, and
    each page must then be cleared anew: 10,000 page faults a step of model50k, a fifth of its time.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
