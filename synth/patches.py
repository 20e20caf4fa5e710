"""Wide holes filled with texture from beside them: PatchMatch completion (Barnes et al. 2009, Wexler et al. 2007).

From coarse to fine, each patch that touches the hole looks for the most similar patch of the background; each pixel of
the hole becomes the weighted mean of what its patches found. Roads, kerbs, fronts and the sky go on sideways rather
than up or down, so a source in another row costs extra. The last doubling of resolution copies pixels along the
offsets found, which keeps them sharp. All choices are made by a fixed sequence: the same input gives the same bytes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image
from synth.regions import Mask

Values = NDArray[np.float32]

_RADIUS = 2  # patches are 5 x 5 pixels of a level
_COARSEST_PX = 3.0  # half width of a hole at the first level
_ROUNDS = 4  # of search and mean at the first level, half as many at the others
_NEAR_PX = 8  # how far from what the coarser level found the others search
_SIDEWAYS = 500.0  # squared codes that a source pays one hole's height above or below
_HELD = 0.1  # weight of a pixel's departure from the smooth fill beside that of its patch
_LEAST_SOURCES = 12
_LARGE_PX = 16000  # holes of more pixels are searched no finer than at a quarter of the size


def complete(image: Image, hole: Mask, source: Mask, first: Values) -> Values | None:
    """Return (H, W, 3) colours of the hole (H, W), others as they are; None where the source holds no whole patch.

    source: (H, W) pixels that may be copied; first: (H, W, 3) a smooth fill to begin with
    """
    reach = float(cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3).max())
    levels = max(1, int(np.ceil(np.log2(max(reach / _COARSEST_PX, 1.0)))))
    rows = np.flatnonzero(hole.any(axis=1))
    height = float(rows[-1] - rows[0] + 1)
    known = np.where(hole[..., None], first, image).astype(np.float32)
    finest = min(levels, 2) if np.count_nonzero(hole) > _LARGE_PX else 1
    found: NDArray[np.int32] | None = None
    for level, (colours, inside, usable) in reversed(_pyramid(known, hole, source, levels)[finest - 1 :]):
        targets, field = _start(inside, usable, found)
        anchor = colours.copy()
        _mean(colours, inside, targets, field, np.zeros(inside.shape, np.float32))
        penalty = _SIDEWAYS * (2**level / height) ** 2
        rounds, farthest = (_ROUNDS, max(inside.shape)) if found is None else (_ROUNDS // 2, _NEAR_PX)
        _search_and_mean(colours, anchor, inside, usable, targets, field, np.float32(penalty), rounds, farthest)
        found, scale = field, 2**level
    if found is None:
        return None
    out = first.copy()
    _copy(known, hole, source, found, scale, out)
    return out


Level = tuple[Values, Mask, Mask]  # (h, w, 3) picture, (h, w) hole, (h, w) centres of patches wholly in the source


def _pyramid(known: Values, hole: Mask, source: Mask, levels: int) -> list[tuple[int, Level]]:
    """Return levels 1 (half the size), 2, ... with their numbers, as long as the source holds whole patches."""
    out: list[tuple[int, Level]] = []
    kernel = np.ones((2 * _RADIUS + 1, 2 * _RADIUS + 1), np.uint8)
    colours, inside, whole = known, hole.astype(np.uint8), source.astype(np.uint8)
    for level in range(1, levels + 1):
        height, width = inside.shape
        if min(height, width) < 4 * _RADIUS + 2:
            break
        odd = (0, height % 2, 0, width % 2)
        colours, inside, whole = (cv2.copyMakeBorder(a, *odd, cv2.BORDER_REPLICATE) for a in (colours, inside, whole))
        size = (inside.shape[1] // 2, inside.shape[0] // 2)
        colours = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
        corners = (np.s_[0::2, 0::2], np.s_[0::2, 1::2], np.s_[1::2, 0::2], np.s_[1::2, 1::2])
        inside = inside[corners[0]] | inside[corners[1]] | inside[corners[2]] | inside[corners[3]]
        whole = whole[corners[0]] & whole[corners[1]] & whole[corners[2]] & whole[corners[3]]
        centres = cv2.erode(whole, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        if np.count_nonzero(centres) < _LEAST_SOURCES:
            break
        out.append((level, (colours.copy(), inside > 0, centres)))
    return out


def _start(
    inside: Mask, usable: Mask, coarser: NDArray[np.int32] | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (K, 2) target pixels, row by row, and (h, w, 2) the source y x of each, -1 elsewhere.

    First sources are those of the coarser level, where they still are, else the nearest of the same row, else any.
    """
    kernel = np.ones((2 * _RADIUS + 1, 2 * _RADIUS + 1), np.uint8)
    wanted = cv2.dilate(inside.astype(np.uint8), kernel) > 0
    targets = np.argwhere(wanted).astype(np.int32)
    field = np.full((*inside.shape, 2), -1, np.int32)
    y, x = targets.T
    sources = np.argwhere(usable)
    step = (np.arange(len(targets)) * 7919) % len(sources)
    guess = _mirrored(targets, usable, sources[step].astype(np.int32))
    if coarser is not None:
        half_y, half_x = np.minimum(y // 2, coarser.shape[0] - 1), np.minimum(x // 2, coarser.shape[1] - 1)
        old = coarser[half_y, half_x]
        fine = np.stack([2 * old[:, 0] + (y - 2 * half_y), 2 * old[:, 1] + (x - 2 * half_x)], axis=1)
        fine = np.minimum(fine, np.array(inside.shape) - 1)
        good = (old[:, 0] >= 0) & usable[np.maximum(fine[:, 0], 0), np.maximum(fine[:, 1], 0)]
        guess = np.where(good[:, None], fine, guess).astype(np.int32)
    field[y, x] = guess
    return targets, field


def _mirrored(targets: NDArray[np.int32], usable: Mask, otherwise: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return (K, 2) sources as far beyond the nearer end of the hole's row as a target (K, 2) is before it."""
    width = usable.shape[1]
    columns = np.broadcast_to(np.arange(width), usable.shape)
    left = np.maximum.accumulate(np.where(usable, columns, -width), axis=1)
    right = np.minimum.accumulate(np.where(usable, columns, 2 * width)[:, ::-1], axis=1)[:, ::-1]
    y, x = targets.T
    a, b = left[y, x], right[y, x]
    first, second = np.where(x - a <= b - x, 2 * a - x, 2 * b - x), np.where(x - a <= b - x, a, b)
    guess = otherwise.copy()
    for columns_of in (second, first):
        inside = (columns_of >= 0) & (columns_of < width)
        good = inside & usable[y, np.clip(columns_of, 0, width - 1)]
        guess[good] = np.stack([y, columns_of], axis=1)[good]
    return guess


@njit(cache=True, nogil=True)
def _search_and_mean(colours, anchor, inside, usable, targets, field, penalty, rounds, farthest):  # type: ignore[no-untyped-def]  # numba
    """Improve field (h, w, 2) and the hole's colours (h, w, 3), both in place."""
    height, width = inside.shape
    cost = np.zeros((height, width), np.float32)
    state = np.int64(2463534242)
    for _ in range(rounds):
        for k in range(len(targets)):
            y, x = targets[k, 0], targets[k, 1]
            cost[y, x] = _cost(colours, anchor, y, x, field[y, x, 0], field[y, x, 1], penalty, np.float32(1e30))
        for sweep in range(2):
            step = 1 if sweep == 0 else -1
            for index in range(len(targets)):
                k = index if sweep == 0 else len(targets) - 1 - index
                y, x = targets[k, 0], targets[k, 1]
                for side in range(2):
                    i, j = (y - step, x) if side == 0 else (y, x - step)
                    if i < 0 or j < 0 or i >= height or j >= width or field[i, j, 0] < 0:
                        continue
                    _take(
                        colours,
                        anchor,
                        usable,
                        field,
                        cost,
                        y,
                        x,
                        field[i, j, 0] + y - i,
                        field[i, j, 1] + x - j,
                        penalty,
                    )
                reach = farthest
                while reach >= 1:
                    state = (state * 1664525 + 1013904223) & 0xFFFFFFFF  # Numerical Recipes' generator
                    low, high = (state >> 8) & 0xFFF, state >> 20
                    up = max(reach // 4, 1)
                    i = field[y, x, 0] + low % (2 * up + 1) - up
                    j = field[y, x, 1] + high % (2 * reach + 1) - reach
                    _take(colours, anchor, usable, field, cost, y, x, i, j, penalty)
                    reach //= 2
        _mean(colours, inside, targets, field, cost)


@njit(cache=True, nogil=True, inline="always")
def _take(colours, anchor, usable, field, cost, y, x, i, j, penalty):  # type: ignore[no-untyped-def]  # numba infers
    """Let the patch at y x come from i j if that is better."""
    if 0 <= i < usable.shape[0] and 0 <= j < usable.shape[1] and usable[i, j]:
        found = _cost(colours, anchor, y, x, i, j, penalty, cost[y, x])
        if found < cost[y, x]:
            cost[y, x] = found
            field[y, x, 0], field[y, x, 1] = i, j


@njit(cache=True, nogil=True)
def _cost(colours, anchor, y, x, i, j, penalty, limit):  # type: ignore[no-untyped-def]  # numba infers
    """Return the mean squared difference of two patches, codes^2, and what the way between their rows costs."""
    height, width = colours.shape[0], colours.shape[1]
    total = penalty * np.float32((y - i) * (y - i))
    for c in range(3):
        off = anchor[y, x, c] - colours[i, j, c]
        total += np.float32(_HELD / 3) * off * off
    share = np.float32(1.0 / (3 * (2 * _RADIUS + 1) ** 2))
    for a in range(-_RADIUS, _RADIUS + 1):
        row = min(max(y + a, 0), height - 1)
        for b in range(-_RADIUS, _RADIUS + 1):
            column = min(max(x + b, 0), width - 1)
            for c in range(3):
                d = colours[row, column, c] - colours[i + a, j + b, c]
                total += share * d * d
        if total >= limit:
            return total
    return total


@njit(cache=True, nogil=True)
def _mean(colours, inside, targets, field, cost):  # type: ignore[no-untyped-def]  # numba infers
    """Give each pixel of the hole the mean of what the patches over it found, the better ones counting more."""
    height, width = inside.shape
    for k in range(len(targets)):
        y, x = targets[k, 0], targets[k, 1]
        if not inside[y, x]:
            continue
        total = np.float32(0.0)
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for a in range(-_RADIUS, _RADIUS + 1):
            for b in range(-_RADIUS, _RADIUS + 1):
                i, j = y + a, x + b
                if i < 0 or j < 0 or i >= height or j >= width or field[i, j, 0] < 0:
                    continue
                weight = np.float32(1.0) / (cost[i, j] + np.float32(4.0))
                p, q = field[i, j, 0] - a, field[i, j, 1] - b
                total += weight
                red += weight * colours[p, q, 0]
                green += weight * colours[p, q, 1]
                blue += weight * colours[p, q, 2]
        if total > 0:
            colours[y, x, 0], colours[y, x, 1], colours[y, x, 2] = red / total, green / total, blue / total


@njit(cache=True, nogil=True)
def _copy(known, hole, source, field, scale, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out (H, W, 3) in the hole along the offsets of a level `scale` times smaller, between four of its pixels."""
    height, width = hole.shape
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            v, u = (y + 0.5) / scale - 0.5, (x + 0.5) / scale - 0.5
            i0, j0 = int(np.floor(v)), int(np.floor(u))
            total = np.float32(0.0)
            red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for i in range(i0, i0 + 2):
                for j in range(j0, j0 + 2):
                    if i < 0 or j < 0 or i >= field.shape[0] or j >= field.shape[1] or field[i, j, 0] < 0:
                        continue
                    p, q = y + scale * (field[i, j, 0] - i), x + scale * (field[i, j, 1] - j)
                    if p < 0 or q < 0 or p >= height or q >= width or not source[p, q]:
                        continue
                    weight = np.float32((1.0 - abs(v - i)) * (1.0 - abs(u - j)))
                    weight *= weight
                    total += weight
                    red += weight * known[p, q, 0]
                    green += weight * known[p, q, 1]
                    blue += weight * known[p, q, 2]
            if total > 0:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = red / total, green / total, blue / total
