"""Rows of a picture in vector code: for kernels that go through a frame row by row.

A row is flat, (3 W,) red green blue red green blue. Loops over flat rows without branches or calls become vector
instructions; a table of 16,384 codes (`radiometry.encode`) does not, so the sRGB curve is a polynomial here.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.special import ndtri

from synth.radiometry import to_linear

TO_LINEAR = to_linear(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2))[:, 0, 0].copy()  # of a code

# Codes + 0.5 as polynomial in the fourth root of linear light above the straight part of the sRGB curve: Chebyshev fit,
# true to 0.002 codes, so `encode_row` inverts `to_linear` exactly and is within a rounding of `to_srgb` elsewhere.
_C0, _C1, _C2 = np.float32(-15.178250514589976), np.float32(41.691350778344926), np.float32(318.6938934080621)
_C3, _C4, _C5 = np.float32(-144.68387341941792), np.float32(71.6476189592314), np.float32(-16.6720624651473)
_STRAIGHT, _SLOPE = np.float32(0.0031308), np.float32(255.0 * 12.92)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)

_LEVELS = 1 << 10
NORMAL = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)
NORMAL /= np.float32(np.sqrt(np.mean(NORMAL.astype(np.float64) ** 2)))
MASK = np.uint32(_LEVELS - 1)


def folded(seed: int) -> np.uint32:
    """Return the 53 bits of a seed folded into the 32 that kernels hash pixels with."""
    return np.uint32((seed ^ (seed >> 32)) & 0xFFFFFFFF)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def encode_row(linear, codes):  # type: ignore[no-untyped-def]  # numba infers
    """Fill codes (3 W,) uint8 with the sRGB codes of linear light (3 W,) float32, clipped."""
    for k in range(len(linear)):
        light = min(max(linear[k], _ZERO), _ONE)
        root = np.sqrt(np.sqrt(light))
        curve = _C0 + root * (_C1 + root * (_C2 + root * (_C3 + root * (_C4 + root * _C5))))
        codes[k] = np.uint8(np.int32(light * _SLOPE + _HALF if light < _STRAIGHT else curve))


@njit(cache=True, inline="always")
def hashed(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint32, int -> uint32
    """For kernels: 32 bits from seed and pixel number (lowbias32, Wellons 2018: bias below 0.2 bits)."""
    x = np.uint32(np.uint32(number) * np.uint32(0x9E3779B1)) ^ np.uint32(seed)  # numba widens products: cut them back
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, nogil=True)
def normal_row(seed, first, row):  # type: ignore[no-untyped-def]  # numba infers
    """Fill row (3 W,) with standard normal numbers (1,024 levels, within 3.3 deviations) of pixels `first` onwards."""
    for j in range(len(row) // 3):
        bits = hashed(seed, first + j)
        row[3 * j] = NORMAL[bits & MASK]
        row[3 * j + 1] = NORMAL[(bits >> np.uint32(10)) & MASK]
        row[3 * j + 2] = NORMAL[(bits >> np.uint32(20)) & MASK]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def expose_row(linear, normal, per_electron, read2):  # type: ignore[no-untyped-def]  # numba infers
    """Add photon and read noise (EMVA 1288) to a row of linear light, in place.

    per_electron: light of one electron, 1 = white; read2: variance of reading, in that unit
    """
    for k in range(len(linear)):
        light = max(linear[k], _ZERO)
        linear[k] = light + np.sqrt(light * per_electron + read2) * normal[k]
