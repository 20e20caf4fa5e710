"""Motion blur of a driving camera: every pixel along its own path through the picture, by its depth, in linear light.

While the shutter is open the camera goes forward and turns. A point at depth Z then moves by (x, y) d / Z away from the
point that is driven at (d: distance driven), and by the turn sideways, near or far. What is near blurs over what is
behind it: nearness is widened by the blur before it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.atmosphere import depth_and_camera
from synth.radiometry import encode_near, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

_NEAREST_M = 1.5  # nothing of a scene is nearer to a driving camera
_COARSE = 4  # motion is computed once for so many pixels a side
_MOST_STEPS = 12
_LONGEST = 0.12  # of the picture's width: longer paths are cut, they are as good as gone
_WHITE = (1 << 15) - 1
_CODES = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
_STEPS = np.rint(_WHITE * to_linear(_CODES)[:, 0, 0]).astype(np.uint64)  # of light, by code


@dataclass(frozen=True)
class EgoMotionBlurParams:
    """driven_m: way driven while the shutter is open; turned_rad: yaw in the same time, to the left."""

    driven_m: float
    turned_rad: float


@register
@dataclass(frozen=True)
class EgoMotionBlur:
    """Blur of a camera that drives and turns while the shutter is open: strong aside, none where it drives to."""

    name: ClassVar[str] = "sensor/ego_motion_blur"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "way driven while exposing",
        "m",
        (0.14, 0.3, 0.55, 0.9, 1.5),
        "speed x exposure: 50 km/h x 10 ms, 80 x 13, 100 x 20, 100 x 33 ms, 160 km/h x 33 ms (a whole frame at 30 Hz)",
    )
    params_type: ClassVar[type[EgoMotionBlurParams]] = EgoMotionBlurParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> EgoMotionBlurParams:
        driven = self.table.at(severity)
        # curvature of roads at speed: radii of some hundred metres
        return EgoMotionBlurParams(driven_m=driven, turned_rad=driven * 0.004 * rng.normal())

    def apply(self, sample: Sample, params: EgoMotionBlurParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        if math.hypot(params.driven_m, params.turned_rad) == 0:
            return sample
        motion = motion_px(depth, camera, params)
        return replace(sample, image=blur_along_motion(sample.image, motion))


def motion_px(depth: Depth, camera: Camera, params: EgoMotionBlurParams) -> NDArray[np.float32]:
    """Return a coarse map (h, w, 2) of how far pixels move in x and y while the shutter is open."""
    height, width = depth.shape
    size = (max(1, width // _COARSE), max(1, height // _COARSE))
    near = np.float32(1.0) / np.maximum(depth, np.float32(_NEAREST_M))
    if np.isnan(near).any():
        near = np.nan_to_num(near, nan=0.0)
    small = cv2.resize(near, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
    x = ((np.arange(size[0]) + 0.5) * width / size[0] - camera.K[0, 2]).astype(np.float32)
    y = ((np.arange(size[1]) + 0.5) * height / size[1] - camera.K[1, 2]).astype(np.float32)
    # the nearest surface within the reach of its own blur is what covers a pixel
    reach = int(min(3, 0.5 * float(small.max()) * params.driven_m * 0.25 * width / _COARSE)) * 2 + 1
    wide = cv2.dilate(small, np.ones((reach, reach), np.uint8))
    small = cv2.blur(wide, (reach, reach), borderType=cv2.BORDER_REPLICATE).reshape(small.shape)
    grows = np.float32(params.driven_m) * small
    focal_x, focal_y = np.float32(camera.K[0, 0]), np.float32(camera.K[1, 1])
    turned = np.float32(params.turned_rad)
    motion = np.empty((*small.shape, 2), np.float32)
    motion[..., 0] = x[None, :] * grows + turned * (focal_x + x * x / focal_x)[None, :]
    motion[..., 1] = y[:, None] * grows + turned * x[None, :] * (y * focal_y / (focal_x * focal_x))[:, None]
    return motion


def blur_along_motion(image: Image, motion: NDArray[np.float32]) -> Image:
    """Average light along each pixel's path, half of it before and half behind; motion: coarse map (h, w, 2) px."""
    out = np.empty(image.shape, np.uint8)
    source = np.ascontiguousarray(image)
    packed = np.empty(image.shape[0] * image.shape[1], np.uint64)
    _pack(source.reshape(-1), packed)
    _gather(source, packed, motion, np.float32(max(_LONGEST * image.shape[1], 1.0)), out)
    return out


