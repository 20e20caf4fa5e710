"""Depth that was measured at some pixels only, filled: by the picture's edges, without the pattern of the scanner.

What is interpolated is the logarithm of measured over prior depth, so that ground stays ground and a wall goes on
upwards. It spreads from each measured pixel along the picture until an edge stops it (recursive domain transform of
Gastal and Oliveira 2011, normalised by the weight that arrives), and where nothing arrives, over all scales.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Depth, Image, Sample
from synth.ground import FAR_M, ground_plane_depth, push_pull
from synth.radiometry import FAST
from synth.regions import pixel_window
from synth.standing import guided_fit

NEAREST_M = 0.5
LIDAR_SHARE = 0.5  # below this share of known pixels the depth is called lidar
_PASSES = 3
_REACH = 1.0 / 60.0  # of the picture's width: how far a measurement spreads
_EDGE = 0.12  # a change of grey that stops as much as that distance does
_BEHIND = 0.75  # a return so much nearer than its neighbour hides it: the scanner sees past what the camera does not
_BEHIND_WEIGHT = 0.02
_SPREAD_WEIGHT = 1e-3  # of what comes over all scales
_HIT_SHARE = 0.004  # of a box's pixels measured: the scanner has seen the object

Map = NDArray[np.float32]


def fill_depth(sample: Sample) -> Depth:
    """Return depth with its unknown pixels (NaN) filled.

    Depth with holes keeps its measured pixels. Of a scanner's few returns each counts as one: what it shows next to
    its neighbours, through leaves or past an edge, would be seen as dots in everything that is painted by depth.
    """
    assert sample.depth is not None  # the callers have looked
    measured = sample.depth
    known = np.isfinite(measured) & (measured > 0)
    sparse = float(np.isnan(measured).mean()) > 1.0 - LIDAR_SHARE
    prior = ground_plane_depth(sample, objects=_unseen(sample, known) if sparse else None)
    sky = (np.isinf(prior) & ~_among(known)) | (np.isposinf(measured) & ~known)
    base = np.minimum(prior, FAR_M)
    ratio = np.where(known, np.log(np.where(known, measured, 1.0) / base), 0.0).astype(np.float32)
    smooth = _spread(ratio, known, measured, sample.image) if sparse else _holes(ratio, known, sample.image)
    filled = np.clip(base * np.exp(np.clip(smooth, -4.0, 2.0)), NEAREST_M, 2.0 * FAR_M)
    filled = np.where(sky, np.inf, filled).astype(np.float32)
    return filled if sparse else np.where(np.isnan(measured), filled, measured).astype(np.float32)


def _unseen(sample: Sample, known: NDArray[np.bool_]) -> list[int]:
    """Return the rows of those objects that the scanner has not seen; the others stand where it says."""
    rows = []
    for i, box in enumerate(sample.annotations.boxes):
        window = pixel_window(box, sample.height, sample.width)
        if window is not None:
            inside = known[window[1] : window[3], window[0] : window[2]]
            if np.count_nonzero(inside) <= _HIT_SHARE * inside.size:
                rows.append(i)
    return rows


def _among(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where returns come from all around: there is no sky between them."""
    density = cv2.blur(known.astype(np.float32), (15, 15), borderType=cv2.BORDER_REPLICATE)
    found: NDArray[np.bool_] = density.reshape(known.shape) > 0.04
    return found


def _holes(ratio: Map, known: NDArray[np.bool_], image: Image) -> Map:
    """Return what fills the holes of dense depth, its edges moved to those of the picture (He, Sun, Tang 2013)."""
    smooth = push_pull(ratio, known.astype(np.float32))
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).reshape(known.shape)
    guide = grey.astype(np.float32) / np.float32(255.0)
    slope, offset = guided_fit(guide, smooth, radius=max(2, image.shape[1] // 200))
    return slope * guide + offset


def _spread(ratio: Map, known: NDArray[np.bool_], measured: Depth, image: Image) -> Map:
    """Return what a scanner's returns say of every pixel, (H, W)."""
    near = np.where(known, measured, np.inf).astype(np.float32)
    nearest = cv2.erode(near, np.ones((7, 5), np.uint8)).reshape(near.shape)
    weight = known.astype(np.float32)
    weight[known & (nearest < _BEHIND * near)] = _BEHIND_WEIGHT
    over_scales = cv2.GaussianBlur(push_pull(ratio, weight), (0, 0), 3.0).reshape(ratio.shape)
    across, down = _distances(image)
    sums = np.stack([ratio * weight, weight])
    reach = max(2.0, _REACH * image.shape[1])
    widest = reach * math.sqrt(3.0) * 2.0 ** (_PASSES - 1) / math.sqrt(4.0**_PASSES - 1.0)
    passed_across, passed_down = (np.exp(np.float32(-math.sqrt(2.0) / widest) * way) for way in (across, down))
    for _ in range(_PASSES):  # the passes' squares add up to the whole's, each half as wide as the last
        _along_rows(sums, passed_across)
        _along_columns(sums, passed_down)
        np.square(passed_across, out=passed_across)
        np.square(passed_down, out=passed_down)
    found: Map = (sums[0] + _SPREAD_WEIGHT * over_scales) / (sums[1] + np.float32(_SPREAD_WEIGHT))
    return cv2.GaussianBlur(found, (0, 0), 1.0).reshape(ratio.shape)


def _distances(image: Image) -> tuple[Map, Map]:
    """Return (H, W) how far each pixel is from its left and from its upper neighbour, 1 where they look the same."""
    reach = max(2.0, _REACH * image.shape[1])
    across, down = np.zeros(image.shape[:2], np.uint8), np.zeros(image.shape[:2], np.uint8)
    for plane in cv2.split(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), 1.0)):
        across[:, 1:] = np.maximum(across[:, 1:], _apart(plane[:, 1:], plane[:, :-1]))
        down[1:] = np.maximum(down[1:], _apart(plane[1:], plane[:-1]))
    per_level = np.float32(reach / (255.0 * _EDGE))
    return 1 + per_level * across, 1 + per_level * down


def _apart(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return |left - right|, without sign trouble."""
    return np.maximum(left, right) - np.minimum(left, right)


@njit(cache=True, nogil=True, fastmath=FAST)
def _along_rows(sums, feedback):  # type: ignore[no-untyped-def]  # numba infers
    """Smooth sums (K, H, W) from left to right and back; feedback (H, W) is what passes from the left neighbour."""
    layers, rows, columns = sums.shape
    for i in range(rows):
        for j in range(1, columns):
            passed = feedback[i, j]
            for k in range(layers):
                sums[k, i, j] += passed * (sums[k, i, j - 1] - sums[k, i, j])
        for j in range(columns - 2, -1, -1):
            passed = feedback[i, j + 1]
            for k in range(layers):
                sums[k, i, j] += passed * (sums[k, i, j + 1] - sums[k, i, j])


@njit(cache=True, nogil=True, fastmath=FAST)
def _along_columns(sums, feedback):  # type: ignore[no-untyped-def]  # numba infers
    """Smooth sums (K, H, W) downwards and back; feedback (H, W) is what passes from the upper neighbour."""
    layers, rows, columns = sums.shape
    for k in range(layers):
        for i in range(1, rows):
            for j in range(columns):
                sums[k, i, j] += feedback[i, j] * (sums[k, i - 1, j] - sums[k, i, j])
        for i in range(rows - 2, -1, -1):
            for j in range(columns):
                sums[k, i, j] += feedback[i + 1, j] * (sums[k, i + 1, j] - sums[k, i, j])
