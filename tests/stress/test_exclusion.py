"""Every figure covers the same pictures."""

from __future__ import annotations

import pytest

from scenes.errors import InputError
from stress.cells import Skip
from stress.exclusion import decide
from stress.plan import Cell

pytestmark = pytest.mark.core
FOG, CLEAN = Cell("weather/fog", 1.0), Cell("clean", 0.0)


def skip(index, at, cell=FOG):
    return Skip(cell, index, f"s{index}", at, f"why {index}")


def test_an_unreadable_sample_does_not_count_against_a_shift():
    found = decide([skip(0, "read", CLEAN), skip(0, "read"), skip(1, "shift")], n_samples=10)
    assert found.samples == {0, 1}
    assert found.left_out == frozenset()
    assert [entry["sample_id"] for entry in found.listed()] == ["s0", "s1"]


def test_a_shift_that_fails_on_more_than_a_fifth_is_left_out_and_its_samples_stay():
    found = decide([skip(i, "shift") for i in range(3)], n_samples=10)
    assert found.left_out == {"weather/fog"}
    assert found.samples == frozenset()
    assert "failed on 3 of 10 samples, first: why 0" in found.notes[0]


def test_nothing_left_is_an_error_that_names_the_first():
    with pytest.raises(InputError, match="'s0': why 0"):
        decide([skip(0, "read", CLEAN), skip(1, "read", CLEAN)], n_samples=2)
