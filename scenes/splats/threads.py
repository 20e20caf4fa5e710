"""Run compiled kernels side by side. They let go of the interpreter lock, so plain threads do.

numba's own parallel loops would need OpenMP (which does not survive a fork) or its work queue (which may not be entered
twice), and take ten times as long to compile. As many threads run as torch was given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def count() -> int:
    """Return how many threads the kernels use: what torch was given."""
    return max(1, torch.get_num_threads())


@lru_cache(maxsize=2)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Return the threads of this process (a forked child has none of its parent's)."""
    return ThreadPoolExecutor(workers, thread_name_prefix="splats")


def each(kernel: Callable[..., Any], parts: Sequence[tuple[Any, ...]], *shared: Any) -> None:
    """Call `kernel(*part, *shared)` for every part and wait; one part, or one thread, runs in place."""
    if len(parts) == 1 or count() == 1:
        for part in parts:
            kernel(*part, *shared)
        return
    waiting = [_pool(count(), os.getpid()).submit(kernel, *part, *shared) for part in parts]
    for one in waiting:
        one.result()


def split(n: int, *, smallest: int = 2048) -> list[tuple[int, int]]:
    """Cut range(n) into as many even parts as there are threads, none smaller than `smallest`.

    >>> split(10, smallest=100)
    [(0, 10)]
    """
    parts = max(1, min(count(), n // smallest))
    edges = [n * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


def balance(costs: NDArray[np.int64], parts: int) -> list[tuple[int, int]]:
    """Cut a row of tasks into at most `parts` runs of about equal cost, in order.

    >>> balance(np.array([4, 1, 1, 1, 1]), 2)
    [(0, 1), (1, 5)]
    """
    total = np.cumsum(costs)
    wanted = total[-1:] * np.arange(1, parts) / parts
    edges = sorted({0, len(costs), *(int(i) + 1 for i in np.searchsorted(total, wanted) if i + 1 < len(costs))})
    return list(pairwise(edges))
