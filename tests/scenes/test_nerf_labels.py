"""Labels of what a NeRF renders, and what of it training views saw: laws that need no NeRF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.capture import open_capture
from scenes.nerfs.labels import labelled, objects_of
from scenes.nerfs.seen import Witness, seen_count
from scenes.splats.editing import SplatObject

W, H = 64, 48
K = np.array([[50.0, 0, W / 2], [0, 50.0, H / 2], [0, 0, 1]])
CAMERA = Camera(K=K, width=W, height=H, world_to_cam=look(position=(0, 0, 1.5)))
BOX = np.array([10.0, 0, 1.5, 2, 4, 3, 1, 0, 0, 0], np.float32)  # 4 m wide, 3 m high, its face 9 m ahead
THING = {7: SplatObject(2, BOX, False, {})}


def wall(depth_m: float) -> np.ndarray:
    return np.full((H, W), depth_m, np.float32)


def faced() -> np.ndarray:
    """Return the exact depth of the box before a wall at 20 m."""
    depth = wall(20.0)
    x, y = 50 * 2 / 9, 50 * 1.5 / 9
    depth[round(H / 2 - y) : round(H / 2 + y), round(W / 2 - x) : round(W / 2 + x)] = 9.0
    return depth


def test_a_box_at_its_depth_is_labelled_where_it_is() -> None:
    depth = faced()
    instances, notes = labelled(CAMERA, depth, THING)
    assert notes.instance_ids.tolist() == [7]
    assert notes.labels.tolist() == [2]
    assert np.abs(notes.boxes[0] - [21, 16, 43, 32]).max() <= 1
    assert (instances == 7).sum() == pytest.approx((depth < 10).sum(), rel=0.1)
    assert notes.visibility is not None
    assert notes.visibility[0] > 0.95
    assert notes.attributes[0]["distance_m"] == 10.0


def test_what_stands_before_a_box_hides_it() -> None:
    depth = faced()
    depth[:, : W // 2] = 4.0
    _, notes = labelled(CAMERA, depth, THING)
    assert notes.visibility is not None
    assert notes.visibility[0] == pytest.approx(0.5, abs=0.08)
    assert notes.boxes[0][0] >= W // 2
    assert len(labelled(CAMERA, wall(4.0), THING)[1]) == 0


@pytest.mark.parametrize("depth_m", [20.0, np.inf, np.nan])
def test_a_box_that_is_seen_through_is_not_there(depth_m: float) -> None:
    instances, notes = labelled(CAMERA, wall(depth_m), THING)
    assert len(notes) == 0
    assert not instances.any()


def test_a_box_behind_the_camera_or_beside_it_is_not_there() -> None:
    for yaw in (np.pi, np.pi / 2):
        turned = replace(CAMERA, world_to_cam=look(position=(0, 0, 1.5), yaw_rad=yaw))
        assert len(labelled(turned, wall(9.0), THING)[1]) == 0


def test_a_camera_within_a_box_sees_it_all_around() -> None:
    inside = replace(CAMERA, world_to_cam=look(position=(10.0, 0, 1.5)))
    _, notes = labelled(inside, wall(0.9), THING)
    assert notes.boxes[0].tolist() == [0, 0, W, H]


def test_pixels_in_two_boxes_go_to_the_one_they_lie_deeper_in() -> None:
    other = BOX.copy()
    other[1] = 3.0  # to the left, sharing a metre
    instances, _ = labelled(CAMERA, faced(), {**THING, 8: SplatObject(1, other, False, {})})
    columns = np.flatnonzero((instances == 7).any(axis=0))
    assert (instances == 8).any()
    assert not ((instances == 8).any(axis=0) & (np.arange(W) >= columns[0] + 3)).any()


def test_labels_by_exact_depth_are_near_the_exact_labels() -> None:
    capture = open_capture("town:3:6").at_most(320)
    samples = [view.load() for view in capture.views]
    objects = objects_of(samples)
    overlaps = []
    for sample in samples[::3]:
        assert sample.depth is not None
        assert sample.camera is not None
        _, notes = labelled(sample.camera, sample.depth, objects)
        rows = {int(key): row for row, key in enumerate(notes.instance_ids)}
        for row, key in enumerate(sample.annotations.instance_ids.tolist()):
            if (sample.instances == key).sum() >= 64:
                one, two = sample.annotations.boxes[row], notes.boxes[rows[key]]
                both = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None).prod()
                overlaps.append(both / ((one[2:] - one[:2]).prod() + (two[2:] - two[:2]).prod() - both))
    assert np.mean(overlaps) > 0.85


def test_a_place_is_seen_by_the_views_that_look_at_it_with_nothing_nearer() -> None:
    views = [Witness.of(CAMERA, lambda c: np.full((c.height, c.width), 9.0, np.float32)) for _ in range(2)]
    assert (seen_count(CAMERA, wall(9.0), views) == 2).all()
    assert (seen_count(CAMERA, wall(5.0), views) == 2).all()  # it was empty, which the views saw
    assert (seen_count(CAMERA, wall(15.0), views) == 0).all()  # behind the wall
    assert (seen_count(CAMERA, wall(np.inf), views) == 0).all()
    assert (seen_count(CAMERA, wall(np.nan), views) == 0).all()
    back = replace(CAMERA, world_to_cam=look(position=(0, 0, 1.5), yaw_rad=np.pi))
    assert (seen_count(back, wall(9.0), views) == 0).all()


def test_sky_is_seen_by_the_views_that_see_sky_there() -> None:
    views = [Witness.of(CAMERA, lambda c: np.full((c.height, c.width), np.inf, np.float32))]
    assert (seen_count(CAMERA, wall(np.inf), views) == 1).all()
    aside = replace(CAMERA, world_to_cam=look(position=(0, 0, 1.5), yaw_rad=0.3))
    assert 0 < (seen_count(aside, wall(np.inf), views) == 1).mean() < 1
