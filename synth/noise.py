"""Smooth random fields from a seed, the same in every environment; used for patterns, dirt, leaves and ground."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from synth.random import Rng

Field = NDArray[np.float32]


def smooth_noise(seed: int, height: int, width: int, *, cell_px: float, octaves: int = 3, gain: float = 0.5) -> Field:
    """Return (height, width) value noise with mean about 0 and values in about [-1, 1].

    cell_px: size of the largest blobs; every octave halves it and has `gain` of its strength.
    """
    total: Field = np.zeros((height, width), np.float32)
    strength, weight = 1.0, 0.0
    for octave in range(octaves):
        cell = cell_px / 2**octave
        if octave and cell < 1.5:
            break
        rows, columns = int(np.ceil(height / cell)) + 3, int(np.ceil(width / cell)) + 3
        grid = Rng(seed, "noise", octave).uniforms(rows, columns).astype(np.float32) * 2 - 1
        matrix = np.array([[1 / cell, 0, 1], [0, 1 / cell, 1]], np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        total += strength * cv2.warpAffine(grid, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        weight += strength
        strength *= gain
    return total * np.float32(1.6 / weight)


def lookup_noise(seed: int, x: Field, y: Field, *, cell: float, octaves: int = 3, gain: float = 0.5) -> Field:
    """Return value noise at coordinates x, y (any one shape, any unit that `cell` shares); repeats after 64 cells."""
    total = np.zeros(x.shape, np.float32)
    strength, weight = 1.0, 0.0
    flat_x, flat_y, out = np.ascontiguousarray(x).ravel(), np.ascontiguousarray(y).ravel(), total.reshape(-1)
    for octave in range(octaves):
        grid = Rng(seed, "tile", octave).uniforms(64, 64).astype(np.float32) * 2 - 1
        _look_up(grid, flat_x, flat_y, np.float32(2.0**octave / cell), np.float32(strength), out)
        weight += strength
        strength *= gain
    return total * np.float32(1.4 / weight)


@njit(cache=True)
def _look_up(grid, x, y, scale, strength, out):  # type: ignore[no-untyped-def]  # numba infers
    """Add bilinear values of a periodic grid (64, 64) at x * scale, y * scale, all (K,) float32, to out (K,)."""
    for k in range(len(x)):
        u = x[k] * scale
        v = y[k] * scale
        column = np.floor(u)
        row = np.floor(v)
        a = u - column
        b = v - row
        i = int(row) & 63
        j = int(column) & 63
        i1 = (i + 1) & 63
        j1 = (j + 1) & 63
        upper = grid[i, j] * (1 - a) + grid[i, j1] * a
        lower = grid[i1, j] * (1 - a) + grid[i1, j1] * a
        out[k] += strength * (upper * (1 - b) + lower * b)
