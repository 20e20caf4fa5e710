"""Deformed objects: forward and back agree, labels follow, and the background closes behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.pipeline import shifted
from synth.regions import ellipse, tight_box
from synth.shape.deform import KINDS, pulled, pushed
from synth.shape.objects import DeformParams
from synth.shape.warp import WarpObjects


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("amount", [0.08, 0.6])
def test_pushed_is_the_inverse_of_pulled(kind: str, amount: float) -> None:
    u, v = np.random.default_rng(2).uniform(-1.4, 1.4, (2, 300))
    back = pushed(kind, amount, *pulled(kind, amount, u, v, aspect=1.3), aspect=1.3)
    assert np.allclose(back, (u, v), atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "wider", "taller"),
    [("wider", 1.4, 1), ("narrower", 1 / 1.4, 1), ("taller", 1, 1.4), ("flatter", 1, 1 / 1.4)],
)
@pytest.mark.parametrize("with_masks", [True, False])
def test_boxes_change_by_the_amount(kind: str, wider: float, taller: float, with_masks: bool) -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    image[100:180, 120:200] = (200, 60, 60)
    mask = np.zeros((1, 240, 320), np.bool_)
    mask[0, 100:180, 120:200] = True
    box = np.array([[120, 100, 200, 180]], np.float32)
    notes = Annotations(boxes=box, labels=np.array([0]), masks=mask if with_masks else None)
    sample = Sample(sample_id="one", image=image, annotations=notes)
    after = WarpObjects().apply(sample, DeformParams(0.4, (1,), (kind,), (1,)))
    x1, y1, x2, y2 = after.annotations.boxes[0]
    assert (x2 - x1) / 80 == pytest.approx(wider, abs=0.04)
    assert (y2 - y1) / 80 == pytest.approx(taller, abs=0.04)
    assert y2 == pytest.approx(180, abs=1)  # it stands where it stood
    red = (after.image[..., 0] > 140).nonzero()
    assert np.abs([red[1].min() - x1, red[1].max() + 1 - x2, red[0].min() - y1, red[0].max() + 1 - y2]).max() <= 2


def test_what_is_uncovered_is_background_and_says_nothing() -> None:
    sample = box_sample(320, 180, seed=1)
    after = WarpObjects(kind="narrower").apply(sample, DeformParams(0.6, (1,), ("narrower",), (1,)))
    assert sample.instances is not None
    assert after.instances is not None
    uncovered = (sample.instances == 1) & (after.instances != 1)
    assert uncovered.sum() > 100
    assert (after.annotations.segmentation[uncovered & (after.instances == 0)] == 255).all()  # type: ignore[index]
    assert np.isnan(after.depth[uncovered & (after.instances == 0)]).all()  # type: ignore[index]
    assert np.isnan(after.annotations.boxes_3d[0]).all()  # type: ignore[index]


def test_the_verdict_is_modified() -> None:
    sample = box_sample(320, 180, seed=1)
    sample = replace(sample, annotations=replace(sample.annotations, visibility=None))
    result = shifted(sample, WarpObjects(kind="narrower"), 3, seed=1)
    kinds = {v.instance_id: v.kind for v in result.verdicts}
    assert result.params.targets
    assert all(kinds[key] == "modified" for key in result.params.targets)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_neighbours_follow_the_picture_that_is_bent_around_an_object(kind: str) -> None:
    """Boxes only: the red object is deformed; green stands close by, blue overlaps it, white is far away."""
    image = np.full((240, 400, 3), 90, np.uint8)
    boxes = np.array([[120, 100, 200, 180], [180, 120, 236, 150], [150, 70, 180, 110], [340, 20, 370, 60]], np.float32)
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 250]])
    for (x1, y1, x2, y2), colour in zip(boxes.astype(int), colours, strict=True):
        image[y1:y2, x1:x2][ellipse(y2 - y1, x2 - x1)] = colour  # as objects fill boxes: the corners are free
    notes = Annotations(boxes=boxes, boxes_amodal=boxes, labels=np.arange(4), boxes_3d=np.ones((4, 10), np.float32))
    sample = Sample(sample_id="close", image=image, annotations=notes)
    after = WarpObjects().apply(sample, DeformParams(0.5, (1,), (kind,), (1,)))
    farthest = 0.0
    for row in (1, 2, 3):
        there = np.abs(after.image.astype(int) - colours[row]).max(axis=2) < 80
        seen = tight_box(there)
        assert np.abs(after.annotations.boxes[row] - seen).max() <= 2, (row, seen, after.annotations.boxes[row])
        assert np.array_equal(after.annotations.boxes_amodal[row], after.annotations.boxes[row])  # type: ignore[index]
        farthest = max(farthest, float(np.abs(boxes[row] - seen).max()))
    assert farthest >= 3  # else the test says nothing
    assert np.array_equal(after.annotations.boxes[3], boxes[3])
    assert np.isfinite(after.annotations.boxes_3d[3]).all()  # type: ignore[index]
    assert np.abs(after.annotations.boxes_amodal[0] - after.annotations.boxes[0]).max() < 0.01  # type: ignore[index]


def test_an_object_whose_mask_lies_in_another_mask_stays_with_it() -> None:
    """A mask in a mask cannot be cut out without taking from the other: both stay as they are, and valid."""
    boxes = np.array([[60, 40, 80, 90], [40, 20, 140, 110], [180, 30, 220, 80]], np.float32)
    masks = np.zeros((3, 120, 240), np.bool_)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    image = np.random.default_rng(1).integers(0, 256, (120, 240, 3), dtype=np.uint8)
    notes = Annotations(boxes=boxes, labels=np.zeros(3, np.int64), masks=masks)
    result = shifted(Sample(sample_id="in", image=image, annotations=notes), WarpObjects(), 1, seed=1)
    assert result.params.targets == (3,)
    assert "invalid" not in [v.kind for v in result.verdicts]