@njit(cache=True, nogil=True)
def _pack(codes, packed):  # type: ignore[no-untyped-def]  # numba infers
    """Fill packed (N,) with the linear light of pixels, 15 bits of each channel in 21: 64 of them add up at once."""
    for k in range(packed.size):
        red, green, blue = _STEPS[codes[3 * k]], _STEPS[codes[3 * k + 1]], _STEPS[codes[3 * k + 2]]
        packed[k] = red | green << np.uint64(21) | blue << np.uint64(42)


@njit(cache=True, nogil=True, fastmath=True)
def _gather(image, packed, motion, longest, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = image.shape[:2]
    h, w = motion.shape[:2]
    half, one = np.float32(0.5), np.float32(1.0)
    field, white = np.uint64((1 << 21) - 1), np.float32(1.0 / _WHITE)
    line, ratio = np.empty((w + 1, 2), np.float32), np.float32(w) / np.float32(columns)
    for i in range(rows):
        place_y = min(max((np.float32(i) + half) * np.float32(h) / np.float32(rows) - half, 0), h - 1)
        top = int(place_y)
        below = min(top + 1, h - 1)
        part = np.float32(place_y - top)
        for k in range(w + 1):
            for c in range(2):
                upper = motion[top, min(k, w - 1), c]
                line[k, c] = upper + part * (motion[below, min(k, w - 1), c] - upper)
        for j in range(columns):
            place = (np.float32(j) + half) * ratio - half
            place = min(max(place, np.float32(0.0)), np.float32(w - 1))
            left = int(place)
            part_x = place - np.float32(left)
            dx = line[left, 0] + part_x * (line[left + 1, 0] - line[left, 0])
            dy = line[left, 1] + part_x * (line[left + 1, 1] - line[left, 1])
            length = np.sqrt(dx * dx + dy * dy)
            if length < half:
                for c in range(3):
                    out[i, j, c] = image[i, j, c]
                continue
            if length > longest:
                dx, dy, length = dx * longest / length, dy * longest / length, longest
            steps = min(int(np.float32(0.6) * length) + 2, _MOST_STEPS)
            # every second pixel starts its samples half a step later: steps do not show
            offset = half + np.float32(0.25) * np.float32(1 - 2 * ((i + j) & 1))
            total = np.uint64(0)
            scale = one / np.float32(steps)
            step_x, step_y = dx * scale, dy * scale
            x = np.float32(j) + half + (offset * scale - half) * dx
            y = np.float32(i) + half + (offset * scale - half) * dy
            reach_x, reach_y = half * abs(dx) + one, half * abs(dy) + one
            if reach_x <= j < columns - reach_x and reach_y <= i < rows - reach_y:
                for _ in range(steps):
                    at = np.uint32(y) * np.uint32(columns) + np.uint32(x)
                    total += packed[at]
                    x += step_x
                    y += step_y
            else:
                for _ in range(steps):
                    at = np.uint32(min(max(int(y), 0), rows - 1)) * np.uint32(columns)
                    at += np.uint32(min(max(int(x), 0), columns - 1))
                    total += packed[at]
                    x += step_x
                    y += step_y
            scale *= white
            out[i, j, 0] = np.uint8(encode_near(np.float32(total & field) * scale))
            out[i, j, 1] = np.uint8(encode_near(np.float32((total >> np.uint64(21)) & field) * scale))
            out[i, j, 2] = np.uint8(encode_near(np.float32(total >> np.uint64(42)) * scale))
