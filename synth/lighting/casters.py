"""What throws shadows on a road: walls, poles, crowns of trees and bridges, as a few numbers each; and their shadow.

Coordinates are metres on level ground: x right of the camera, z ahead of it, h over the ground. A point is in shadow
where its ray to the sun meets a caster; the sun's disc (0.53 degrees) makes the edge as wide as the ray is long.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from synth.ground import ground_frame
from synth.lighting.rows import TO_LINEAR, encode_row
from synth.random import Rng

SUN_RADIUS_RAD = math.radians(0.265)
WALL, POLE, CROWN, BRIDGE = 0.0, 1.0, 2.0, 3.0
Caster = tuple[float, ...]  # kind, then six numbers
KINDS = ("building", "trees", "poles", "bridge")


def drawn(kind: str, rng: Rng) -> tuple[float, float, tuple[Caster, ...]]:
    """Return azimuth and elevation of the sun, and casters whose shadow falls across the road ahead.

    Takes the same count of random numbers for each kind.
    """
    side = rng.choice((-1.0, 1.0))
    azimuth = side * math.radians(rng.uniform(40.0, 130.0))
    near, beside, reach = rng.uniform(6.0, 13.0), rng.uniform(5.0, 8.0), rng.uniform(-1.0, 3.0)
    long, tall, gap = rng.uniform(10.0, 28.0), rng.uniform(), rng.uniform(2.0, 7.0)
    across, along = abs(math.sin(azimuth)), math.cos(azimuth)
    if kind == "bridge":
        elevation = math.radians(35.0 + 25.0 * tall)
        start = near + 5.5 * along / math.tan(elevation)
        return azimuth, elevation, ((BRIDGE, 5.5, start, start + 6.0 + 0.3 * long, 0.1 * reach, 0.0, 0.0),)
    if kind == "trees":
        height, radius = 4.5 + 2.0 * tall, 2.0 + 1.2 * tall
        elevation = math.atan2(height * across, beside + 0.6 * (reach - 1.0))  # crowns fall near the middle
        back = near + height * along / math.tan(elevation)
        places = [back + k * (2.0 * radius + gap) for k in range(3)]
        crowns = tuple((CROWN, side * beside, height, place, radius, 0.0, 0.0) for place in places)
        return (
            azimuth,
            elevation,
            (*crowns, *((POLE, side * beside, place, 0.16, height, 0.0, 0.0) for place in places)),
        )
    elevation = math.radians(20.0 + 25.0 * tall)
    steep = math.tan(elevation) / across  # height that throws a shadow one metre to the side
    back = near + beside / across * along
    if kind == "poles":
        places = [back + k * (8.0 + 2.0 * gap) for k in range(3)]
        top = max(6.0, steep * (beside + 4.0))
        return azimuth, elevation, tuple((POLE, side * beside, z, 0.14 + 0.1 * tall, top, 0.0, 0.0) for z in places)
    top = steep * (beside + reach)
    first: Caster = (WALL, side * beside, back, back + long, top, 0.0, 0.0)
    lower: Caster = (WALL, side * beside, back + long + 0.5 * gap, back + 2.0 * long, 0.75 * top, 0.0, 0.0)
    return azimuth, elevation, (first, lower)


def sun_axes(camera: Camera, azimuth_rad: float) -> NDArray[np.float32]:
    """Return (3, 4): metres across the sun's azimuth, towards it and over the ground, of depth x (x, y, 1), and 1."""
    up, height = ground_frame(camera)
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    ahead /= np.linalg.norm(ahead)
    right, sine, cosine = np.cross(ahead, up), math.sin(azimuth_rad), math.cos(azimuth_rad)
    axes = np.zeros((3, 4), np.float32)
    axes[0, :3], axes[1, :3], axes[2, :3] = cosine * right - sine * ahead, sine * right + cosine * ahead, up
    axes[2, 3] = height
    return axes


def towards_sun(casters: tuple[Caster, ...], azimuth_rad: float) -> NDArray[np.float32]:
    """Return (N, 7) casters in the coordinates of `sun_axes`: the places of poles and crowns turned."""
    table = np.array(casters, np.float32).reshape(len(casters), 7)
    sine, cosine = math.sin(azimuth_rad), math.cos(azimuth_rad)
    for row in table:
        if row[0] in (POLE, CROWN):
            at = 2 if row[0] == POLE else 3
            x, z = float(row[1]), float(row[at])
            row[1], row[at] = cosine * x - sine * z, sine * x + cosine * z
    return table


