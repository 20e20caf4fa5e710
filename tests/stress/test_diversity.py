"""Choosing pictures that stand for others: better than chance, within the bound of the theory, ties settled."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from stress.diversity import cluster_sample, clusters, normalised, radius, random_radius, shares, spread


def clumps(rng, sizes=(200, 30, 5), dimensions=16):
    """Rows in clumps of unequal sizes, as frames of few long and many short drives are."""
    centres = rng.normal(size=(len(sizes), dimensions)) * 4
    rows = np.concatenate([c + rng.normal(size=(n, dimensions)) for c, n in zip(centres, sizes, strict=True)])
    return rows, np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.core
@pytest.mark.parametrize("seed", range(5))
def test_k_centre_covers_better_than_chance(seed):
    rows = normalised(clumps(np.random.default_rng(seed))[0])
    for n in (5, 20, 60):
        assert radius(rows, spread(rows, n)) < random_radius(rows, n, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_k_centre_is_within_twice_of_the_best_there_is(seed):
    """Gonzalez (1985), against all choices."""
    rows = np.random.default_rng(seed).normal(size=(12, 2))
    best = min(radius(rows, chosen) for chosen in combinations(range(12), 3))
    assert radius(rows, spread(rows, 3)) <= 2 * best + 1e-12


def test_rows_of_no_worth_are_never_chosen_and_worthy_ones_first():
    rng = np.random.default_rng(0)
    rows, worth = rng.normal(size=(50, 4)), np.zeros(50)
    worth[10:20] = 1.0
    assert set(spread(rows, 30, worth)) == set(range(10, 20))
    worth[:] = 0.01
    worth[7] = 1.0
    assert spread(rows, 3, worth)[0] == 7


def test_what_is_there_already_is_stood_off_from():
    rows = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0]])
    assert spread(rows, 1, start=rows[:1]) == [2]
    assert spread(rows, 1, start=rows[2:]) == [0]


def test_copies_of_one_picture_add_nothing_before_others():
    rows = np.vstack([np.zeros((20, 3)), np.eye(3)])
    assert {20, 21, 22} <= set(spread(rows, 4))


def test_clusters_find_clumps_as_scikit_learn_does():
    rows, truth = clumps(np.random.default_rng(3), sizes=(40, 40, 40, 40))
    ours = clusters(rows, seed=0, most=4)
    theirs = KMeans(4, n_init=10, random_state=0).fit_predict(rows)
    assert adjusted_rand_score(truth, ours) >= adjusted_rand_score(truth, theirs) - 0.05
    assert np.array_equal(ours, clusters(rows, seed=0, most=4))


def test_a_sample_takes_of_each_cluster_its_share_of_worth():
    rows, label = clumps(np.random.default_rng(1), sizes=(60, 30, 10))
    chosen = cluster_sample(rows, label, 20)
    assert np.bincount(label[chosen], minlength=3).tolist() == [12, 6, 2]
    worth = np.where(label == 2, 9.0, 1.0)
    assert np.bincount(label[cluster_sample(rows, label, 18, worth)], minlength=3).tolist() == [6, 3, 9]
    assert len(set(cluster_sample(rows, label, 100))) == 100
    assert len(cluster_sample(rows, label, 500)) == 100


@pytest.mark.parametrize(("weights", "n", "wanted"), [
    ([1, 1, 1], 4, [2, 1, 1]),
    ([5, 0, 5], 3, [2, 0, 1]),
    ([0, 0], 5, [0, 0]),
    ([], 5, []),
    ([0.1, 0.2, 0.7], 0, [0, 0, 0]),
])  # fmt: skip
def test_shares_are_whole_and_sum_up(weights, n, wanted):
    assert shares(weights, n).tolist() == wanted


def test_shares_are_never_a_whole_one_off():
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights, n = rng.random(int(rng.integers(1, 12))), int(rng.integers(0, 60))
        found = shares(weights, n)
        assert found.sum() == n
        assert (np.abs(found - weights / weights.sum() * n) < 1).all()


def test_edges():
    one = np.ones((1, 3))
    assert spread(one, 5) == [0]
    assert clusters(one, seed=0).tolist() == [0]
    assert radius(one, [0]) == 0.0
    assert not normalised(one).any()
    same = np.ones((6, 2))
    assert len(set(clusters(same, seed=0))) == 1
    assert sorted(cluster_sample(normalised(same), clusters(same, seed=0), 6)) == list(range(6))
