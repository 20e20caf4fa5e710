"""Linear motion blur: light is averaged along a line while the shutter is open, in linear radiance.

The length is an angle, so that it means the same for every resolution and lens: pixels = focal length x tan(angle).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit

from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.radiometry import encode, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class MotionBlurParams:
    """One drawn blur: angle that the camera turned while exposing, and its direction in the picture (0 = along x)."""

    turned_rad: float
    direction_rad: float


@register
@dataclass(frozen=True)
class MotionBlur:
    """Blur of a camera that turns while the shutter is open."""

    name: ClassVar[str] = "sensor/motion_blur"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "angle turned while exposing",
        "deg",
        (0.4, 0.8, 1.3, 2.0, 3.0),
        "60 deg/s, a sharp turn or a pothole, over exposures of 7, 13, 22, 33 and 50 ms",
    )
    params_type: ClassVar[type[MotionBlurParams]] = MotionBlurParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> MotionBlurParams:
        # Cars yaw more than they pitch: directions gather around the horizontal.
        direction = math.radians(25.0) * rng.normal()
        return MotionBlurParams(turned_rad=math.radians(self.table.at(severity)), direction_rad=direction)

    def apply(self, sample: Sample, params: MotionBlurParams) -> Sample:
        if sample.camera is None:
            raise InputError(f"{self.name} needs a camera; sample {sample.sample_id!r} has none: complete it first")
        length_px = 1.0 + float(sample.camera.K[0, 0]) * math.tan(params.turned_rad)
        return replace(sample, image=blur_along(sample.image, length_px, params.direction_rad))


def blur_along(image: Image, length_px: float, direction_rad: float) -> Image:
    """Average linear light over a line of `length_px` pixels through each pixel; the border is continued.

    image: (H, W, 3). A running sum along digital lines costs the same for every length.
    """
    dx, dy = math.cos(direction_rad), math.sin(direction_rad)
    steep = abs(dy) > abs(dx)
    major = max(abs(dx), abs(dy))
    slope = (dx / dy) if steep else (dy / dx)
    # A step along the line moves `major` pixels along the axis that is walked.
    half = 0.5 * (max(length_px, 1.0) * major - 1.0) if length_px * major > 1.0 else 0.0
    out = np.empty_like(image, order="C")
    linear = to_linear(np.ascontiguousarray(image))
    if steep:
        _blur(linear.transpose(1, 0, 2), np.float32(half), slope, out.transpose(1, 0, 2))
    else:
        _blur(linear, np.float32(half), slope, out)
    return out


@njit(cache=True, fastmath=True)
def _blur(linear, half, slope, out):  # type: ignore[no-untyped-def]  # numba infers
    """Blur linear light (R, C, 3) along lines row = start + slope x column, 2 half + 1 columns long.

    A line is read and written between rows by linear interpolation, so that it shows no steps.
    """
    rows, columns = linear.shape[0], linear.shape[1]
    whole = int(half)
    end = half - np.float32(whole)
    scale = np.float32(1.0) / (np.float32(2.0) * half + np.float32(1.0))
    pad = whole + 1
    line = np.empty((columns + 2 * pad, 3), np.float32)
    before = np.zeros((columns, 3), np.float32)
    drop = slope * (columns - 1)
    first, last = int(np.floor(-max(drop, 0.0))), int(np.ceil(rows - 1 - min(drop, 0.0)))
    # how far the line has risen by each column, in whole rows and the part beyond; the same for every line
    rise = slope * (np.arange(columns + 2 * pad) - pad)
    down = np.floor(rise).astype(np.int64)
    beyond = (rise - down).astype(np.float32)
    up = np.ceil(rise[pad : pad + columns]).astype(np.int64) - 1
    share = (up + 1 - rise[pad : pad + columns]).astype(np.float32)
    for start in range(first, last + 2):
        _read_line(linear, start, down, beyond, pad, line)
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for k in range(pad - whole, pad + whole + 1):
            red += line[k, 0]
            green += line[k, 1]
            blue += line[k, 2]
        for x in range(columns):
            left, right = x + pad - whole, x + pad + whole + 1
            r = (red + end * (line[left - 1, 0] + line[right, 0])) * scale
            g = (green + end * (line[left - 1, 1] + line[right, 1])) * scale
            b = (blue + end * (line[left - 1, 2] + line[right, 2])) * scale
            red += line[right, 0] - line[left, 0]
            green += line[right, 1] - line[left, 1]
            blue += line[right, 2] - line[left, 2]
            row = start + up[x]
            if 0 <= row < rows:
                part = share[x]
                out[row, x, 0] = encode(before[x, 0] + part * (r - before[x, 0]))
                out[row, x, 1] = encode(before[x, 1] + part * (g - before[x, 1]))
                out[row, x, 2] = encode(before[x, 2] + part * (b - before[x, 2]))
            before[x, 0], before[x, 1], before[x, 2] = r, g, b


@njit(cache=True, fastmath=True)
def _read_line(linear, start, down, beyond, pad, line):  # type: ignore[no-untyped-def]  # numba infers
    """Read light (columns + 2 pad, 3) between rows start + down and the next; the border is continued."""
    rows, columns = linear.shape[0], linear.shape[1]
    for k in range(columns + 2 * pad):
        upper, part = start + down[k], beyond[k]
        column = min(max(k - pad, 0), columns - 1)
        high, low = min(max(upper, 0), rows - 1), min(max(upper + 1, 0), rows - 1)
        for c in range(3):
            light = linear[high, column, c]
            line[k, c] = light + part * (linear[low, column, c] - light)
