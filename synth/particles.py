"""Falling particles before a camera: where they are, the streak of each while the shutter is open, what they hide.

A particle of width s that is spread to width w and moves by a length l while the shutter is open covers the pixels it
crosses for the share s^2 / (w (w + l)) of the exposure: its light is kept, and what blur and the pixel grid make wider
gets thinner. Blur is the circle of confusion of a lens focused far away. What the scene has before them, hides them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image
from synth.atmosphere import Colour
from synth.radiometry import Linear, to_linear

NEAREST_M = 0.35
APERTURE_M = 0.0025  # entrance pupil of a camera of 5 mm focal length at f/2
_COUNT_LIMIT = 80_000
_FAINTEST = 0.002  # share of the exposure that makes less than half a grey level of any difference

Array = NDArray[np.float32]


def farthest_m(camera: Camera, *, size_m: float, limit_m: float) -> float:
    """Return how far single particles are drawn: while they are a tenth of a pixel wide, and at most to a limit."""
    return min(max(float(camera.K[0, 0]) * size_m / 0.1, 2.0 * NEAREST_M), limit_m)


def count_in_view(camera: Camera, *, per_m3: float, farthest_m: float) -> int:
    """Return how many particles of a number density are seen up to a distance, at most a limit that keeps it quick."""
    per_depth = camera.width * camera.height / (camera.K[0, 0] * camera.K[1, 1])
    volume = per_depth * (farthest_m**3 - NEAREST_M**3) / 3.0
    return min(round(volume * per_m3), _COUNT_LIMIT)


def place(seed: int, count: int, camera: Camera, *, farthest_m: float) -> tuple[Array, Array]:
    """Return positions (count, 3) in camera metres, uniform in the volume in view, and (count, 3) numbers in [0, 1).

    A longer list starts with the shorter one: heavier rain is the lighter one and more.
    """
    position, numbers = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    _place(np.uint64(seed), _projection(camera), np.float32(farthest_m), position, numbers)
    return position, numbers


def _projection(camera: Camera) -> Array:
    """Return (6,) focal lengths, principal point and size in pixels."""
    K = camera.K
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], camera.width, camera.height], np.float32)


@njit(cache=True, inline="always")
def _uniform(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint64 -> float32 in [0, 1)
    """SplitMix64 (Steele 2014): the number-th output of the stream of a seed."""
    z = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((z ^ (z >> np.uint64(31))) >> np.uint64(40)) * np.float32(2.0**-24)


@njit(cache=True, nogil=True)
def _place(seed, projection, farthest, position, numbers):  # type: ignore[no-untyped-def]  # numba infers
    fx, fy, cx, cy, width, height = projection
    near = np.float32(NEAREST_M) ** 3
    for n in range(len(position)):
        z = np.cbrt(near + _uniform(seed, 6 * n) * (farthest**3 - near))
        # a tenth more than the picture on each side: streaks come in from there
        x = (np.float32(1.2) * _uniform(seed, 6 * n + 1) - np.float32(0.1)) * width
        y = (np.float32(1.2) * _uniform(seed, 6 * n + 2) - np.float32(0.1)) * height
        position[n, 0], position[n, 1], position[n, 2] = (x - cx) / fx * z, (y - cy) / fy * z, z
        for k in range(3):
            numbers[n, k] = _uniform(seed, 6 * n + 3 + k)


def streaks(position_m: Array, velocity_mps: Array, size_m: Array, camera: Camera, *, exposure_s: float) -> Array:
    """Project particles that move during an exposure; positions and velocities (M, 3) camera frame, sizes (M,).

    Returns (M, 7): ends x0 y0 x1 y1 in pixels, width in pixels, cover in [0, 1], depth in metres.
    """
    found = np.empty((len(position_m), 7), np.float32)
    _project(position_m, velocity_mps, size_m, _projection(camera), np.float32(0.5 * exposure_s), found)
    return found


@njit(cache=True, nogil=True)
def _project(position, velocity, size, projection, half, found):  # type: ignore[no-untyped-def]  # numba infers
    fx, fy, cx, cy = projection[:4]
    near, one = np.float32(0.5 * NEAREST_M), np.float32(1.0)
    for n in range(len(position)):
        x, y, z = position[n, 0], position[n, 1], position[n, 2]
        u, v, w = half * velocity[n, 0], half * velocity[n, 1], half * velocity[n, 2]
        z0, z1 = max(z - w, near), max(z + w, near)
        x0, y0 = fx * (x - u) / z0 + cx, fy * (y - v) / z0 + cy
        x1, y1 = fx * (x + u) / z1 + cx, fy * (y + v) / z1 + cy
        length = np.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0))
        sharp, blur = fx * size[n] / z, fx * np.float32(APERTURE_M) / z
        width = np.sqrt(sharp * sharp + blur * blur)
        drawn = max(width, one)
        found[n, 0], found[n, 1], found[n, 2], found[n, 3], found[n, 4] = x0, y0, x1, y1, width
        found[n, 5], found[n, 6] = min(sharp * sharp / (drawn * (drawn + length)), one), z


def cover(depth: Depth, found: Array) -> NDArray[np.uint16]:
    """Return (H, W) share of each pixel's exposure that streaks (M, 7) hide, one behind the other, 0 to 65535."""
    hidden = np.zeros(depth.shape, np.uint16)
    _cover(np.ascontiguousarray(depth), found, _by_row(found, depth.shape[0]), hidden)
    return hidden


