"""Executors: the same tasks in this process or in worker processes, with the same bytes as result.

A worker is an object that each process makes once. Threads are pinned to one each, in this process too, so that sums
are taken in one order wherever a task runs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from scenes.errors import InputError
from scenes.memory import map_large_arrays

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Queue(Protocol):
    """Hands out tasks; which worker asks may decide which it gets."""

    def take(self, worker: int) -> Any | None: ...


class InOrder:
    """Tasks in a row, each to whoever asks first."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = deque(items)

    def take(self, worker: int) -> Any | None:
        return self._items.popleft() if self._items else None


class Executor(Protocol):
    """Runs methods of workers on tasks, in any order."""

    workers: int

    def start(self, method: str) -> None: ...
    def each(self, method: str, queue: Queue) -> Iterator[Any]: ...
    def close(self, *, now: bool = False) -> None: ...


class InProcess:
    """One worker, here. `make` builds it."""

    workers = 1

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._worker: Any = None

    def start(self, method: str) -> None:
        """Nothing to start ahead: the worker is here."""

    def each(self, method: str, queue: Queue) -> Iterator[Any]:
        with single_threaded():
            if self._worker is None:
                self._worker = self._make()
                pin_threads()  # of what the model loaded
            while (item := queue.take(0)) is not None:
                yield getattr(self._worker, method)(item)

    def close(self, *, now: bool = False) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class Processes:
    """One process a worker; `make` must be picklable and is called in each.

    shared: modules that every worker needs. Where the system has a fork server they are imported once, in it, and the
    workers share their memory; elsewhere each worker imports them when it first uses them.
    """

    def __init__(self, make: Callable[[], Any], workers: int, *, shared: Sequence[str] = ()) -> None:
        self.workers = workers
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            context.set_forkserver_preload([*shared, "scenes.preload"])
        self._pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(make,)) for _ in range(workers)
        ]
        self._children: list[dict[int, Any]] = [{} for _ in range(workers)]  # by process id

    def start(self, method: str) -> None:
        """Start all workers and let each run a method without arguments; what it raises is raised by a later task."""
        for worker in range(self.workers):
            self._submit(worker, method, 0)

    def each(self, method: str, queue: Queue) -> Iterator[Any]:
        """Yield results as they come. Each worker has one task running and one waiting, so none stands idle."""
        running: dict[Future[Any], int] = {}

        def feed(worker: int) -> None:
            item = queue.take(worker)
            if item is not None:
                running[self._submit(worker, method, item)] = worker

        for _ in range(2):
            for worker in range(self.workers):
                feed(worker)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                worker = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    raise InputError(self._death(worker)) from error
                feed(worker)
                yield result

    def _death(self, worker: int) -> str:
        """Return how a worker process ended, and what to do."""
        children = self._children[worker].values()
        for child in children:
            child.join(timeout=5)
        code = next((child.exitcode for child in children if child.exitcode), None)
        if code == -signal.SIGKILL:
            why, do = "was killed, most likely for want of memory", f", with fewer --workers than {self.workers}"
        elif code is not None and code < 0:
            why = f"died of {signal.Signals(-code).name}, most likely in the model's or a library's own code"
            do = ", or with --workers 1 to see it happen in this process"
        else:
            why, do = f"ended by itself with exit code {code}", ""
        return f"a worker process {why}; give the same command to resume{do}"

    def _submit(self, worker: int, method: str, item: Any) -> Future[Any]:
        with _spawning():
            future = self._pools[worker].submit(_call, method, item)
        self._children[worker].update(getattr(self._pools[worker], "_processes", None) or {})
        return future

    def close(self, *, now: bool = False) -> None:
        """Stop the workers; `now` ends what they are doing, which leaves no half-written file behind."""
        for pool in self._pools:
            children = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=not now, cancel_futures=True)
            for child in children if now else ():
                child.terminate()
            for child in children:
                child.join()
        for pool in self._pools:
            pool.shutdown(wait=True)  # lets go of its semaphores, which would be called leaked


_WORKER: Any = None
_MAKE: Callable[[], Any] | None = None


def _begin(make: Callable[[], Any]) -> None:
    """Set a worker process up: Ctrl-C is the parent's business, and without a parent there is nothing to do."""
    global _MAKE
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    pin_threads()
    map_large_arrays()
    _MAKE = make


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(method: str, item: Any) -> Any:
    """Run one task; the worker is made at the first, so that an error in making it comes back as it is."""
    global _WORKER
    if _WORKER is None:
        assert _MAKE is not None  # set by the initializer
        _WORKER = _MAKE()
        pin_threads()  # of what the model loaded
    return getattr(_WORKER, method)(item)


def pin_threads() -> None:
    """Give numeric libraries one thread each; over-subscribed cores cost up to ten times."""
    import cv2
    import numba

    cv2.setNumThreads(0)
    numba.set_num_threads(1)
    torch = sys.modules.get("torch")  # not loaded for models that do not use it
    if torch is not None:
        torch.set_num_threads(1)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Pin threads for a while, and give them back."""
    import cv2
    import numba

    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), numba.get_num_threads(), torch.get_num_threads() if torch else 0
    pin_threads()
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        numba.set_num_threads(before[1])
        if torch is not None:
            torch.set_num_threads(before[2])


@contextmanager
def _spawning() -> Iterator[None]:
    """Start processes with pinned threads, and without running the caller's script again in each of them.

    Spawned processes import the main module to find what is pickled from it; ours need nothing of it, and a script
    without `if __name__ == "__main__"` would start itself over and over.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__dict__["__spec__"] = None
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        main.__dict__.update(hidden)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
