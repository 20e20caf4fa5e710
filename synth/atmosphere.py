"""What fog, rain and snow share: the path of light through a layer of air, its airlight, and the veil over a picture."""

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
from synth.radiometry import decode, encode, luminance, range_m, to_linear

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
        raise InputError(f"{shift} needs depth (metres) and a camera; sample {sample.sample_id!r} lacks {lacks}: complete it")
    return sample.depth, sample.camera


def air_path_m(depth: Depth, camera: Camera, *, layer_m: float) -> NDArray[np.float32]:
    """Return (H, W) metres of air along each ray, inside a layer that reaches `layer_m` over the camera.

    A ray to the sky leaves the layer after layer_m / sin(elevation); at the horizon and below it never does.
    """
    path = range_m(depth, camera)
    sky = np.isinf(depth)
    if sky.any():
        rise = climb(camera) / range_m(np.ones_like(depth), camera)  # sine of the elevation
        out = layer_m / np.maximum(rise, 1e-6)
        path[sky] = out[sky]
    return path


def airlight_of(image: Image) -> tuple[float, float, float]:
    """Estimate the linear radiance of a thick layer of air: that of the brightest tenth, nearly grey, never white."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (min(width, 64), min(height, 64)), interpolation=cv2.INTER_AREA)
    linear = to_linear(small).reshape(-1, 3)
    level = luminance(linear)
    brightest = linear[np.argsort(level, kind="stable")[-max(1, int(_BRIGHTEST_SHARE * len(level))) :]].mean(axis=0)
    grey = float(luminance(brightest))
    # Air scatters the light of the whole sky and of the sun, more than a clear blue sky sends. 0.72 is sRGB 220: light grey, not white.
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
