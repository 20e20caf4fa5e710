"""Defocus by depth: each point of light becomes the disc that a thin lens makes of it, in linear light.

The circle of confusion of a point at distance Z, for an aperture A focused at S, is seen under the angle
A |1/S - 1/Z|; its diameter in pixels is the focal length in pixels times that, whatever the sensor's size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Depth, Image, Sample
from synth.atmosphere import depth_and_camera
from synth.radiometry import Linear, encode_near, rows_of, to_linear
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

APERTURE_M = 0.00375  # entrance pupil of a driving camera's lens of 6 mm at f/1.6
_MOST_DISCS = 3
_ALIKE = 0.08  # discs that differ by less than this share of their size are drawn as one
_SHARPEST_PX = 1.0  # a disc of one pixel is the pixel itself


@dataclass(frozen=True)
class DefocusParams:
    """focus_m: distance that the lens is focused at; aperture_m: diameter of its entrance pupil."""

    focus_m: float
    aperture_m: float


@register
@dataclass(frozen=True)
class Defocus:
    """A lens focused on what is close: its window, a drop, the bonnet."""

    name: ClassVar[str] = "sensor/defocus"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "focus distance",
        "m",
        (1.6, 0.9, 0.5, 0.3, 0.2),
        "6 mm at f/1.6: discs at infinity of 0.13, 0.24, 0.43, 0.72 and 1.07 deg; autofocus stops at a windscreen",
        "reciprocal",
    )
    params_type: ClassVar[type[DefocusParams]] = DefocusParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DefocusParams:
        return DefocusParams(focus_m=self.table.at(severity), aperture_m=APERTURE_M * rng.uniform(0.9, 1.1))

    def apply(self, sample: Sample, params: DefocusParams) -> Sample:
        depth, camera = depth_and_camera(sample, self.name)
        diameter = confusion_px(depth, float(camera.K[0, 0]), params)
        return replace(sample, image=blur_discs(sample.image, diameter))


def confusion_px(depth: Depth, focal_px: float, params: DefocusParams) -> NDArray[np.float32]:
    """Return (H, W) diameters of the circles of confusion in pixels; unknown depth (NaN) counts as far away."""
    inverse = np.float32(1.0) / np.maximum(depth, np.float32(0.05))
    if np.isnan(inverse).any():
        inverse = np.nan_to_num(inverse, nan=0.0)
    apart = np.abs(inverse - np.float32(1.0 / params.focus_m))
    diameter: NDArray[np.float32] = apart * np.float32(focal_px * params.aperture_m)
    return diameter


def blur_discs(image: Image, diameter: NDArray[np.float32]) -> Image:
    """Spread light over discs of given diameters (H, W) in pixels; between a few sizes of disc it is interpolated."""
    sizes = drawn_px(diameter)
    low, high = float(sizes.min()), float(np.percentile(sizes[::4, ::4], 99.5))
    high = max(high, low)
    count = 1 if high - low < max(0.25, _ALIKE * high) else min(_MOST_DISCS, 2 + int((high - low) / 4.0))
    steps = np.linspace(low, high, count) if count > 1 else np.array([0.5 * (low + high)])
    linear = to_linear(np.ascontiguousarray(image))
    discs = np.empty((count, *linear.shape), np.float32)
    for k, step in enumerate(steps):
        spread(linear, float(step), discs[k])
    out = np.empty(image.shape, np.uint8)
    _mix(discs, sizes, np.float32(low), np.float32((high - low) / max(count - 1, 1)), rows_of(out))
    return out


def drawn_px(diameter: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the discs to draw (H, W): one pixel for a sharp point, and no wider than told where that is many pixels.

    The exponent lets discs below a pixel, which no grid holds, blur a little, as they do between the grid's points.
    """
    drawn: NDArray[np.float32] = np.power(diameter * np.sqrt(diameter) + np.float32(_SHARPEST_PX), np.float32(2 / 3))
    return drawn


