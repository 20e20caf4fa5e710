"""Large pictures in overlapping tiles: where they lie, and how much each counts where they overlap."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image

Pixels = NDArray[np.float32]


def tiled(image: Image, run: Callable[[Image], Pixels], *, sides: tuple[int, int], overlap: int, step: int) -> Pixels:
    """Return (H, W, 3) of `run` over tiles of at most `sides` (h, w) that begin at multiples of `step`."""
    height, width = image.shape[:2]
    total = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    spans = (_spans(length, side, overlap, step) for length, side in zip((height, width), sides, strict=True))
    for rows, columns in itertools.product(*spans):
        ramp = np.minimum.outer(_ramp(rows, height, overlap), _ramp(columns, width, overlap))[..., None]
        total[rows, columns] += ramp * run(image[rows, columns])
        weights[rows, columns] += ramp
    return total / weights


def _spans(length: int, side: int, overlap: int, step: int) -> Iterator[slice]:
    """Yield overlapping pieces of a length, evenly spread, that begin where a network's grid of `step` does."""
    count = max(1, -(-(length - overlap) // max(1, side - overlap - step)))
    for start in np.linspace(0, max(length - side, 0), count):
        first = -(-int(np.ceil(start)) // step) * step if start else 0
        yield slice(first, min(first + side, length))


def _ramp(piece: slice, length: int, overlap: int) -> Pixels:
    """Return weights over a piece: rising in the inner half of the overlap, next to none beside an inner border."""
    count = piece.stop - piece.start
    place = np.arange(count, dtype=np.float32) + 0.5
    weight = np.ones(count, np.float32)
    for inner, distance in ((piece.start > 0, place), (piece.stop < length, count - place)):
        if inner:
            weight = np.minimum(weight, np.clip(2 * distance / max(overlap, 1) - 0.5, 1e-6, 1))
    return np.asarray(weight, np.float32)
