"""What fog, rain and snow share: the path of light through a layer of air, its airlight, and the veil it lays."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Depth, Image, Sample
from synth.ground import climb
from synth.radiometry import Linear, decode, encode, luminance, ray_length, to_linear

CONTRAST_AT_VISIBILITY = 0.05  # meteorological optical range (WMO No. 8): the range at which 5 % of contrast is left
_BRIGHTEST_SHARE = 0.1


def extinction_per_m(visibility_m: float) -> float:
    """Return the extinction coefficient that leaves 5 % contrast at a visibility.

    >>> round(extinction_per_m(600), 4)  # Foggy Cityscapes' light fog
    0.005
    """
    return -math.log(CONTRAST_AT_VISIBILITY) / visibility_m


def depth_and_camera(sample: Sample, shift: str) -> tuple[Depth, Camera]:
    """Return both, or raise with the sample's name."""
    if sample.depth is None or sample.camera is None:
        lacks = "depth" if sample.depth is None else "a camera"
        raise InputError(
            f"{shift} needs depth and a camera; sample {sample.sample_id!r} lacks {lacks}: complete it first"
        )
    return sample.depth, sample.camera


def transmission(
    image: Image, depth: Depth, camera: Camera, *, extinction_per_m: float, layer_m: float
) -> NDArray[np.float32]:
    """Return (H, W) share of light that gets through the air along each ray, exp(-extinction x path).

    The air reaches `layer_m` over the camera: a ray to the sky leaves it after layer_m / sin(elevation), and never does
    at the horizon. Pixels that hold sky and object get both shares.
    """
    length = ray_length(camera)
    path = depth * length
    sky = np.isinf(depth)
    share = sky_share(image, depth) if sky.any() else None
    if share is not None:
        elevation = np.maximum(climb(camera), np.float32(1e-6)) / length  # its sine
        np.copyto(path, np.float32(layer_m) / elevation, where=sky)
    through: NDArray[np.float32] = cv2.exp(np.float32(-extinction_per_m) * path).reshape(path.shape)
    if share is not None:
        rim = (share > 0) & ~sky
        beyond = np.exp(np.float32(-extinction_per_m * layer_m) / elevation[rim])
        through[rim] += share[rim] * (beyond - through[rim])
    return through


def sky_share(image: Image, depth: Depth) -> NDArray[np.float32]:
    """Return (H, W) how much of each pixel is sky, 0 to 1.

    Depth knows sky or not; at the rim, and between leaves, pixels hold both, and those nearly as bright as the sky
    beside them are mostly sky. Without this, rims keep the day's sky and shine at night.
    """
    sky = np.isinf(depth).astype(np.uint8)
    if not sky.any() or sky.all():
        return sky.astype(np.float32)
    edge = max(3, image.shape[1] // 110) | 1
    near = cv2.dilate(sky, np.ones((edge, edge), np.uint8)).reshape(sky.shape)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).reshape(sky.shape)
    wide = (2 * edge + 1, 2 * edge + 1)
    count = cv2.blur(sky * np.uint8(255), wide).reshape(sky.shape)
    light = cv2.blur(grey * sky, wide).reshape(sky.shape)
    out = np.empty(sky.shape, np.float32)
    _share(sky, near, grey, count, light, out)
    return out


@njit(cache=True)
def _share(sky, near, grey, count, light, out):  # type: ignore[no-untyped-def]  # numba infers
    low, high = np.float32(0.45), np.float32(0.85)  # of the sky's grey level: none, and all of the pixel is sky
    for i in range(sky.shape[0]):
        for j in range(sky.shape[1]):
            share = np.float32(sky[i, j])
            if near[i, j] > sky[i, j] and count[i, j] > 0 and light[i, j] > 0:
                level = np.float32(light[i, j]) * np.float32(255.0) / np.float32(count[i, j])
                part = (np.float32(grey[i, j]) / level - low) / (high - low)
                share = min(max(part, np.float32(0.0)), np.float32(1.0))
            out[i, j] = share


def airlight_of(image: Image) -> tuple[float, float, float]:
    """Estimate the linear radiance of a thick layer of air: that of the brightest tenth, nearly grey, never white."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (min(width, 64), min(height, 64)), interpolation=cv2.INTER_AREA)
    linear = to_linear(small).reshape(-1, 3)
    level = luminance(linear)
    brightest = linear[np.argsort(level, kind="stable")[-max(1, int(_BRIGHTEST_SHARE * len(level))) :]].mean(axis=0)
    grey = float(luminance(brightest))
    # Air scatters the light of the whole sky and of the sun, more than a clear blue sky sends.
    # 0.72 is sRGB 220: light grey, not white.
    strength = min(max(1.3 * grey, 0.02), 0.72)
    colour = strength * (0.75 + 0.25 * brightest / max(grey, 1e-4))
    return float(colour[0]), float(colour[1]), float(colour[2])


def veil(image: Image, transmission: NDArray[np.float32], airlight: tuple[float, float, float]) -> Image:
    """Return I = J t + A (1 - t) in linear light; image (H, W, 3), transmission (H, W) in [0, 1]."""
    out = np.empty_like(image, order="C")
    _veil(np.ascontiguousarray(image), np.ascontiguousarray(transmission), np.array(airlight, np.float32), out)
    return out


@njit(cache=True)
def _veil(image, transmission, airlight, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = transmission.shape
    for i in range(rows):
        for j in range(columns):
            t = transmission[i, j]
            rest = np.float32(1.0) - t
            for c in range(3):
                out[i, j, c] = encode(decode(image[i, j, c]) * t + airlight[c] * rest)


def cloud_over(
    linear: Linear, through: NDArray[np.float32], airlight: tuple[float, float, float], *, sun_lost: float
) -> None:
    """Take sun and colour from linear light (H, W, 3), and lay the veil over it, in place.

    sun_lost: 0 = as it is, 1 = half the light and half the colour gone; through: (H, W) transmission
    """
    _cloud_over(linear, through, np.array(airlight, np.float32), np.float32(0.5 * sun_lost))


@njit(cache=True)
def _cloud_over(linear, through, airlight, lost):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = through.shape
    one = np.float32(1.0)
    for i in range(rows):
        for j in range(columns):
            pixel, t = linear[i, j], through[i, j]
            grey = np.float32(0.2126) * pixel[0] + np.float32(0.7152) * pixel[1] + np.float32(0.0722) * pixel[2]
            for c in range(3):
                clouded = (one - lost) * (pixel[c] + lost * (grey - pixel[c]))
                pixel[c] = clouded * t + airlight[c] * (one - t)
