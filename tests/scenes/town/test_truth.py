"""Laws of the town's labels: they agree with each other and with the geometry they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import Remove
from scenes.sample import Annotations, Sample
from scenes.town import CLASS_NAMES, Town

pytestmark = pytest.mark.core
Points = NDArray[np.float64]


def seen_points(sample: Sample) -> Points:
    """World points (H, W, 3) of the pixel centres, from depth and camera alone."""
    camera, depth = sample.camera, sample.depth
    assert camera is not None
    assert depth is not None
    local = camera.rays() * np.where(np.isfinite(depth), depth, 0.0)[..., None]
    to_world = camera.cam_to_world
    return local @ to_world[:3, :3].T + to_world[:3, 3]


def into_box(points: Points, box: NDArray[Any]) -> Points:
    """Points (P, 3) in the frame of a 3D box (10,), in units of its half size."""
    w, x, y, z = box[6:].astype(np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return (points - box[:3]) @ rotation / (box[3:6] / 2)


def parts(sample: Sample) -> tuple[Annotations, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Annotations, boxes_3d, masks and instances, all there."""
    truth, instances = sample.annotations, sample.instances
    assert truth.boxes_3d is not None
    assert truth.masks is not None
    assert instances is not None
    return truth, truth.boxes_3d, truth.masks, instances


def test_the_frame_is_worth_testing(frame: Sample) -> None:
    names = {CLASS_NAMES[label] for label in frame.annotations.labels}
    assert {"car", "person", "traffic sign"} <= names
    assert frame.annotations.visibility is not None
    assert (frame.annotations.visibility < 0.7).any()


def test_depth_puts_road_pixels_on_the_road(frame: Sample) -> None:
    road = frame.annotations.segmentation == CLASS_NAMES.index("road")
    height = seen_points(frame)[road][:, 2]
    assert len(height) > 1000
    assert np.abs(height).max() < 0.02  # markings lie 9 mm over the carriageway


def test_depth_puts_object_pixels_into_their_3d_box(frame: Sample) -> None:
    truth, boxes_3d, masks, _ = parts(frame)
    points = seen_points(frame)
    for row in range(len(truth)):
        inside = into_box(points[masks[row]], boxes_3d[row])
        slack = 0.02 / (boxes_3d[row, 3:6] / 2) + 1e-3
        assert (np.abs(inside) <= 1 + slack).all(), truth.attributes[row]


def test_sky_is_infinitely_far_and_nothing_else_is(frame: Sample) -> None:
    sky = frame.annotations.segmentation == CLASS_NAMES.index("sky")
    assert frame.depth is not None
    assert np.isinf(frame.depth[sky]).all()
    assert (np.isfinite(frame.depth[~sky]) & (frame.depth[~sky] > 0)).all()


def test_masks_instances_and_boxes_are_one(frame: Sample) -> None:
    truth, _, masks, instances = parts(frame)
    assert set(np.unique(instances)) - {0} == set(truth.instance_ids.tolist())
    for row, number in enumerate(truth.instance_ids):
        assert np.array_equal(masks[row], instances == number)
        rows, columns = np.nonzero(masks[row])
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert truth.boxes[row].tolist() == tight


def test_segmentation_and_objects_agree(frame: Sample) -> None:
    truth, _, masks, _ = parts(frame)
    assert truth.segmentation is not None
    for row, label in enumerate(truth.labels):
        assert (truth.segmentation[masks[row]] == label).all()


def test_amodal_boxes_hold_modal_ones_and_equal_them_where_nothing_hides(frame: Sample) -> None:
    truth = frame.annotations
    amodal, visibility = truth.boxes_amodal, truth.visibility
    assert amodal is not None
    assert visibility is not None
    assert (amodal[:, :2] <= truth.boxes[:, :2]).all()
    assert (amodal[:, 2:] >= truth.boxes[:, 2:]).all()
    clear = visibility == 1
    assert clear.any()
    size = np.array([frame.width, frame.height])
    low, high = np.maximum(amodal[:, :2], 0), np.minimum(amodal[:, 2:], size)
    assert np.abs(low - truth.boxes[:, :2])[clear].max() <= 1
    assert np.abs(high - truth.boxes[:, 2:])[clear].max() <= 1


