"""From which sides the capture saw an object: what shows another side after an edit or a move is a guess."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera

Matrix = NDArray[np.float64]
TURNED_MOST = math.radians(30)  # from the nearest direction of a training view; beyond, sides appear that none showed


def directions(frame: Matrix, cameras: Iterable[Camera]) -> Matrix:
    """Return (V, 3) unit directions in an object's frame, (4, 4) to world, to the cameras that have it in view."""
    found = []
    for camera in cameras:
        pixels, depth = camera.project(frame[None, :3, 3])
        x, y = pixels[0]
        if depth[0] > 0 and 0 <= x < camera.width and -camera.height <= y < 2 * camera.height:
            found.append(_towards(frame, camera))
    return np.array(found).reshape(-1, 3)


def _towards(frame: Matrix, camera: Camera) -> Matrix:
    way = frame[:3, :3].T @ (camera.position - frame[:3, 3])
    unit: Matrix = way / max(float(np.linalg.norm(way)), 1e-9)
    return unit


def unknown_side(frame: Matrix, camera: Camera, known: Sequence[Sequence[float]] | Matrix) -> bool:
    """Tell whether a camera looks at an object from a side that none of the known directions (V, 3) is near to.

    An object that was in no view's frame says nothing here.
    """
    if not len(known):
        return False
    cosines = np.asarray(known) @ _towards(frame, camera)
    return bool(cosines.max() < math.cos(TURNED_MOST))
