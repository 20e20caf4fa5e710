"""Wet ground: darker, and a mirror at grazing angles.

Water fills the pores of a surface and darkens it to about 0.55 of its dry albedo (Lekner and Dorf 1988); its film
reflects after Fresnel (Schlick 1994, refractive index 1.33), near nothing at the feet and most of the light far away.
A film follows the rough asphalt and draws reflections out; where water stands over the texture it is a puddle, a
mirror. What a mirror on the ground shows of a point at depth d in row s is seen in row 2 f - s of the same column,
where f is the row in which the ground has depth d: the image of an upright thing starts at its foot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.noise import lookup_noise
from synth.radiometry import FAST, Linear, decode_row, encode_row, rows_of, to_linear
from synth.weather.surfaces import Codes, Map, ground_map, ground_share, plane_of, shrunk, stretch, stretch_row

WET_ALBEDO = 0.55
PUDDLE_ALBEDO = 0.4
HEAD_ON = 0.02  # reflectance of water at normal incidence, ((1.33 - 1) / (1.33 + 1))^2
FILM_MIRROR = 0.45  # share of the mirrored light that a film on rough asphalt still sends to the camera
FILM_MM = 0.2  # a film of so much leaves 1/e of the texture dry
TEXTURE_MM = 1.5  # water that stands higher covers the texture of asphalt (EN 13036-1: 0.5 to 1.5 mm) and closes
EVEN_M = 0.05  # what is within so many metres of the plane is the mirror itself
UNEVENNESS_MM = 2.2  # a road in good repair is even to a few mm over 4 m (EN 13036-7)


def wetness_of_film(film_mm: float) -> float:
    """Return how much of the texture is under a film of water of a mean thickness, 0 to 1."""
    return 1.0 - math.exp(-film_mm / FILM_MM)


@dataclass(frozen=True, eq=False)
class Water:
    """Water on the ground of a picture.

    ground: (H, W) how much of each pixel is ground, 0 to 255
    laid:   (4, h, w) coarse maps: the light that wet ground mirrors, and the share of a pixel's own that it keeps
    """

    ground: Codes
    laid: Map


DRY = Water(np.zeros((1, 1), np.uint8), np.zeros((4, 1, 1), np.float32))


def water_on(
    sample: Sample, depth: Depth, camera: Camera, *, film_mm: float, seed: int, ruffled: bool = False
) -> Water:
    """Return a film of water of a mean thickness on the ground, and puddles by a seed.

    ruffled: drops fall into the puddles, which then mirror less sharply
    """
    if film_mm <= 0:
        return DRY
    step = 1 if min(depth.shape) < 32 else (4 if ruffled else 2)
    laid = _reflection(np.ascontiguousarray(sample.image), depth, camera, film_mm=film_mm, seed=seed, step=step)
    return Water(ground_map(sample, depth, camera), laid)


def wet_ground(sample: Sample, depth: Depth, camera: Camera, *, film_mm: float, seed: int) -> Image:
    """Return the picture (H, W, 3) with the ground under a film of water of a mean thickness, and puddles by a seed."""
    image = np.ascontiguousarray(sample.image)
    if film_mm <= 0:
        return image
    water = water_on(sample, depth, camera, film_mm=film_mm, seed=seed)
    out = np.empty(image.shape, np.uint8)
    _wet(rows_of(image), water.ground, water.laid, rows_of(out))
    return out


def _reflection(
    image: Image, depth: Depth, camera: Camera, *, film_mm: float, seed: int, step: int
) -> NDArray[np.float32]:
    """Return (4, h, w): the light that wet ground mirrors, and the share of a pixel's own that it keeps."""
    height, width = depth.shape
    size = (max(1, width // step), max(1, height // step))
    small = to_linear(shrunk(image, step))
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(size[::-1])
    mirror = mirror_image(small, coarse, camera)
    least = max(1, 4 // step)
    coarser = (max(1, size[0] // least), max(1, size[1] // least))
    tall = max(1, coarser[1] // 12) | 1
    drawn = cv2.resize(mirror, coarser, interpolation=cv2.INTER_AREA).reshape(coarser[1], coarser[0], 3)
    drawn = cv2.blur(drawn, (max(1, tall // 6) | 1, tall), borderType=cv2.BORDER_REPLICATE)
    drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_LINEAR).reshape(mirror.shape)
    closed = puddles(camera, coarse.shape, film_mm=film_mm, seed=seed)
    laid = np.empty((4, *coarse.shape), np.float32)
    _reflect(mirror, drawn, closed, plane_of(camera, coarse.shape), np.float32(wetness_of_film(film_mm)), laid)
    return laid


def puddles(camera: Camera, shape: tuple[int, ...], *, film_mm: float, seed: int) -> Map:
    """Return (h, w) how much of the ground under each pixel is closed water, 0 to 1, for a picture of a shape."""
    if film_mm + 1.4 * UNEVENNESS_MM <= TEXTURE_MM:
        return np.zeros(shape, np.float32)
    size = (max(1, shape[1] // 2), max(1, shape[0] // 2)) if min(shape) >= 64 else shape[::-1]
    a, b, c, height = (float(v) for v in plane_of(camera, size[::-1]))
    columns, rows = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
    rise = np.float32(a) * columns[None, :] + (np.float32(b) * rows + np.float32(c))[:, None]
    depth = np.float32(height) / np.maximum(-rise, np.float32(1e-3))
    slope = (columns + np.float32(0.5)) * np.float32(camera.width / size[0]) - np.float32(camera.K[0, 2])
    across = slope[None, :] / np.float32(camera.K[0, 0]) * depth
    below = rise < 0
    level = np.zeros(rise.shape, np.float32)
    level[below] = lookup_noise(seed, across[below], np.float32(0.4) * depth[below], cell=1.6, octaves=3)
    finer = cv2.resize(level, shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(shape)
    stands = (np.float32(film_mm - TEXTURE_MM) + np.float32(UNEVENNESS_MM) * finer) / np.float32(0.5)
    water: Map = np.clip(stands, np.float32(0.0), np.float32(1.0))
    return water


def ground_cover(depth: Depth, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how much each pixel of a depth map of any size is ground, 0 to 1, and the sine by which its ray falls."""
    share, fall = np.empty(depth.shape, np.float32), np.empty(depth.shape, np.float32)
    _cover(np.ascontiguousarray(depth), plane_of(camera, depth.shape), share, fall)
    return share, fall


@njit(cache=True, inline="always")
def _fall(rise):  # type: ignore[no-untyped-def]  # numba infers
    """Return the sine by which a ray falls that climbs `rise` per metre of depth."""
    return max(-rise, np.float32(0.0)) / np.sqrt(np.float32(1.0) + rise * rise)


@njit(cache=True)
def _cover(depth, plane, share, fall):  # type: ignore[no-untyped-def]  # numba infers
    a, b, c, height = plane
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            rise = a * np.float32(j) + b * np.float32(i) + c
            share[i, j] = ground_share(depth[i, j], rise, height)
            fall[i, j] = _fall(rise) if share[i, j] > 0 else np.float32(0.0)


def mirror_image(linear: Linear, depth: Depth, camera: Camera) -> Linear:
    """Return (h, w, 3) what a mirror on the ground plane would show at each pixel of a picture of any size.

    What was not in the picture, overhead, is the mean of its upper rows.
    """
    mirror = np.empty(linear.shape, np.float32)
    overhead = linear[: max(1, len(linear) // 8)].mean(axis=(0, 1)).astype(np.float32)
    contiguous = np.ascontiguousarray(linear, np.float32), np.ascontiguousarray(depth)
    _mirror(*contiguous, plane_of(camera, depth.shape), overhead, mirror)
    return mirror


@njit(cache=True, nogil=True, error_model="numpy")
def _mirror(linear, depth, plane, overhead, out):  # type: ignore[no-untyped-def]  # numba infers
    """Send every pixel that stands over the ground to where the ground mirrors it; of several the nearest is seen."""
    a, b, c, height = plane
    rows, columns = depth.shape
    nearest = np.full((rows, columns), np.float32(np.inf))
    seen = np.zeros((rows, columns), np.bool_)
    last, last_z = np.zeros(columns, np.int64), np.full(columns, np.float32(-1.0))
    for i in range(rows):
        for j in range(columns):
            z = depth[i, j]
            rise = a * np.float32(j) + b * np.float32(i) + c
            if z <= 0 or b == 0:  # at the camera itself, or rows that all climb alike: no row mirrors another
                continue
            if rise < 0 and abs(height + z * rise) < np.float32(EVEN_M) + np.float32(0.003) * z:
                continue
            foot = (-height / z - c - a * np.float32(j)) / b  # row, from pixel centres
            target = int(np.rint(np.float32(2.0) * min(max(foot, np.float32(-2.0 * rows)), np.float32(2.0 * rows)))) - i
            # a surface that leans has its rows mirrored further apart: what lies between belongs to it too
            joined = i > 0 and abs(z - last_z[j]) < np.float32(0.1) * z and abs(target - last[j]) <= 6
            first, final = (min(target, last[j] + 1), max(target, last[j] - 1)) if joined else (target, target)
            last[j], last_z[j] = target, z
            for m in range(max(first, i + 1), min(final + 1, rows)):
                if not seen[m, j] or z < nearest[m, j]:
                    seen[m, j], nearest[m, j] = True, z
                    for k in range(3):
                        out[m, j, k] = linear[i, j, k]
    known = np.zeros(columns, np.bool_)
    for i in range(rows):
        for j in range(columns):
            if seen[i, j]:
                known[j] = True
                continue
            for k in range(3):
                value = out[i - 1, j, k] if known[j] else linear[i, j, k]
                out[i, j, k] = value + np.float32(0.02) * (overhead[k] - value) if known[j] else value


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _reflect(mirror, drawn, closed, plane, film, laid):  # type: ignore[no-untyped-def]  # numba infers
    """Fill laid (4, h, w) with what film and puddles mirror, and with the share of a pixel's own light that is kept."""
    a, b, c, _ = plane
    one = np.float32(1.0)
    for i in range(laid.shape[1]):
        for j in range(laid.shape[2]):
            grazing = one - _fall(a * np.float32(j) + b * np.float32(i) + c)
            square = grazing * grazing
            fresnel = np.float32(HEAD_ON) + np.float32(1.0 - HEAD_ON) * square * square * grazing
            water = closed[i, j]
            rough = (one - water) * film * np.float32(FILM_MIRROR) * fresnel
            smooth = water * fresnel
            albedo = one - film * np.float32(1.0 - WET_ALBEDO) + water * np.float32(PUDDLE_ALBEDO - WET_ALBEDO) * film
            for k in range(3):
                laid[k, i, j] = smooth * mirror[i, j, k] + rough * drawn[i, j, k]
            laid[3, i, j] = albedo * (one - rough - smooth)


@njit(cache=True, nogil=True)
def film_of(rows, columns, laid):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: how the coarse maps `laid` (4, h, w) lie on a picture, and room for `water_row` to work in."""
    room = np.empty((6, columns), np.float32)
    return stretch(columns, laid.shape[2]), stretch(rows, laid.shape[1]), np.empty(laid.shape[2], np.float32), room


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def water_row(i, ground, laid, film, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: lay water on row i of each channel (W,), linear light, in place."""
    across, along, line, room = film
    some = np.uint8(0)
    for j in range(red.size):
        some |= ground[i, j]
    if some == 0:
        return
    left, right, near = across
    upper, lower, down = along
    here, part, keep = room[:4], room[4], room[5]
    stretch_row(laid, upper[i], lower[i], down[i], left, right, near, line, here)
    for j in range(red.size):
        part[j] = np.float32(ground[i, j]) * np.float32(1.0 / 255.0)
    for j in range(red.size):
        keep[j] = np.float32(1.0) - part[j] * (np.float32(1.0) - here[3, j])
    for j in range(red.size):
        red[j] = red[j] * keep[j] + part[j] * here[0, j]
    for j in range(red.size):
        green[j] = green[j] * keep[j] + part[j] * here[1, j]
    for j in range(red.size):
        blue[j] = blue[j] * keep[j] + part[j] * here[2, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _wet(image, ground, laid, out):  # type: ignore[no-untyped-def]  # numba infers
    """Lay (4, h, w), stretched over the picture, on the ground."""
    rows, columns = ground.shape
    red, green, blue = np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    steps, film = np.empty((3, columns), np.uint16), film_of(rows, columns, laid)
    for i in range(rows):
        decode_row(image[i], red, green, blue)
        water_row(i, ground, laid, film, red, green, blue)
        encode_row(red, green, blue, steps, out[i])