@njit(cache=True, nogil=True)
def _by_row(found, rows):  # type: ignore[no-untyped-def]  # numba infers
    """Return the order (K,) of the streaks that are not too faint, from the upper bands of 16 rows to the lower ones.

    One after the other they then meet pixels that are in the cache: three times as fast.
    """
    bands = rows // 16 + 2
    first = np.zeros(bands + 1, np.int64)
    band = np.empty(len(found), np.int32)
    for n in range(len(found)):
        middle = np.float32(0.5) * (found[n, 1] + found[n, 3])
        band[n] = min(max(int(middle) // 16 + 1, 0), bands - 1) if found[n, 5] >= np.float32(_FAINTEST) else -1
        if band[n] >= 0:
            first[band[n] + 1] += 1
    first = np.cumsum(first)
    order = np.empty(first[-1], np.int64)
    for n in range(len(found)):
        if band[n] >= 0:
            order[first[band[n]]] = n
            first[band[n]] += 1
    return order


@njit(cache=True, nogil=True, error_model="numpy")
def _cover(depth, found, order, hidden):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = depth.shape
    half = np.float32(0.5)
    for n in order:
        x0, y0, x1, y1, width, share, z = found[n]
        # what is out of focus has no hard edge
        soft = max(np.float32(0.4) * width, np.float32(1.0))
        reach = half * (max(width, np.float32(1.0)) + soft)
        if max(x0, x1) + reach < 0 or max(y0, y1) + reach < 0:
            continue
        if min(x0, x1) - reach > columns or min(y0, y1) - reach > rows:
            continue
        if width <= 1 and abs(y1 - y0) >= max(abs(x1 - x0), np.float32(0.5)):
            _thin(depth, x0, y0, x1, y1, share, z, hidden)
        else:
            _capsule(depth, x0, y0, x1, y1, reach, soft, share, z, hidden)


@njit(cache=True, nogil=True, inline="always")
def _thin(depth, x0, y0, x1, y1, share, z, hidden):  # type: ignore[no-untyped-def]  # numba infers
    """Draw a steep streak of at most a pixel's width: two pixels a row, by how near their centres are."""
    zero, half, one, full = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(65535.0)
    rows, columns = depth.shape
    slope = (x1 - x0) / (y1 - y0)
    top, bottom = min(y0, y1), max(y0, y1)
    for i in range(max(int(top - half), 0), min(int(bottom + half) + 1, rows)):
        y = np.float32(i) + half
        part = share * max(min(one, min(one + bottom - y, one + y - top)), zero)
        x = x0 + (min(max(y, top), bottom) - y0) * slope - half
        left = int(np.floor(x))
        right_part = (x - np.float32(left)) * part
        if left >= 0 and left < columns and depth[i, left] >= z:
            hidden[i, left] += np.uint16((part - right_part) * (full - np.float32(hidden[i, left])))
        if left >= -1 and left + 1 < columns and depth[i, left + 1] >= z:
            hidden[i, left + 1] += np.uint16(right_part * (full - np.float32(hidden[i, left + 1])))


@njit(cache=True, nogil=True, inline="always")
def _capsule(depth, x0, y0, x1, y1, reach, soft, share, z, hidden):  # type: ignore[no-untyped-def]  # numba infers
    """Draw a streak as a capsule with an edge `soft` pixels wide; only the pixels of its bounds are touched."""
    zero, half, one, full = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(65535.0)
    rows, columns = depth.shape
    dx, dy = x1 - x0, y1 - y0
    length2 = max(dx * dx + dy * dy, np.float32(1e-6))
    inverse, sharpness = one / length2, one / soft
    steep = abs(dy) > np.float32(0.1)
    slope = dx / dy if steep else zero
    start = x0 if steep else half * (x0 + x1)
    span = reach * np.sqrt(length2) / abs(dy) if steep else half * abs(dx) + reach
    least, most = max(int(min(x0, x1) - reach), 0), min(int(max(x0, x1) + reach) + 1, columns)
    for i in range(max(int(min(y0, y1) - reach), 0), min(int(max(y0, y1) + reach) + 1, rows)):
        y = np.float32(i) + half - y0
        centre = start + y * slope
        behind, line = depth[i], hidden[i]
        for j in range(max(int(centre - span), least), min(int(centre + span) + 1, most)):
            x = np.float32(j) + half - x0
            along = min(max((x * dx + y * dy) * inverse, zero), one)
            ex, ey = x - along * dx, y - along * dy
            part = share * min(max((reach - np.sqrt(ex * ex + ey * ey)) * sharpness, zero), one)
            # no branch: half of the pixels are out of the streak, and none knows which
            part = part if behind[j] >= z else zero
            line[j] += np.uint16(np.int32(part * (full - np.float32(line[j]))))


def surroundings(image: Image, *, airlight: Colour, sky_share: float) -> Linear:
    """Return a small map (h, w, 3) of the light that a particle gathers: a wide part of the scene and of the sky."""
    height, width = image.shape[:2]
    thin = cv2.resize(image, (min(width, 192), min(height, 128)), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(thin, (max(1, min(width, 24)), max(1, min(height, 16))), interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(to_linear(small), (0, 0), 4.0, borderType=cv2.BORDER_REPLICATE)
    sky = np.float32(sky_share) * np.array(airlight, np.float32)
    mixed: Linear = sky + np.float32(1.0 - sky_share) * wide.reshape(small.shape)
    return mixed
