"""What of a picture the training views saw as well: its points lie in their pictures, with nothing nearer before them.

Letters: V training views, H x W the pictures, h x w the small depth maps that are kept of the training views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.capture import resized_camera

PIXELS = 96  # longest side of the kept depth maps
SLACK = 0.1  # of its depth by which a point may lie behind what a training view saw there
SEEN_BY = 2  # training views that must show a place: one alone does not tell where it stands
FAR = 1e4  # where a point without end is put, units of the world

Depths = NDArray[np.float32]  # (h, w) units of the world along the optical axis; inf = sky, NaN = nothing


@dataclass(frozen=True, eq=False)
class Witness:
    """A training view and what it saw, small."""

    camera: Camera
    depth: Depths

    @classmethod
    def of(cls, camera: Camera, look: Callable[[Camera], Depths]) -> Witness:
        factor = min(1.0, PIXELS / max(camera.width, camera.height))
        small = resized_camera(camera, *(max(1, round(factor * n)) for n in (camera.width, camera.height)))
        return cls(small, look(small))

    def saw(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell of points (N, 3) of the world whether they are in the picture, with nothing nearer before them."""
        camera, (height, width) = self.camera, self.depth.shape
        pixels, depth = camera.project(points)
        with np.errstate(invalid="ignore"):
            columns, rows = np.floor(pixels).T
            inside = (depth > 0) & (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        before = farthest(self.depth)[rows[inside].astype(np.intp), columns[inside].astype(np.intp)]
        inside[inside] = depth[inside] <= (1 + SLACK) * before
        return inside


def farthest(depth: Depths) -> Depths:
    """Return the largest of each pixel and its eight neighbours, as outlines are a pixel wide; nothing counts as far.

    >>> farthest(np.array([[1.0, 2.0, np.nan]], np.float32)).tolist()
    [[2.0, inf, inf]]
    """
    import cv2

    filled = np.where(np.isnan(depth), np.inf, depth).astype(np.float32)
    grown: Depths = cv2.dilate(filled, np.ones((3, 3), np.uint8))
    return grown


def seen_count(camera: Camera, depth: Depths, witnesses: Sequence[Witness]) -> NDArray[np.int32]:
    """Return by how many training views (H, W) what a camera sees at a depth (inf = sky) was seen; 0 for NaN."""
    known = ~np.isnan(depth)
    reach = np.where(np.isinf(depth), FAR, depth)[known]
    points = (camera.rays()[known] * reach[:, None]) @ camera.cam_to_world[:3, :3].T + camera.position
    found = np.zeros(len(points), np.int32)
    for witness in witnesses:
        found += witness.saw(points)
    count = np.zeros(depth.shape, np.int32)
    count[known] = found
    return count