def test_an_object_alone_covers_the_same_pixels_whoever_is_in_front(town: Town, camera: Camera, frame: Sample) -> None:
    truth, _, masks, instances = parts(frame)
    visibility, amodal = truth.visibility, truth.boxes_amodal
    assert visibility is not None
    assert amodal is not None

    def crowd(row: int) -> int:
        """How many pixels of the object's whole box show other objects."""
        x1, y1, x2, y2 = np.maximum(amodal[row], 0).astype(int)
        window = instances[y1:y2, x1:x2]
        return int(((window > 0) & (window != truth.instance_ids[row])).sum())

    sizes = masks.sum(axis=(1, 2))
    hidden = [r for r in range(len(truth)) if 0.1 < visibility[r] < 0.8 and sizes[r] > 12]
    row = max(hidden, key=crowd)
    number = int(truth.instance_ids[row])
    actors = {a["actor"]: int(i) for i, a in zip(truth.instance_ids, truth.attributes, strict=True)}
    others = [Remove(i) for actor, i in actors.items() if actor != truth.attributes[row]["actor"]]
    alone = town.render(camera, others)
    after = alone.annotations.instance_ids.tolist().index(number)
    assert alone.annotations.visibility is not None
    assert alone.annotations.masks is not None
    covered = alone.annotations.masks[after].sum()
    assert covered > sizes[row]
    whole = sizes[row] / visibility[row]
    assert covered / alone.annotations.visibility[after] == pytest.approx(whole, rel=1e-3)
    assert alone.annotations.boxes_amodal is not None
    assert np.allclose(alone.annotations.boxes_amodal[after], amodal[row])


def test_tracks_go_on(town: Town, camera: Camera, frame: Sample) -> None:
    later = town.at(2).render(camera)
    truth, boxes_3d, _, _ = parts(frame)
    then, then_3d, _, _ = parts(later)
    assert truth.track_ids is not None
    assert then.track_ids is not None
    shared = set(truth.track_ids.tolist()) & set(then.track_ids.tolist())
    moved = 0
    for track in shared:
        a, b = truth.track_ids.tolist().index(track), then.track_ids.tolist().index(track)
        assert truth.attributes[a]["kind"] == then.attributes[b]["kind"]
        if truth.attributes[a]["state"] == "parked":
            assert np.array_equal(boxes_3d[a], then_3d[b])
        if truth.attributes[a]["state"] == "driving":
            moved += int(np.hypot(*(boxes_3d[a] - then_3d[b])[:2]) > 0.5)
    assert len(shared) > 5
    assert moved > 0


def test_two_views_agree_about_the_world(town: Town, camera: Camera, frame: Sample) -> None:
    """What view A sees lies, in view B, on the surface that B sees or behind it."""
    aside = camera.world_to_cam.copy()
    aside[:3, 3] += [-0.4, 0.0, 0.3]  # 0.4 m to the right, 0.3 m back
    other = Camera(K=camera.K, width=camera.width, height=camera.height, world_to_cam=aside)
    view = town.render(other)
    depth = frame.depth
    assert depth is not None
    assert view.depth is not None
    near = np.isfinite(depth) & (depth < 40)
    pixels, expected = other.project(seen_points(frame)[near])
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < view.width) & (row < view.height)
    found = view.depth[row[inside], column[inside]]
    ratio = found / expected[inside]
    assert (ratio < 1.05).mean() > 0.97  # beyond: at outlines, where a pixel's centre already misses
    assert (np.abs(ratio - 1) < 0.05).mean() > 0.85


def test_crowded_edges_of_the_frame(town: Town) -> None:
    """A camera that stands inside traffic: objects cut by the frame and the image plane keep lawful boxes."""
    sample = town.render(town.camera(3, width=160, height=90))
    amodal = sample.annotations.boxes_amodal
    assert amodal is not None
    assert np.isfinite(amodal).all()
    cut = (amodal[:, 0] < 0) | (amodal[:, 2] > 160)
    assert cut.any()
    assert (sample.annotations.boxes[:, 2] <= 160).all()
