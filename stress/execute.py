"""How the cells of a run are handed to workers; the executors themselves are in scenes/execute.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scenes.execute import Executor, InOrder, InProcess, Processes, Queue, pin_threads, single_threaded
from stress.plan import Cell

__all__ = [
    "ByShard",
    "Executor",
    "InOrder",
    "InProcess",
    "Processes",
    "Queue",
    "Unit",
    "pin_threads",
    "single_threaded",
]


@dataclass(frozen=True)
class Unit:
    """Some cells of one shard of samples: what a worker is asked to do at once."""

    shard: int
    cells: tuple[Cell, ...]


class ByShard:
    """Units to workers so that a shard is read once: a worker stays with its shard, then starts an untouched one.

    Only when no shard is left untouched does it help with the largest rest of another's.
    """

    def __init__(self, work: Mapping[int, Sequence[Cell]], *, cells: int) -> None:
        self._left = {shard: deque(_chunks(shard, todo, cells)) for shard, todo in work.items() if todo}
        self._untouched = deque(self._left)
        self._at: dict[int, int] = {}

    def take(self, worker: int) -> Unit | None:
        shard = self._at.get(worker)
        if shard is None or not self._left[shard]:
            shard = self._next()
        if shard is None:
            return None
        self._at[worker] = shard
        return self._left[shard].popleft()

    def _next(self) -> int | None:
        if self._untouched:
            return self._untouched.popleft()
        rest = [shard for shard, units in self._left.items() if units]
        return max(rest, key=lambda shard: len(self._left[shard])) if rest else None


def _chunks(shard: int, cells: Sequence[Cell], size: int) -> Iterator[Unit]:
    for start in range(0, len(cells), size):
        yield Unit(shard=shard, cells=tuple(cells[start : start + size]))
