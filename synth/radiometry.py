"""Light is added, dimmed and blurred in linear radiance; pictures are sRGB (IEC 61966-2-1)."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Depth, Image

Linear = NDArray[np.float32]  # (..., 3) linear radiance, 1 = white of the picture

FAST = {"contract", "arcp", "nsz", "reassoc", "afn"}  # for kernels: fast arithmetic that still knows infinity

_CODES = np.arange(256) / 255.0
_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
# Inverse by table: 14-bit steps in sqrt(linear), so that every 8-bit code is met exactly and dark tones are fine.
_STEPS = 1 << 14


def _encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


_TO_SRGB = np.rint(255.0 * _encode((np.arange(_STEPS + 1) / _STEPS) ** 2)).astype(np.uint8)
# For whole rows: by the leading bits of the float (exponent and 10 of the mantissa), 1,024 steps an octave. Every code
# of 8 bits is met exactly; near the middle of two codes it may be the other. 32 bits an entry, as vectors gather.
_DROPPED = np.int32(13)
_LOW_BITS, _ONE_BITS = np.array([2.0**-13, 1.0], np.float32).view(np.int32)  # the lower one is less than half a code
_BY_BITS = np.rint(
    255.0
    * _encode(
        np.minimum(
            (np.arange(_LOW_BITS, _ONE_BITS + 1, 1 << _DROPPED, np.int32) + (1 << _DROPPED) // 2).view(np.float32), 1.0
        ).astype(np.float64)
    )
).astype(np.int32)


def to_linear(image: Image) -> Linear:
    """Undo the sRGB transfer curve: uint8 codes to linear radiance in [0, 1].

    >>> float(to_linear(np.full((1, 1, 3), 255, np.uint8)).max())
    1.0
    """
    return _TO_LINEAR[image] if image.size == 0 or image.ndim < 2 else cv2.LUT(image, _TO_LINEAR).reshape(image.shape)


def to_srgb(linear: NDArray[np.float32] | NDArray[np.float64]) -> Image:
    """Apply the sRGB transfer curve, clip to [0, 1] and round to uint8 codes. Inverts `to_linear` exactly.

    >>> codes = np.arange(256, dtype=np.uint8)
    >>> bool((to_srgb(to_linear(codes)) == codes).all())
    True
    """
    flat = np.ascontiguousarray(linear, np.float32).reshape(-1)
    codes = np.empty(flat.shape, np.uint8)
    _encode_all(flat, codes)
    return codes.reshape(np.shape(linear))


@njit(cache=True, inline="always")
def decode(code):  # type: ignore[no-untyped-def]  # numba infers: uint8 -> float32
    """For kernels: one sRGB code to linear radiance."""
    return _TO_LINEAR[code]


@njit(cache=True, inline="always")
def encode(linear):  # type: ignore[no-untyped-def]  # numba infers: float32 -> uint8
    """For kernels: linear radiance to one sRGB code, clipped."""
    clipped = min(max(linear, np.float32(0.0)), np.float32(1.0))
    return _TO_SRGB[int(np.sqrt(clipped) * np.float32(_STEPS) + np.float32(0.5))]


def rows_of(image: Image) -> NDArray[np.uint8]:
    """Return a view (H, 3 W) of a contiguous picture (H, W, 3), as row kernels take it."""
    return image.reshape(image.shape[0], -1)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_row(codes, red, green, blue):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: a row (3 W,) of interleaved codes to one array (W,) of linear radiance a channel.

    A kernel that keeps the channels apart works on a row with vector instructions: three times as fast as by pixel.
    """
    for j in range(red.size):
        red[j] = _TO_LINEAR[codes[3 * j]]
        green[j] = _TO_LINEAR[codes[3 * j + 1]]
        blue[j] = _TO_LINEAR[codes[3 * j + 2]]


@njit(cache=True, inline="always")
def encode_near(linear):  # type: ignore[no-untyped-def]  # numba infers: float32 -> int32
    """For vector loops of kernels: `encode` to within a rounding (1 % of values go to the next code)."""
    bits = min(max(np.float32(linear).view(np.int32), _LOW_BITS), _ONE_BITS)
    return _BY_BITS[(bits - _LOW_BITS) >> _DROPPED]


@njit(cache=True, nogil=True, error_model="numpy")
def encode_row(red, green, blue, steps, codes):  # type: ignore[no-untyped-def]  # numba infers
    """For kernels: linear radiance of each channel (W,) to a row (3 W,) of interleaved codes, clipped.

    steps: (3, W) uint16 to work in
    """
    for c in range(3):
        plane = red if c == 0 else (green if c == 1 else blue)
        for j in range(plane.size):
            steps[c, j] = np.uint16(encode_near(plane[j]))
    for j in range(red.size):
        codes[3 * j] = np.uint8(steps[0, j])
        codes[3 * j + 1] = np.uint8(steps[1, j])
        codes[3 * j + 2] = np.uint8(steps[2, j])


@njit(cache=True)
def _encode_all(linear, codes):  # type: ignore[no-untyped-def]  # numba infers: (N,) float32, (N,) uint8
    for i in range(linear.size):
        codes[i] = encode(linear[i])


def luminance(linear: Linear) -> NDArray[np.float32]:
    """Return relative luminance (ITU-R BT.709 weights) of (..., 3) linear radiance."""
    weighted: NDArray[np.float32] = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return weighted


def ray_length(camera: Camera) -> NDArray[np.float32]:
    """Return (H, W) metres along each pixel's ray per metre of depth."""
    x = ((np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]).astype(np.float32)
    y = ((np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]).astype(np.float32)
    return np.sqrt(1.0 + x[None, :] ** 2 + y[:, None] ** 2, dtype=np.float32)


def range_m(depth: Depth, camera: Camera) -> NDArray[np.float32]:
    """Turn depth along the optical axis into distance along each pixel's ray, both (H, W) metres.

    Light travels the ray, so scattering needs this one.
    """
    return depth * ray_length(camera)
