"""Noise of a sensor after EMVA 1288: photon (shot) noise, read noise, steps of the converter, clipping; linear light.

Numbers come from SplitMix64 (Steele 2014) of seed and pixel, so a field depends on nothing else and is made in the
pass that uses it. Photon noise is taken as normal with the photons' own variance; clipping keeps it above zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from scenes.sample import Image
from synth.radiometry import Linear, encode

_BITS = 12
ADC_BITS = 12  # of the converters of driving cameras
_NORMAL = ndtri((np.arange(1 << _BITS) + 0.5) / (1 << _BITS)).astype(np.float32)
_NORMAL /= np.float32(np.sqrt(np.mean(_NORMAL.astype(np.float64) ** 2)))


def expose(linear: Linear, *, full_scale_e: float, read_noise_e: float, seed: int, bits: int = ADC_BITS) -> Image:
    """Return the picture that a sensor makes of linear light (H, W, 3).

    full_scale_e: electrons of a white pixel: the full well at base gain, an n-th of it at n times the gain
    read_noise_e: standard deviation of reading one pixel, electrons
    bits:         of the converter, whose last code is white: its steps add a twelfth of their square to the variance
    """
    out = np.empty(linear.shape, np.uint8)
    light = np.ascontiguousarray(linear, np.float32)
    gains = np.array([full_scale_e, read_noise_e, (1 << bits) - 1], np.float32)
    _expose(light, gains, np.uint64(seed), out)
    return out


def normal_field(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return (H, W, 3) standard normal numbers (4,096 levels, within 3.7 deviations)."""
    out = np.empty((height, width, 3), np.float32)
    _fill(np.uint64(seed), out)
    return out


@njit(cache=True, inline="always")
def mix(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint64 -> uint64
    """SplitMix64: the number-th output of the stream of a seed."""
    z = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _fill(seed, out):  # type: ignore[no-untyped-def]  # numba infers
    rows, columns = out.shape[:2]
    for i in range(rows):
        for j in range(columns):
            bits = mix(seed, i * columns + j)
            for c in range(3):
                out[i, j, c] = _NORMAL[(bits >> np.uint64(16 * c)) & np.uint64((1 << _BITS) - 1)]


@njit(cache=True, fastmath=True)
def _expose(linear, gains, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    """gains: (3,) electrons of white, read noise in electrons, last code of the converter."""
    rows, columns = linear.shape[:2]
    full_scale, read2, last = gains[0], gains[1] * gains[1], gains[2]
    zero, half = np.float32(0.0), np.float32(0.5)
    to_code, to_light = last / full_scale, np.float32(1.0) / last
    for i in range(rows):
        for j in range(columns):
            bits = mix(seed, i * columns + j)
            for c in range(3):
                electrons = max(linear[i, j, c], zero) * full_scale
                noise = _NORMAL[(bits >> np.uint64(16 * c)) & np.uint64((1 << _BITS) - 1)]
                electrons += np.sqrt(electrons + read2) * noise
                out[i, j, c] = encode(np.floor(max(electrons, zero) * to_code + half) * to_light)
