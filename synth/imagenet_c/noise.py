"""Gaussian, shot, impulse and speckle noise on sRGB codes. Every channel of every pixel has its own number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import pdtr

from scenes.sample import Image
from synth.imagenet_c.bits import LEVELS, NORMAL, level, mix
from synth.imagenet_c.published import Constants, Corruption, published
from synth.registry import register
from synth.shift import SeverityTable


@register
@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """Normal noise added to every channel."""

    name: ClassVar[str] = "imagenet_c/gaussian_noise"
    table: ClassVar[SeverityTable] = published("standard deviation", (0.08, 0.12, 0.18, 0.26, 0.38), "of white")
    constants: ClassVar = ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        out = np.empty_like(image)
        scaled = NORMAL * np.float32(255 * constants[0])
        _add(image.reshape(-1, 3), scaled, np.uint64(seed), out.reshape(-1, 3))
        return out


@register
@dataclass(frozen=True)
class ShotNoise(Corruption):
    """Poisson noise as of so many photons at white."""

    name: ClassVar[str] = "imagenet_c/shot_noise"
    table: ClassVar[SeverityTable] = published("photons at white", (60, 25, 12, 5, 3))
    constants: ClassVar = ((60.0,), (25.0,), (12.0,), (5.0,), (3.0,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        out = np.empty_like(image)
        _look_up(image.reshape(-1, 3), _poisson(constants[0]), np.uint64(seed), out.reshape(-1, 3))
        return out


@register
@dataclass(frozen=True)
class ImpulseNoise(Corruption):
    """Salt and pepper: a share of all values becomes black or white."""

    name: ClassVar[str] = "imagenet_c/impulse_noise"
    table: ClassVar[SeverityTable] = published("share of values", (0.03, 0.06, 0.09, 0.17, 0.27))
    constants: ClassVar = ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        out = np.empty_like(image)
        threshold = np.uint64(round(constants[0] * (1 << 16)))
        _salt_and_pepper(image.reshape(-1, 3), threshold, np.uint64(seed), out.reshape(-1, 3))
        return out


@register
@dataclass(frozen=True)
class SpeckleNoise(Corruption):
    """Normal noise in proportion to the value."""

    name: ClassVar[str] = "imagenet_c/speckle_noise"
    table: ClassVar[SeverityTable] = published("standard deviation", (0.15, 0.2, 0.35, 0.45, 0.6), "of the value")
    constants: ClassVar = ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,))

    def corrupt(self, image: Image, constants: Constants, seed: int) -> Image:
        out = np.empty_like(image)
        factors = np.float32(1.0) + NORMAL * np.float32(constants[0])
        _multiply(image.reshape(-1, 3), factors, np.uint64(seed), out.reshape(-1, 3))
        return out


@lru_cache(maxsize=8)
def _poisson(photons: float) -> NDArray[np.uint8]:
    """Return (256, 4096) codes: for each code the quantiles of what so many photons at white make of it."""
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    counts = np.arange(int(photons + 8 * np.sqrt(photons) + 10))
    codes = np.minimum(255.0 * counts / photons, 255.0).astype(np.uint8)
    cumulative = pdtr(counts[None, :], np.arange(256)[:, None] / 255.0 * photons)
    found = [codes[np.minimum(np.searchsorted(row, levels), len(codes) - 1)] for row in cumulative]
    return np.array(found, np.uint8)


@njit(cache=True, nogil=True)
def _add(image, scaled, seed, out):  # type: ignore[no-untyped-def]  # numba infers: (P, 3) uint8, (4096,) float32
    for i in range(len(image)):
        bits = mix(seed, i)
        for c in range(3):
            value = np.float32(image[i, c]) + scaled[level(bits, c)]
            out[i, c] = np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))


@njit(cache=True, nogil=True)
def _multiply(image, factors, seed, out):  # type: ignore[no-untyped-def]  # numba infers: (P, 3) uint8, (4096,) float32
    for i in range(len(image)):
        bits = mix(seed, i)
        for c in range(3):
            value = np.float32(image[i, c]) * factors[level(bits, c)]
            out[i, c] = np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))


@njit(cache=True, nogil=True)
def _look_up(image, table, seed, out):  # type: ignore[no-untyped-def]  # numba infers: (P, 3) uint8, (256, 4096) uint8
    for i in range(len(image)):
        bits = mix(seed, i)
        for c in range(3):
            out[i, c] = table[image[i, c], level(bits, c)]


@njit(cache=True, nogil=True)
def _salt_and_pepper(image, threshold, seed, out):  # type: ignore[no-untyped-def]  # numba infers
    for i in range(len(image)):
        bits = mix(seed, i)
        for c in range(3):
            hit = ((bits >> np.uint64(16 * c)) & np.uint64(0xFFFF)) < threshold
            salt = (bits >> np.uint64(48 + c)) & np.uint64(1)
            out[i, c] = np.uint8(255 * salt) if hit else image[i, c]