def disc(diameter: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each row of a disc (2 n + 1,) how many whole pixels it reaches to a side, and the part beyond.

    A pixel's row counts with the mean chord of the disc over its height; the parts sum up to the disc's area.
    """
    radius = 0.5 * diameter
    n = max(int(np.ceil(radius - 0.5)), 0)
    fine = (np.arange((2 * n + 1) * 16) + 0.5) / 16 - n - 0.5
    chord = np.sqrt(np.maximum(radius**2 - fine**2, 0.0)).reshape(-1, 16).mean(axis=1)
    whole = np.maximum(np.floor(chord - 0.5), -1).astype(np.int64)
    end = np.where(whole < 0, chord, chord - 0.5 - whole)
    return whole, end.astype(np.float32)


def spread(linear: Linear, diameter: float, out: Linear) -> None:
    """Write (H, W, 3) light spread over discs of one diameter into `out`; the border is continued."""
    if diameter <= _SHARPEST_PX:
        out[:] = linear
    else:
        _spread(linear, *disc(diameter), out)


@njit(cache=True, fastmath=True)
def _spread(linear, whole, end, out):  # type: ignore[no-untyped-def]  # numba infers
    """Sum each row of the disc as a difference of running sums, all columns at once."""
    rows, columns = linear.shape[:2]
    n = (whole.size - 1) // 2
    pad = n + 2
    length = 3 * columns
    total = np.float32(0.0)
    for k in range(whole.size):
        total += np.float32(2.0) * (np.float32(whole[k]) + end[k]) + np.float32(1.0) if whole[k] >= 0 else 2 * end[k]
    scale = np.float32(1.0) / np.float32(total)
    kept = 2 * n + 1
    sums = np.zeros((kept, 3 * (columns + 2 * pad + 1)), np.float32)
    light = np.empty((kept, 3 * (columns + 2 * pad)), np.float32)
    held = np.full(kept, -1, np.int64)
    acc = np.empty(length, np.float32)
    for i in range(rows):
        acc[:] = np.float32(0.0)
        for k in range(kept):
            row = min(max(i + k - n, 0), rows - 1)
            slot = row % kept
            if held[slot] != row:
                held[slot] = row
                for j in range(columns + 2 * pad):
                    column = min(max(j - pad, 0), columns - 1)
                    for c in range(3):
                        light[slot, 3 * j + c] = linear[row, column, c]
                        sums[slot, 3 * (j + 1) + c] = sums[slot, 3 * j + c] + linear[row, column, c]
            w = whole[k]
            part = end[k]
            if w < 0:
                middle = light[slot, 3 * pad : 3 * pad + length]
                for x in range(length):
                    acc[x] += np.float32(2.0) * part * middle[x]
                continue
            high = sums[slot, 3 * (pad + w + 1) : 3 * (pad + w + 1) + length]
            low = sums[slot, 3 * (pad - w) : 3 * (pad - w) + length]
            right = light[slot, 3 * (pad + w + 1) : 3 * (pad + w + 1) + length]
            left = light[slot, 3 * (pad - w - 1) : 3 * (pad - w - 1) + length]
            for x in range(length):
                acc[x] += high[x] - low[x] + part * (right[x] + left[x])
        line = out[i]
        for j in range(columns):
            for c in range(3):
                line[j, c] = max(acc[3 * j + c], np.float32(0.0)) * scale


@njit(cache=True, nogil=True)
def _mix(discs, sizes, low, step, out):  # type: ignore[no-untyped-def]  # numba infers
    """Interpolate between the discs (K, H, W, 3) next in size; out: flat rows (H, 3 W)."""
    last = discs.shape[0] - 1
    light = np.empty(out.shape[1], np.float32)
    inverse = np.float32(1.0) / step if step > 0 else np.float32(0.0)
    for i in range(out.shape[0]):
        for j in range(sizes.shape[1]):
            place = min(max((sizes[i, j] - low) * inverse, np.float32(0.0)), np.float32(last))
            k = min(int(place), max(last - 1, 0))
            part, above = place - np.float32(k), min(k + 1, last)
            for c in range(3):
                less = discs[k, i, j, c]
                light[3 * j + c] = less + part * (discs[above, i, j, c] - less)
        line = out[i]
        for x in range(light.size):
            line[x] = np.uint8(encode_near(light[x]))
