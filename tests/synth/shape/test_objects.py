"""Stretch, skew, bulge and crumple of single objects: by the amount of the table, labels true, the rest untouched."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample, mask_box
from synth.pipeline import shifted
from synth.random import Rng
from synth.shape.creases import _areas, crumpled
from synth.shape.deform import bulge_amount, pushed
from synth.shape.object_bulge import BulgeObjects
from synth.shape.object_crumple import CrumpleObjects
from synth.shape.object_skew import SkewObjects
from synth.shape.object_stretch import StretchObjects

SHIFTS = (StretchObjects, SkewObjects, BulgeObjects, CrumpleObjects)


def _disc(*, boxes_only: bool = False) -> Sample:
    """A red disc of radius 50 with two dark dots near its middle, on fine grey noise."""
    rows, columns = np.indices((240, 320)) + 0.5
    mask = np.hypot(columns - 160, rows - 130) < 50
    image = np.random.default_rng(1).integers(110, 130, (240, 320, 3), dtype=np.uint8)
    image[mask] = (200, 60, 60)
    for x in (152, 168):
        image[np.hypot(columns - x, rows - 130) < 2.5] = (10, 10, 10)
    notes = Annotations(
        boxes=np.array([[110, 80, 210, 180]], np.float32),
        labels=np.array([0]),
        masks=None if boxes_only else mask[None],
    )
    return Sample(sample_id="disc", image=image, annotations=notes)


def _apply(shift: Any, sample: Sample, severity: float, seed: int = 5) -> Sample:
    result: Sample = shift.apply(sample, shift.draw(sample, severity, Rng(seed)))
    return result


@pytest.mark.core
@pytest.mark.parametrize(("kind", "grows"), [("wider", 1), ("taller", 1), ("narrower", -1), ("flatter", -1)])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_stretch_scales_the_area_of_the_mask(kind: str, grows: int, severity: int) -> None:
    sample = _disc()
    after = _apply(StretchObjects(kind=kind), sample, severity)  # type: ignore[arg-type]  # a parametrised literal
    assert after.annotations.masks is not None
    assert sample.annotations.masks is not None
    ratio = after.annotations.masks.sum() / sample.annotations.masks.sum()
    assert ratio == pytest.approx((1 + StretchObjects.table.at(severity) / 100) ** grows, rel=0.02)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_skew_leans_by_the_angle_of_the_table_and_stands(severity: int) -> None:
    after = _apply(SkewObjects(), _disc(), severity)
    assert after.annotations.masks is not None
    rows, columns = np.nonzero(after.annotations.masks[0])
    middles = np.array([[row, columns[rows == row].mean()] for row in range(90, 171)])
    slope = np.polyfit(middles[:, 0], middles[:, 1], 1)[0]
    assert math.degrees(math.atan(abs(slope))) == pytest.approx(SkewObjects.table.at(severity), abs=0.6)
    assert after.annotations.boxes[0, 3] == pytest.approx(180, abs=1)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_bulge_magnifies_the_middle_as_the_table_says(severity: int) -> None:
    """Right at the middle by the table's value; dots beside it go where the inverse map says, in the picture too."""
    wanted = BulgeObjects.table.at(severity)
    near = np.array([1e-3]), np.array([0.0])
    assert pushed("bulge", bulge_amount(wanted), *near, aspect=1.0)[0][0] / 1e-3 == pytest.approx(wanted, rel=0.02)
    image = _apply(BulgeObjects(), _disc(), severity).image
    _, _, _, centres = cv2.connectedComponentsWithStats((image.max(axis=2) < 60).astype(np.uint8))
    assert len(centres) == 3  # ground and two dots
    expected = pushed("bulge", bulge_amount(wanted), np.array([8 / 50]), np.array([0.0]), aspect=1.0)[0][0] * 100
    assert abs(centres[1][0] - centres[2][0]) == pytest.approx(expected, rel=0.08)
    assert expected > 16 * (1 + 0.3 * (wanted - 1))


