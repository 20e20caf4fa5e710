"""What the shifts of the air share: a body of air and its light, the rays through it, and where the sky is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Depth, Image, Sample
from synth.ground import ground_frame
from synth.radiometry import luminance, to_linear

CONTRAST_AT_VISIBILITY = 0.05  # meteorological optical range (WMO No. 8): the range at which 5 % of contrast is left
WAVELENGTHS_NM = (610.0, 550.0, 465.0)  # dominant wavelengths of the sRGB primaries, about
_BRIGHTEST_SHARE = 0.1
_ENDLESS_M = 1e6  # depth of the sky is infinite

Colour = tuple[float, float, float]


def extinction_per_m(visibility_m: float) -> float:
    """Return the extinction coefficient that leaves 5 % contrast at a visibility.

    >>> round(extinction_per_m(600), 4)  # Foggy Cityscapes' light fog
    0.005
    """
    return -math.log(CONTRAST_AT_VISIBILITY) / visibility_m


def by_wavelength(angstrom: float) -> Colour:
    """Return the extinction of red, green and blue over that of green, wavelength^-angstrom (Angstrom 1929).

    >>> by_wavelength(0.0)
    (1.0, 1.0, 1.0)
    """
    red, green, blue = WAVELENGTHS_NM
    return (green / red) ** angstrom, 1.0, (green / blue) ** angstrom


def depth_and_camera(sample: Sample, shift: str) -> tuple[Depth, Camera]:
    """Return both, or raise with the sample's name."""
    if sample.depth is None or sample.camera is None:
        lacks = "depth" if sample.depth is None else "a camera"
        raise InputError(
            f"{shift} needs depth and a camera; sample {sample.sample_id!r} lacks {lacks}: complete it first"
        )
    return sample.depth, sample.camera


@dataclass(frozen=True)
class Air:
    """A body of air over the road.

    extinction_per_m: of green light, at the height of the road; ratio: that of red, green and blue over it
    airlight:         linear radiance that a thick layer of it sends
    layer_m:          it reaches so far over the camera: a ray to the sky leaves it after layer_m / sin(elevation), and
                      never does at the horizon
    scale_height_m:   if positive, extinction falls off as exp(-height / scale height) instead
    """

    extinction_per_m: float
    airlight: Colour
    layer_m: float = 1000.0
    scale_height_m: float = 0.0
    ratio: Colour = (1.0, 1.0, 1.0)

    def law(self) -> NDArray[np.float32]:
        """Return (3,) extinction, layer, scale height for kernels."""
        return np.array([self.extinction_per_m, self.layer_m, self.scale_height_m], np.float32)


def ray_geometry(camera: Camera) -> NDArray[np.float32]:
    """Return (8,) ray slopes x = a j + b, y = c i + d, world up in the camera (3,), and camera height."""
    up, height = ground_frame(camera)
    a, c = 1.0 / camera.K[0, 0], 1.0 / camera.K[1, 1]
    b, d = (0.5 - camera.K[0, 2]) * a, (0.5 - camera.K[1, 2]) * c
    return np.array([a, b, c, d, up[0], up[1], up[2], height], np.float32)


def sky_codes(image: Image, depth: Depth) -> NDArray[np.uint8]:
    """Return (H, W) how much of each pixel is sky, 0 to 255; see `sky_and_rim`."""
    return sky_and_rim(image, depth)[0]


