"""Rows of a picture in vector code: for kernels that go through a frame row by row.

A row is flat, (3 W,) red green blue red green blue. Loops over flat rows without branches or calls become vector
instructions.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from synth.radiometry import encode_near, to_linear
from synth.random import Rng

TO_LINEAR = to_linear(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2))[:, 0, 0].copy()  # of a code

_ZERO = np.float32(0.0)

_LEVELS = 1 << 10
NORMAL = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)
NORMAL /= np.float32(np.sqrt(np.mean(NORMAL.astype(np.float64) ** 2)))
MASK = np.uint32(_LEVELS - 1)
RING, PIECE = 1 << 16, 1 << 12  # numbers to draw noise from, and how many of a row are taken together


def folded(seed: int) -> np.uint32:
    """Return the 53 bits of a seed folded into the 32 that kernels hash pixels with."""
    return np.uint32((seed ^ (seed >> 32)) & 0xFFFFFFFF)


@njit(cache=True, nogil=True)
def encode_row(linear, codes):  # type: ignore[no-untyped-def]  # numba infers
    """Fill codes (3 W,) uint8 with the sRGB codes of linear light (3 W,) float32, clipped."""
    for k in range(len(linear)):
        codes[k] = np.uint8(encode_near(linear[k]))


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


@cache
def normal_ring() -> NDArray[np.float32]:
    """Return (RING + PIECE,) standard normal numbers, every level as often; the end repeats the start."""
    order = np.argsort(Rng(0, "noise ring").uniforms(RING), kind="stable")
    ring = NORMAL[order % _LEVELS]
    return np.concatenate([ring, ring[:PIECE]])


@njit(cache=True, nogil=True)
def expose_by_ring(linear, ring, seed, i, per_electron, read2):  # type: ignore[no-untyped-def]  # numba infers
    """Add photon and read noise to row i of linear light (3 W,), with numbers of a ring, as film grain is made in AV1.

    They are taken from another place of the ring for each piece of a row.
    """
    pieces = (linear.size + PIECE - 1) // PIECE
    for piece in range(pieces):
        first, end = piece * PIECE, min((piece + 1) * PIECE, linear.size)
        place = np.int64(hashed(seed, i * pieces + piece)) % RING
        expose_row(linear[first:end], ring[place : place + end - first], per_electron, read2)
