"""Scheduling: every cell of every shard once, a shard read as seldom as can be, errors of workers come back."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.errors import InputError
from stress.execute import ByShard, InOrder, InProcess, Processes
from stress.plan import Cell

CELLS = [Cell("weather/fog", float(s)) for s in range(1, 6)] + [Cell("clean", 0.0)]


@pytest.mark.core
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 8), st.lists(st.integers(0, 3), min_size=500, max_size=500))
def test_every_cell_of_every_shard_is_done_once_whoever_asks(shards, workers, size, askers):
    queue = ByShard(dict.fromkeys(range(shards), CELLS), cells=size)
    done = []
    for asker in askers:
        unit = queue.take(asker % workers)
        if unit is None:
            break
        done += [(unit.shard, cell) for cell in unit.cells]
    assert sorted(done) == sorted((shard, cell) for shard in range(shards) for cell in CELLS)


@pytest.mark.core
def test_a_worker_stays_with_its_shard_and_helps_only_when_none_is_untouched():
    queue = ByShard(dict.fromkeys(range(3), CELLS), cells=2)
    assert [queue.take(0).shard for _ in range(3)] == [0, 0, 0]
    assert queue.take(1).shard == 1
    assert queue.take(0).shard == 2
    assert [queue.take(0).shard for _ in range(2)] == [2, 2]
    assert queue.take(0).shard == 1  # helps
    assert queue.take(1).shard == 1
    assert queue.take(0) is None


@pytest.mark.core
def test_shards_that_are_done_are_not_handed_out():
    queue = ByShard({0: [], 1: CELLS[:1]}, cells=2)
    assert queue.take(0).shard == 1
    assert queue.take(0) is None


class Parts:
    """A worker whose tasks are plain."""

    def close(self):
        pass

    def double(self, value):
        return 2 * value


@pytest.mark.core
def test_in_this_process():
    executor = InProcess(Parts)
    assert list(executor.each("double", InOrder([1, 2, 3]))) == [2, 4, 6]
    executor.close()


def test_worker_processes_give_results_and_tell_what_is_wrong():
    executor = Processes(dict, 2)  # any picklable maker; methods of dict serve as tasks
    try:
        assert sorted(executor.each("fromkeys", InOrder([("a",), ("b",)])), key=str) == [{"a": None}, {"b": None}]
        with pytest.raises(KeyError):
            list(executor.each("__getitem__", InOrder(["missing"])))
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.abort, r"worker process died of SIGABRT.*resume, or with --workers 1"),
        (partial(signal.raise_signal, signal.SIGKILL), r"worker process was killed.*resume, with fewer --workers"),
        (partial(os._exit, 3), r"worker process ended by itself with exit code 3.*resume"),
    ],
)
def test_a_worker_that_dies_is_a_clear_error(make, told):
    executor = Processes(make, 1)  # the worker ends while it is made
    try:
        with pytest.raises(InputError, match=told):
            list(executor.each("anything", InOrder([1])))
    finally:
        executor.close(now=True)
