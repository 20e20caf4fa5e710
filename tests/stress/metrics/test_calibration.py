"""Calibration against torchmetrics and scikit-learn, and laws that each figure has to keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from stress.metrics import calibration
from stress.metrics.calibration import BINS, Answers
from stress.statistics import group_weights


def made_up(n=600, classes=5, *, sharper=1.0, seed=0):
    """Answers whose truth is drawn from their own probabilities, which are then made sharper than that."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (rng.random(n)[:, None] > shares.cumsum(axis=1)).sum(axis=1)
    sharp = np.exp(logits * sharper) / np.exp(logits * sharper).sum(axis=1, keepdims=True)
    return Answers.of_shares(sharp, np.minimum(truth, classes - 1), np.arange(n) % 20)


@pytest.mark.core
def test_ece_is_that_of_torchmetrics():
    answers = made_up(sharper=1.6)
    ours = calibration.figures(answers, 20, group_weights(20, 3, seed=0))["ece"][0]
    shares, truth = torch.tensor(answers.shares), torch.tensor(answers.truth)
    wanted = multiclass_calibration_error(shares, truth, num_classes=5, n_bins=BINS, norm="l1")
    assert ours == pytest.approx(float(wanted), abs=1e-6)
    assert ours > 0.05


def test_nll_and_brier_are_those_of_scikit_learn():
    answers = made_up(sharper=1.3)
    ours = calibration.figures(answers, 20, group_weights(20, 3, seed=0))
    assert ours["nll"][0] == pytest.approx(log_loss(answers.truth, answers.shares, labels=range(5)), rel=1e-9)
    wanted = sum(brier_score_loss(answers.truth == c, answers.shares[:, c]) for c in range(5))
    assert ours["brier"][0] == pytest.approx(wanted, rel=1e-9)


def test_finds_have_the_brier_score_of_one_probability():
    rng = np.random.default_rng(3)
    scores, right = rng.uniform(0.3, 1, 80), rng.random(80) < 0.5
    finds = Answers.of_finds(scores, right, np.zeros(80, int))
    assert finds.brier.mean() == pytest.approx(brier_score_loss(right, scores), rel=1e-9)
    assert finds.nll.mean() == pytest.approx(log_loss(right, scores), rel=1e-9)


def test_bins_are_those_of_scikit_learns_curve():
    answers = made_up()
    sums = calibration.sums_of(answers, 20).sum(axis=0)
    right, sure = calibration_curve(answers.right, answers.confidence, n_bins=BINS)
    there = sums[:, 0] > 0
    np.testing.assert_allclose(sums[there, 1] / sums[there, 0], right, rtol=1e-9)
    np.testing.assert_allclose(sums[there, 2] / sums[there, 0], sure, rtol=1e-9)


def test_adaptive_bins_hold_equally_many():
    """By hand: sorted by confidence, cut into runs of equal length."""
    answers = made_up(n=600, sharper=2.0)
    order = np.argsort(answers.confidence, kind="stable")
    parts = np.split(order, BINS)
    wanted = sum(abs(answers.right[p].sum() - answers.confidence[p].sum()) for p in parts) / 600
    assert calibration.adaptive_ece(answers, group_weights(20, 2, seed=0))[0] == pytest.approx(wanted, rel=1e-9)


def test_a_resample_counts_groups_as_often_as_it_drew_them():
    answers = made_up()
    weights = group_weights(20, 5, seed=1)
    drawn = calibration.figures(answers, 20, weights)
    rows = np.concatenate([np.flatnonzero(answers.group == g) for g in range(20) for _ in range(weights[3, g])])
    again = Answers(answers.shares[rows], answers.truth[rows], answers.called[rows], answers.group[rows])
    alone = calibration.figures(again, 20, group_weights(20, 1, seed=0))
    for key in ("ece", "brier", "nll"):
        assert drawn[key][3] == pytest.approx(alone[key][0], rel=1e-9)


@pytest.mark.core
def test_the_temperature_undoes_what_made_answers_too_sure():
    answers = made_up(n=4000, sharper=2.0)
    temperature = calibration.fit_temperature(answers)
    assert temperature == pytest.approx(2.0, rel=0.1)
    weights = group_weights(20, 2, seed=0)
    before = calibration.figures(answers, 20, weights)
    after = calibration.figures(answers.scaled(temperature), 20, weights)
    assert after["ece"][0] < 0.3 * before["ece"][0]
    assert after["nll"][0] < before["nll"][0]
    assert (answers.scaled(temperature).right == answers.right).all()


def test_few_answers_give_no_figure_and_no_temperature():
    few = made_up(n=calibration.FEWEST_ANSWERS - 1)
    assert np.isnan(list(calibration.figures(few, 20, group_weights(20, 2, seed=0)).values())).all()
    assert calibration.fit_temperature(few) is None
    right = made_up(n=100)
    assert calibration.fit_temperature(right.only(right.right)) is None


def test_probabilities_of_zero_stay_finite():
    shares = np.eye(3)[np.arange(60) % 3]
    answers = Answers.of_shares(shares, (np.arange(60) // 2) % 3, np.zeros(60, int))
    assert np.isfinite(answers.nll).all()
    assert np.isfinite(calibration.scale(shares, 3.0)).all()


def test_adaptive_bins_do_not_depend_on_the_order_of_answers_that_are_equally_sure():
    right = np.arange(100) < 50  # the classes of an image folder come one after another
    weights = group_weights(10, 20, seed=0)
    apart = [
        calibration.adaptive_ece(Answers.of_finds(np.full(100, 0.5), r, np.arange(100) % 10), weights)
        for r in (right, right[::-1], np.tile([True, False], 50))
    ]
    np.testing.assert_allclose(apart[0][0], 0.0, atol=1e-12)
    np.testing.assert_allclose(apart[0], apart[1], atol=1e-12)
    two = np.where(np.arange(100) < 80, 1.0, 0.6)  # 80 answers of which 60 are right, 20 of which 12 are
    said = Answers.of_finds(two, np.arange(100) % 80 < 60, np.arange(100) % 10)
    wanted = 0.8 * abs(60 / 80 - 1.0) + 0.2 * abs(said.right[80:].mean() - 0.6)
    np.testing.assert_allclose(calibration.adaptive_ece(said, weights)[0], wanted, atol=1e-9)
