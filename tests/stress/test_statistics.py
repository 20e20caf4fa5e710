"""Bootstrap over groups: covers what it says, is paired, and is silent where it would say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from stress.compare import Common, _row, p_value
from stress.plan import Cell
from stress.statistics import FEWEST_GROUPS, figure, group_weights, mean_of, ratio

pytestmark = pytest.mark.core


def test_each_resample_draws_as_many_groups_as_there_are():
    weights = group_weights(17, 200, seed=1)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 17).all()
    assert weights[1:].mean() == pytest.approx(1.0)
    assert (group_weights(17, 200, seed=1) == weights).all()
    assert (group_weights(17, 200, seed=2) != weights).any()


def test_the_interval_of_a_mean_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        values = rng.normal(0.0, 1.0, 40)
        weights = group_weights(40, 300, seed=trial)
        found = figure(weights @ values / weights.sum(axis=1), 40)
        inside += found.low <= 0.0 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_frames_of_few_groups_widen_the_interval():
    """Ten copies of each frame are ten groups, not a hundred independent frames."""
    values = np.random.default_rng(3).normal(size=10)
    grouped, single = group_weights(10, 400, seed=0), group_weights(100, 400, seed=0)
    wide = figure(grouped @ values / 10, 10)
    narrow = figure(single @ np.repeat(values, 10) / 100, 100)
    assert (wide.high - wide.low) > 2 * (narrow.high - narrow.low)


def test_a_difference_is_paired():
    """A constant loss has an interval of no width, whatever the spread between groups."""
    values = np.random.default_rng(4).normal(size=12)
    weights = group_weights(12, 100, seed=0)
    clean, worse = (weights @ v / 12 for v in (values, values - 0.1))
    found = figure(worse - clean, 12)
    assert found.low == pytest.approx(-0.1)
    assert found.high == pytest.approx(-0.1)


def test_too_few_groups_have_no_interval():
    weights = group_weights(FEWEST_GROUPS - 1, 50, seed=0)
    found = figure(weights.mean(axis=1), FEWEST_GROUPS - 1)
    assert found.value == 1.0
    assert found.low is None
    assert found.high is None


def test_the_mean_leaves_out_what_is_not_defined():
    assert mean_of([np.array([1.0, np.nan]), np.array([3.0, np.nan])])[0] == 2.0
    assert np.isnan(mean_of([np.array([1.0, np.nan]), np.array([3.0, np.nan])])[1])


def shares(groups, chance, rng):
    """Objects found of all objects in groups of unlike sizes that resemble each other inside."""
    objects = rng.integers(3, 12, groups)
    return rng.binomial(objects, rng.beta(8 * chance, 8 * (1 - chance), groups)), objects


@pytest.mark.parametrize("chance", [0.5, 0.95])
@pytest.mark.parametrize("groups", [5, 20, 100])
def test_intervals_of_shares_cover_the_truth(groups, chance):
    """Percentiles cover 72 % at 5 groups and a share of 0.95: whole data sets without a miss had no width."""
    rng, held = np.random.default_rng(groups), 0
    for i in range(400):
        weights = group_weights(groups, 300, seed=i // 50)
        found, objects = shares(groups, chance, rng)
        interval = figure((weights @ found) / (weights @ objects), groups, share=True)
        assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0
        held += interval.low <= chance <= interval.high
    assert held / 400 >= 0.92


def test_a_share_of_all_or_none_leaves_the_room_that_is_left():
    """Nothing missed in 12 groups: the rule of Clopper and Pearson, 1 - 0.025 ** (1 / 12), and no width of zero."""
    found = figure(np.ones(50), 12, share=True)
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 12)), 1.0)
    none = figure(np.zeros(50), 12, share=True)
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 12)))
    copy = figure(np.zeros(50), 12)  # a difference of nothing, to itself
    assert (copy.low, copy.high) == (0.0, 0.0)


def test_a_class_of_few_groups_has_no_interval():
    """A class that is in 3 of 100 groups is missing from every twentieth resample: three witnesses, not a hundred."""
    for there, has_interval in ((3, False), (30, True)):
        objects = np.zeros(100)
        objects[:there] = 4
        weights = group_weights(100, 500, seed=0)
        found = figure(ratio(weights @ (0.5 * objects + (objects > 0) * np.arange(100) % 2), weights @ objects), 100)
        assert found.value is not None
        assert (found.low is not None) == has_interval


def test_a_ratio_just_over_one_has_an_interval():
    """A share that is kept may be over 1 while few resamples are: no share then, and no logarithm of a negative."""
    found = figure(np.array([1.0004, 0.98, 0.99, 0.97, 0.999]), 8)
    assert found.low < 1.0004 < found.high


def test_the_interval_of_a_difference_in_few_groups_may_hold_zero():
    """Though all resamples are above 0, as they are soon with six groups: that is no share of something."""
    rng, all_above = np.random.default_rng(3), 0
    common = Common((Cell("clean", 0.0),), {str(i): i for i in range(6)}, ("car",), "map", ())
    for trial in range(400):
        gap = group_weights(6, 300, seed=trial % 20) @ rng.normal(0.02, 0.02, 6) / 6
        all_above += gap.min() > 0
        row = _row({}, [np.zeros(301), gap], common)["differences"][0]
        assert (row["p"] < 0.05) == (not row["low"] <= 0 <= row["high"])
    assert all_above > 50


def test_an_interval_and_its_p_value_agree():
    rng = np.random.default_rng(5)
    for trial in range(60):
        weights = group_weights(15, 200, seed=trial)
        gap = weights @ rng.normal(0.5, 1.0, 15) / 15
        found = figure(gap, 15, share=False)
        assert (p_value(gap, 15) < 0.05) == (not found.low <= 0 <= found.high)
