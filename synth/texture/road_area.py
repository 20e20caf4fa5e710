"""Which pixels are road, and how its surface lies before the camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Sample
from synth.ground import ground_points
from synth.regions import Mask, class_index, class_names

_FLAT_M = 0.35  # points at most this far off the plane of the near ground belong to it
_ROAD_NAMES = ("road", "drivable area", "drivable", "street", "lane")


def road_mask(sample: Sample) -> Mask:
    """Return (H, W) True on the road: by class name, else flat ground of the colour of the near road."""
    segmentation = sample.annotations.segmentation
    index = class_index(sample, *_ROAD_NAMES)
    if segmentation is not None and index is not None:
        named: Mask = segmentation == index
        return named
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    likely, ground = ground_points(camera)
    flat = likely.copy()
    if sample.depth is not None:
        expected = np.abs(sample.depth - ground) <= _FLAT_M / np.maximum(1.5 / np.maximum(ground, 1e-3), 1e-3)
        flat &= expected | ~np.isfinite(sample.depth)
    flat &= ~_objects(sample)
    if segmentation is not None and not class_names(sample) and flat.any():
        return flat & (segmentation == np.bincount(segmentation[flat].astype(np.int64) % 65536).argmax())
    return _of_one_colour(sample, flat)


def inverse_depth_plane(depth: Depth, mask: Mask) -> NDArray[np.float64] | None:
    """Return (3,) a b c with 1/depth = a x + b y + c over the mask without its outliers; None for too few pixels."""
    rows, columns = np.nonzero(mask & np.isfinite(depth) & (depth > 0))
    if len(rows) < 12:
        return None
    thin = max(1, len(rows) // 4000)
    rows, columns = rows[::thin], columns[::thin]
    design = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
    target = 1.0 / depth[rows, columns].astype(np.float64)
    keep = np.ones(len(rows), np.bool_)
    plane = np.zeros(3)
    for _ in range(3):
        if np.linalg.matrix_rank(design[keep]) < 3:
            return None
        plane = np.linalg.lstsq(design[keep], target[keep], rcond=None)[0]
        residual = np.abs(design @ plane - target)
        keep = residual <= 3 * max(float(np.median(residual[keep])), 1e-5)
    return plane


def _objects(sample: Sample) -> Mask:
    if sample.instances is not None:
        there: Mask = sample.instances > 0
        return there
    covered = np.zeros((sample.height, sample.width), np.bool_)
    notes = sample.annotations
    if notes.masks is not None:
        return covered | notes.masks.any(axis=0)
    for x1, y1, x2, y2 in notes.boxes.astype(int).tolist():
        covered[max(0, y1) : y2 + 1, max(0, x1) : x2 + 1] = True
    return covered


def _of_one_colour(sample: Sample, flat: Mask) -> Mask:
    """Return the part of flat ground that looks like the road right before the camera, markings included."""
    height, width = flat.shape
    seed = np.zeros_like(flat)
    seed[int(0.75 * height) : int(0.97 * height), int(0.3 * width) : int(0.7 * width)] = True
    seed &= flat
    if np.count_nonzero(seed) < 50:
        return flat
    lab = cv2.cvtColor(cv2.GaussianBlur(sample.image, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32)
    centre = np.median(lab[seed], axis=0)
    spread = np.maximum(1.5 * np.median(np.abs(lab[seed] - centre), axis=0), [10, 3, 3])
    alike = (((lab - centre) / (4 * spread)) ** 2).sum(axis=2) < 1
    painted = (lab[..., 0] > centre[0]) & (np.abs(lab[..., 1:] - centre[1:]) < 14).all(axis=2)
    road = (flat & (alike | painted)).astype(np.uint8)
    road = cv2.morphologyEx(road, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts = cv2.connectedComponents(road)
    if count <= 1:
        return flat
    sizes = np.bincount(parts[seed & (road > 0)].ravel(), minlength=count)
    sizes[0] = 0
    chosen: Mask = cv2.morphologyEx((parts == sizes.argmax()).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5))) > 0
    return chosen & flat
