"""LRP against the formula of the paper, written out plainly, find by find."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.sample import Annotations, Predictions, Sample
from stress.class_map import ClassMap
from stress.metrics import lrp, scorer_for
from stress.metrics.lrp import THRESHOLDS, FoundObjects
from stress.statistics import group_weights
from synth.audit import audit

NAMES = ("car", "person")


def plain_lrp(finds, objects, c, threshold):
    """Oksuz et al. 2018, equation 3, tau = 0.5: finds (score, class, IoU or 0), objects: classes of the true ones."""
    taken = [iou for score, k, iou in finds if k == c and score >= threshold and iou > 0]
    wrong = sum(1 for score, k, iou in finds if k == c and score >= threshold and iou == 0)
    missed = objects.count(c) - len(taken)
    total = len(taken) + wrong + missed
    return (sum((1 - iou) / (1 - 0.5) for iou in taken) + wrong + missed) / total


def made_up(n=200, seed=0):
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 0.6
    scores = np.clip(np.where(right, rng.beta(5, 2, n), rng.beta(2, 4, n)), 0.05, 1)
    classes = rng.integers(0, 2, n)
    ious = np.where(right, rng.uniform(0.5, 1, n), 0.0)
    group = rng.integers(0, 12, n)
    wanted = np.zeros((12, 2), np.int64)
    np.add.at(wanted, (group[right], classes[right]), 1)
    wanted += rng.integers(0, 4, wanted.shape)  # objects that nothing found
    return FoundObjects(scores, classes, ious, group, wanted)


@pytest.mark.core
def test_lrp_is_the_papers_formula():
    found = made_up()
    finds = list(zip(found.scores, found.classes, found.ious, strict=True))
    objects = [c for c in (0, 1) for _ in range(found.wanted[:, c].sum())]
    ours = {key: draws[0] for key, draws in lrp.figures(found, group_weights(12, 2, seed=0)).items()}
    assert ours["lrp"] == pytest.approx(np.mean([plain_lrp(finds, objects, c, 0.5) for c in (0, 1)]))
    best = [min(plain_lrp(finds, objects, c, s) for s in THRESHOLDS) for c in (0, 1)]
    assert ours["olrp"] == pytest.approx(np.mean(best))
    assert ours["olrp"] < ours["lrp"]


def test_lrp_is_made_of_its_parts():
    """LRP = (N_TP * mean(1 - IoU) / (1 - tau) + N_FP + N_FN) / (N_TP + N_FP + N_FN) from the parts that are shown."""
    found = made_up(seed=4)
    one = FoundObjects(found.scores, np.zeros_like(found.classes), found.ious, found.group, found.wanted[:, :1] + 9)
    f = {key: draws[0] for key, draws in lrp.figures(one, group_weights(12, 2, seed=0)).items()}
    n = float(one.wanted.sum())
    taken = n * (1 - f["lrp_missed"])
    wrong = taken * f["lrp_invented"] / (1 - f["lrp_invented"])
    total = taken + wrong + n - taken
    assert f["lrp"] == pytest.approx((taken * f["lrp_location"] / 0.5 + wrong + n - taken) / total)


def test_nothing_found_is_one_and_perfect_is_zero():
    weights = group_weights(6, 2, seed=0)
    wanted = np.ones((6, 1), np.int64)
    empty = np.zeros(0)
    nothing = FoundObjects(empty, empty.astype(int), empty, empty.astype(int), wanted)
    assert lrp.figures(nothing, weights)["lrp"][0] == 1.0
    perfect = FoundObjects(np.ones(6), np.zeros(6, int), np.ones(6), np.arange(6), wanted)
    assert lrp.figures(perfect, weights)["olrp"][0] == 0.0
    without = FoundObjects(np.ones(6), np.zeros(6, int), np.zeros(6), np.arange(6), np.zeros((6, 1), np.int64))
    assert np.isnan(lrp.figures(without, weights)["lrp"][0])


def test_the_scorer_keeps_the_overlap_of_finds_and_leaves_out_ignored_ones():
    truth = Annotations(
        boxes=np.array([[0, 0, 20, 20], [30, 0, 50, 20]], np.float32),
        labels=np.array([0, 1]),
        ignore=np.array([False, True]),
    )
    sample = Sample(sample_id="a", image=np.zeros((40, 60, 3), np.uint8), annotations=truth)
    said = Predictions(
        boxes=np.array([[0, 0, 20, 16], [30, 0, 50, 20], [5, 22, 15, 32], [0, 0, 5, 5]], np.float32),
        labels=np.array([0, 1, 0, 0]),
        scores=np.array([0.9, 0.8, 0.7, 0.01], np.float32),
    )
    scorer = scorer_for("detection", ClassMap.between(NAMES, NAMES, None), min_visibility=0.3, dependable=True)
    kept = scorer.score(sample, audit(sample, sample), said).payload
    assert kept["find_scores"].tolist() == pytest.approx([0.9, 0.7])
    assert kept["find_ious"].tolist() == pytest.approx([0.8, 0.0])
