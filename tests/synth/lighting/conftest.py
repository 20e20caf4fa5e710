"""Frames that are simple enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenes.camera import Camera, look
from scenes.sample import Sample

Frame = Callable[..., Sample]


def _camera(width: int, height: int) -> Camera:
    return replace(Camera.assumed(width, height), world_to_cam=look(position=(0.0, 0.0, 1.5)))


@pytest.fixture(scope="session")
def wall() -> Frame:
    """An upright grey wall over the whole frame, depth_m ahead."""

    def make(depth_m: float, grey: int = 150, *, width: int = 160, height: int = 90) -> Sample:
        return Sample(
            sample_id="wall",
            image=np.full((height, width, 3), grey, np.uint8),
            depth=np.full((height, width), depth_m, np.float32),
            camera=_camera(width, height),
        )

    return make


@pytest.fixture(scope="session")
def plain() -> Frame:
    """Level grey ground under a level camera at 1.5 m, and sky over it."""

    def make(grey: int = 150, sky: int = 200, *, width: int = 640, height: int = 360) -> Sample:
        camera = _camera(width, height)
        fall = (np.arange(height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
        column = np.where(fall > 0, 1.5 / np.maximum(fall, 1e-6), np.inf).astype(np.float32)
        image = np.where(np.isinf(column)[:, None, None], sky, grey) * np.ones((height, width, 3))
        return Sample(
            sample_id="plain",
            image=image.astype(np.uint8),
            depth=np.ascontiguousarray(np.broadcast_to(column[:, None], (height, width))),
            camera=camera,
        )

    return make
