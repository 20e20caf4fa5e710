"""Blur along a trail of whole-pixel steps, as the published motion blur and snow have it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Taps:
    """dx, dy: (K,) pixels by which the picture is moved; weight: (K,)."""

    dx: NDArray[np.int64]
    dy: NDArray[np.int64]
    weight: NDArray[np.float32]


def motion_taps(radius: int, sigma: float, angle_deg: float, size: tuple[int, int]) -> Taps:
    """Return the trail of 2 radius + 1 steps, weights half a Gaussian; it ends where it would leave (H, W)."""
    steps = np.arange(2 * radius + 1)
    weight = np.exp(-(steps**2) / (2 * sigma**2))
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    dy, dx = -np.ceil(steps * sine - 0.5).astype(np.int64), -np.ceil(steps * cosine - 0.5).astype(np.int64)
    outside = np.flatnonzero((np.abs(dy) >= size[0]) | (np.abs(dx) >= size[1]))
    end = int(outside[0]) if len(outside) else len(steps)
    return Taps(dx[:end], dy[:end], (weight / weight.sum()).astype(np.float32)[:end])


def blur_taps(image: NDArray[np.uint8], taps: Taps) -> NDArray[np.uint8]:
    """Return the weighted sum of moved copies of (H, W, 3) or (H, W), borders continued, fractions cut off."""
    left, top = max(0, int(taps.dx.max())), max(0, int(taps.dy.max()))
    right, bottom = max(0, -int(taps.dx.min())), max(0, -int(taps.dy.min()))
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    channels = image.shape[2] if image.ndim == 3 else 1
    out = np.empty_like(image)
    weights = np.rint(taps.weight * (1 << 16)).astype(np.int32)
    _sum_taps(
        padded.reshape(len(padded), -1), top - taps.dy, (left - taps.dx) * channels, weights,
        out.reshape(len(image), -1),
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _sum_taps(padded, rows, columns, weights, out):  # type: ignore[no-untyped-def]  # numba infers
    total = np.empty(out.shape[1], np.int32)
    for y in range(len(out)):
        total[:] = 1 << 8  # weights are rounded; a grey of 255 stays one
        for k in range(len(weights)):
            line = padded[y + rows[k], columns[k] :]
            weight = weights[k]
            for x in range(len(total)):
                total[x] += weight * np.int32(line[x])
        for x in range(len(total)):
            out[y, x] = np.uint8(min(total[x] >> 16, 255))
