"""Falling rain and snow at places in the world, the same from every camera that looks there, moving with time.

Particles fill a cube of the world that repeats in all directions: its side is more than twice how far ahead single
particles are drawn; only a camera of a wide angle sees one twice, at two places. Where a particle is follows from seed,
number and time alone. What is farther away is the veil. Drop sizes after Marshall and Palmer (1948),
N(D) = 8000 exp(-4.1 R^-0.21 D) per m3 and mm;
terminal speed after Atlas (1973), 9.65 - 10.3 exp(-0.6 D) m/s; extinction of rain 0.312 R^0.67 per km; drops send 94 %
of a wide cone of the scene on (Garg and Nayar 2007). Flakes: 2 N pi/4 <D^2> is the extinction, diameters exponential
(Gunn and Marshall 1958), speeds 0.7 to 1.5 m/s (Locatelli and Hobbs 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.edits import SetRain, SetSnow
from scenes.errors import InputError
from scenes.sample import Depth, Image

REACH_M = {SetRain: 3.6, SetSnow: 4.5}  # single particles farther away change a pixel by about a grey level each
SIDE_M = {SetRain: 8.0, SetSnow: 10.0}  # of the cube that repeats
NEAREST_M = 0.35
APERTURE_M = 0.0025  # entrance pupil of a camera of 5 mm focal length at f/2
CLOUD_BASE_M = 800.0  # a ray to the sky leaves the rain there
SMALLEST_MM, LARGEST_MM = 0.7, 6.0  # smaller drops make no streak, larger ones break up
MEAN_FLAKE_M, LARGEST_FLAKE_M = 0.00275, 0.012
CONTRAST_AT_VISIBILITY = 0.05  # meteorological optical range (WMO No. 8)
FAINTEST = 0.002  # share of the exposure that makes less than half a grey level of any difference

Falling = SetRain | SetSnow
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Particles:
    """Those in view of a camera.

    numbers: (M,) which of the cube's; places: (M, 3) world, metres; streaks: (M, 6) ends x0 y0 x1 y1 in pixels, width
    in pixels, share of the exposure for which a pixel is covered; depth: (M,) metres
    """

    numbers: NDArray[np.int64]
    places: NDArray[np.float64]
    streaks: Floats
    depth: Floats


def checked(edit: Falling) -> Falling:
    """Return the edit, or raise for numbers that no weather has."""
    name, key = ("SetRain", "rate_mm_per_h") if isinstance(edit, SetRain) else ("SetSnow", "visibility_m")
    for field, value in ((key, getattr(edit, key)), ("exposure_s", edit.exposure_s)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}: expected {field} > 0, got {value}")
    if not all(map(math.isfinite, (edit.time_s, edit.speed_mps, edit.wind_x_mps, edit.wind_y_mps, edit.airlight))):
        raise InputError(f"{name}: expected finite numbers, got {edit}")
    return edit


def density_per_m3(edit: Falling) -> float:
    """Return how many particles there are in a cubic metre."""
    if isinstance(edit, SetRain):
        slope = _slope(edit)
        return 8000.0 / slope * math.exp(-slope * SMALLEST_MM)
    return extinction_per_m(edit) / (math.pi * MEAN_FLAKE_M**2)


def extinction_per_m(edit: Falling) -> float:
    """Return the extinction coefficient of all particles together."""
    if isinstance(edit, SetRain):
        return 0.312e-3 * edit.rate_mm_per_h**0.67
    return -math.log(CONTRAST_AT_VISIBILITY) / edit.visibility_m


def light_lost(edit: Falling) -> float:
    """Return how much of the light the clouds take, 0 to 1; snow clouds are bright, as the ground sends light back."""
    return 0.5 * min(0.3 + 0.004 * edit.rate_mm_per_h, 0.7) if isinstance(edit, SetRain) else 0.2


def _slope(edit: SetRain) -> float:
    return 4.1 * edit.rate_mm_per_h**-0.21


def in_view(camera: Camera, edit: Falling) -> Particles:
    """Return the particles that a camera may see while its shutter is open around `edit.time_s`."""
    checked(edit)
    rain = isinstance(edit, SetRain)
    spread = _slope(edit) if isinstance(edit, SetRain) else MEAN_FLAKE_M
    side, reach = SIDE_M[type(edit)], REACH_M[type(edit)]
    wind = (edit.wind_x_mps, edit.wind_y_mps)
    law = np.array([spread, *wind, edit.speed_mps, 0.5 * edit.exposure_s, reach, edit.time_s, side], np.float64)
    K = camera.K
    lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], camera.width, camera.height], np.float64)
    count = round(density_per_m3(edit) * side**3)
    turn = np.ascontiguousarray(camera.world_to_cam[:3, :3])
    found = _project(np.uint64(edit.seed % 2**64), count, rain, law, turn, camera.position.copy(), lens)
    order = np.argsort(-found[:, 5], kind="stable")  # from far to near
    found = found[order]
    return Particles(
        numbers=found[:, 0].astype(np.int64),
        places=found[:, 1:4].copy(),
        streaks=found[:, [6, 7, 8, 9, 10, 4]].astype(np.float32),
        depth=found[:, 5].astype(np.float32),
    )


def cover(camera: Camera, depth: Depth, edit: Falling) -> Floats:
    """Return (H, W) for which share of the exposure particles hide what is behind them; the scene hides them too."""
    seen = in_view(camera, edit)
    left = np.ones(depth.shape, np.float32)
    solid = np.where(np.isnan(depth), np.inf, depth).astype(np.float32)
    _draw(solid, seen.streaks, seen.depth, left)
    return np.float32(1.0) - left


def through_weather(image: Image, depth: Depth, camera: Camera, edit: Falling) -> Image:
    """Return a picture (H, W, 3) with falling rain or snow before what it shows; unknown depth counts as far."""
    checked(edit)
    linear = _TO_LINEAR[image]
    lost = np.float32(light_lost(edit))
    grey = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    linear += lost * (grey[..., None] - linear)
    linear *= np.float32(1.0) - lost
    through = np.exp(-extinction_per_m(edit) * _paths(depth, camera)).astype(np.float32)[..., None]
    air = np.float32(edit.airlight)
    linear = linear * through + air * (1 - through)
    hidden = cover(camera, depth, edit)[..., None]
    rain = isinstance(edit, SetRain)
    sky_share, gain = (0.7, 0.94 * 1.4) if rain else (0.9, 1.1)  # drops see much of the sky, which is brighter overhead
    wide = cv2.blur(linear, (max(1, image.shape[1] // 4), max(1, image.shape[0] // 4)))
    light = np.float32(gain) * (np.float32(sky_share) * air + np.float32(1 - sky_share) * wide)
    return encoded(linear * (1 - hidden) + light.reshape(linear.shape) * hidden)


def _paths(depth: Depth, camera: Camera) -> NDArray[np.float64]:
    """Return (H, W) metres through the weather along each ray: to what it meets, or to the clouds."""
    rays = camera.rays()
    rise = rays @ camera.world_to_cam[:3, 2]  # world z of a step of one metre of depth
    sky = CLOUD_BASE_M / np.maximum(rise, 1e-4)
    far = np.where(np.isfinite(depth), depth, sky)
    paths: NDArray[np.float64] = np.minimum(far, sky) * np.linalg.norm(rays, axis=2)
    return paths


_codes = np.arange(256) / 255.0
_TO_LINEAR = np.where(_codes <= 0.04045, _codes / 12.92, ((_codes + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS = np.arange(65536) / 65535.0
_TO_SRGB = np.rint(
    255 * np.where(_STEPS <= 0.0031308, 12.92 * _STEPS, 1.055 * np.maximum(_STEPS, 1e-9) ** (1 / 2.4) - 0.055)
).astype(np.uint8)  # IEC 61966-2-1


def encoded(linear: Floats) -> Image:
    """Return 8-bit sRGB of linear radiance, clipped to [0, 1]."""
    image: Image = _TO_SRGB[np.rint(np.clip(linear, 0, 1) * 65535).astype(np.uint16)]
    return image


@njit(cache=True, inline="always")
def _uniform(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint64 -> float64 in [0, 1)
    """SplitMix64 (Steele 2014): the number-th output of the stream of a seed."""
    z = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def _seen(place, velocity, size, half, speed, reach, turn, lens):  # type: ignore[no-untyped-def]  # numba infers
    """Return share, depth, ends x0 y0 x1 y1 and width of a particle at a place from the camera; 0s out of view."""
    fx, fy, cx, cy, width, height = lens
    nothing = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    x, y, z = place
    u, v, w = velocity
    far = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
    if far < NEAREST_M or far > reach:
        return nothing
    right = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
    down = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
    if abs(fx * right / far + cx - 0.5 * width) > 0.6 * width:  # a tenth beyond: streaks come in from there
        return nothing
    if abs(fy * down / far + cy - 0.5 * height) > 0.6 * height + 0.2 * fy / far:
        return nothing
    du = half * (turn[0, 0] * u + turn[0, 1] * v + turn[0, 2] * w)
    dv = half * (turn[1, 0] * u + turn[1, 1] * v + turn[1, 2] * w)
    dw = half * (turn[2, 0] * u + turn[2, 1] * v + turn[2, 2] * w - speed)
    z0, z1 = max(far - dw, 0.5 * NEAREST_M), max(far + dw, 0.5 * NEAREST_M)
    x0, y0 = fx * (right - du) / z0 + cx, fy * (down - dv) / z0 + cy
    x1, y1 = fx * (right + du) / z1 + cx, fy * (down + dv) / z1 + cy
    sharp, blur = fx * size / far, fx * APERTURE_M / far
    drawn = max(np.sqrt(sharp * sharp + blur * blur), 1.0)
    share = min(sharp * sharp / (drawn * (drawn + np.hypot(x1 - x0, y1 - y0))), 1.0)
    return (share, far, x0, y0, x1, y1, drawn) if share >= FAINTEST else nothing


@njit(cache=True, nogil=True)
def _project(seed, count, rain, law, turn, eye, lens):  # type: ignore[no-untyped-def]  # numba infers
    """Return (M, 11): number, world x y z, share, depth, ends x0 y0 x1 y1, width of what is in view."""
    spread, wind_x, wind_y, speed, half, reach, time, side = law
    fx, fy, cx, cy, width, height = lens
    found = np.empty((1024, 11))
    at = 0
    aside, below = (0.6 * width + abs(cx - 0.5 * width)) / fx, (0.6 * height + abs(cy - 0.5 * height)) / fy
    radius = reach * np.sqrt(1.0 + aside * aside + below * below) + 0.2  # to the corners of what is looked at
    slack = radius * abs(turn[2, 2])  # how much of the distance ahead may be due to height
    for n in range(count):
        b = _uniform(seed, 6 * n + 4)
        angle, gust = 2 * np.pi * b, 0.7 + 0.6 * b
        u = wind_x * gust if rain else wind_x + 0.6 * np.cos(angle)
        v = wind_y * gust if rain else wind_y + 0.6 * np.sin(angle)
        x0 = (_uniform(seed, 6 * n) * side + u * time) % side - eye[0]
        y0 = (_uniform(seed, 6 * n + 1) * side + v * time) % side - eye[1]
        for i in range(int(np.ceil((-radius - x0) / side)), int(np.floor((radius - x0) / side)) + 1):
            for j in range(int(np.ceil((-radius - y0) / side)), int(np.floor((radius - y0) / side)) + 1):
                x, y = x0 + i * side, y0 + j * side
                ahead = turn[2, 0] * x + turn[2, 1] * y
                if ahead + slack < NEAREST_M or ahead - slack > reach:
                    continue
                a = _uniform(seed, 6 * n + 3)
                if rain:
                    mm = min(SMALLEST_MM - np.log1p(-a) / spread, LARGEST_MM)
                    size, w = 1e-3 * mm, 10.3 * np.exp(-0.6 * mm) - 9.65
                else:
                    size, w = min(-spread * np.log1p(-a), LARGEST_FLAKE_M), -0.7 - 0.8 * _uniform(seed, 6 * n + 5)
                z0 = (_uniform(seed, 6 * n + 2) * side + w * time) % side - eye[2]
                for k in range(int(np.ceil((-radius - z0) / side)), int(np.floor((radius - z0) / side)) + 1):
                    row = _seen((x, y, z0 + k * side), (u, v, w), size, half, speed, reach, turn, lens)
                    if row[0] == 0.0:
                        continue
                    if at == len(found):
                        more = np.empty((2 * at, 11))
                        more[:at] = found
                        found = more
                    found[at, 0] = n
                    found[at, 1:4] = x + eye[0], y + eye[1], z0 + k * side + eye[2]
                    found[at, 4:] = row
                    at += 1
    return found[:at]


@njit(cache=True, nogil=True)
def _draw(depth, streaks, distance, left):  # type: ignore[no-untyped-def]  # numba infers
    """Draw every streak as a capsule with a soft edge; `left` (H, W): share of the exposure that is not hidden."""
    rows, columns = depth.shape
    for n in range(len(streaks)):
        x0, y0, x1, y1, width, share = streaks[n]
        soft = max(np.float32(0.4) * width, np.float32(1.0))  # what is out of focus has no hard edge
        reach = np.float32(0.5) * (width + soft)
        dx, dy = x1 - x0, y1 - y0
        length2 = max(dx * dx + dy * dy, np.float32(1e-6))
        for i in range(max(int(min(y0, y1) - reach), 0), min(int(max(y0, y1) + reach) + 1, rows)):
            for j in range(max(int(min(x0, x1) - reach), 0), min(int(max(x0, x1) + reach) + 1, columns)):
                if depth[i, j] < distance[n]:
                    continue
                x, y = np.float32(j) + np.float32(0.5) - x0, np.float32(i) + np.float32(0.5) - y0
                along = min(max((x * dx + y * dy) / length2, np.float32(0.0)), np.float32(1.0))
                off = np.hypot(x - along * dx, y - along * dy)
                part = min(max((reach - off) / soft, np.float32(0.0)), np.float32(1.0))
                left[i, j] *= np.float32(1.0) - share * part
