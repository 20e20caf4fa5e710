"""Smooth random fields from a seed, the same in every environment; used for patterns, dirt, leaves and ground."""

from __future__ import annotations

import cv2
import numpy as np
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
    """Return value noise at coordinates x, y (any shape (h, w), any unit that `cell` shares); periodic over 64 cells."""
    total = np.zeros(x.shape, np.float32)
    strength, weight = 1.0, 0.0
    for octave in range(octaves):
        grid = Rng(seed, "tile", octave).uniforms(64, 64).astype(np.float32) * 2 - 1
        scale = np.float32(2.0**octave / cell)
        u, v = np.mod(x * scale, 64).astype(np.float32), np.mod(y * scale, 64).astype(np.float32)
        tile = cv2.copyMakeBorder(grid, 1, 1, 1, 1, cv2.BORDER_WRAP)
        total += strength * cv2.remap(tile, u + 0.5, v + 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight += strength
        strength *= gain
    return total * np.float32(1.4 / weight)
