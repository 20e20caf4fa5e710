"""Random numbers made inside the pass that uses them: SplitMix64 (Steele et al. 2014) of seed and pixel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

LEVELS = 4096
_quantiles = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
NORMAL = (_quantiles / np.sqrt(np.mean(_quantiles**2))).astype(np.float32)  # (4096,) equally likely normal numbers


@njit(cache=True, inline="always")
def mix(seed, number):  # type: ignore[no-untyped-def]  # numba infers: uint64 -> uint64
    """Return the number-th 64 bits of the stream of a seed."""
    z = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def level(bits, channel):  # type: ignore[no-untyped-def]  # numba infers
    """Return one of 4,096 levels for each of five channels from 64 bits."""
    return (bits >> np.uint64(12 * channel)) & np.uint64(LEVELS - 1)


def normals(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return (H, W) standard normal numbers."""
    out = np.empty((height, width), np.float32)
    _fill(np.uint64(seed), NORMAL, out.reshape(-1))
    return out


@njit(cache=True, nogil=True)
def _fill(seed, normal, out):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(0, out.size, 5):
        bits = mix(seed, i)
        for c in range(min(5, out.size - i)):
            out[i + c] = normal[level(bits, c)]
