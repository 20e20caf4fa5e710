"""Bootstrap over groups: covers what it says, is paired, and is silent where it would say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from stress.statistics import FEWEST_GROUPS, figure, group_weights, mean_of

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


@pytest.mark.parametrize(("groups", "least"), [(5, 0.90), (10, 0.91), (100, 0.91)])
def test_intervals_of_means_cover_the_truth(groups, least):
    """Over 600 data sets of a mean with known truth: about 95 % of the intervals hold it, also with few groups.

    The 300 resamples that a plan takes by default are the same for all data sets, so their own chance does not average
    out: the bounds leave room for it.
    """
    rng = np.random.default_rng(groups)
    weights = group_weights(groups, 300, seed=1).astype(np.float64)
    held = 0
    for _ in range(600):
        data = rng.normal(3.0, 1.0, groups)
        found = figure(weights @ data / weights.sum(axis=1), groups)
        held += found.low <= 3.0 <= found.high
    assert least <= held / 600 <= 0.985