@njit(cache=True, nogil=True)
def shade(image, depth, share, pinhole, axes, sun, casters, leaves, kept, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out with the picture, its linear light times `kept` (3,) where the sun is hidden by casters.

    image, out: flat rows (H, 3 W); pinhole: 1/fx, cx, 1/fy, cy; axes, casters: in the frame of the sun
    sun: tangent of its elevation, cosine of it, sine and cosine of its azimuth; leaves (64, 64) noise, periodic
    """
    # An edge and a ray pass each other at less than the offset measured along the caster: by the sine between them.
    sine, flat_x, flat_z = sun[0] * sun[1], abs(sun[1] * sun[2]), sun[1] * sun[3]
    edges = np.empty(3, np.float32)  # upright edges of a wall, its roof, the deck of a bridge
    edges[0] = abs(sun[2])
    edges[1] = flat_x / np.sqrt(sine * sine + flat_x * flat_x)
    edges[2] = sine / np.sqrt(sine * sine + flat_z * flat_z)
    factor = np.empty(image.shape[1], np.float32)
    for i in range(image.shape[0]):
        _dark_row(i, depth[i], share[i], pinhole, axes, sun, edges, casters, leaves, kept, factor)
        _multiply_row(image[i], factor)
        encode_row(factor, out[i])


@njit(cache=True, nogil=True, fastmath=True)
def _multiply_row(codes, factor):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(len(codes)):
        factor[k] *= TO_LINEAR[codes[k]]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _dark_row(i, depth, share, pinhole, axes, sun, edges, casters, leaves, kept, factor):  # type: ignore[no-untyped-def]  # numba infers
    """Fill factor (3 W,) with the light that is left in each pixel of row i."""
    one, half, none = np.float32(1.0), np.float32(0.5), np.float32(0.0)
    a0, a1, a2 = axes[0, 0], axes[0, 1], axes[0, 2]
    b0, b1, b2 = axes[1, 0], axes[1, 1], axes[1, 2]
    c0, c1, c2, camera_m = axes[2, 0], axes[2, 1], axes[2, 2], axes[2, 3]
    y = (np.float32(i) + half - pinhole[3]) * pinhole[2]
    for j in range(len(depth)):
        z, sky = depth[j], np.float32(share[j]) * np.float32(1.0 / 255.0)
        dark = none
        if z < np.float32(300.0) and sky < one:
            x = (np.float32(j) + half - pinhole[1]) * pinhole[0]
            across, toward = z * (a0 * x + a1 * y + a2), z * (b0 * x + b1 * y + b2)
            height = z * (c0 * x + c1 * y + c2) + camera_m
            pixel = half * z * pinhole[0]
            for n in range(casters.shape[0]):
                kind = casters[n, 0]
                if kind == np.float32(POLE):
                    inside = casters[n, 3] - abs(casters[n, 1] - across)
                    away = casters[n, 2] - toward
                    if inside < -(pixel + np.float32(0.5)) or away <= none:
                        continue
                    inside = min(inside, sun[1] * (casters[n, 4] - height - away * sun[0]))
                elif kind == np.float32(CROWN):
                    a = casters[n, 1] - across
                    if abs(a) < np.float32(1.3) * casters[n, 4]:
                        away, h = casters[n, 3] - toward, casters[n, 2] - height
                        dark = max(dark, _leafy(a, away, h, casters[n, 4], pixel, sun, leaves))
                    continue
                else:
                    inside, away = _flat(across, toward, height, sun, casters, n, edges)
                dark = max(dark, _covered(inside, away / sun[1], pixel))
            dark *= one - sky
        for c in range(3):
            factor[3 * j + c] = one - dark * (one - kept[c])


@njit(cache=True, inline="always")
def _flat(across, toward, height, sun, casters, n, edges):  # type: ignore[no-untyped-def]  # numba infers
    """Return how far within a wall or a bridge the ray to the sun passes, and how far off, level, both metres."""
    if casters[n, 0] == np.float32(WALL):
        away = (casters[n, 1] - sun[3] * across - sun[2] * toward) / sun[2]
        ahead = sun[3] * (toward + away) - sun[2] * across
        inside = edges[0] * min(ahead - casters[n, 2], casters[n, 3] - ahead)
        return min(inside, edges[1] * (casters[n, 4] - height - away * sun[0])), away
    away = (casters[n, 1] - height) / sun[0]
    side = sun[3] * across + sun[2] * (toward + away)
    ahead = sun[3] * (toward + away) - sun[2] * across - casters[n, 4] * side
    return edges[2] * min(ahead - casters[n, 2], casters[n, 3] - ahead), away


@njit(cache=True, inline="always")
def _covered(inside, t, pixel):  # type: ignore[no-untyped-def]  # numba infers
    """Return the hidden share of the sun's disc, `inside` metres within a straight edge t metres away."""
    wide = abs(t) * np.float32(SUN_RADIUS_RAD) + pixel
    share = min(max(np.float32(0.5) + np.float32(0.5) * inside / wide, np.float32(0.0)), np.float32(1.0))
    smooth = share * share * (np.float32(3.0) - np.float32(2.0) * share)
    return smooth if t > np.float32(0.02) else np.float32(0.0)


@njit(cache=True)
def _leafy(a, away, h, radius, pixel, sun, leaves):  # type: ignore[no-untyped-def]  # numba infers
    """A crown is a ball with an uneven rim and gaps between its leaves, that let spots of sun through.

    a, away, h: from the point to the crown's centre, across the sun's azimuth, towards it and up
    """
    sine = sun[0] * sun[1]
    t = away * sun[1] + h * sine
    b = h * sun[1] - away * sine
    off2 = a * a + b * b
    if t <= np.float32(0.02) or off2 > np.float32(1.69) * radius * radius:
        return np.float32(0.0)
    rough = _noise(leaves, a * np.float32(1.1), b * np.float32(1.1))
    fine = _noise(leaves, a * np.float32(3.7), b * np.float32(3.7)) * np.float32(0.7) + np.float32(0.3) * rough
    rim = radius * (np.float32(0.85) + np.float32(0.6) * (rough - np.float32(0.5))) - np.sqrt(off2)
    within = _covered(rim, t, pixel + np.float32(0.05))
    return within * _covered((fine - np.float32(0.34)) * np.float32(0.35), t, pixel)


@njit(cache=True, inline="always")
def _noise(grid, u, v):  # type: ignore[no-untyped-def]  # numba infers
    column, row = np.floor(u), np.floor(v)
    a, b = u - column, v - row
    i, j = np.int32(row) & 63, np.int32(column) & 63
    below, right = (i + 1) & 63, (j + 1) & 63
    upper = grid[i, j] + a * (grid[i, right] - grid[i, j])
    lower = grid[below, j] + a * (grid[below, right] - grid[below, j])
    return upper + b * (lower - upper)
