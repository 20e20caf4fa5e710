"""Light scattered in lens and windscreen: the veil around lamps, the sun and bright openings.

The CIE general disability glare equation (CIE 146:2002, after Stiles and Holladay) gives the veiling luminance at an
angle from a source by the illuminance that the source makes at the eye. It was measured for eyes; a lens behind a
windscreen scatters about as much, and with the same fall over the angle (Vos 2003; McCann and Rizzi 2012 for cameras).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from synth.radiometry import Linear

SMALLEST_DEG = 0.1  # where the equation ends
AGE_TERM = 1.0 + (25.0 / 62.5) ** 4  # clear media
VEIL_STEP = 4  # veils are smooth: made at a quarter of the size
Sources = NDArray[np.float32]  # (N, 5) x, y in pixels, then lux at the camera of the three channels


def veiling_luminance(angle_deg: float) -> float:
    """Return cd/m2 of veil for one lux at the camera, CIE 146: 10 / a^3 + 5 / a^2 (1 + (age / 62.5)^4), a in degrees.

    >>> round(veiling_luminance(2.0) / veiling_luminance(20.0))  # near its square further out, steeper near the source
    180
    """
    angle = max(angle_deg, SMALLEST_DEG)
    return 10.0 / angle**3 + 5.0 * AGE_TERM / angle**2


def veil_size(camera: Camera, step: int = VEIL_STEP) -> tuple[int, int]:
    """Return width and height of a veil; pictures too small to be reduced keep their size."""
    if min(camera.width, camera.height) < 8 * step:
        return camera.width, camera.height
    return camera.width // step, camera.height // step


def veil_of(sources: Sources, camera: Camera, *, step: int = VEIL_STEP, softest_px: float = 0.0) -> Linear:
    """Return (h, w, 3) luminance of the veil that point sources lay over a picture, at `veil_size`.

    softest_px: size of what each source stands for: nearer to it than that the veil does not rise
    """
    width, height = veil_size(camera, step)
    veil = np.zeros((height, width, 3), np.float32)
    if len(sources):
        softest = max(SMALLEST_DEG, math.degrees(softest_px / float(camera.K[0, 0])))
        pinhole = _pinhole(camera, width, height)
        _add_veil(np.ascontiguousarray(sources, np.float32), pinhole, np.float32(softest**2), veil)
    return veil


def _pinhole(camera: Camera, width: int, height: int) -> NDArray[np.float32]:
    """Return (6,) 1/fx, cx, 1/fy, cy of the full picture, and full pixels per pixel of a reduced one, both ways."""
    K = camera.K
    return np.array(
        [1 / K[0, 0], K[0, 2], 1 / K[1, 1], K[1, 2], camera.width / width, camera.height / height], np.float32
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _add_veil(sources, pinhole, softest2, veil):  # type: ignore[no-untyped-def]  # numba infers
    """Add the glare of each source to veil (h, w, 3), row by row: the rays of a row are the same for all."""
    height, width = veil.shape[:2]
    one = np.float32(1.0)
    rays, level = np.empty((3, width), np.float32), np.empty((3, width), np.float32)
    for i in range(height):
        y = ((np.float32(i) + np.float32(0.5)) * pinhole[5] - pinhole[3]) * pinhole[2]
        _rays_row(y, pinhole[4], pinhole[1], pinhole[0], rays[0], rays[1], rays[2])
        level[:] = np.float32(0.0)
        for n in range(len(sources)):
            sx = (sources[n, 0] - pinhole[1]) * pinhole[0]
            sy = (sources[n, 1] - pinhole[3]) * pinhole[2]
            sz = one / np.sqrt(one + sx * sx + sy * sy)
            _glare_row(rays, sx * sz, sy * sz, sz, softest2, sources[n, 2:], level)
        for j in range(width):
            for c in range(3):
                veil[i, j, c] += level[c, j]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _rays_row(y, wide, centre, per_focal, x_row, y_row, z_row):  # type: ignore[no-untyped-def]  # numba infers
    """Fill (w,) each with the directions, of length 1, of a row that climbs by y."""
    one = np.float32(1.0)
    for j in range(x_row.size):
        x = ((np.float32(j) + np.float32(0.5)) * wide - centre) * per_focal
        z = one / np.sqrt(one + x * x + y * y)
        x_row[j] = x * z
        y_row[j] = y * z
        z_row[j] = z


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _glare_row(rays, sx, sy, sz, softest2, colour, level):  # type: ignore[no-untyped-def]  # numba infers
    """Add the glare of one source to level (3, w); the angle between two rays is taken from their chord, true to 0.3 %
    up to 60 degrees.
    """
    one = np.float32(1.0)
    degree2 = np.float32((180.0 / math.pi) ** 2)
    x, y, z, glare = rays[0], rays[1], rays[2], np.empty(rays.shape[1], np.float32)
    for j in range(glare.size):
        dx, dy, dz = x[j] - sx, y[j] - sy, z[j] - sz
        chord2 = dx * dx + dy * dy + dz * dz
        angle2 = chord2 * (one + chord2 * np.float32(1.0 / 12.0)) * degree2
        inverse2 = one / max(angle2, softest2)
        glare[j] = inverse2 * (np.float32(10.0) * np.sqrt(inverse2) + np.float32(5.0 * AGE_TERM))
    for c in range(3):
        light, row = colour[c], level[c]
        for j in range(glare.size):
            row[j] += light * glare[j]


def filled(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of what is left to white scattered light fills: a shoulder as of film, that never cuts off."""
    share: NDArray[np.float32] = 1.0 - cv2.exp(-light).reshape(light.shape)
    return share


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def mix_rows(field, i, rows, row, kept, held):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: fill row (3 W,) with what a reduced field (h, w, 3) has at row i of `rows`, bilinearly.

    kept: (2, 3 W) the two rows of the field around it, as wide as the picture; held: (2,) which ones, -1 = none yet
    """
    high = field.shape[0]
    place = (np.float32(i) + np.float32(0.5)) * np.float32(high) / np.float32(rows) - np.float32(0.5)
    place = min(max(place, np.float32(0.0)), np.float32(high - 1))
    first = int(place)
    second, share = min(first + 1, high - 1), place - np.float32(first)
    if held[0] != first:
        _widen(field[first], kept[0])
        held[0] = first
    if held[1] != second:
        _widen(field[second], kept[1])
        held[1] = second
    upper, lower = kept[0], kept[1]
    for k in range(len(row)):
        row[k] = upper[k] + share * (lower[k] - upper[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(small, wide):  # type: ignore[no-untyped-def]  # numba infers
    """Fill wide (3 W,) with a row (w, 3), bilinearly: between two of its pixels at a time, in steps of 1 / scale."""
    columns, count = len(wide) // 3, small.shape[0]
    step = np.float32(count) / np.float32(columns)
    share = np.float32(0.5) + np.float32(0.5) * step  # of the way from the pixel on the left; the first is its own
    second = 0
    red, green, blue = small[0, 0], small[0, 1], small[0, 2]
    to_red, to_green, to_blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for j in range(columns):
        while share >= np.float32(1.0):
            share -= np.float32(1.0)
            red, green, blue = small[second, 0], small[second, 1], small[second, 2]
            second = min(second + 1, count - 1)
            to_red, to_green, to_blue = small[second, 0] - red, small[second, 1] - green, small[second, 2] - blue
        wide[3 * j] = red + share * to_red
        wide[3 * j + 1] = green + share * to_green
        wide[3 * j + 2] = blue + share * to_blue
        share += step


@njit(cache=True, inline="always")
def spoke(x, y, away2, blades, cosine, sine):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: how near a direction is to a spoke of a star with as many as blades, 0 to 1; to be raised to powers.

    It is (1 + cos(blades (angle - turn))) / 2 by the real part of (x + i y)^blades, whose phase goes round so often;
    away2 = x^2 + y^2; cosine, sine: of blades x turn.
    """
    one = np.float32(1.0)
    real, imaginary, inverse = one, np.float32(0.0), one / np.sqrt(max(away2, np.float32(1e-9)))
    for _ in range(blades):
        real, imaginary = (real * x - imaginary * y) * inverse, (real * y + imaginary * x) * inverse
    return max(np.float32(0.5) + np.float32(0.5) * (real * cosine + imaginary * sine), np.float32(0.0))