def test_a_crumple_is_as_deep_as_the_table_says_and_leaves_the_foot() -> None:
    deepest: dict[int, list[float]] = {1: [], 3: [], 5: []}
    for severity, depths in deepest.items():
        for seed in range(12):
            creases = crumpled((160, 130), (50, 50), CrumpleObjects.table.at(severity) / 100, seed)
            assert (_areas(creases.new, creases.triangles) > 0).all()  # nothing turned over
            on = np.abs(creases.old - (160, 130)).max(axis=1) < 52
            moved = np.linalg.norm(creases.new - creases.old, axis=1)
            depths.append(float(moved[on].max()) / 100)
            foot = np.abs(creases.old[:, 1] - 180) < 2
            assert np.abs((creases.new - creases.old)[foot, 1]).max() < 1.5
    for severity, depths in deepest.items():
        wanted = CrumpleObjects.table.at(severity) / 100
        assert 0.7 * wanted < np.median(depths) < 1.5 * wanted


def test_creases_go_back_where_they_came_from() -> None:
    creases = crumpled((160, 130), (50, 40), 0.3, 4)
    window = (120, 100, 200, 165)
    x, y, shade = creases.maps(window)
    columns, rows = np.meshgrid(np.arange(120, 200) + 0.5, np.arange(100, 165) + 0.5)
    back = creases.forward(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    assert np.abs(back - np.stack([columns.ravel(), rows.ravel()], axis=1)).max() < 0.01
    assert shade.min() > 0.2
    assert shade.max() < 1.6
    assert shade.std() > 0.05  # facets


@pytest.mark.parametrize("cls", SHIFTS)
@pytest.mark.parametrize("severity", [1, 5])
def test_everything_but_the_object_and_its_hole_is_the_same_bytes(cls: Any, severity: int) -> None:
    sample = _disc()
    after = _apply(cls(), sample, severity)
    assert sample.annotations.masks is not None
    assert after.annotations.masks is not None
    touched = (sample.annotations.masks[0] | after.annotations.masks[0]).astype(np.uint8)
    near = cv2.dilate(touched, np.ones((7, 7), np.uint8)) > 0
    assert (after.image[~near] == sample.image[~near]).all()
    changed = (after.image != sample.image).any(axis=2)
    assert changed.sum() > 100


@pytest.mark.parametrize("cls", SHIFTS)
def test_boxes_are_those_of_masks_and_pixels(cls: Any) -> None:
    for seed in range(4):
        after = _apply(cls(), _disc(), 5, seed)
        assert after.annotations.masks is not None
        assert np.array_equal(after.annotations.boxes[0], mask_box(after.annotations.masks[0]))
        red = after.image[..., 0].astype(int) - after.image[..., 1] > 45
        seen = after.annotations.masks[0] & (after.image.max(axis=2) > 60)
        assert (red & ~cv2.dilate(seen.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)).sum() == 0


@pytest.mark.parametrize("cls", SHIFTS)
def test_boxes_only_follow_the_picture(cls: Any) -> None:
    for severity in (1, 5):
        after = _apply(cls(), _disc(boxes_only=True), severity)
        red = after.image[..., 0].astype(int) - after.image[..., 1] > 45
        box, seen = after.annotations.boxes[0], mask_box(red)
        tolerance = 10 if cls in (SkewObjects, BulgeObjects, CrumpleObjects) else 3  # a disc leaves its corners free
        assert np.abs(box - seen).max() <= tolerance
        if severity == 1:  # far away nothing moved
            assert (after.image[:20] == _disc().image[:20]).all()


@pytest.mark.parametrize("cls", SHIFTS)
def test_the_verdict_is_modified(cls: Any) -> None:
    sample = box_sample(320, 180, seed=1)
    sample = replace(sample, annotations=replace(sample.annotations, visibility=None))
    result = shifted(sample, cls(), 3, seed=1)
    kinds = {v.instance_id: v.kind for v in result.verdicts}
    assert result.params.targets
    assert all(kinds[key] in ("modified", "occluded") for key in result.params.targets)
    assert "modified" in kinds.values()


def _superellipse(power: float) -> np.ndarray[Any, Any]:
    rows, columns = np.indices((240, 320)) + 0.5
    inside: np.ndarray[Any, Any] = np.abs((columns - 160) / 60) ** power + np.abs((rows - 130) / 50) ** power <= 1
    return inside


@pytest.mark.parametrize(("power", "least"), [(2.0, 0.8), (4.0, 0.97), (20.0, 0.85)])
def test_boxes_of_leaning_objects_without_outline_are_those_of_what_fills_most_of_its_box(
    power: float, least: float
) -> None:
    """Against the same lean of the mask: near for the likely outline, not far for a disc and for a box."""
    mask = _superellipse(power)
    box = np.array([mask_box(mask)], np.float32)
    image = np.full((240, 320, 3), 120, np.uint8)
    exact = Sample(
        sample_id="x", image=image, annotations=Annotations(boxes=box, labels=np.array([0]), masks=mask[None])
    )
    loose = replace(exact, annotations=replace(exact.annotations, masks=None))
    for severity in (1, 3, 5):
        params = SkewObjects().draw(exact, severity, Rng(3))
        wanted = SkewObjects().apply(exact, params).annotations.boxes[0]
        got = SkewObjects().apply(loose, params).annotations.boxes[0]
        low, high = np.maximum(wanted[:2], got[:2]), np.minimum(wanted[2:], got[2:])
        inner = float((high - low).prod())
        union = float((wanted[2:] - wanted[:2]).prod() + (got[2:] - got[:2]).prod()) - inner
        assert inner / union > least


def test_an_ignored_crowd_that_is_nearer_hides_what_is_deformed_behind_it() -> None:
    rows, columns = np.indices((240, 320))
    car = (rows >= 80) & (rows < 160) & (columns >= 100) & (columns < 200)
    crowd = (rows >= 110) & (rows < 200) & (columns >= 205) & (columns < 260)
    image = np.full((240, 320, 3), 120, np.uint8)
    image[car], image[crowd] = (200, 60, 60), (40, 160, 40)
    notes = Annotations(
        boxes=np.array([mask_box(car), mask_box(crowd)], np.float32),
        labels=np.array([0, 1]),
        masks=np.stack([car, crowd]),
        ignore=np.array([False, True]),
    )
    sample = Sample(sample_id="crowd", image=image, annotations=notes)
    after = _apply(StretchObjects(kind="wider"), sample, 5)
    assert after.annotations.masks is not None
    assert np.array_equal(after.annotations.masks[1], crowd)
    assert (after.image[crowd][:, 1] > 150).all()
    assert after.annotations.masks[0].any(axis=0)[203]  # it did reach the crowd
    assert after.annotations.masks[0][170:].sum() == 0


def test_pixels_of_an_instance_map_outside_of_loose_boxes_stay() -> None:
    """Boxes by hand are often a pixel or two too small: what only the instance map knows is the object's too."""
    sample = _disc()
    assert sample.annotations.masks is not None
    instances = sample.annotations.masks[0].astype(np.int32) * 7
    instances[20:40, 20:60] = 9
    boxes = np.array([[110, 80, 210, 180], [24, 20, 56, 40]], np.float32)
    notes = Annotations(boxes=boxes, labels=np.array([0, 0]), instance_ids=np.array([7, 9]))
    only_map = replace(sample, annotations=notes, instances=instances)
    params = StretchObjects(kind="wider").draw(only_map, 5, Rng(5))
    after = StretchObjects(kind="wider").apply(only_map, replace(params, targets=(7,), kinds=("wider",), signs=(1,)))
    assert after.instances is not None
    assert np.array_equal(after.instances == 9, instances == 9)
    assert np.array_equal(after.annotations.boxes[1], notes.boxes[1])
