"""The picture: first hits of the pixel centres, their light, and extra rays where neighbours differ."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.town import light
from scenes.town.ambient import Ambient
from scenes.town.shading import shade
from scenes.town.tracer import Hits
from scenes.town.view import Stage, trace

EDGE = 0.05  # display contrast to a neighbour above which a pixel gets extra rays
SUBPIXELS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])  # rotated grid


@dataclass(frozen=True, eq=False)
class Frame:
    """image (H, W, 3) uint8; hits of the pixel centres (H * W rays)."""

    image: NDArray[np.uint8]
    hits: Hits


def render(stage: Stage, camera: Camera) -> Frame:
    """Render one frame."""
    h, w = camera.height, camera.width
    rows, columns = np.mgrid[0:h, 0:w]
    x, y = columns.ravel() + 0.5, rows.ravel() + 0.5
    hits, rays = trace(stage, camera, x, y)
    ambient = Ambient(stage, camera, hits, rays)
    color = shade(stage, camera, hits, rays, ambient, x, y)
    image = light.display(color).reshape(h, w, 3)
    edge = np.flatnonzero(edges(image))
    if len(edge):
        sums = np.zeros((len(edge), 3), np.float32)
        for dx, dy in SUBPIXELS:
            sub_x, sub_y = x[edge] + dx, y[edge] + dy
            sub_hits, sub_rays = trace(stage, camera, sub_x, sub_y)
            sums += np.minimum(shade(stage, camera, sub_hits, sub_rays, ambient, sub_x, sub_y), 1.5)
        image.reshape(-1, 3)[edge] = light.display(sums / len(SUBPIXELS))
    return Frame(image=image, hits=hits)


def edges(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (H, W) True where a pixel differs from one of its neighbours."""
    limit = int(EDGE * 255)
    marked = np.zeros(image.shape[:2], np.bool_)
    for axis in (0, 1):
        a = image[1:] if axis == 0 else image[:, 1:]
        b = image[:-1] if axis == 0 else image[:, :-1]
        different = cv2.absdiff(a, b).max(axis=2) > limit
        if axis == 0:
            marked[1:] |= different
            marked[:-1] |= different
        else:
            marked[:, 1:] |= different
            marked[:, :-1] |= different
    return marked
