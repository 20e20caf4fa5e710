"""Reprojection against the exact re-render of the same scene, and the filling of what it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.fill import fill_background, push_pull
from synth.pipeline import shifted
from synth.pose.camera import carried, leftward, turned
from synth.pose.yaw import Yaw
from synth.reproject import reproject


def _pairs() -> list[tuple[str, Sample, Sample]]:
    """(name, reprojected, exact) for several moves of several frames."""
    found = []
    for seed in range(3):
        sample = box_sample(320, 180, seed=seed)
        assert sample.camera is not None
        assert sample.scene is not None
        for name, camera in {
            "yaw": turned(sample.camera, yaw_deg=4),
            "pitch": turned(sample.camera, pitch_deg=-3),
            "roll": turned(sample.camera, roll_deg=6),
            "height": carried(sample.camera, np.array([0, 0, 0.5])),
            "lateral": carried(sample.camera, 0.5 * leftward(sample.camera)),
        }.items():
            found.append((name, reproject(sample, camera), sample.scene.render(camera)))
    return found


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, Sample, Sample]]:
    return _pairs()


def test_staying_where_we_are_is_the_same_picture() -> None:
    sample = box_sample(160, 90)
    assert sample.camera is not None
    same = reproject(sample, sample.camera)
    assert np.array_equal(same.image, sample.image)
    assert np.array_equal(same.annotations.boxes, sample.annotations.boxes)
    assert np.allclose(same.depth, sample.depth, rtol=1e-4)
    assert same.meta["disoccluded_share"] == 0


def test_boxes_and_masks_agree_with_the_exact_render(pairs: list[tuple[str, Sample, Sample]]) -> None:
    box_ious, mask_ious = [], []
    for _, ours, exact in pairs:
        for row in range(len(ours.annotations)):
            a, b = ours.annotations.boxes[row], exact.annotations.boxes[row]
            assert ours.annotations.masks is not None
            assert exact.annotations.masks is not None
            m, n = ours.annotations.masks[row], exact.annotations.masks[row]
            if n.sum() < 60 or ours.annotations.visibility[row] < 0.3:  # type: ignore[index]
                continue
            box_ious.append(_iou(a, b))
            mask_ious.append((m & n).sum() / (m | n).sum())
    assert len(box_ious) > 20
    assert np.mean(box_ious) > 0.93
    assert np.mean(mask_ious) > 0.9


def test_visible_fractions_agree_with_the_exact_render(pairs: list[tuple[str, Sample, Sample]]) -> None:
    errors = []
    for _, ours, exact in pairs:
        assert exact.annotations.masks is not None
        for row in range(len(ours.annotations)):
            if exact.annotations.masks[row].sum() >= 60:
                errors.append(ours.annotations.visibility[row] - exact.annotations.visibility[row])  # type: ignore[index]
    assert np.mean(np.abs(errors)) < 0.06


def test_known_depth_and_light_agree_with_the_exact_render(pairs: list[tuple[str, Sample, Sample]]) -> None:
    for name, ours, exact in pairs:
        assert ours.depth is not None
        assert exact.depth is not None
        known = np.isfinite(ours.depth) & np.isfinite(exact.depth)
        relative = np.abs(ours.depth[known] - exact.depth[known]) / exact.depth[known]
        assert np.median(relative) < 0.01, name
        seen = ~np.isnan(ours.depth)
        difference = np.abs(ours.image[seen].astype(int) - exact.image[seen]).mean()
        assert difference < 6, name


def test_holes_are_marked_everywhere(pairs: list[tuple[str, Sample, Sample]]) -> None:
    for name, ours, _ in pairs:
        hole = np.isnan(ours.depth)  # type: ignore[arg-type]
        assert ours.meta["disoccluded_share"] == pytest.approx(hole.mean()), name
        assert (ours.annotations.segmentation[hole] == 255).all()  # type: ignore[index]
        assert (ours.instances[hole] == 0).all()  # type: ignore[index]
        assert hole.any() == (name != "same")


def test_the_world_stays_where_it_is(pairs: list[tuple[str, Sample, Sample]]) -> None:
    for _, ours, exact in pairs:
        assert np.array_equal(ours.annotations.boxes_3d, exact.annotations.boxes_3d)  # type: ignore[arg-type]
        assert np.array_equal(ours.camera.world_to_cam, exact.camera.world_to_cam)  # type: ignore[union-attr]


def test_boxes_without_masks_follow_too() -> None:
    errors = []
    for seed in range(4):
        sample = box_sample(320, 180, seed=seed)
        assert sample.camera is not None
        assert sample.scene is not None
        notes = sample.annotations
        bare = replace(sample, annotations=Annotations(boxes=notes.boxes, labels=notes.labels), instances=None)
        camera = turned(sample.camera, yaw_deg=3)
        ours, exact = reproject(bare, camera), sample.scene.render(camera)
        for row in range(len(notes)):
            if (
                notes.visibility is not None
                and notes.visibility[row] > 0.95
                and exact.annotations.visibility[row] > 0.95
            ):  # type: ignore[index]
                errors.append(np.abs(ours.annotations.boxes[row] - exact.annotations.boxes[row]).max())
    assert len(errors) > 4
    assert np.median(errors) < 2.5


def test_without_depth_it_says_what_is_missing() -> None:
    sample = replace(box_sample(33, 17), depth=None)
    with pytest.raises(InputError, match=r"needs depth.*boxes/33x17"):
        reproject(sample, sample.camera)  # type: ignore[arg-type]


def test_holes_take_nothing_from_what_stands_in_front() -> None:
    image = np.full((60, 100, 3), 80, np.uint8)
    image[:, :40] = (250, 20, 20)  # near
    inverse = np.where(np.arange(100) < 40, 0.5, 0.02)[None].repeat(60, axis=0).astype(np.float32)
    hole = np.zeros((60, 100), np.bool_)
    hole[:, 40:60] = True
    filled = fill_background(image, hole, np.where(hole, -1, inverse).astype(np.float32))
    assert np.abs(filled[hole].astype(int) - 80).max() < 12
    assert np.array_equal(filled[~hole], image[~hole])


def test_push_pull_keeps_what_is_known_and_stays_within_it() -> None:
    values = np.random.default_rng(3).random((37, 53, 2)).astype(np.float32)
    weight = (np.random.default_rng(4).random((37, 53)) < 0.1).astype(np.float32)
    filled = push_pull(values, weight)
    assert np.array_equal(filled[weight > 0], values[weight > 0])
    assert filled.min() >= values[weight > 0].min() - 1e-5
    assert filled.max() <= values[weight > 0].max() + 1e-5


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


@pytest.mark.core
@pytest.mark.parametrize("with_masks", [False, True])
def test_what_is_left_of_overlapping_objects_does_not_hang_on_their_order(with_masks: bool) -> None:
    """A pedestrian inside the box of a bus, both inside a crowd region that fills the frame."""
    boxes = np.array([[60, 80, 100, 160], [40, 20, 360, 180], [0, 0, 400, 200]], np.float32)
    masks = np.zeros((3, 200, 400), np.bool_)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    image = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    found = []
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]):
        notes = Annotations(
            boxes=boxes[order],
            labels=np.array(order),
            instance_ids=np.array(order, np.int32) + 1,
            ignore=np.array(order) == 2,
            masks=masks[order] if with_masks else None,
        )
        sample = Sample(sample_id="street", image=image, annotations=notes)
        verdicts = shifted(sample, Yaw(), 1, seed=3).verdicts
        found.append({v.instance_id: (v.kind, round(v.visible_fraction, 6)) for v in verdicts})
    assert all(one == found[0] for one in found)
    assert found[0][1][0] == "kept"
    assert found[0][2][0] in ("kept", "occluded")
