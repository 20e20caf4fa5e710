"""White balance for the wrong colour temperature: von Kries adaptation between black-body whites, in linear light.

White points lie on the Planckian locus by Krystek's rational fit (1985, CIE 1960 u v, 1,000 to 15,000 K). Gains act in
the cone space of the Bradford transform (Lam 1985), as in ICC profiles; the luminance of white is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.radiometry import FAST, decode_row, encode_row, rows_of
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable

Matrix = NDArray[np.float64]
DAYLIGHT_K = 6504.0  # correlated colour temperature of D65, the white of sRGB
# fmt: off
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_TO_XYZ = np.array(  # IEC 61966-2-1
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# fmt: on


@dataclass(frozen=True)
class WhiteBalanceParams:
    """balanced_k: the colour temperature that the camera takes the light for; light_k: the one that it has."""

    balanced_k: float
    light_k: float


@register
@dataclass(frozen=True)
class WhiteBalance:
    """A camera balanced for another light: for lamps by day (blue), or for daylight under lamps (orange).

    tint: "any" draws one of the two
    """

    name: ClassVar[str] = "sensor/white_balance"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "colour temperature error",
        "K",
        (900, 1600, 2300, 3000, 3650),
        "between daylight of 6,504 K and a warmer light, down to halogen lamps of 2,850 K (about CIE illuminant A)",
    )
    params_type: ClassVar[type[WhiteBalanceParams]] = WhiteBalanceParams

    tint: Literal["any", "blue", "orange"] = "any"

    def __post_init__(self) -> None:
        if self.tint not in ("any", "blue", "orange"):
            raise ValueError(f"tint: expected any, blue or orange, got {self.tint!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> WhiteBalanceParams:
        blue = rng.uniform() < 0.5
        if self.tint != "any":
            blue = self.tint == "blue"
        lamps = DAYLIGHT_K - self.table.at(severity)
        return WhiteBalanceParams(*((lamps, DAYLIGHT_K) if blue else (DAYLIGHT_K, lamps)))

    def apply(self, sample: Sample, params: WhiteBalanceParams) -> Sample:
        return replace(sample, image=mixed_channels(sample.image, adaptation(params.balanced_k, params.light_k)))


def planckian_xyz(kelvin: float) -> Matrix:
    """Return the (3,) tristimulus of a black body, Y = 1, from 1,000 to 15,000 K (Krystek 1985).

    >>> x, y, z = planckian_xyz(2856.0)
    >>> round(float(x / (x + y + z)), 3), round(float(y / (x + y + z)), 3)  # standard illuminant A: 0.4476, 0.4074
    (0.448, 0.408)
    """
    t = kelvin
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t * t) / (1 + 8.42420235e-4 * t + 7.08145163e-7 * t * t)
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t * t) / (1 - 2.89741816e-5 * t + 1.61456053e-7 * t * t)
    scale = 2 * u - 8 * v + 4
    x, y = 3 * u / scale, 2 * v / scale
    return np.array([x / y, 1.0, (1 - x - y) / y])


def adaptation(balanced_k: float, light_k: float) -> Matrix:
    """Return the (3, 3) matrix on linear sRGB of a camera balanced for one light under another; white keeps Y = 1."""
    to_cones = _BRADFORD @ _SRGB_TO_XYZ
    gains = (_BRADFORD @ planckian_xyz(light_k)) / (_BRADFORD @ planckian_xyz(balanced_k))
    matrix = np.linalg.inv(to_cones) @ np.diag(gains) @ to_cones
    return matrix / float(_SRGB_TO_XYZ[1] @ matrix @ np.ones(3))


def mixed_channels(image: Image, matrix: Matrix) -> Image:
    """Return the picture with its linear light multiplied by a (3, 3) matrix, clipped."""
    out = np.empty(image.shape, np.uint8)
    _mix_channels(rows_of(np.ascontiguousarray(image)), matrix.astype(np.float32), rows_of(out))
    return out


@njit(cache=True, nogil=True)
def _mix_channels(image, matrix, out):  # type: ignore[no-untyped-def]  # numba infers
    light, steps = np.empty((3, image.shape[1] // 3), np.float32), np.empty((3, image.shape[1] // 3), np.uint16)
    for i in range(image.shape[0]):
        decode_row(image[i], light[0], light[1], light[2])
        _mix_row(matrix, light[0], light[1], light[2])
        encode_row(light[0], light[1], light[2], steps, out[i])


@njit(cache=True, nogil=True, fastmath=FAST)
def _mix_row(matrix, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    (rr, rg, rb), (gr, gg, gb), (br, bg, bb) = matrix[0], matrix[1], matrix[2]
    for j in range(red.size):
        r, g, b = red[j], green[j], blue[j]
        red[j], green[j], blue[j] = rr * r + rg * g + rb * b, gr * r + gg * g + gb * b, br * r + bg * g + bb * b
