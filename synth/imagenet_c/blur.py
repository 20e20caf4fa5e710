"""Defocus, glass, motion, zoom and Gaussian blur on sRGB codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image
from synth.imagenet_c.bits import mix
from synth.imagenet_c.published import Constants, Corruption, published
from synth.imagenet_c.taps import blur_taps, motion_taps
from synth.random import Rng
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class DefocusBlur(Corruption):
    """The mean over a disk, its rim softened."""

    name: ClassVar[str] = "imagenet_c/defocus_blur"
    table: ClassVar[SeverityTable] = published("radius", (3, 4, 6, 8, 10), "px")
    constants: ClassVar = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))  # radius, deviation of the rim, px

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        radius, rim = round(constants[0]), constants[1]
        size = 3 if radius <= 8 else 5
        softened = cv2.GaussianBlur(image, (size, size), rim, borderType=cv2.BORDER_REFLECT_101)
        padded = cv2.copyMakeBorder(softened, radius, radius, radius + 1, radius, cv2.BORDER_REFLECT_101)
        half = np.sqrt(radius**2 - np.arange(-radius, radius + 1) ** 2 + 1e-9).astype(np.int64)
        out = np.empty_like(image)
        mean = _weight(radius, size, rim) / float((2 * half + 1).sum())
        _disk(padded.reshape(len(padded), -1), half, np.float32(mean), out.reshape(len(image), -1))
        return out


@register
@dataclass(frozen=True)
class GlassBlur(Corruption):
    """Pixels taken from near by at random between two Gaussian blurs.

    The published code means to swap pixels but copies them, for it swaps views; so does this.
    """

    name: ClassVar[str] = "imagenet_c/glass_blur"
    table: ClassVar[SeverityTable] = published("standard deviation of the blur", (0.7, 0.9, 1, 1.1, 1.5), "px")
    # deviation of the blur (px), farthest step (px), passes
    constants: ClassVar = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        shuffled = gaussian(image, constants[0]).copy()
        for turn in range(round(constants[2])):
            _pull(shuffled, round(constants[1]), np.uint64(Rng(seed, "glass", turn).seed()))
        return gaussian(shuffled, constants[0])


@register
@dataclass(frozen=True)
class MotionBlur(Corruption):
    """A trail that fades to one side, in a direction within 45 degrees of the horizontal."""

    name: ClassVar[str] = "imagenet_c/motion_blur"
    table: ClassVar[SeverityTable] = published("standard deviation of the trail", (3, 5, 8, 12, 15), "px")
    constants: ClassVar = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))  # half length, deviation, px

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        angle = Rng(seed, "angle").uniform(-45, 45)
        return blur_taps(image, motion_taps(round(constants[0]), constants[1], angle, (image.shape[0], image.shape[1])))


@register
@dataclass(frozen=True)
class ZoomBlur(Corruption):
    """The mean of the picture and of ever closer zooms into it."""

    name: ClassVar[str] = "imagenet_c/zoom_blur"
    table: ClassVar[SeverityTable] = published("closest zoom", (1.1, 1.15, 1.2, 1.24, 1.3))
    # end of the zooms (not reached), step
    constants: ClassVar = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        zooms = np.arange(1, constants[0], constants[1])
        total = 2 * image.astype(np.uint16)  # the picture itself, and the first zoom, which is 1
        for zoom in zooms[1:]:
            cv2.add(total, _zoomed(image, float(zoom)), dst=total, dtype=cv2.CV_16U)
        out = np.empty_like(image)
        _divide(total.reshape(-1), len(zooms) + 1, out.reshape(-1))
        return out


@register
@dataclass(frozen=True)
class GaussianBlur(Corruption):
    """Gaussian blur."""

    name: ClassVar[str] = "imagenet_c/gaussian_blur"
    table: ClassVar[SeverityTable] = published("standard deviation", (1, 2, 3, 4, 6), "px")
    constants: ClassVar = ((1.0,), (2.0,), (3.0,), (4.0,), (6.0,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        return gaussian(image, constants[0])


def _weight(radius: int, size: int, rim: float) -> float:
    """Return the sum of the published kernel: softening its rim at the array's edge makes the larger ones gain 1 %."""
    reach = max(radius, 8)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (x**2 + y**2 <= radius**2).astype(np.float32)
    return float(cv2.GaussianBlur(kernel / kernel.sum(), (size, size), rim).sum())


def gaussian(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Return a Gaussian blur cut off at four deviations, the border continued."""
    size = 2 * int(4 * sigma + 0.5) + 1
    blurred: NDArray[np.uint8] = cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred


def zoom_matrix(size: int, zoom: float) -> tuple[float, float]:
    """Return scale and offset from new to old pixel centres of one axis: the first and last centres stay."""
    cut = int(np.ceil(size / zoom))
    start, made = (size - cut) // 2, round(cut * zoom)
    return (cut - 1) / max(made - 1, 1), float(start)


def _zoomed(image: Image, zoom: float) -> Image:
    (sy, oy), (sx, ox) = zoom_matrix(image.shape[0], zoom), zoom_matrix(image.shape[1], zoom)
    matrix = np.array([[sx, 0, ox], [0, sy, oy]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    zoomed: Image = cv2.warpAffine(image, matrix, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return zoomed


@njit(cache=True, nogil=True)
def _divide(total, by, out):  # type: ignore[no-untyped-def]  # numba infers: (K,) uint16 -> uint8
    factor = np.float32(1.0 / by)
    for i in range(total.size):
        out[i] = np.uint8(np.int32((np.float32(total[i]) + np.float32(0.01)) * factor))


@njit(cache=True, nogil=True)
def _disk(padded, half, scale, out):  # type: ignore[no-untyped-def]  # numba infers
    """Sum over a disk: (R + 2r, 3 (C + 2r + 1)) -> (R, 3 C); each of its rows is a difference of running sums.

    half: (2r + 1,) half widths of the disk's rows; scale: what a sum is multiplied by
    """
    _rows, values = out.shape
    radius = len(half) // 2
    sums = np.zeros((2 * radius + 1, padded.shape[1]), np.int32)  # of the last rows, turn by turn
    total = np.empty(values, np.int32)
    for y in range(len(padded)):
        line = sums[y % (2 * radius + 1)]
        line[0] = line[1] = line[2] = 0
        for k in range(3, padded.shape[1]):
            line[k] = line[k - 3] + padded[y, k]
        top = y - 2 * radius
        if top < 0:
            continue
        total[:] = 0
        for d in range(2 * radius + 1):
            line = sums[(top + d) % (2 * radius + 1)]
            right = line[3 * (radius + 1 + half[d]) :]
            left = line[3 * (radius - half[d]) :]
            for k in range(values):
                total[k] += right[k] - left[k]
        for k in range(values):
            out[top, k] = np.uint8(np.int32(min(np.float32(total[k]) * scale, np.float32(255))))


@njit(cache=True, nogil=True)
def _pull(image, farthest, seed):  # type: ignore[no-untyped-def]  # numba infers
    """Give each pixel of (R, C, 3) the value of one up to `farthest` away, from the last to the first, in place."""
    rows, columns = image.shape[:2]
    span = np.uint64(2 * farthest)
    for y in range(rows - farthest, farthest, -1):
        for x in range(columns - farthest, farthest, -1):
            bits = mix(seed, y * columns + x)
            dx = np.int64((bits & np.uint64(0xFFFF)) % span) - farthest
            dy = np.int64(((bits >> np.uint64(16)) & np.uint64(0xFFFF)) % span) - farthest
            for c in range(3):
                image[y, x, c] = image[y + dy, x + dx, c]
