"""AUROC, AUPR and FPR95 against pytorch-ood's own metrics, and under weights of groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_ood.metrics import OODMetrics

from stress.metrics.separation import FEWEST, separation
from stress.statistics import group_weights


def theirs(scores, positive):
    metrics = OODMetrics()
    metrics.update(torch.tensor(scores), torch.where(torch.tensor(positive), -1, 1))
    found = metrics.compute()
    return {"auroc": found["AUROC"], "aupr": found["AUPR-OUT"], "fpr95": found["FPR95TPR"]}


def drawn(seed, n=300, *, ties=False):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    scores = rng.normal(0, 1, n) + positive
    return (np.round(scores, 1) if ties else scores), positive, rng.integers(0, 15, n)


@pytest.mark.core
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_pytorch_ood(seed, ties):
    scores, positive, group = drawn(seed, ties=ties)
    ours = separation(scores, positive, group, group_weights(15, 2, seed=0))
    for key, value in theirs(scores, positive).items():
        assert ours.draws[key][0] == pytest.approx(value, abs=1e-12), key
    assert (ours.positives, ours.negatives) == (positive.sum(), (~positive).sum())


def test_a_resample_counts_groups_as_often_as_it_drew_them():
    scores, positive, group = drawn(7, ties=True)
    weights = group_weights(15, 6, seed=2)
    ours = separation(scores, positive, group, weights)
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(15) for _ in range(weights[4, g])])
    for key, value in theirs(scores[rows], positive[rows]).items():
        assert ours.draws[key][4] == pytest.approx(value, abs=1e-12), key


def test_what_tells_perfectly_and_what_tells_nothing():
    positive = np.arange(60) >= 30
    group = np.arange(60)
    weights = group_weights(60, 2, seed=0)
    perfect = separation(positive.astype(float), positive, group, weights).draws
    assert [perfect[key][0] for key in ("auroc", "aupr", "fpr95")] == [1.0, 1.0, 0.0]
    constant = separation(np.zeros(60), positive, group, weights).draws
    assert [constant[key][0] for key in ("auroc", "fpr95")] == [0.5, 1.0]


def test_few_of_a_kind_and_groups_set_aside_give_no_figure():
    scores, positive, group = drawn(1)
    few = np.flatnonzero(positive)[: FEWEST - 1]
    rows = np.concatenate([few, np.flatnonzero(~positive)])
    told = separation(scores[rows], positive[rows], group[rows], group_weights(15, 2, seed=0))
    assert np.isnan(told.draws["auroc"]).all()
    weights = group_weights(15, 2, seed=0)
    weights[:, :8] = 0
    half = separation(scores, positive, group, weights)
    assert half.groups == 7
    kept = group >= 8
    assert half.draws["auroc"][0] == pytest.approx(theirs(scores[kept], positive[kept])["auroc"])


def test_scores_that_are_not_known_are_left_out():
    scores, positive, group = drawn(2)
    scores[:50] = np.nan
    told = separation(scores, positive, group, group_weights(15, 2, seed=0))
    assert told.positives + told.negatives == 250
    assert told.draws["auroc"][0] == pytest.approx(theirs(scores[50:], positive[50:])["auroc"])
