"""Which Gaussians each tile of 16 x 16 pixels has to look at, nearest first.

A tile gets a Gaussian where gsplat 1.4 gives it one (the square of its radius touches the tile) and, of those, only
where its opacity reaches 1/255 somewhere in the tile: elsewhere the compositor would skip every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.splats.threads import count, each, split

Array = NDArray[Any]
TILE = 16
FLAT = 8  # columns of `Tiles.flat`
MARGIN = 0.02  # pixels, for rounding


@dataclass(frozen=True, eq=False)
class Tiles:
    """What one camera has to composite; M Gaussians in view, nearest first.

    order:   (M,) index of each into the N Gaussians
    flat:    (M, 8) mean x, y, conic xx, xy, yy, opacity, half height (pixels), unused
    starts:  (T + 1,) where the list of each tile begins, tiles row by row
    entries: rows of `flat`, tile after tile
    """

    order: NDArray[np.int64]
    flat: Array
    starts: NDArray[np.int64]
    entries: NDArray[np.int32]
    columns: int
    rows: int


def depth_order(radii: Array, depths: Array) -> NDArray[np.int64]:
    """Return the indices of the Gaussians in view, nearest first; equals stay in their order."""
    seen = np.flatnonzero(radii > 0)
    near = depths[seen]
    if near.dtype != np.float32 or len(radii) >= 2**32:
        return seen[np.argsort(near, kind="stable")]
    keys = near.view(np.uint32).astype(np.uint64) << np.uint64(32)  # depths are positive: bits sort as numbers do
    keys |= seen.astype(np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def flatten_kernel(
    first: int, last: int,
    order: Array, radii: Array, means2d: Array, conics: Array, opacities: Array,
    columns: int, rows: int,
    flat: Array, spans: Array,  # out: (M, 8), and (M, 4) first and last tile column and row, half-open
) -> None:  # fmt: skip
    """Gather what the compositor reads, in depth order, and the tiles that may matter."""
    for m in range(first, last):
        n = order[m]
        x, y, a, b, c = means2d[n, 0], means2d[n, 1], conics[n, 0], conics[n, 1], conics[n, 2]
        reach = 2 * math.log(max(255.0 * opacities[n], 1e-30))
        det = a * c - b * b
        wide = math.sqrt(max(reach * c / det, 0.0)) + MARGIN
        high = math.sqrt(max(reach * a / det, 0.0)) + MARGIN
        flat[m, 0], flat[m, 1], flat[m, 2], flat[m, 3], flat[m, 4] = x, y, a, b, c
        flat[m, 5], flat[m, 6], flat[m, 7] = opacities[n], high, 0
        half_x, half_y = min(wide, radii[n]), min(high, radii[n])
        spans[m, 0] = min(max(math.floor((x - half_x) / TILE), 0), columns)
        spans[m, 1] = min(max(math.ceil((x + half_x) / TILE), 0), columns)
        spans[m, 2] = min(max(math.floor((y - half_y) / TILE), 0), rows)
        spans[m, 3] = min(max(math.ceil((y + half_y) / TILE), 0), rows)
        if reach <= 0:
            spans[m, 1] = spans[m, 0]


@njit(cache=True, nogil=True, error_model="numpy")
def _columns_of(m: int, row: int, flat: Array, spans: Array) -> Any:
    """Return the half-open tile columns that the ellipse of opacity 1/255 touches in one row of tiles."""
    x, y, a, b, c = flat[m, 0], flat[m, 1], flat[m, 2], flat[m, 3], flat[m, 4]
    reach = 2 * math.log(255.0 * flat[m, 5])
    low, high = row * TILE + 0.5 - y, row * TILE + TILE - 0.5 - y
    tip = -b * math.sqrt(max(reach / (c * (a * c - b * b)), 0.0))  # y where the ellipse reaches furthest right
    right_y, left_y = min(max(tip, low), high), min(max(-tip, low), high)
    right_root = right_y * right_y * (b * b - a * c) + a * reach
    left_root = left_y * left_y * (b * b - a * c) + a * reach
    slack = 1e-3 * a * reach + a * a * MARGIN
    if right_root < -slack and left_root < -slack:
        return 0, 0
    right = x + (math.sqrt(max(right_root, 0.0)) - b * right_y) / a + MARGIN
    left = x - (math.sqrt(max(left_root, 0.0)) + b * left_y) / a - MARGIN
    first = max(spans[m, 0], np.int64(math.floor((left - 0.5) / TILE)))
    last = min(spans[m, 1], np.int64(math.floor((right - 0.5) / TILE)) + 1)
    return first, last


@njit(cache=True, nogil=True, error_model="numpy")
def count_kernel(top: int, bottom: int, flat: Array, spans: Array, columns: int, counts: Array) -> None:
    """Count the Gaussians of each tile in rows `top` to `bottom`."""
    for m in range(len(flat)):
        if spans[m, 1] <= spans[m, 0]:
            continue
        for row in range(max(spans[m, 2], top), min(spans[m, 3], bottom)):
            first, last = _columns_of(m, row, flat, spans)
            for column in range(first, last):
                counts[row * columns + column] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def fill_kernel(top: int, bottom: int, flat: Array, spans: Array, columns: int, heads: Array, entries: Array) -> None:
    """Write the Gaussians of each tile in rows `top` to `bottom`; `heads` moves along."""
    for m in range(len(flat)):
        if spans[m, 1] <= spans[m, 0]:
            continue
        for row in range(max(spans[m, 2], top), min(spans[m, 3], bottom)):
            first, last = _columns_of(m, row, flat, spans)
            for column in range(first, last):
                tile = row * columns + column
                entries[heads[tile]] = m
                heads[tile] += 1


def lay_out(
    radii: Array, means2d: Array, depths: Array, conics: Array, opacities: Array, *, width: int, height: int
) -> Tiles:
    """Sort the Gaussians of one camera by depth and into tiles."""
    columns, rows = -(-width // TILE), -(-height // TILE)
    order = depth_order(radii, depths)
    flat = np.empty((len(order), FLAT), means2d.dtype)
    spans = np.empty((len(order), 4), np.int64)
    each(flatten_kernel, split(len(order)), order, radii, means2d, conics, opacities, columns, rows, flat, spans)
    parts = min(count(), rows) if len(order) > 2048 else 1
    bands = [(rows * i // parts, rows * (i + 1) // parts) for i in range(parts)]
    counts = np.zeros(columns * rows, np.int64)
    each(count_kernel, bands, flat, spans, columns, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    entries = np.empty(int(starts[-1]), np.int32)
    each(fill_kernel, bands, flat, spans, columns, starts[:-1].copy(), entries)
    return Tiles(order, flat, starts, entries, columns, rows)
