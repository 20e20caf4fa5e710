"""Fill what was hidden: holes take colour and grain from the background beside them, never from what stood in front."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image
from synth.regions import Mask

Values = NDArray[np.float32]


def fill_background(image: Image, hole: Mask, inverse_depth: NDArray[np.float32] | None = None) -> Image:
    """Return the picture (H, W, 3) with its hole (H, W) filled.

    inverse_depth: (H, W) 1/m; known pixels beside the hole that are much nearer than the farthest near them give nothing
    """
    if not hole.any() or hole.all():
        return image
    source = ~hole if inverse_depth is None else ~hole & ~_in_front(hole, inverse_depth)
    if not source.any():
        source = ~hole
    out = image.copy()
    for y1, y2, x1, x2 in _windows(hole):
        part = np.s_[y1:y2, x1:x2]
        weight = source[part].astype(np.float32)
        if not weight.any():
            weight = (~hole[part]).astype(np.float32)
        smooth = push_pull(image[part].astype(np.float32), weight)
        grain = _grain(image[part], weight, hole[part], smooth)
        out[part] = np.where(hole[part][..., None], np.clip(smooth + grain + 0.5, 0, 255).astype(np.uint8), image[part])
    return out


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


def _in_front(hole: Mask, inverse_depth: NDArray[np.float32]) -> Mask:
    """Return known pixels at the hole that stand in front of something else near it."""
    side = 9
    kernel = np.ones((side, side), np.uint8)
    near = cv2.dilate(hole.astype(np.uint8), kernel) > 0
    known = np.where(hole, np.float32(1e3), inverse_depth)
    farthest = cv2.erode(known, kernel)
    front: Mask = near & ~hole & (inverse_depth > 1.25 * farthest + 0.004)
    return front


def _windows(hole: Mask) -> list[tuple[int, int, int, int]]:
    """Return y1 y2 x1 x2 around each part of a hole with the surroundings it is filled from."""
    height, width = hole.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(hole.astype(np.uint8), np.ones((9, 9), np.uint8)), connectivity=8
    )
    windows = []
    for x, y, w, h, _ in stats[1:count].tolist():
        margin = max(8, min(w, h) // 2)
        windows.append((max(0, y - margin), min(height, y + h + margin), max(0, x - margin), min(width, x + w + margin)))
    if len(windows) > 40 or sum((b - a) * (d - c) for a, b, c, d in windows) > 1.5 * hole.size:
        return [(0, height, 0, width)]
    return windows


def _grain(image: Image, weight: Values, hole: Mask, smooth: Values) -> Values:
    """Return fine structure for a hole: that of the source, mirrored at the hole's edge."""
    detail = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 4)
    detail *= weight[..., None]
    distance, labels = cv2.distanceTransformWithLabels(
        (weight < 0.5).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(weight >= 0.5)
    if not len(rows):
        return np.zeros_like(smooth)
    where = np.zeros(int(labels.max()) + 1, np.intp)
    where[labels[rows, columns]] = np.arange(len(rows))
    inside_y, inside_x = np.nonzero(hole)
    nearest = where[labels[inside_y, inside_x]]
    mirror_y = np.clip(2 * rows[nearest] - inside_y, 0, hole.shape[0] - 1)
    mirror_x = np.clip(2 * columns[nearest] - inside_x, 0, hole.shape[1] - 1)
    fade = np.exp(-distance[inside_y, inside_x] / (0.25 * min(hole.shape) + 8)).astype(np.float32)
    grain = np.zeros_like(smooth)
    grain[inside_y, inside_x] = np.clip(detail[mirror_y, mirror_x], -30, 30) * fade[:, None]
    return grain
