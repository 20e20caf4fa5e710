"""Pixelation: light averaged over square blocks, as larger sensor cells would; in linear radiance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.radiometry import decode, encode_near, rows_of
from synth.random import Rng
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable


@dataclass(frozen=True)
class PixelationParams:
    """One drawn block grid: edge in pixels, and where the first block starts, as a share of a block."""

    block_px: float
    phase_x: float
    phase_y: float


@register
@dataclass(frozen=True)
class Pixelation:
    """A sensor with fewer, larger cells."""

    name: ClassVar[str] = "sensor/pixelation"
    family: ClassVar[Family] = "sensor"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "appearance"
    table: ClassVar[SeverityTable] = SeverityTable(
        "block edge",
        "px",
        (2.0, 3.0, 5.0, 8.0, 12.0),
        "an object in blocks of n pixels has the detail of one n times as far away",
    )
    params_type: ClassVar[type[PixelationParams]] = PixelationParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> PixelationParams:
        return PixelationParams(block_px=self.table.at(severity), phase_x=rng.uniform(), phase_y=rng.uniform())

    def apply(self, sample: Sample, params: PixelationParams) -> Sample:
        rows = block_starts(sample.height, params.block_px, params.phase_y)
        columns = block_starts(sample.width, params.block_px, params.phase_x)
        return replace(sample, image=average_blocks(sample.image, rows, columns))


def block_starts(length: int, block_px: float, phase: float) -> NDArray[np.int64]:
    """Return the first pixel of each block along an axis, and the length at the end.

    >>> block_starts(7, 3.0, 0.0).tolist(), block_starts(7, 2.5, 0.4).tolist()
    ([0, 3, 6, 7], [0, 2, 4, 6, 7])
    """
    edges = np.rint(np.arange(1, int(length / block_px) + 3) * block_px - phase * block_px).astype(np.int64)
    inner = np.unique(edges[(edges > 0) & (edges < length)])
    return np.concatenate([[0], inner, [length]])


def average_blocks(image: Image, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Image:
    """Return (H, W, 3) with every block between successive starts at its mean linear light."""
    out = np.empty_like(image, order="C")
    _average(rows_of(np.ascontiguousarray(image)), rows, columns, rows_of(out))
    return out


@njit(cache=True, nogil=True)
def _average(image, rows, columns, out):  # type: ignore[no-untyped-def]  # numba infers
    """Sum the rows of a band of blocks, mean the blocks, write the band's first row and copy it to the others."""
    total = np.empty(image.shape[1], np.float32)
    light, codes = np.empty(3 * (len(columns) - 1), np.float32), np.empty(3 * (len(columns) - 1), np.uint8)
    for r in range(len(rows) - 1):
        first, end = rows[r], rows[r + 1]
        start = first + 1 + (end - first - 1) % 3
        _first_row(image[first], total)
        for i in range(first + 1, start):
            _add_row(image[i], total)
        for i in range(start, end, 3):
            _add_rows(image[i], image[i + 1], image[i + 2], total)
        _mean_blocks(total, columns, end - first, light)
        _encode_row(light, codes)
        _fill_row(codes, columns, out[first])
        for i in range(first + 1, end):
            out[i] = out[first]


@njit(cache=True, nogil=True)
def _first_row(codes, total):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(total.size):
        total[k] = decode(codes[k])


@njit(cache=True, nogil=True)
def _add_row(codes, total):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(total.size):
        total[k] += decode(codes[k])


@njit(cache=True, nogil=True)
def _add_rows(one, two, three, total):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(total.size):
        total[k] += decode(one[k]) + decode(two[k]) + decode(three[k])


@njit(cache=True, nogil=True)
def _mean_blocks(total, columns, height, light):  # type: ignore[no-untyped-def]  # numba infers
    for s in range(len(columns) - 1):
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(columns[s], columns[s + 1]):
            red += total[3 * j]
            green += total[3 * j + 1]
            blue += total[3 * j + 2]
        share = np.float32(1.0) / np.float32(height * (columns[s + 1] - columns[s]))
        light[3 * s], light[3 * s + 1], light[3 * s + 2] = red * share, green * share, blue * share


@njit(cache=True, nogil=True)
def _encode_row(light, codes):  # type: ignore[no-untyped-def]  # numba infers
    for k in range(light.size):
        codes[k] = np.uint8(encode_near(light[k]))


@njit(cache=True, nogil=True)
def _fill_row(codes, columns, out):  # type: ignore[no-untyped-def]  # numba infers
    for s in range(len(columns) - 1):
        red, green, blue = codes[3 * s], codes[3 * s + 1], codes[3 * s + 2]
        for j in range(columns[s], columns[s + 1]):
            out[3 * j] = red
            out[3 * j + 1] = green
            out[3 * j + 2] = blue
