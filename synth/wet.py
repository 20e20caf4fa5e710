"""Wet ground: darker, and a mirror at grazing angles.

Water fills the pores of a surface and darkens it to about 0.55 of its dry albedo (Lekner and Dorf 1988); its film
reflects after Fresnel (Schlick 1994, refractive index 1.33), near nothing at the feet and most of the light far away.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image, Sample
from synth.ground import ground_frame
from synth.radiometry import Linear, decode, to_linear

WET_ALBEDO = 0.55
FLATNESS_M = 0.2  # what lies within so many metres of the plane is ground: road, kerb, pavement
ROUGHNESS = 0.45  # share of the mirrored light that rough asphalt still sends to the camera
_REDUCED = 4  # the reflection is blurred, so it is made at a quarter of the size


def wet_ground(sample: Sample, depth: Depth, camera: Camera, *, wetness: float) -> Linear:
    """Return the sample's linear light (H, W, 3) with the ground wet: 0 = dry, 1 = a closed film of water."""
    image = np.ascontiguousarray(sample.image)
    if wetness <= 0:
        return np.array(to_linear(image))
    nothing = np.zeros((1, 1), np.int32)
    objects = nothing if sample.instances is None else np.ascontiguousarray(sample.instances)
    mirrored = _mirrored(image, depth, camera)
    out = np.empty(image.shape, np.float32)
    _wet(image, np.ascontiguousarray(depth), objects, mirrored, _plane(camera), np.float32(wetness), out)
    return out


def ground_cover(depth: Depth, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how much each pixel of a depth map of any size is ground, 0 to 1, and the sine by which its ray falls."""
    share, fall = np.empty(depth.shape, np.float32), np.empty(depth.shape, np.float32)
    _cover(np.ascontiguousarray(depth), _plane_at(camera, depth.shape), share, fall)
    return share, fall


def _plane_at(camera: Camera, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return `_plane` for a picture reduced to a shape (h, w)."""
    scaled = _plane(camera)
    scaled[0] *= camera.width / shape[1]
    scaled[1] *= camera.height / shape[0]
    return scaled


@njit(cache=True, inline="always")
def _ground_share(i, j, z, plane):  # type: ignore[no-untyped-def]  # numba infers
    """Return how much a pixel of depth z is ground, 0 to 1, and how steeply its ray falls."""
    rise = plane[0] * np.float32(j) + plane[1] * np.float32(i) + plane[2]
    if not z < np.float32(1e4) or rise >= 0:
        return np.float32(0.0), np.float32(0.0)
    off = abs(plane[3] + z * rise) / (np.float32(FLATNESS_M) + np.float32(0.01) * z)
    share = min(max(np.float32(2.0) - np.float32(2.0) * off, np.float32(0.0)), np.float32(1.0))
    return share, -rise / np.sqrt(np.float32(1.0) + rise * rise)


@njit(cache=True)
def _cover(depth, plane, share, fall):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            share[i, j], fall[i, j] = _ground_share(i, j, depth[i, j], plane)


def _plane(camera: Camera) -> NDArray[np.float32]:
    """Return (4,) a, b, c, h: a ray through column j, row i climbs a j + b i + c per metre of depth, from height h."""
    up, height = ground_frame(camera)
    a, b = up[0] / camera.K[0, 0], up[1] / camera.K[1, 1]
    c = up[2] + a * (0.5 - camera.K[0, 2]) + b * (0.5 - camera.K[1, 2])
    return np.array([a, b, c, height], np.float32)


def _mirrored(image: Image, depth: Depth, camera: Camera) -> Linear:
    """Return (H, W, 3) the light that comes to each ground pixel from its mirror image, drawn out by roughness."""
    height, width = depth.shape
    step = _REDUCED if min(height, width) >= 8 * _REDUCED else 1
    size = (max(1, width // step), max(1, height // step))
    small = to_linear(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    coarse = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).reshape(size[::-1])
    scaled = _plane_at(camera, coarse.shape)
    mirror = np.empty_like(small, order="C")
    _mirror(np.ascontiguousarray(small), coarse, scaled, mirror)
    tall = max(1, size[1] // 12) | 1
    drawn = cv2.blur(mirror, (max(1, tall // 6) | 1, tall), borderType=cv2.BORDER_REPLICATE).reshape(mirror.shape)
    full: Linear = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR).reshape(image.shape)
    return full


@njit(cache=True)
def _wet(image, depth, objects, mirrored, plane, wetness, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = depth.shape
    known = objects.shape[0] == rows and objects.shape[1] == columns
    one, normal = np.float32(1.0), np.float32(0.02)  # reflectance of water head on, ((1.33 - 1) / (1.33 + 1))^2
    for i in range(rows):
        for j in range(columns):
            share, fall = _ground_share(i, j, depth[i, j], plane)
            if known and objects[i, j] > 0:
                share = np.float32(0.0)
            share *= wetness
            grazing = (one - fall) * (one - fall)
            reflected = share * np.float32(ROUGHNESS) * (normal + (one - normal) * grazing * grazing * (one - fall))
            kept = (one - share * np.float32(1.0 - WET_ALBEDO)) * (one - reflected)
            for c in range(3):
                out[i, j, c] = decode(image[i, j, c]) * kept + mirrored[i, j, c] * reflected


@njit(cache=True)
def _mirror(linear, depth, plane, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill ground pixels with the picture mirrored at the foot of what stands behind them, column by column.

    For upright things on flat ground that is the true reflection: their foot row is the mirror's axis.
    """
    rows, columns = depth.shape
    foot = np.zeros(columns, np.int64)
    for i in range(rows):
        for j in range(columns):
            share, _ = _ground_share(i, j, depth[i, j], plane)
            source = i
            if share > np.float32(0.5):
                source = max(2 * foot[j] - 1 - i, 0)
            else:
                foot[j] = i + 1
            for c in range(3):
                out[i, j, c] = linear[source, j, c]
