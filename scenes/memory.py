"""Give freed memory back to the system, so that workers side by side stay small."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import Any

MADV_PAGEOUT = 21  # Linux 5.4: these pages are not needed for now
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


def release_libraries() -> None:
    """Let go of the pages of loaded libraries that were only read: whoever needs one again reads it from the file.

    For a process that loads large libraries for others (torch's are over 300 MB in memory) and then only waits.
    """
    with suppress(AttributeError, OSError, ValueError):  # Linux alone has both the list and the call
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
            for line in maps:
                span, mode, *_, path = line.split(maxsplit=5) if line.count("/") else (line, "", "")
                if mode.startswith("r-") and ".so" in path:
                    low, high = (int(edge, 16) for edge in span.split("-"))
                    madvise(low, high - low, MADV_PAGEOUT)
