"""Diamond-square clouds (Fournier, Fussell and Carpenter 1982), periodic, as the published fog has them."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from synth.imagenet_c.bits import mix
from synth.noise import Field

_COARSE = 4  # detail below this many pixels is less than one grey level of any severity: it is interpolated


def plasma(height: int, width: int, decay: float, seed: int) -> Field:
    """Return (H, W) heights in [0, 1]; every halving of the step divides the detail by decay squared.

    The map is a square of a power of two around the picture, of which the corner is taken.
    """
    size = 1 << max(0, (max(height, width, 3) - 1).bit_length())
    step = _COARSE if size >= 128 else 1
    grid = np.zeros((size // step, size // step), np.float32)
    _diamond_square(grid, decay, np.uint64(seed))
    low, high = float(grid.min()), float(grid.max())
    grid = (grid - np.float32(low)) * np.float32(1.0 / max(high - low, 1e-9))
    if step == 1:
        return np.ascontiguousarray(grid[:height, :width])
    rows, columns = -(-height // step) + 1, -(-width // step) + 1
    corner = np.pad(grid, ((0, 1), (0, 1)), mode="wrap")[:rows, :columns]
    matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine: Field = cv2.warpAffine(corner, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return fine.reshape(height, width)


@njit(cache=True, nogil=True)
def _diamond_square(grid, decay, seed):  # type: ignore[no-untyped-def]  # numba infers: (S, S) float32, S a power of 2
    size = len(grid)
    mask = size - 1
    quarter = np.float32(0.25)
    wibble = 100.0
    step = size
    number = 0
    while step >= 2:
        half = step // 2
        amplitude = np.float32(wibble * wibble)
        for y in range(half, size, step):
            for x in range(half, size, step):
                y1, x1 = (y + half) & mask, (x + half) & mask
                total = grid[y - half, x - half] + grid[y - half, x1] + grid[y1, x - half] + grid[y1, x1]
                number += 1
                grid[y, x] = total * quarter + amplitude * _signed(seed, number)
        for y in range(0, size, half):
            for x in range(half if (y // half) % 2 == 0 else 0, size, step):
                total = grid[(y - half) & mask, x] + grid[(y + half) & mask, x]
                total += grid[y, (x - half) & mask] + grid[y, (x + half) & mask]
                number += 1
                grid[y, x] = total * quarter + amplitude * _signed(seed, number)
        step = half
        wibble /= decay


@njit(cache=True, inline="always")
def _signed(seed, number):  # type: ignore[no-untyped-def]  # numba infers
    """Return a number in [-1, 1)."""
    return np.float32(np.int64(mix(seed, number) >> np.uint64(40))) * np.float32(2.0**-23) - np.float32(1.0)
