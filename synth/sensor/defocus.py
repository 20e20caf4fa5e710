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
from synth.random import Rng
from synth.registry import register
from synth.sensor.discs import mixed
from synth.shift import Change, Family, Need, SeverityTable

APERTURE_M = 0.00375  # entrance pupil of a driving camera's lens of 6 mm at f/1.6
_MOST_DISCS = 3
_ALIKE = 0.08  # discs that differ by less than this share of their size are drawn as one
_PLACES = 4096  # of a table of discs
_NEAREST_M = 0.05
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
    diameter = np.empty(depth.shape, np.float32)
    scale, focus = np.float32(focal_px * params.aperture_m), np.float32(1.0 / params.focus_m)
    _confuse(np.ascontiguousarray(depth).reshape(-1), scale, focus, diameter.reshape(-1))
    return diameter


@njit(cache=True, nogil=True, error_model="numpy")
def _confuse(depth, scale, focus, diameter):  # type: ignore[no-untyped-def]  # numba infers
    zero, nearest = np.float32(0.0), np.float32(_NEAREST_M)
    for k in range(depth.size):
        z = depth[k]
        inverse = np.float32(1.0) / (z if z > nearest else nearest)
        diameter[k] = scale * abs((inverse if z == z else zero) - focus)


def blur_discs(image: Image, diameter: NDArray[np.float32]) -> Image:
    """Spread light over discs of given diameters (H, W) in pixels; between a few sizes of disc it is interpolated."""
    step = max(1, min(diameter.shape) // 90)
    least, most = float(diameter.min()), float(np.percentile(diameter[::step, ::step], 99.5))
    low, high = (float(size) for size in drawn_px(np.array([least, max(most, least)], np.float32)))
    count = 1 if high - low < max(0.25, _ALIKE * high) else min(_MOST_DISCS, 2 + int((high - low) / 4.0))
    steps = np.linspace(low, high, count) if count > 1 else np.array([0.5 * (low + high)])
    table = drawn_px(np.linspace(0.0, max(most, least), _PLACES, dtype=np.float32))
    table = (table - np.float32(low)) * np.float32((count - 1) / max(high - low, 1e-6))
    place = diameter * np.float32((_PLACES - 1) / max(most, least, 1e-6))
    return mixed(image, [float(size) for size in steps], place, table)


def drawn_px(diameter: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the discs to draw (H, W): one pixel for a sharp point, and no wider than told where that is many pixels.

    The exponent lets discs below a pixel, which no grid holds, blur a little, as they do between the grid's points.
    """
    drawn: NDArray[np.float32] = np.power(diameter * np.sqrt(diameter) + np.float32(_SHARPEST_PX), np.float32(2 / 3))
    return drawn
