"""Rolling shutter: rows are read one after another while the camera turns, so that what stands upright leans.

Each row sees the scene from a camera turned a little farther about its vertical axis; the middle row is where it would
have been. The new frame is enlarged just so far that no row looks past the old picture; every label moves along.
`camera.K` follows the enlargement, not the lean: a picture of a rolling shutter has no single camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.warp import Points, Warp, warp_frame

READOUT_S = 0.033


@dataclass(frozen=True)
class RollingShutterParams:
    """turned_rad: signed angle that the camera turns from the first row to the last."""

    turned_rad: float


@register
@dataclass(frozen=True)
class RollingShutter:
    """A sensor read row by row in a car that turns."""

    name: ClassVar[str] = "sensor/rolling_shutter"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})
    changes: ClassVar[Change] = "geometry"
    table: ClassVar[SeverityTable] = SeverityTable(
        "yaw rate",
        "deg/s",
        (15, 30, 50, 75, 110),
        "read out over a frame of 1/30 s; bends 10-20, turning at a junction 30-50, swerving and skids up to 100 deg/s",
    )
    params_type: ClassVar[type[RollingShutterParams]] = RollingShutterParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> RollingShutterParams:
        sign = -1.0 if rng.uniform() < 0.5 else 1.0
        return RollingShutterParams(turned_rad=sign * math.radians(self.table.at(severity)) * READOUT_S)

    def apply(self, sample: Sample, params: RollingShutterParams) -> Sample:
        old = sample.camera
        if old is None:
            raise InputError(f"{self.name} needs a camera; sample {sample.sample_id!r} has none: complete it first")
        K = old.K.copy()
        K[:2, :2] *= _enlargement(old, params.turned_rad)
        new = replace(old, K=K)
        return warp_frame(sample, _warp(old, new, params.turned_rad), camera=new)


def _enlargement(camera: Camera, turned_rad: float) -> float:
    """Return by how much the focal length must grow so that the turned rows do not look past the frame."""
    half = 0.5 * abs(turned_rad)
    gains = [1.0]
    for side in (camera.K[0, 2], camera.width - camera.K[0, 2]):
        tangent = max(float(side), 0.25 * camera.width) / float(camera.K[0, 0])
        gains.append(tangent / math.tan(max(math.atan(tangent) - half, 0.25 * math.atan(tangent))))
    return max(gains)


def _warp(old: Camera, new: Camera, turned_rad: float) -> Warp:
    """Return where the new frame's pixels come from, and where the old frame's points go."""
    source_x, source_y = (np.empty((new.height, new.width), np.float32) for _ in range(2))
    _fill(old.K, new.K, turned_rad, source_x, source_y)

    def forward(points: Points) -> Points:
        ray_x = (points[:, 0] - old.K[0, 2]) / old.K[0, 0]
        ray_y = (points[:, 1] - old.K[1, 2]) / old.K[1, 1]
        row = ray_y * new.K[1, 1] + new.K[1, 2]
        for _ in range(3):  # the row it is read in decides the turn, and the turn hardly changes the row
            turn = turned_rad * (np.clip(row / new.height, -0.5, 1.5) - 0.5)
            away = np.cos(turn) + ray_x * np.sin(turn)
            row = ray_y / away * new.K[1, 1] + new.K[1, 2]
        column = (ray_x * np.cos(turn) - np.sin(turn)) / away * new.K[0, 0] + new.K[0, 2]
        return np.stack([column, row], axis=1)

    return Warp(x=source_x, y=source_y, forward=forward)


@njit(cache=True)
def _fill(old_K, new_K, turned_rad, source_x, source_y):  # type: ignore[no-untyped-def]  # numba infers
    """Write (H, W) old pixels of the new ones: the ray of a pixel, turned with its row."""
    height, width = source_x.shape
    one = np.float32(1.0)
    for i in range(height):
        turn = turned_rad * ((i + 0.5) / height - 0.5)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        y = np.float32((i + 0.5 - new_K[1, 2]) / new_K[1, 1] * old_K[1, 1])
        x = np.float32((0.5 - new_K[0, 2]) / new_K[0, 0])
        step = np.float32(1.0 / new_K[0, 0])
        focal, centre_x, centre_y = np.float32(old_K[0, 0]), np.float32(old_K[0, 2]), np.float32(old_K[1, 2])
        for j in range(width):
            ray = x + step * np.float32(j)
            away = one / (cos - ray * sin)
            source_x[i, j] = (ray * cos + sin) * away * focal + centre_x
            source_y[i, j] = y * away + centre_y
