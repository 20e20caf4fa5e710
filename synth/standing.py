"""Objects on the ground of a street picture: where they stand, and what of their boxes they fill where no mask says so.

A box is not the outline of what it holds: whatever is painted by depth would show the label as a rectangle. Without a
mask an object's share of each pixel is guessed from the middle of its box and from the colours inside and around it,
carried to the picture's edges by a guided filter (He, Sun, Tang 2013; He and Sun 2015), and 0 at the border of the box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.datasets.objects import has_own_mask
from scenes.sample import Depth, Image, Sample
from synth.regions import pixel_window

_WORK_PX = 64  # outlines are guessed on windows of at most so many pixels a side
_MARGIN = 0.25  # of a box's size, around it: what the background looks like
_FADE = 0.3  # of half a box, at each side: there the share falls to 0
_FADE_PX = 4.0  # and over no fewer pixels
_CENTRE, _SLOPE = 0.7, 6.0  # the share is even odds at that part of the way from the middle to the border
_COLOUR_ODDS = 3.0  # colours alone change the odds by e to this power at most
_CARRIED_INSIDE = 0.5  # of a box's area inside another one's: both may stand on the same feet
_CARRIED_SIZE = 0.3  # of the other's height, at least: what is smaller there is farther away

Matte = NDArray[np.float32]


def stand_objects(
    depth: Depth, ground: Depth, sample: Sample, far_m: float, *, rows: Sequence[int] | None = None
) -> None:
    """Put every object at the ground's depth below its foot, farthest first; those that float keep the backdrop's.

    depth, ground: (H, W) metres; depth is written to. Objects with pixels of their own get exactly those, others
    their share of each pixel: 1 / z = a / z_object + (1 - a) / z_background.
    rows: the objects that are put there; None is all of them
    """
    notes = sample.annotations
    metres = feet_m(ground, sample, far_m)
    placed = [i for i in (range(len(notes)) if rows is None else rows) if metres[i] < far_m]
    for i in sorted(placed, key=lambda i: (-metres[i], i)):
        window = pixel_window(notes.boxes[i], sample.height, sample.width)
        if window is None:
            continue
        x1, y1, x2, y2 = window
        inside = depth[y1:y2, x1:x2]
        if notes.masks is not None and has_own_mask(notes, i):
            inside[notes.masks[i, y1:y2, x1:x2]] = metres[i]
        elif notes.masks is None and sample.instances is not None:
            inside[sample.instances[y1:y2, x1:x2] == notes.instance_ids[i]] = metres[i]
        else:
            _blend(inside, soft_outline(sample.image, notes.boxes[i]), np.float32(metres[i]))


def _blend(depth: Depth, share: Matte, metres: np.float32) -> None:
    """Put a share of something at a depth before what is there; sky stays sky where it is not mostly covered."""
    behind = np.float32(1.0) / depth  # 0 in the sky
    nearness = behind + share * np.maximum(np.float32(1.0) / metres - behind, np.float32(0.0))
    covered = (share > 0.9) | (behind > 0)
    np.divide(np.float32(1.0), nearness, out=depth, where=covered & (nearness > 0))


def feet_m(ground: Depth, sample: Sample, far_m: float) -> NDArray[np.float64]:
    """Return (N,) metres of the ground under each object, far_m where it floats over the horizon.

    An object whose box ends over another's that is of its size and reaches lower is carried by it, or stands close
    behind it with its feet hidden: it has the other's depth. So do those that it carries itself.
    """
    boxes = sample.annotations.boxes.astype(np.float64).reshape(-1, 4)
    height, width = ground.shape
    x1, y1, x2, y2 = boxes.T
    rows = np.clip(np.ceil(y2) - 1, 0, height - 1).astype(np.int64)
    columns = np.clip(0.5 * (x1 + x2), 0, width - 1).astype(np.int64)
    metres = np.where((x2 > x1) & (y2 > y1), ground[rows, columns], far_m).astype(np.float64)
    for i in np.argsort(-y2, kind="stable"):
        wide = np.minimum(x2, x2[i]) - np.maximum(x1, x1[i])
        high = np.minimum(y2, y2[i]) - np.maximum(y1, y1[i])
        common = np.clip(wide, 0, None) * np.clip(high, 0, None)
        own = max((x2[i] - x1[i]) * (y2[i] - y1[i]), 1e-6)
        tall = y2[i] - y1[i]
        carries = (common > _CARRIED_INSIDE * own) & (tall > _CARRIED_SIZE * (y2 - y1)) & (y2 > y2[i] + 0.02 * tall)
        if carries.any():
            metres[i] = min(metres[i], float(metres[carries].min()))
    return metres


def soft_outline(image: Image, box: NDArray[np.float32]) -> Matte:
    """Return (h, w) the share, 0 to 1, that an object has in each pixel of its box (`pixel_window` of it).

    It is 0 all along the border of the box, and rises from there without a step, but where the picture cuts the box.
    """
    height, width = image.shape[:2]
    window = pixel_window(box, height, width)
    if window is None:
        return np.zeros((0, 0), np.float32)
    x1, y1, x2, y2 = window
    outer = _whole(box, width, height)
    grown = _grown(window, width, height)
    around = image[grown[1] : grown[3], grown[0] : grown[2]]
    slope, offset = _guide_fit(around, _way_out(grown, outer, (around.shape[0], around.shape[1])))
    own = image[y1:y2, x1:x2]
    grey = cv2.cvtColor(np.ascontiguousarray(own), cv2.COLOR_RGB2GRAY).reshape(own.shape[:2])
    size = (around.shape[1], around.shape[0])
    cut = (slice(y1 - grown[1], y2 - grown[1]), slice(x1 - grown[0], x2 - grown[0]))
    steep = cv2.resize(slope, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])[cut]
    level = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])[cut]
    share = np.square(np.clip(steep * grey * np.float32(1.0 / 255.0) + level, 0.0, 1.0))  # a tenth of near is near
    down, across = _fade(outer[1], outer[3], y1, y2), _fade(outer[0], outer[2], x1, x2)
    found: Matte = (share * down[:, None] * across[None, :]).astype(np.float32)
    return found


def soft_outlines(sample: Sample) -> Iterator[tuple[tuple[slice, slice], Matte]]:
    """Yield the place of each box in the picture, and the share (h, w) that its object has in each pixel there."""
    for box in sample.annotations.boxes:
        window = pixel_window(box, sample.height, sample.width)
        if window is not None:
            x1, y1, x2, y2 = window
            yield (slice(y1, y2), slice(x1, x2)), soft_outline(sample.image, box)


def _whole(box: NDArray[np.float32], width: int, height: int) -> tuple[float, float, float, float]:
    """Return a box that goes on beyond the sides of the picture that cut it."""
    x1, y1, x2, y2 = (float(v) for v in box)
    w, h = x2 - x1, y2 - y1
    return (
        x1 - w if x1 < 1.5 else x1,
        y1 - h if y1 < 1.5 else y1,
        x2 + w if x2 > width - 1.5 else x2,
        y2 + h if y2 > height - 1.5 else y2,
    )


def _grown(window: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = window
    right, down = 2 + int(_MARGIN * (x2 - x1)), 2 + int(_MARGIN * (y2 - y1))
    return max(x1 - right, 0), max(y1 - down, 0), min(x2 + right, width), min(y2 + down, height)


def _fade(low: float, high: float, start: int, stop: int) -> Matte:
    """Return (stop - start,) 1 within a side of a box from low to high, 0 at its ends, and smooth."""
    at = np.arange(start, stop) + 0.5
    reach = max(_FADE * 0.5 * (high - low), _FADE_PX)
    inside = np.clip((np.minimum(at - low, high - at) - 0.5) / reach, 0.0, 1.0)  # the outermost pixel has none
    smooth: Matte = (inside * inside * (3.0 - 2.0 * inside)).astype(np.float32)
    return smooth


def _way_out(grown: tuple[int, int, int, int], outer: tuple[float, ...], shape: tuple[int, int]) -> Matte:
    """Return (h, w), small, how far each pixel is on the way from the middle (0) to the border (1) of a box."""
    step = max(1.0, max(shape) / _WORK_PX)
    height, width = max(1, round(shape[0] / step)), max(1, round(shape[1] / step))
    x = grown[0] + (np.arange(width) + 0.5) * (shape[1] / width)
    y = grown[1] + (np.arange(height) + 0.5) * (shape[0] / height)
    u = np.abs(2.0 * x - outer[0] - outer[2]) / max(outer[2] - outer[0], 1e-6)
    v = np.abs(2.0 * y - outer[1] - outer[3]) / max(outer[3] - outer[1], 1e-6)
    way: Matte = np.sqrt((u * u)[None, :] + (v * v)[:, None]).astype(np.float32)
    return way


def _guide_fit(around: Image, way: Matte) -> tuple[Matte, Matte]:
    """Return slope and offset (h, w), small, of an object's share over the grey of the picture around it."""
    height, width = way.shape
    small = cv2.resize(np.ascontiguousarray(around), (width, height), interpolation=cv2.INTER_AREA)
    small = small.reshape(height, width, 3)
    prior = np.clip(_SLOPE * (np.float32(_CENTRE) - way), -4.0, 3.5)
    odds = prior + _colour_odds(small, 1.0 / (1.0 + np.exp(-prior)), way > 1.05)
    share = (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).reshape(height, width).astype(np.float32) / np.float32(255.0)
    return guided_fit(grey, share, radius=max(1, max(height, width) // 24))


def _colour_odds(small: Image, share: Matte, outside: NDArray[np.bool_]) -> Matte:
    """Return (h, w) log odds that a colour belongs to the object: histograms of 8 x 8 x 8 bins, made smooth."""
    if np.count_nonzero(outside) < 20:
        return np.zeros(share.shape, np.float32)
    codes = (small >> 5).astype(np.int64) @ np.array([64, 8, 1])
    flat = codes.ravel()
    odds = np.zeros(512)
    for _ in range(2):
        within = np.where(outside, 0.0, share * np.exp(np.clip(odds, -2.0, 0.0))[codes])
        object_ = np.bincount(flat, within.ravel(), 512)
        other = np.bincount(flat, np.where(outside, 1.0, 0.4 * (1.0 - share)).ravel(), 512)
        ratio = (object_ / max(object_.sum(), 1e-6) + 0.004) / (other / max(other.sum(), 1e-6) + 0.004)
        odds = np.clip(np.log(ratio), -_COLOUR_ODDS, _COLOUR_ODDS)
    return cv2.blur(odds[codes].astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE).reshape(share.shape)


def guided_fit(guide: Matte, values: Matte, *, radius: int) -> tuple[Matte, Matte]:
    """Guided filter (He, Sun, Tang 2013): return slope and offset (H, W) of values over a grey guide in [0, 1]."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(array: Matte) -> Matte:
        return cv2.blur(array, size, borderType=cv2.BORDER_REFLECT).reshape(guide.shape)

    m_guide, m_values = mean(guide), mean(values)
    slope = (mean(guide * values) - m_guide * m_values) / (mean(guide * guide) - m_guide * m_guide + np.float32(1e-3))
    return mean(slope), mean(m_values - slope * m_guide)
