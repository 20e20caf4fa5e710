"""The words: what they need, and how often chance alone says "helped"."""

from __future__ import annotations

import numpy as np
import pytest

from stress.statistics import group_weights
from stress.training.verdict import HELPED, HURT, NO_EVIDENCE, answered, effect, question

GROUPS, SEEDS = 100, 3


def draws(scores, weights):
    """(S, G) scores to (S, 1 + B) means under each resample."""
    return scores @ (weights / weights.sum(axis=1, keepdims=True)).T


def trainings(rng, groups, weights, *, gain=0.0, seed_sd=0.01, group_sd=0.1, noise_sd=0.05, seeds=SEEDS):
    """Three arms whose scores have effects of group, of arm and group, of seed, and noise; feedback gains `gain`."""
    base = rng.normal(0.4, group_sd, groups)
    arms = []
    for plus in (gain, 0.0, 0.0):
        own = rng.normal(0, noise_sd, groups)  # how an arm takes to a group: the same for all its seeds
        scores = base + own + plus + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, noise_sd, (seeds, groups))
        arms.append(draws(scores, weights))
    return arms


def word(arms, groups=GROUPS):
    feedback, *controls = arms
    return answered([question(feedback, dict(zip("ab", controls, strict=True)), groups)])[0].word


def share_of(said, times, *, seed, groups=GROUPS, resamples=200, **effects):
    rng, weights = np.random.default_rng(seed), group_weights(groups, resamples, seed=0)
    return np.mean([word(trainings(rng, groups, weights, **effects), groups) == said for _ in range(times)])


SITUATIONS = [
    {"seed_sd": 0.0}, {"seed_sd": 0.01}, {"seed_sd": 0.05}, {"seed_sd": 0.01, "noise_sd": 0.2}, {"seed_sd": 0.002},
]  # fmt: skip


@pytest.mark.parametrize("effects", SITUATIONS, ids=str)
def test_chance_alone_seldom_says_helped_or_hurt(effects):
    for said in (HELPED, HURT):
        assert share_of(said, 150, seed=1, **effects) <= 0.05 + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("groups", [100, 200])
@pytest.mark.parametrize("effects", SITUATIONS, ids=str)
def test_chance_alone_says_helped_in_at_most_five_of_a_hundred(effects, groups):
    assert share_of(HELPED, 2000, seed=2, groups=groups, **effects) <= 0.05


def test_a_real_gain_is_found_and_a_real_loss():
    assert share_of(HELPED, 60, seed=3, gain=0.09) > 0.8
    assert share_of(HURT, 60, seed=4, gain=-0.09) > 0.8


def test_groups_alone_would_say_helped_far_too_often():
    """Seeds that differ more than frames do: an interval over frames alone takes a lucky training for a gain."""
    rng, weights, fooled = np.random.default_rng(5), group_weights(GROUPS, 200, seed=0), 0
    for _ in range(100):
        feedback, control, _ = trainings(rng, GROUPS, weights, seed_sd=0.1, noise_sd=0.02)
        one = effect((feedback - control)[:1], GROUPS)  # a single training of each
        fooled += one.low > 0
    assert fooled > 25
    assert share_of(HELPED, 100, seed=5, seed_sd=0.1, noise_sd=0.02) <= 0.05


def test_the_interval_of_a_mean_over_seeds_and_groups_covers_it():
    rng, weights, inside = np.random.default_rng(6), group_weights(GROUPS, 300, seed=0), 0
    for _ in range(300):
        scores = 0.4 + rng.normal(0, 0.1, GROUPS) + rng.normal(0, 0.02, (SEEDS, 1)) + rng.normal(0, 0.05, (SEEDS, 1))
        found = effect(draws(scores, weights), GROUPS)
        inside += found.low <= 0.4 <= found.high
    assert 0.93 <= inside / 300 <= 0.995


def test_the_interval_ends_where_the_p_value_is_five_percent():
    rng, weights = np.random.default_rng(12), group_weights(40, 400, seed=0)
    scores = rng.normal(0, 0.1, 40) + rng.normal(0, 0.01, (3, 1)) + rng.normal(0, 0.05, (3, 40))
    first = effect(draws(scores, weights), 40)
    moved = effect(draws(scores - first.low, weights), 40)  # its interval now begins at zero
    assert moved.low == pytest.approx(0, abs=1e-9)
    assert moved.p == pytest.approx(0.05, rel=1e-3)


def test_the_variance_is_that_of_seeds_and_of_groups():
    weights = group_weights(50, 4000, seed=0)
    by_group = np.linspace(0, 1, 50)
    found = effect(draws(np.array([-0.1, 0.0, 0.1])[:, None] + by_group, weights), 50)
    of_seeds, of_groups = 0.1**2 / 3, by_group.var(ddof=1) / 50
    assert found.value == pytest.approx(0.5)
    assert found.seed_share == pytest.approx(of_seeds / (of_seeds + of_groups), rel=0.05)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_never_say_more_than_no_evidence(seeds):
    rng, weights = np.random.default_rng(7), group_weights(GROUPS, 200, seed=0)
    feedback, *controls = trainings(rng, GROUPS, weights, gain=0.5, seeds=seeds)
    (row,) = answered([question(feedback, dict(zip("ab", controls, strict=True)), GROUPS)])
    assert row.word == NO_EVIDENCE
    assert f"only {seeds} training seed" in row.reason


def test_too_few_groups_give_neither_interval_nor_word():
    rng, weights = np.random.default_rng(8), group_weights(4, 200, seed=0)
    feedback, *controls = trainings(rng, 4, weights, gain=0.5)
    (row,) = answered([question(feedback, dict(zip("ab", controls, strict=True)), 4)])
    assert row.word == NO_EVIDENCE
    assert "only 4 groups" in row.reason
    assert all(e.low is None and e.p is None for e in row.against.values())


def test_better_than_one_control_alone_is_no_evidence():
    rng, weights = np.random.default_rng(9), group_weights(GROUPS, 200, seed=0)
    feedback, worse, _ = trainings(rng, GROUPS, weights)
    (row,) = answered([question(feedback, {"worse": worse - 0.3, "better": feedback + 0.3}, GROUPS)])
    assert (row.word, row.better) == (NO_EVIDENCE, "better")
    assert "not than better" in row.reason


def test_more_rows_need_surer_differences():
    rng, weights = np.random.default_rng(10), group_weights(GROUPS, 300, seed=0)
    feedback, a, b = trainings(rng, GROUPS, weights, gain=0.03)
    one = question(feedback, {"a": a, "b": b}, GROUPS)
    alone, of_many = answered([one])[0], answered([one] * 10)[0]
    assert of_many.p_corrected == pytest.approx(min(1.0, 10 * alone.p_corrected))


def test_lower_is_better_turns_the_word_round():
    rng, weights = np.random.default_rng(11), group_weights(GROUPS, 200, seed=0)
    feedback, *controls = trainings(rng, GROUPS, weights, gain=-0.2)
    named = dict(zip("ab", controls, strict=True))
    assert answered([question(feedback, named, GROUPS)])[0].word == HURT
    assert answered([question(feedback, named, GROUPS, higher_is_better=False)])[0].word == HELPED


def test_identical_arms_are_no_evidence():
    weights = group_weights(20, 100, seed=0)
    same = draws(np.tile(np.linspace(0, 1, 20), (3, 1)), weights)
    assert word([same, same, same], 20) == NO_EVIDENCE
