"""Tileable noise fields, made once: the grain, patches and clouds of the town."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.soup import Float

SIZE = 512


@cache
def field(power: float, seed: int = 0) -> Float:
    """Return a periodic field (SIZE, SIZE) with spectrum 1 / f^power, mean 0, deviation 1."""
    white = np.fft.rfft2(Rng("town noise", seed).normals(SIZE, SIZE))
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    values = np.fft.irfft2(white * frequency**-power, s=(SIZE, SIZE))
    return (values / values.std()).astype(np.float32)


def sample(values: Float, x: NDArray[Any], y: NDArray[Any]) -> Float:
    """Interpolate a periodic field at x, y (any shape) in cells."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    mask = SIZE - 1
    i, j = x0.astype(np.int64) & mask, y0.astype(np.int64) & mask
    i1, j1 = (i + 1) & mask, ((j + 1) & mask) * SIZE
    flat, j = values.ravel(), j * SIZE
    top = flat[j + i] * (1 - fx) + flat[j + i1] * fx
    bottom = flat[j1 + i] * (1 - fx) + flat[j1 + i1] * fx
    return top * (1 - fy) + bottom * fy


def hashed(*cells: NDArray[np.floating[Any]]) -> Float:
    """Return a number in [0, 1) for each integer cell: the same cell, the same number."""
    state = np.zeros(cells[0].shape, np.uint32)
    for cell in cells:
        state = (state ^ cell.astype(np.int64).astype(np.uint32)) * np.uint32(0x9E3779B1)
        state ^= state >> np.uint32(15)
        state *= np.uint32(0x85EBCA6B)
        state ^= state >> np.uint32(13)
    return (state >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
