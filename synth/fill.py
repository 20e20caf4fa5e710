"""Fill what was hidden: holes take colour and grain from the background beside them, never from what stood in front."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image
from synth.patches import complete
from synth.regions import Mask

Values = NDArray[np.float32]
_WIDE_PX = 4.0  # half width from which on a hole shows that it has no texture


def fill_background(
    image: Image,
    hole: Mask,
    inverse_depth: NDArray[np.float32] | None = None,
    *,
    avoid: Mask | None = None,
    texture: bool = False,
) -> Image:
    """Return the picture (H, W, 3) with its hole (H, W) filled.

    inverse_depth: (H, W) 1/m; what is much nearer than the background beside a hole gives nothing to it
    avoid:         (H, W) pixels of objects, which must not be continued into a hole
    texture:       wide holes get whole patches of the background instead of a smooth colour with grain
    """
    if not hole.any() or hole.all():
        return image
    source = ~hole if avoid is None else ~hole & ~avoid
    out = image.copy()
    for y1, y2, x1, x2 in _windows(hole, wide=texture):
        part = np.s_[y1:y2, x1:x2]
        inside, from_here = hole[part], source[part]
        if inverse_depth is not None:
            from_here = from_here & _behind(from_here, inside, inverse_depth[part])
        if not from_here.any():
            from_here = ~inside
        weight = from_here.astype(np.float32)
        smooth = _smooth(image[part], weight)
        patches = _patched(image[part], inside, from_here, smooth) if texture else None
        if patches is not None:
            out[part][inside] = patches[inside]
            continue
        fine = _grain(image[part], weight, inside, smooth)
        out[part][inside] = np.clip(smooth[inside] + fine + 0.5, 0, 255).astype(np.uint8)
    return out


def _patched(image: Image, hole: Mask, source: Mask, smooth: Values) -> Image | None:
    """Return a picture (h, w, 3) with patches in its hole that meet its edge in tone; None where none can be had."""
    if cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3).max() < _WIDE_PX:
        return None
    first = _across(image, hole, source, smooth)
    copied = complete(image, hole, source, first)
    if copied is None:
        return None
    return np.clip(copied + 0.5, 0, 255).astype(np.uint8)


def _across(image: Image, hole: Mask, source: Mask, smooth: Values) -> Values:
    """Return (h, w, 3) what is left and right of a hole carried across it, row by row; smooth where a row has neither.

    Streets go on sideways: the horizon, a kerb and the foot of a front keep their rows, roughly.
    """
    steady = cv2.blur(smooth, (5, 3))
    width = hole.shape[1]
    columns = np.broadcast_to(np.arange(width), hole.shape)
    left = np.maximum.accumulate(np.where(source, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(source, columns, width)[:, ::-1], axis=1)[:, ::-1]
    y, x = np.nonzero(hole)
    a, b = left[y, x], right[y, x]
    near_a, near_b = (np.where(ok, 1.0 / np.maximum(d, 1), 0.0) for ok, d in ((a >= 0, x - a), (b < width, b - x)))
    share = (near_b**2 / np.maximum(near_a**2 + near_b**2, 1e-12)).astype(np.float32)[:, None]
    colour = steady[y, np.maximum(a, 0)] * (1 - share) + steady[y, np.minimum(b, width - 1)] * share
    first = smooth.copy()
    told = near_a + near_b > 0
    first[y[told], x[told]] = colour[told]
    return first


def _smooth(image: Image, weight: Values) -> Values:
    """Fill at half the resolution: what is made up is smooth anyway."""
    height, width = weight.shape
    if min(height, width) < 4:
        return push_pull(image.astype(np.float32), weight)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(image * weight[..., None], half, interpolation=cv2.INTER_AREA)
    coarse /= np.maximum(coarse_weight, 1e-6)[..., None]
    filled = push_pull(coarse, np.minimum(coarse_weight * 4, 1.0))
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)


def push_pull(values: Values, weight: Values) -> Values:
    """Fill pixels of weight 0 from the nearest scale at which something is known (Gortler et al. 1996).

    values: (h, w, C); weight: (h, w) in [0, 1]. Known pixels keep their value.
    """
    height, width = weight.shape
    if height * width <= 4 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = (values * weight[..., None]).sum(axis=(0, 1)) / total
        return np.where(weight[..., None] > 0, values, mean).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight[..., None], half, interpolation=cv2.INTER_AREA)
    coarse = coarse.reshape(half[1], half[0], -1) / np.maximum(coarse_weight, 1e-6)[..., None]
    coarse = push_pull(coarse, np.minimum(coarse_weight * 4, 1.0))
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
    mixed: Values = weight[..., None] * values + (1 - weight[..., None]) * fine
    return mixed


def _behind(source: Mask, hole: Mask, inverse_depth: NDArray[np.float32]) -> Mask:
    """Return pixels that are not in front of what a hole shows: of both ends of its row, the farther one."""
    sides = _farther_end(source, inverse_depth)
    ends = _farther_end(source.T, inverse_depth.T).T
    expected = np.where(np.isfinite(sides), sides, ends)
    told = hole & np.isfinite(expected)
    if not told.any():
        return source
    field = _smooth_field(np.where(told, expected, np.float32(0)), told.astype(np.float32))
    behind: Mask = inverse_depth <= 1.3 * field + 0.006
    return behind


def _farther_end(source: Mask, inverse_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (h, w) the smaller inverse depth of the nearest source pixels left and right; inf where there is none."""
    width = source.shape[1]
    columns = np.arange(width)
    left = np.maximum.accumulate(np.where(source, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(source, columns, width)[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(len(source))[:, None]
    values = np.pad(inverse_depth, ((0, 0), (1, 1)), constant_values=np.inf)
    return np.minimum(values[rows, left + 1], values[rows, right + 1])


def _smooth_field(values: NDArray[np.float32], weight: Values) -> NDArray[np.float32]:
    """Fill (h, w) values at a quarter of the resolution."""
    height, width = values.shape
    small = (max(1, width // 4), max(1, height // 4))
    coarse_weight = cv2.resize(weight, small, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight, small, interpolation=cv2.INTER_AREA) / np.maximum(coarse_weight, 1e-6)
    filled = push_pull(coarse[..., None], np.minimum(coarse_weight * 4, 1.0))[..., 0]
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)


def _windows(hole: Mask, *, wide: bool) -> list[tuple[int, int, int, int]]:
    """Return y1 y2 x1 x2 around each part of a hole with what it is filled from; wide: more at its sides."""
    height, width = hole.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(hole.astype(np.uint8), np.ones((9, 9), np.uint8)), connectivity=8
    )
    windows = []
    for x, y, w, h, _ in stats[1:count].tolist():
        up = max(12, h // 3) if wide else max(8, min(w, h) // 2)
        aside = max(16, w) if wide else up
        windows.append((max(0, y - up), min(height, y + h + up), max(0, x - aside), min(width, x + w + aside)))
    if len(windows) > 40 or sum((b - a) * (d - c) for a, b, c, d in windows) > 1.5 * hole.size:
        return [(0, height, 0, width)]
    return windows


def _grain(image: Image, weight: Values, hole: Mask, smooth: Values) -> Values:
    """Return (K, 3) fine structure for the K pixels of a hole: that of the source, mirrored at the hole's edge."""
    distance, labels = cv2.distanceTransformWithLabels(
        (weight < 0.5).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(weight >= 0.5)
    inside_y, inside_x = np.nonzero(hole)
    if not len(rows):
        return np.zeros((len(inside_y), smooth.shape[2]), np.float32)
    where = np.zeros(int(labels.max()) + 1, np.intp)
    where[labels[rows, columns]] = np.arange(len(rows))
    nearest = where[labels[inside_y, inside_x]]
    mirror_y = np.clip(2 * rows[nearest] - inside_y, 0, hole.shape[0] - 1)
    mirror_x = np.clip(2 * columns[nearest] - inside_x, 0, hole.shape[1] - 1)
    blurred = cv2.blur(image, (9, 9))
    detail = image[mirror_y, mirror_x].astype(np.float32) - blurred[mirror_y, mirror_x]
    fade = np.exp(-distance[inside_y, inside_x] / 40.0) * weight[mirror_y, mirror_x]
    return np.clip(detail, -16, 16) * fade[:, None]
