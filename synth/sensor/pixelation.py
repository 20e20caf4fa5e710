"""Pixelation: light averaged over square blocks, as larger sensor cells would; in linear radiance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.radiometry import decode, encode
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
    _average(np.ascontiguousarray(image), rows, columns, out)
    return out


@njit(cache=True)
def _average(image, rows, columns, out):  # type: ignore[no-untyped-def]  # numba infers
    for r in range(len(rows) - 1):
        for s in range(len(columns) - 1):
            area = np.float32((rows[r + 1] - rows[r]) * (columns[s + 1] - columns[s]))
            for c in range(3):
                total = np.float32(0.0)
                for i in range(rows[r], rows[r + 1]):
                    for j in range(columns[s], columns[s + 1]):
                        total += decode(image[i, j, c])
                code = encode(total / area)
                for i in range(rows[r], rows[r + 1]):
                    for j in range(columns[s], columns[s + 1]):
                        out[i, j, c] = code
