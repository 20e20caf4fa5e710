"""Give freed memory back to the system, so that workers side by side stay small."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import Any

M_MMAP_THRESHOLD = -3  # of glibc's mallopt
LARGE_BYTES = 2 << 20


def map_large_arrays() -> None:
    """Give large arrays pages of their own from now on, which the system has back as soon as they are freed.

    glibc raises the size from which it does so (to 32 MiB) whenever such an array is freed; setting it holds it.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc: the allocator has its own ways
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


@cache
def _trim() -> Any:
    """Return glibc's malloc_trim; None on systems without it, where the allocator gives memory back by itself."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def give_back() -> None:
    """Return freed memory to the system (glibc keeps what was freed in the middle of its heap otherwise)."""
    trim = _trim()
    if trim is not None:
        trim(0)
