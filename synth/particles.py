"""Falling particles before a camera: where they are, the streak of each while the shutter is open, and its light.

A particle that crosses a pixel covers it for the share width / (width + length) of the exposure; what is nearer than
the depth of field is spread over its circle of confusion. Particles behind the scene are hidden by its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.radiometry import Linear, encode, to_linear
from synth.random import Rng

NEAREST_M = 0.35
APERTURE_M = 0.0025  # entrance pupil of a camera of 5 mm focal length at f/2, focused far away
_COUNT_LIMIT = 80_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Streaks:
    """M streaks: ends (M, 4) x0 y0 x1 y1 in pixels, width (M,) pixels, cover (M,) in [0, 1], depth (M,) metres."""

    ends: Array
    width: Array
    cover: Array
    depth: Array


def farthest_m(camera: Camera, *, size_m: float, limit_m: float) -> float:
    """Return how far single particles are drawn: while they are a tenth of a pixel wide, and at most to a limit."""
    return min(max(float(camera.K[0, 0]) * size_m / 0.1, 2.0 * NEAREST_M), limit_m)


def count_in_view(camera: Camera, *, per_m3: float, farthest_m: float) -> int:
    """Return how many particles of a number density are seen up to a distance, at most a limit that keeps it quick."""
    per_depth = camera.width * camera.height / (camera.K[0, 0] * camera.K[1, 1])
    volume = per_depth * (farthest_m**3 - NEAREST_M**3) / 3.0
    return min(round(volume * per_m3), _COUNT_LIMIT)


def place(rng: Rng, count: int, camera: Camera, *, farthest_m: float) -> tuple[Array, Array]:
    """Return positions (count, 3) in camera metres, uniform in the volume in view, and (count, 3) numbers in [0, 1).

    A longer list starts with the shorter one: heavier rain is the lighter one and more.
    """
    numbers = rng.uniforms(count, 6)
    depth = np.cbrt(NEAREST_M**3 + numbers[:, 0] * (farthest_m**3 - NEAREST_M**3))
    # a tenth more than the picture on each side: streaks come in from there
    x = (1.2 * numbers[:, 1] - 0.1) * camera.width
    y = (1.2 * numbers[:, 2] - 0.1) * camera.height
    ray_x, ray_y = (x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1]
    return np.stack([ray_x * depth, ray_y * depth, depth], axis=1), numbers[:, 3:]


def streaks(position_m: Array, velocity_mps: Array, size_m: Array, camera: Camera, *, exposure_s: float) -> Streaks:
    """Project particles that move during an exposure; positions and velocities (M, 3) camera frame, sizes (M,)."""
    start, end = position_m - 0.5 * exposure_s * velocity_mps, position_m + 0.5 * exposure_s * velocity_mps
    near = 0.5 * NEAREST_M
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    z0, z1 = np.maximum(start[:, 2], near), np.maximum(end[:, 2], near)
    x0, y0 = fx * start[:, 0] / z0 + cx, fy * start[:, 1] / z0 + cy
    x1, y1 = fx * end[:, 0] / z1 + cx, fy * end[:, 1] / z1 + cy
    ends = np.stack([x0, y0, x1, y1], axis=1)
    length = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    depth = position_m[:, 2]
    sharp = fx * size_m / depth
    width = np.hypot(sharp, fx * APERTURE_M / depth)
    # light is kept: what blur and the pixel grid make wider gets thinner
    cover = sharp / (sharp + length) * sharp / np.maximum(width, 1.0)
    return Streaks(ends=ends, width=width, cover=np.minimum(cover, 1.0), depth=depth)


def surroundings(image: Image, *, airlight: tuple[float, float, float], sky_share: float) -> Linear:
    """Return a small map (h, w, 3) of the light that a particle gathers: a wide part of the scene and of the sky."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, min(width, 24)), max(1, min(height, 16))), interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(to_linear(small), (0, 0), 4.0, borderType=cv2.BORDER_REPLICATE)
    sky = np.float32(sky_share) * np.array(airlight, np.float32)
    mixed: Linear = sky + np.float32(1.0 - sky_share) * wide.reshape(small.shape)
    return mixed


def paint(linear: Linear, depth: Depth, found: Streaks, light: Linear) -> Image:
    """Composite streaks over linear light (H, W, 3), which is used up; return the picture.

    light: small map (h, w, 3) of what particles send, stretched over the picture.
    """
    values = np.column_stack([found.ends, found.width, found.cover, found.depth]).astype(np.float32)
    _paint(linear, depth, values, light)
    out = np.empty(linear.shape, np.uint8)
    _encode(linear, out)
    return out


@njit(cache=True)
def _paint(linear, depth, values, light):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = depth.shape
    half_pixel = np.float32(0.5)
    for n in range(values.shape[0]):
        x0, y0, x1, y1, width, cover, z = values[n]
        column, row = int(half_pixel * (x0 + x1)), int(half_pixel * (y0 + y1))
        column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)
        if cover < np.float32(0.002) or depth[row, column] < z:
            continue
        shade = light[row * light.shape[0] // rows, column * light.shape[1] // columns]
        reach = max(half_pixel * width, half_pixel) + half_pixel
        dx, dy = x1 - x0, y1 - y0
        length2 = max(dx * dx + dy * dy, np.float32(1e-6))
        top, bottom = max(int(np.floor(min(y0, y1) - reach)), 0), min(int(np.ceil(max(y0, y1) + reach)), rows - 1)
        low, high = min(x0, x1) - reach, max(x0, x1) + reach
        span = reach * np.sqrt(length2) / max(abs(dy), np.float32(1e-3))
        for i in range(top, bottom + 1):
            y = np.float32(i) + half_pixel
            left, right = low, high
            if abs(dy) > np.float32(0.1):
                centre = x0 + (y - y0) * dx / dy
                left, right = max(low, centre - span), min(high, centre + span)
            for j in range(max(int(np.floor(left)), 0), min(int(np.ceil(right)), columns - 1) + 1):
                x = np.float32(j) + half_pixel
                along = min(max(((x - x0) * dx + (y - y0) * dy) / length2, np.float32(0.0)), np.float32(1.0))
                ex, ey = x - x0 - along * dx, y - y0 - along * dy
                inside = min(max(reach - np.sqrt(ex * ex + ey * ey), np.float32(0.0)), np.float32(1.0))
                share = cover * inside
                for c in range(3):
                    linear[i, j, c] += share * (shade[c] - linear[i, j, c])


@njit(cache=True)
def _encode(linear, out):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for c in range(3):
                out[i, j, c] = encode(linear[i, j, c])
