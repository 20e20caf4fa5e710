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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_veil(sources, pinhole, softest2, veil):  # type: ignore[no-untyped-def]  # numba infers
    """Add the glare of each source; the angle between two rays is taken from their chord, true to 0.3 % up to 60."""
    height, width = veil.shape[:2]
    one = np.float32(1.0)
    degree2 = np.float32((180.0 / math.pi) ** 2)
    for n in range(len(sources)):
        sx = (sources[n, 0] - pinhole[1]) * pinhole[0]
        sy = (sources[n, 1] - pinhole[3]) * pinhole[2]
        sz = one / np.sqrt(one + sx * sx + sy * sy)
        sx, sy = sx * sz, sy * sz
        red, green, blue = sources[n, 2], sources[n, 3], sources[n, 4]
        for i in range(height):
            y = ((np.float32(i) + np.float32(0.5)) * pinhole[5] - pinhole[3]) * pinhole[2]
            for j in range(width):
                x = ((np.float32(j) + np.float32(0.5)) * pinhole[4] - pinhole[1]) * pinhole[0]
                z = one / np.sqrt(one + x * x + y * y)
                dx, dy, dz = x * z - sx, y * z - sy, z - sz
                chord2 = dx * dx + dy * dy + dz * dz
                angle2 = chord2 * (one + chord2 * np.float32(1.0 / 12.0)) * degree2
                inverse2 = one / max(angle2, softest2)
                glare = inverse2 * (np.float32(10.0) * np.sqrt(inverse2) + np.float32(5.0 * AGE_TERM))
                veil[i, j, 0] += red * glare
                veil[i, j, 1] += green * glare
                veil[i, j, 2] += blue * glare


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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _widen(small, wide):  # type: ignore[no-untyped-def]  # numba infers
    """Fill wide (3 W,) with a row (w, 3), bilinearly: between two of its pixels at a time, in steps of 1 / scale."""
    columns, count = len(wide) // 3, small.shape[0]
    step = np.float32(count) / np.float32(columns)
    start = np.float32(0.5) * step - np.float32(0.5)
    j = 0
    for left in range(-1, count):
        first, second = max(left, 0), min(left + 1, count - 1)
        end = columns if left == count - 1 else min(columns, int(np.ceil((np.float32(left + 1) - start) / step)))
        red, green, blue = small[first, 0], small[first, 1], small[first, 2]
        to_red, to_green, to_blue = small[second, 0] - red, small[second, 1] - green, small[second, 2] - blue
        for k in range(j, end):
            share = start + step * np.float32(k) - np.float32(left)
            wide[3 * k] = red + share * to_red
            wide[3 * k + 1] = green + share * to_green
            wide[3 * k + 2] = blue + share * to_blue
        j = max(j, end)


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
