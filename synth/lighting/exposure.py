"""A frame exposed otherwise: linear light times 2^EV, clipped, with the noise and the grey steps that come of it.

One stop (EV) doubles the light on the sensor (ISO 12232). A brighter exposure clips what passes white, each channel
for itself, and shows the dark tones between two 8-bit codes, which are dithered; a darker one leaves fewer electrons,
so photon noise and read noise (EMVA 1288) show, and 8 bits leave few steps.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.special import ndtri

from scenes.sample import Image
from synth.radiometry import encode, to_linear

FULL_WELL_E = 10_000.0  # electrons of white at ISO 100, a 3 micrometre pixel

_LEVELS = 1 << 10
_NORMAL = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)
_NORMAL /= np.float32(np.sqrt(np.mean(_NORMAL.astype(np.float64) ** 2)))
_MASK = np.uint32(_LEVELS - 1)


def brightened(image: Image, *, stops: float, seed: int) -> Image:
    """Return a picture exposed longer by stops >= 0: what lies within a code is spread over it, then amplified."""
    edges = np.clip(np.arange(257) - 0.5, 0.0, 255.0) / 255.0
    linear = np.where(edges <= 0.04045, edges / 12.92, ((edges + 0.055) / 1.055) ** 2.4)
    gain = 2.0**stops
    low, span = gain * linear[:-1], gain * np.diff(linear)
    low[255], span[255] = gain, 0.0  # white was clipped already
    out = np.empty_like(image, order="C")
    _spread(np.ascontiguousarray(image), low.astype(np.float32), span.astype(np.float32), folded(seed), out)
    return out


def darkened(image: Image, *, stops: float, read_noise_e: float, seed: int) -> Image:
    """Return a picture exposed shorter by stops >= 0 at the same gain, with the noise of its fewer electrons."""
    codes = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    linear = to_linear(codes)[:, 0, 0].astype(np.float64) * 2.0**-stops
    noise = np.sqrt(linear * FULL_WELL_E + read_noise_e**2) / FULL_WELL_E
    out = np.empty_like(image, order="C")
    _grain(np.ascontiguousarray(image), linear.astype(np.float32), noise.astype(np.float32), folded(seed), out)
    return out


def folded(seed: int) -> np.uint32:
    """Return the 53 bits of a seed folded into the 32 that kernels hash pixels with."""
    return np.uint32((seed ^ (seed >> 32)) & 0xFFFFFFFF)


@njit(cache=True, inline="always")
def hashed(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint32, int -> uint32
    """For kernels: 32 bits from seed and pixel number (lowbias32, Wellons 2018: bias below 0.2 bits)."""
    x = np.uint32(np.uint32(number) * np.uint32(0x9E3779B1)) ^ np.uint32(seed)  # numba widens products: cut them back
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, inline="always")
def normal_of(bits, channel):  # type: ignore[no-untyped-def]  # numba infers: uint32, int -> float32
    """For kernels: the standard normal number (1,024 levels, within 3.3 deviations) of a channel 0 to 2."""
    return _NORMAL[(bits >> np.uint32(10 * channel)) & _MASK]


@njit(cache=True, nogil=True)
def _spread(image, low, span, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = image.shape[:2]
    for i in range(rows):
        for j in range(columns):
            bits = hashed(seed, i * columns + j)
            for c in range(3):
                code = image[i, j, c]
                within = (np.float32((bits >> np.uint32(10 * c)) & _MASK) + np.float32(0.5)) / np.float32(_LEVELS)
                out[i, j, c] = encode(low[code] + within * span[code])


@njit(cache=True, nogil=True)
def _grain(image, linear, noise, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = image.shape[:2]
    for i in range(rows):
        for j in range(columns):
            bits = hashed(seed, i * columns + j)
            for c in range(3):
                code = image[i, j, c]
                out[i, j, c] = encode(linear[code] + noise[code] * normal_of(bits, c))
