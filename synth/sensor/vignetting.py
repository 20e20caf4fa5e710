"""Vignetting: the cosine-fourth law of illumination, and the shadow of the lens barrel on top of it, in linear light.

Illumination on the sensor falls with the fourth power of the cosine of the angle to the optical axis (Reiss 1948,
"The cos4 law of illumination"). What the corner loses beyond that is cut off by the barrel of the lens, which begins at
half the way to the corner; lenses that lose less are corrected by a power below four.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Sample
from synth.radiometry import FAST, decode_row, encode_row, rows_of
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

BARREL_FROM = 0.5  # of the radius of the corner: where the barrel begins to cut
_STEPS = 4096  # less than a thousandth of the light apart


@dataclass(frozen=True)
class VignettingParams:
    """stops: light lost at the farthest corner, base 2; offset: where the lens sits off the axis, share of a side."""

    stops: float
    offset_x: float
    offset_y: float


@register
@dataclass(frozen=True)
class Vignetting:
    """A lens that leaves the corners dark."""

    name: ClassVar[str] = "sensor/vignetting"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "light lost at the corner",
        "stops",
        (0.7, 1.3, 2.0, 3.0, 4.5),
        "cos4 of a 60 deg lens is 1.05 stops; wide-angle lenses wide open lose 2 to 3, a hood that is seen more",
    )
    params_type: ClassVar[type[VignettingParams]] = VignettingParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> VignettingParams:
        # a lens is seldom centred to better than a few hundredths of the frame
        return VignettingParams(self.table.at(severity), 0.03 * rng.normal(), 0.03 * rng.normal())

    def apply(self, sample: Sample, params: VignettingParams) -> Sample:
        if sample.camera is None:
            raise InputError(f"{self.name} needs a camera; sample {sample.sample_id!r} has none: complete it first")
        x2, y2, table = illumination(sample.camera, params)
        out = np.empty(sample.image.shape, np.uint8)
        _dim(rows_of(np.ascontiguousarray(sample.image)), x2, y2, table, rows_of(out))
        return replace(sample, image=out)


def illumination(
    camera: Camera, params: VignettingParams
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return squared radii of columns (W,) and rows (H,), together 0 to 1 at the farthest corner, and the gain (K,).

    The gain of a pixel is that at place (K - 1) (x2 + y2) of the table.
    """
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2] - params.offset_x * camera.width) / camera.K[0, 0]
    y = (np.arange(camera.height) + 0.5 - camera.K[1, 2] - params.offset_y * camera.height) / camera.K[1, 1]
    tangent2 = max(float((x**2).max() + (y**2).max()), 1e-12)
    share = np.linspace(0.0, 1.0, _STEPS)
    natural = 2.0 * math.log2(1.0 + tangent2)  # cos4 = (1 + tan2)^-2
    stops = min(params.stops / natural, 1.0) * 2.0 * np.log2(1.0 + share * tangent2)
    beyond = max(params.stops - natural, 0.0)
    stops += beyond * np.clip((np.sqrt(share) - BARREL_FROM) / (1.0 - BARREL_FROM), 0.0, 1.0) ** 2
    return (
        (x**2 / tangent2).astype(np.float32),
        (y**2 / tangent2).astype(np.float32),
        np.exp2(-stops).astype(np.float32),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _dim(image, x2, y2, gain, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out; image, out: flat rows (H, 3 W)."""
    red, green, blue = (np.empty(x2.size, np.float32), np.empty(x2.size, np.float32), np.empty(x2.size, np.float32))
    steps = np.empty((3, x2.size), np.uint16)
    for i in range(image.shape[0]):
        decode_row(image[i], red, green, blue)
        _dim_row(x2, y2[i], gain, red, green, blue)
        encode_row(red, green, blue, steps, out[i])


@njit(cache=True, nogil=True, fastmath=FAST)
def _dim_row(x2, y2, gain, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    last = np.int32(gain.size - 1)
    for j in range(x2.size):
        share = gain[min(np.int32((x2[j] + y2) * np.float32(last) + np.float32(0.5)), last)]
        red[j] *= share
        green[j] *= share
        blue[j] *= share