def sky_and_rim(image: Image, depth: Depth) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return (H, W) how much of each pixel is sky, 0 to 255, and flat indices of the pixels that may hold a part of it.

    Depth knows sky or not; at the rim, and between leaves, pixels hold both, and those nearly as bright as the sky
    beside them are mostly sky. Without this, rims keep the day's sky and shine at night.
    """
    codes = np.empty(depth.shape, np.uint8)
    whole, end = _mark_sky(np.ascontiguousarray(depth), codes)
    if end == 0 or whole == len(codes):
        return codes, np.zeros(0, np.int64)
    edge = max(3, image.shape[1] // 110) | 1
    # rows above hold nothing but sky, those below none
    upper, lower = max(whole - edge // 2, 0), min(end + edge // 2, len(codes))
    band = codes[upper:lower]
    near = cv2.dilate(band, np.ones((edge, edge), np.uint8)).reshape(band.shape)
    # the sky's level changes slowly: every fourth pixel of large pictures tells it
    step = 4 if min(codes.shape) >= 256 else 1
    size = (-(-codes.shape[1] // step), -(-codes.shape[0] // step))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_RGB2GRAY)
    thin = cv2.resize(codes, size, interpolation=cv2.INTER_NEAREST)
    wide = (2 * (edge // step) + 1, 2 * (edge // step) + 1)
    count = cv2.blur(thin, wide).reshape(size[::-1])
    light = cv2.blur(cv2.bitwise_and(grey, thin), wide).reshape(size[::-1])
    rim = np.flatnonzero(near > band) + upper * codes.shape[1]
    _share(np.ascontiguousarray(image), rim, count, light, step, codes)
    return codes, rim


@njit(cache=True, nogil=True)
def _mark_sky(depth, codes):  # type: ignore[no-untyped-def]  # numba infers
    """Fill codes (H, W) with 255 where there is sky, else 0; return the first row with anything else, and the row after
    the last one with sky.
    """
    whole, end = len(depth), 0
    for i in range(len(depth)):
        least, most = _mark_row(depth[i], codes[i])
        if most > 0:
            end = i + 1
        if least == 0 and whole == len(depth):
            whole = i
    return whole, end


@njit(cache=True, nogil=True)
def _mark_row(depth, codes):  # type: ignore[no-untyped-def]  # numba infers
    least, most = np.uint8(255), np.uint8(0)
    for j in range(depth.size):
        code = np.uint8(255) if depth[j] > np.float32(_ENDLESS_M) else np.uint8(0)
        codes[j] = code
        least, most = np.uint8(least & code), np.uint8(most | code)
    return least, most


@njit(cache=True, nogil=True)
def _share(image, rim, count, light, step, codes):  # type: ignore[no-untyped-def]  # numba infers
    low, high = np.float32(0.45), np.float32(0.85)  # of the sky's grey level: none, and all of the pixel is sky
    i = 0
    for k in rim:
        while k >= (i + 1) * codes.shape[1]:
            i += 1
        j = k - i * codes.shape[1]
        y, x = i // step, j // step
        if count[y, x] > 0 and light[y, x] > 0:
            level = np.float32(light[y, x]) * np.float32(255.0) / np.float32(count[y, x])
            grey = np.float32(0.299) * np.float32(image[i, j, 0]) + np.float32(0.587) * np.float32(image[i, j, 1])
            grey += np.float32(0.114) * np.float32(image[i, j, 2])
            part = (grey / level - low) / (high - low)
            codes[i, j] = np.uint8(np.float32(255.0) * min(max(part, np.float32(0.0)), np.float32(1.0)))


def airlight_of(image: Image) -> Colour:
    """Estimate the linear radiance of a thick layer of air: that of the brightest tenth, nearly grey, never white."""
    height, width = image.shape[:2]
    thin = cv2.resize(image, (min(width, 320), min(height, 192)), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(thin, (min(width, 64), min(height, 64)), interpolation=cv2.INTER_AREA)
    linear = to_linear(small).reshape(-1, 3)
    level = luminance(linear)
    brightest = linear[np.argsort(level, kind="stable")[-max(1, int(_BRIGHTEST_SHARE * len(level))) :]].mean(axis=0)
    grey = float(luminance(brightest))
    # Air scatters the light of the whole sky and of the sun, more than a clear blue sky sends.
    # 0.72 is sRGB 220: light grey, not white.
    strength = min(max(1.3 * grey, 0.02), 0.72)
    colour = strength * (0.75 + 0.25 * brightest / max(grey, 1e-4))
    return float(colour[0]), float(colour[1]), float(colour[2])
