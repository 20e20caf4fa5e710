"""Small frames of exact geometry: a level camera over a plane, with or without a wall across it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.sample import Sample


def _camera(width: int, height: int, up_m: float = 1.5) -> Camera:
    return replace(Camera.assumed(width, height), world_to_cam=look(position=(0.0, 0.0, up_m)))


def _depth(camera: Camera) -> NDArray[np.float32]:
    rows = np.arange(camera.height) + 0.5 - camera.K[1, 2]
    ground = np.where(rows > 0, float(camera.position[2]) * camera.K[1, 1] / np.maximum(rows, 1e-6), np.inf)
    return np.repeat(ground[:, None], camera.width, axis=1).astype(np.float32)


@pytest.fixture
def camera_over_road() -> Callable[..., Camera]:
    """A function: a level camera of a size, at a height."""
    return _camera


@pytest.fixture
def road_depth() -> Callable[[Camera], NDArray[np.float32]]:
    """A function: (H, W) depth of the ground before a level camera, inf over the horizon."""
    return _depth


@pytest.fixture
def street() -> Callable[..., Sample]:
    """A function: a grey road under a sky, with a wall across it at `wall_m`."""

    def make(width: int = 160, height: int = 96, wall_m: float = np.inf, grey: int = 90, up_m: float = 1.5) -> Sample:
        camera = _camera(width, height, up_m)
        depth = np.minimum(_depth(camera), np.float32(wall_m))
        image = np.full((height, width, 3), grey, np.uint8)
        image[np.isinf(depth)] = (120, 160, 230)
        return Sample(sample_id="street", image=image, depth=depth, camera=camera)

    return make
