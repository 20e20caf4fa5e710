"""Polygons, run lengths and boxes into masks and back; pycocotools does the rasterising.

A polygon in pixel-corner coordinates (x right, y down, (0, 0) = corner of the first pixel) covers the pixels that
pycocotools says. `mask_polygon` follows pixel edges, and pycocotools rasterises such a polygon back to the same mask,
holes and separate parts included: they hang together by bridges of zero width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from scenes.errors import InputError

Mask = NDArray[np.bool_]  # (H, W)
_FAR = 1e6  # pixels; a vertex farther out is a mistake, and would take the rasteriser minutes


def polygons_mask(polygons: Sequence[Sequence[float]], width: int, height: int, *, owner: str) -> Mask:
    """Return the union of polygons, each x1 y1 x2 y2 ... in pixels."""
    for polygon in polygons:
        if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
            got = f"{len(polygon)} numbers" if isinstance(polygon, list | tuple) else repr(polygon)
            raise InputError(f"{owner}: expected a polygon of at least 3 x y pairs, got {got}")
        if not all(isinstance(v, int | float) and abs(v) < _FAR for v in polygon):
            bad = next(v for v in polygon if not (isinstance(v, int | float) and abs(v) < _FAR))
            raise InputError(f"{owner}: expected finite polygon coordinates in pixels, got {bad!r}")
    if not polygons:
        return np.zeros((height, width), np.bool_)
    runs = coco_mask.frPyObjects([list(map(float, p)) for p in polygons], height, width)
    decoded: Mask = coco_mask.decode(coco_mask.merge(runs)).astype(np.bool_)
    return decoded


def rle_mask(rle: Any, *, owner: str) -> Mask:
    """Return the mask of a COCO run-length encoding: `counts` a list (uncompressed) or a string (compressed)."""
    size, counts = (rle.get("size"), rle.get("counts")) if isinstance(rle, dict) else (None, None)
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(v, int) and v > 0 for v in size)):
        raise InputError(f"{owner}: expected an RLE with size [height, width] and counts, got size {size!r}")
    height, width = int(size[0]), int(size[1])
    if isinstance(counts, list):
        if not all(isinstance(v, int) and v >= 0 for v in counts) or sum(counts) != height * width:
            raise InputError(f"{owner}: expected RLE counts >= 0 that add up to {height * width}, got {_total(counts)}")
        values = np.zeros(len(counts), np.bool_)
        values[1::2] = True
        return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)
    if not isinstance(counts, str | bytes):
        raise InputError(f"{owner}: expected RLE counts as a list or a string, got {type(counts).__name__}")
    try:
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
        runs = _runs(raw)
        if min(runs, default=0) < 0 or sum(runs) != height * width:  # pycocotools checks only that it is not too long
            raise ValueError(f"they add up to {sum(runs)} pixels")
        decoded: Mask = coco_mask.decode({"size": [height, width], "counts": raw}).astype(np.bool_)
    except (ValueError, IndexError) as error:
        raise InputError(f"{owner}: the compressed RLE counts do not fit size {height}x{width}: {error}") from error
    return decoded


def _runs(counts: bytes) -> list[int]:
    """Return the run lengths of a compressed string: 5 bits a letter, from the third on as differences (maskApi.c).

    >>> _runs(coco_mask.encode(np.asfortranarray([[0, 1], [1, 1]], np.uint8))["counts"])
    [1, 3]
    """
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, letter = 0, 0, 0x20
        while letter & 0x20:
            letter = counts[position] - 48
            value |= (letter & 0x1F) << shift
            shift += 5
            position += 1
        if letter & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def mask_rle(mask: Mask) -> dict[str, Any]:
    """Return the compressed COCO run-length encoding of a mask, ready for JSON."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}


def mask_polygon(mask: Mask) -> list[float]:
    """Return one polygon x1 y1 x2 y2 ... along pixel edges that covers exactly the mask; empty for an empty mask."""
    loops = _loops(mask)
    if not loops:
        return []
    first = loops[0][0]
    path: list[tuple[int, int]] = []
    for number, loop in enumerate(loops):
        path += [*loop, loop[0], *([first] if number else [])]
    return [float(v) for point in path for v in point]


def mask_box(mask: Mask) -> tuple[float, float, float, float]:
    """Return the xyxy box around the set pixels, half-open; all zero where none is set."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def checked_box(values: Sequence[Any], *, owner: str, wanted: str) -> tuple[float, float, float, float]:
    """Return four finite numbers as xyxy; raises where one is none or the box is inverted."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    if len(values) != 4 or len(numbers) != 4:
        raise InputError(f"{owner}: expected {wanted} as four finite numbers, got {list(values)!r}")
    x1, y1, x2, y2 = map(float, numbers)
    if x2 < x1 or y2 < y1:
        raise InputError(f"{owner}: expected x1 <= x2 and y1 <= y2, got {[x1, y1, x2, y2]} (the box is inverted)")
    return x1, y1, x2, y2


def _loops(mask: Mask) -> list[list[tuple[int, int]]]:
    """Closed loops of pixel corners around the set pixels and their holes, corners of straight runs only."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    follow: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )  # neighbour, and the edge (x, y) to (x, y) beside it, clockwise around the pixel
    for neighbour, (ax, ay), (bx, by) in sides:
        for y, x in np.argwhere(inner & ~neighbour).tolist():
            follow.setdefault((x + ax, y + ay), []).append((x + bx, y + by))
    loops = []
    while follow:
        start = point = next(iter(follow))
        loop = []
        while True:
            loop.append(point)
            ends = follow[point]
            after = ends.pop()
            if not ends:
                del follow[point]
            point = after
            if point == start:
                break
        loops.append(_corners(loop))
    return loops


def _corners(loop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out the points at which a loop goes straight on."""
    kept = []
    for before, point, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True):
        if (point[0] - before[0], point[1] - before[1]) != (after[0] - point[0], after[1] - point[1]):
            kept.append(point)
    return kept


def _total(counts: list[Any]) -> str:
    return str(sum(counts)) if all(isinstance(v, int) for v in counts) else "values that are no whole numbers"
