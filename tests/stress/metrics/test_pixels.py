"""What is kept of label maps' probabilities, against all pixels counted by torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from pytorch_ood.detector import EnergyBased, MaxLogit, MaxSoftmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from scenes.sample import Predictions
from stress.metrics import calibration, pixels
from stress.metrics.classification import strangeness
from stress.statistics import group_weights

CLASSES = 4


def picture(seed, height=36, width=48, sharper=2.5):
    """Smaller than the lattice, so that every pixel counts. Truth is drawn from softer logits than are given."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.2, (CLASSES, height, width))
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = np.minimum((rng.random((height, width)) > shares.cumsum(axis=0)).sum(axis=0), CLASSES - 1)
    given = (logits * sharper).astype(np.float32)
    return truth.astype(np.int32), Predictions(logits=given, segmentation=given.argmax(axis=0))


def observed(truth, said):
    return pixels.observe(truth, said.segmentation.astype(np.int32), said, np.arange(CLASSES), CLASSES)


def table(rows):
    return {name: pa.array([row.get(name) for row in rows], kind) for name, kind in pixels.COLUMNS.items()}


@pytest.fixture(scope="module")
def pictures():
    return [picture(seed) for seed in range(8)]


@pytest.mark.core
def test_figures_are_those_of_all_pixels(pictures):
    found = table([observed(*p) for p in pictures])
    ours = pixels.figures(found, np.arange(8), 8, group_weights(8, 2, seed=0))
    logits = np.concatenate([p[1].logits.reshape(CLASSES, -1).T for p in pictures])
    truth = np.concatenate([p[0].ravel() for p in pictures])
    shares = torch.tensor(logits, dtype=torch.float64).softmax(dim=1)
    wanted = multiclass_calibration_error(shares, torch.tensor(truth).long(), num_classes=CLASSES, n_bins=15, norm="l1")
    assert ours["ece"][0] == pytest.approx(float(wanted), abs=2e-5)
    assert ours["nll"][0] == pytest.approx(log_loss(truth, shares.numpy(), labels=range(CLASSES)), rel=1e-5)
    brier = ((shares.numpy() - np.eye(CLASSES)[truth]) ** 2).sum(axis=1).mean()
    assert ours["brier"][0] == pytest.approx(brier, rel=1e-5)


def test_the_temperature_undoes_what_made_pixels_too_sure(pictures):
    found = table([observed(*p) for p in pictures])
    temperature = pixels.fit_temperature(found, np.ones(8, np.bool_))
    assert temperature == pytest.approx(2.5, rel=0.12)  # of a grid of steps of 17 %
    weights = group_weights(8, 2, seed=0)
    before, _ = pixels.scaled(found, np.arange(8), 8, weights, 1.0)
    after, _ = pixels.scaled(found, np.arange(8), 8, weights, temperature)
    assert after["ece"][0] < 0.3 * before["ece"][0]
    assert pixels.TEMPERATURES[6] == 1.0


def test_ignored_pixels_do_not_count(pictures):
    truth, said = pictures[0]
    half = truth.copy()
    half[:, 24:] = -1
    cut = Predictions(logits=said.logits[:, :, :24], segmentation=said.segmentation[:, :24])
    one, other = observed(half, said), observed(truth[:, :24].copy(), cut)
    np.testing.assert_allclose(one["pixel_histogram"], other["pixel_histogram"], rtol=1e-6)
    np.testing.assert_allclose(one["pixel_sums"][:3], other["pixel_sums"][:3], rtol=1e-6)


def test_scores_are_those_of_pytorch_ood(pictures):
    truth, said = pictures[1]
    row = observed(truth, said)
    frame = pixels.frame_scores(table([row])["pixel_sums"])[0]
    batch = torch.tensor(said.logits)[None]
    wanted = [float(d(None).predict_logits(batch).double().mean()) for d in (MaxSoftmax, EnergyBased, MaxLogit)]
    np.testing.assert_allclose(frame, wanted, rtol=1e-5)
    one = Predictions(logits=said.logits[:, 3, 5], probabilities=batch.softmax(dim=1)[0, :, 3, 5].numpy())
    logits = torch.tensor(said.logits[:, 3, 5])[None]
    wanted = [float(d(None).predict_logits(logits)[0]) for d in (MaxSoftmax, EnergyBased, MaxLogit)]
    np.testing.assert_allclose(strangeness(one), wanted, rtol=1e-5)


def test_a_label_map_alone_gives_nothing_and_probabilities_no_energy(pictures):
    truth, said = pictures[0]
    assert observed(truth, Predictions(segmentation=said.segmentation)) == {}
    shares = torch.tensor(said.logits).softmax(dim=0).numpy()
    row = observed(truth, Predictions(probabilities=shares, segmentation=said.segmentation))
    np.testing.assert_allclose(row["pixel_sums"][:3], observed(truth, said)["pixel_sums"][:3], rtol=1e-4)
    frame = pixels.frame_scores(table([row])["pixel_sums"])[0]
    assert np.isfinite(frame[0])
    assert np.isnan(frame[1:]).all()


def test_classes_of_the_model_that_are_one_class_count_together():
    logits = np.log(np.array([0.3, 0.3, 0.4], np.float32)).reshape(3, 1, 1).repeat(40, axis=2)
    said = Predictions(logits=logits, segmentation=np.full((1, 40), 2))
    truth = np.zeros((1, 40), np.int32)
    row = pixels.observe(truth, np.full((1, 40), 1, np.int32), said, np.array([0, 0, 1]), 2)
    assert row["pixel_sums"][1] / 40 == pytest.approx(-np.log(0.6), rel=1e-5)
    assert row["pixel_sums"][2] / 40 == pytest.approx(2 * 0.4**2, rel=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (720, 1280), (7, 3)])
def test_the_lattice_fits_any_size(size):
    rows, columns = pixels.lattice(*size)
    assert rows.max() < size[0]
    assert columns.max() < size[1]
    assert len(rows) * len(columns) <= 1.6 * pixels.LATTICE


def test_bins_of_equal_mass_agree_with_those_of_single_answers(pictures):
    found = table([observed(*p) for p in pictures])
    logits = np.concatenate([p[1].logits.reshape(CLASSES, -1).T for p in pictures]).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    truth = np.concatenate([p[0].ravel() for p in pictures])
    answers = calibration.Answers.of_shares(
        powers / powers.sum(axis=1, keepdims=True), truth, np.zeros(len(truth), int)
    )
    weights = group_weights(8, 2, seed=0)
    ours = pixels.figures(found, np.arange(8), 8, weights)["adaptive_ece"][0]
    assert ours == pytest.approx(calibration.adaptive_ece(answers, weights[:, :1])[0], abs=0.01)


def test_pixels_that_are_all_right_or_all_wrong_have_no_temperature():
    truth, said = picture(0)
    right = said.segmentation.astype(np.int32)
    wrong = (right + 1) % CLASSES
    for one in (right, wrong):
        assert pixels.fit_temperature(table([observed(one, said)]), np.ones(1, np.bool_)) is None
    assert pixels.fit_temperature(table([observed(truth, said)]), np.ones(1, np.bool_)) is not None


def test_where_scaling_changes_nothing_the_temperature_is_one():
    truth = np.zeros((36, 48), np.int32)
    truth[:20] = 1
    flat = Predictions(
        segmentation=np.zeros((36, 48), np.int64), probabilities=np.full((CLASSES, 36, 48), 1 / CLASSES, np.float32)
    )
    assert pixels.fit_temperature(table([observed(truth, flat)]), np.ones(1, np.bool_)) == 1.0
