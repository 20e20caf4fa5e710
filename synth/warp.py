"""Warp a whole frame: picture, masks, boxes, segmentation, depth and visibility move together.

A warp is given twice: backwards as a map (where does each new pixel come from), and forwards for points (where does a
box edge go), because boxes without masks and amodal boxes, which leave the frame, have no pixels to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from scenes.camera import Camera
from scenes.sample import Annotations, Boxes, Sample
from synth.noise import Field
from synth.regions import Mask, ignore_value, object_region, pixel_window, tight_box
from synth.relabel import note_visible

Points = NDArray[np.float64]  # (K, 2) pixels, x y
_PER_EDGE = 9  # points along a box edge: enough for the bend of any lens
_PER_OUTLINE = 64  # points on an object's likely outline


@dataclass(frozen=True, eq=False)
class Warp:
    """x, y: (H, W) float32 where each new pixel's centre comes from, pixels of the old frame, centres at halves;
    forward: old points (K, 2) to new ones; known: (H, W) new pixels that show the old frame, None = all."""

    x: Field
    y: Field
    forward: Callable[[Points], Points]
    known: Mask | None = None


def warp_frame(sample: Sample, warp: Warp, *, camera: Camera | None = None) -> Sample:
    """Return the warped frame; `camera` is the one that would have taken it."""
    image = cv2.remap(sample.image, warp.x - 0.5, warp.y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    index = flat_index(warp.x, warp.y)
    instances = None if sample.instances is None else pull(sample.instances, index, warp.known, 0)
    depth = None if sample.depth is None else pull(sample.depth, index, warp.known, np.nan)
    annotations, fractions = _warp_annotations(sample, warp, index)
    result = replace(
        sample, image=image, annotations=annotations, depth=depth, instances=instances, camera=camera or sample.camera
    )
    return note_visible(result, fractions)


def flat_index(x: Field, y: Field) -> NDArray[np.intp]:
    """Return (H, W) flat indices of the pixels that hold the points x, y, clamped to the frame."""
    height, width = x.shape
    columns = np.clip(x, 0, width - 1).astype(np.intp)
    index: NDArray[np.intp] = np.clip(y, 0, height - 1).astype(np.intp) * width + columns
    return index


def pull(array: NDArray[Any], index: NDArray[np.intp], known: Mask | None, unknown: Any) -> NDArray[Any]:
    """Return array (H, W) at flat indices, nearest neighbour, and `unknown` where nothing is known."""
    taken = np.take(array, index)
    if known is not None:
        taken[~known] = unknown
    return taken


def _warp_annotations(sample: Sample, warp: Warp, index: NDArray[np.intp]) -> tuple[Annotations, dict[int, float]]:
    old = sample.annotations
    n, frame = len(old), (sample.width, sample.height)
    segmentation = old.segmentation
    if segmentation is not None:
        segmentation = pull(segmentation, index, warp.known, ignore_value(old))
    masks = None
    if old.masks is None:
        boxes = clip_boxes(forward_boxes(old.boxes, warp.forward), frame)
    else:
        masks, boxes = masks_and_boxes(old.masks, index, warp.known, old.boxes)
    amodal = None if old.boxes_amodal is None else forward_boxes(old.boxes_amodal, warp.forward)
    inside = np.array([_share_inside(sample, row, warp.forward) for row in range(n)], np.float32)
    inside[(boxes[:, 2:] <= boxes[:, :2]).any(axis=1)] = 0.0
    visibility = None if old.visibility is None else old.visibility * inside
    fractions = {int(i): float(f) for i, f in zip(old.instance_ids, inside, strict=True) if f < 1.0}
    notes = replace(
        old, boxes=boxes, boxes_amodal=amodal, masks=masks, segmentation=segmentation, visibility=visibility
    )
    return notes, fractions


def warp_masks(masks: Mask, index: NDArray[np.intp], known: Mask | None) -> Mask:
    """Return (N, H, W) masks at flat indices, nearest neighbour. Masks that do not overlap are moved all at once."""
    return masks_and_boxes(masks, index, known)[0]


def masks_and_boxes(
    masks: Mask, index: NDArray[np.intp], known: Mask | None, likely: Boxes | None = None
) -> tuple[Mask, Boxes]:
    """Return (N, H, W) masks at flat indices and the (N, 4) boxes around them.

    likely: (N, 4) boxes that most masks lie in, which saves looking for them
    """
    out, boxes = np.zeros((len(masks), *index.shape), np.bool_), np.zeros((len(masks), 4), np.float32)
    owner = np.zeros(masks.shape[1:], np.int32)
    sizes = np.zeros(len(masks), np.int64)
    for row, mask in enumerate(masks):
        sizes[row] = np.count_nonzero(mask)
        window = None if likely is None else pixel_window(likely[row], *mask.shape)
        if window is None or np.count_nonzero(mask[window[1] : window[3], window[0] : window[2]]) != sizes[row]:
            x1, y1, x2, y2 = (int(v) for v in tight_box(mask))
            window = (x1, y1, x2, y2)
        part = np.s_[window[1] : window[3], window[0] : window[2]]
        owner[part][mask[part]] = row + 1
    counts = np.bincount(owner.ravel(), minlength=len(masks) + 1)[1:]
    moved = pull(owner, index, known, 0)
    windows = find_objects(moved, max_label=len(masks))
    for row, mask in enumerate(masks):
        if counts[row] != sizes[row]:
            out[row] = pull(mask, index, known, False)
            boxes[row] = tight_box(out[row])
        elif windows[row] is not None:
            rows, columns = windows[row]
            out[row][rows, columns] = moved[rows, columns] == row + 1
            boxes[row] = (columns.start, rows.start, columns.stop, rows.stop)
    return out, boxes


def forward_boxes(boxes: Boxes, forward: Callable[[Points], Points]) -> Boxes:
    """Return the boxes around where the objects in boxes (N, 4) go whose outline is not known; empty boxes stay empty.

    An object touches the sides of its box and leaves its corners free. The superellipse in the box (`regions.ellipse`)
    stands for it: of ellipses of power 2 to 6 and the box itself, it is nearest to what the town's objects do.
    """
    turn = np.linspace(0.0, 2.0 * np.pi, _PER_OUTLINE, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = np.sign(cosine) * np.sqrt(np.abs(cosine)), np.sign(sine) * np.sqrt(np.abs(sine))  # x^4 + y^4 = 1
    return _bounds(boxes, 0.5 + 0.5 * x, 0.5 + 0.5 * y, forward)


def forward_windows(boxes: Boxes, forward: Callable[[Points], Points]) -> Boxes:
    """Return the boxes around where all that is in boxes (N, 4) goes, by their edges; empty boxes stay empty."""
    step = np.linspace(0.0, 1.0, _PER_EDGE)
    zero, one = np.zeros(_PER_EDGE), np.ones(_PER_EDGE)
    return _bounds(boxes, np.concatenate([step, step, zero, one]), np.concatenate([zero, one, step, step]), forward)


def _bounds(
    boxes: Boxes, unit_x: NDArray[np.float64], unit_y: NDArray[np.float64], forward: Callable[[Points], Points]
) -> Boxes:
    """Return the boxes around where points go that lie in boxes (N, 4) at shares unit_x, unit_y (K,) of their sides."""
    if not len(boxes):
        return boxes
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * unit_x
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * unit_y
    moved = forward(np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)).reshape(len(boxes), -1, 2)
    out = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1).astype(np.float32)
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    out[empty] = boxes[empty]
    return out


def clip_boxes(boxes: Boxes, frame: tuple[int, int]) -> Boxes:
    """Return boxes cut at the frame (width, height); what is outside gets zeros."""
    width, height = frame
    clipped = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    clipped[(clipped[:, 2:] <= clipped[:, :2]).any(axis=1)] = 0.0
    return clipped


def _share_inside(sample: Sample, row: int, forward: Callable[[Points], Points]) -> float:
    """Return how much of what is visible of an object stays in the frame."""
    region = object_region(sample, row)
    if region is None:
        return 0.0
    rows, columns = np.nonzero(region.mask)
    thin = max(1, len(rows) // 2000)
    points = np.stack([columns[::thin] + region.window[0] + 0.5, rows[::thin] + region.window[1] + 0.5], axis=1)
    moved = forward(points)
    inside = (moved >= 0).all(axis=1) & (moved < (sample.width, sample.height)).all(axis=1)
    return float(inside.mean())
